"""Where no description says what an answer may have in it, recordings of the real services do: errors, and Azure's v1 surface.

An answer that a description covers is held to it field by field by the checker, which lets no unknown field through.
"""

import json
from collections.abc import Iterator
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from . import RECORDINGS, library
from .deviations import V1, Line, as_public, refused_by_policy, undescribed

_NEAREST = "api-version=2025-04-01-preview"
"""Azure's v1 surface is what was in preview last (Microsoft, "Azure OpenAI API version lifecycle")."""

_UNKNOWN = "ADDITIONALPROPERTIES"


def strange_fields(line: Line) -> list[str]:
    """Fields of an answer that neither the descriptions nor the recordings have."""
    status, body = int(line["response"]["statusCode"]), line["response"].get("body")
    if line.get("fault") or undescribed(line) or refused_by_policy(line) or not RECORDINGS.is_dir():
        return []
    if status >= 400:
        strange = set(paths(body)) - error_fields()
    else:
        strange = _beyond_the_preview(line) if urlsplit(line["request"]["url"]).path.startswith(V1) else set()
    return [f"{line['operation']} {status} {each} is in no description and no recording" for each in sorted(strange)]


def paths(body: Any, at: str = "") -> Iterator[str]:
    """The names in some JSON, each after those around it."""
    if isinstance(body, dict):
        for name, value in body.items():
            yield f"{at}/{name}"
            yield from paths(value, f"{at}/{name}")
    elif isinstance(body, list):
        for each in body:
            yield from paths(each, at)


@cache
def error_fields() -> frozenset[str]:
    """What recorded and quoted errors have in them."""
    files = ("arm_errors.json", "kv_errors.json", "aoai_errors.json")
    cases = [case for name in files for case in json.loads((RECORDINGS / name).read_text(encoding="utf-8"))["cases"]]
    return frozenset(path for case in cases for path in paths(case["body"]))


@cache
def recorded_names() -> frozenset[str]:
    """What recorded jobs, events and checkpoints have in them."""
    bodies = [json.loads(each.read_text(encoding="utf-8")) for each in RECORDINGS.glob("aoai_*.json")]
    later = [json.loads(each.read_text(encoding="utf-8")) for each in RECORDINGS.glob("finetune-*/*.json")]
    found = [*(body.get("body") for body in bodies), *later]
    return frozenset(path.rpartition("/")[2] for body in found for path in paths(body))


def _beyond_the_preview(line: Line) -> set[str]:
    """What a v1 body has beyond the preview's description and all recordings."""
    request, response = line["request"], line["response"]
    classic = as_public(request["url"]).partition("?")[0].replace(V1, "/openai/", 1)
    _, found = library().check(
        request["method"], f"{classic}?{_NEAREST}", None, response["statusCode"], response.get("body"), {}, {}
    )
    named = {
        name
        for each in found
        if each.side == "response" and each.code == _UNKNOWN
        for name in each.message.split("'")[1::2]
    }
    return named - recorded_names()
