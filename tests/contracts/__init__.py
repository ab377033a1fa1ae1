"""The official API descriptions, and the checker of recorded traffic, where they are present."""

import importlib.util
import os
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

FETCHED = Path(__file__).parents[2] / ".contracts"
"""Where `make contracts` puts the descriptions."""

_SHARED = Path(__file__).parents[3] / "shared" / "contracts"
CONTRACTS_DIR = "AZURE_CONTRACTS_DIR"
CONTRACTS = Path(os.environ.get(CONTRACTS_DIR, _SHARED if _SHARED.is_dir() else FETCHED))
TOOLS = CONTRACTS.parent / "tools"
RECORDINGS = CONTRACTS.parent / "recordings"
PRESENT = (TOOLS / "check_trace.py").is_file()
WHY_ABSENT = (
    f"the checker of recorded traffic, which is not public, is not beside {CONTRACTS} ({CONTRACTS_DIR}); "
    "`make contracts` runs the tests that need the official descriptions alone"
)


def why_missing(description: Path) -> str:
    """Why a description is missing: it has not been fetched, or it is not an official file."""
    if (CONTRACTS / "derived") in description.parents:
        return f"{description.name} is not published: it was derived from official descriptions"
    return f"the official API descriptions are not in {CONTRACTS}: run `make contracts`"


@cache
def _checker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_trace", TOOLS / "check_trace.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["check_trace"] = module
    spec.loader.exec_module(module)
    return module


@cache
def library() -> Any:
    """Every operation of the official descriptions."""
    return _checker().library()


def checked(exchange: Mapping[str, Any]) -> list[str]:
    """The checker's findings about one line of a trace that an official description covers."""
    from .deviations import as_public

    request, response = exchange["request"], exchange["response"]
    _, found = library().check(
        request["method"],
        as_public(request["url"]),
        request.get("body") or None,
        int(response["statusCode"]),
        response.get("body"),
        request.get("headers", {}),
        response.get("headers", {}),
    )
    return [f"{exchange['operation']} {response['statusCode']} {f}" for f in found if f.severity == "error"]


def findings(exchanges: Iterable[Mapping[str, Any]]) -> list[str]:
    """What is wrong with these lines of a trace; nothing when the descriptions are absent."""
    from .deviations import skipped

    if not PRESENT:
        return []
    return sorted({each for exchange in exchanges if not skipped(exchange) for each in checked(exchange)})
