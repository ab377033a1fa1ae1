"""Requests that our commands really sent, each with something in it changed, cannot make a 500: of W&B, for which there is no
official description, of Entra, Graph and storage, and once more of the services that have one.
"""

import base64
import copy
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.cloud import Cloud
from sandbox.scenario.reader import Scenario
from tests.conftest import Run

from .attacker import KEY, WORLD, Attacker, also_unmodelled, repeatable

pytestmark = [pytest.mark.malformed("addresses"), pytest.mark.timeout(600)]

_ENV = {
    "AZURE_RESOURCE_GROUP": "rg-ml",
    "AZURE_OPENAI_ACCOUNT": "aoai-ml",
    "AZURE_KEY_VAULT": "kv-ml",
    "AZURE_OPENAI_ENDPOINTS": "https://aoai-ml.openai.azure.com/",
    "WANDB_ENTITY": "acme",
    "WANDB_PROJECT": "fine-tuning",
    "WANDB_API_KEY": KEY,
}
_COMMANDS = (
    ("operator", ("provisioning", "setup", "--yes", "--propagation-wait", "0s")),
    ("reports-job", ("function_app", "sync")),  # an application: it asks Entra for its tokens
    ("operator", ("provisioning", "teardown", "--yes")),
)
_KEPT = ("content-type", "accept")
NOT_MODELLED = 501
_STORAGE = [
    {"service": "storage", "method": method, "url": f"https://stfinetune.{where}", "headers": headers, "body": None}
    for method, where, headers in (
        ("PUT", "blob.core.windows.net/leases?restype=container", {}),
        ("GET", "blob.core.windows.net/finetune-leases?restype=container&comp=list&maxresults=5", {}),
        ("PUT", "blob.core.windows.net/finetune-leases/run", {"x-ms-blob-type": "BlockBlob"}),
        (
            "PUT",
            "blob.core.windows.net/finetune-leases/run?comp=lease",
            {"x-ms-lease-action": "acquire", "x-ms-lease-duration": "60", "x-ms-proposed-lease-id": "one"},
        ),
        ("PUT", "blob.core.windows.net/finetune-leases/run?comp=lease", {"x-ms-lease-action": "renew"}),
        ("DELETE", "blob.core.windows.net/finetune-leases/run", {}),
        ("GET", "queue.core.windows.net/finetune-jobs?comp=metadata", {}),
    )
]
_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec=None), max_size=5)
    | st.sampled_from(["", "null", "[]", "{}", '{"a": [', "2026-99-99", "../..", "\ud800"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


def sent(cloud: Cloud, run: Run) -> list[Mapping[str, Any]]:
    """What our commands send in a world with one of everything, and what a function app sends to its storage."""
    cloud.load(Scenario.parse(WORLD))
    for principal, argv in _COMMANDS:
        done = run(*argv, principal=principal, env=_ENV)
        assert done.returncode == 0, done.stderr
    lines = [each.as_json() for each in cloud.world.trace.exchanges]
    return [*({"service": each["service"], **each["request"]} for each in lines), *_STORAGE]


def places(data: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where there is something in some JSON."""
    inner: Iterable[tuple[Any, Any]] = ()
    if isinstance(data, dict):
        inner = data.items()
    elif isinstance(data, list):
        inner = enumerate(data)
    return [at, *(each for key, value in inner for each in places(value, (*at, key)))]


@st.composite
def changed(draw: st.DrawFn, data: Any) -> Any:
    """Some JSON with one thing in it gone, another one, or, where that is JSON in a text, changed within."""
    where = draw(st.sampled_from(places(data)))
    if not where:
        return draw(_VALUES)
    result = copy.deepcopy(data)
    around = result
    for key in where[:-1]:
        around = around[key]
    value = around[where[-1]]
    how = draw(st.sampled_from(["gone", "another", "within", "within"]))
    if how == "gone":
        del around[where[-1]]
    elif how == "within" and isinstance(value, str) and value[:1] in ("{", "["):
        around[where[-1]] = json.dumps(draw(changed(json.loads(value))))
    else:
        around[where[-1]] = draw(_VALUES)
    return result


@st.composite
def mutants(draw: st.DrawFn, requests: Sequence[Mapping[str, Any]]) -> tuple[str, str, dict[str, str], bytes]:
    """A request with its body, its path or its query changed: method, address, headers, body."""
    kinds: dict[str, list[Mapping[str, Any]]] = {}
    for each in requests:
        kinds.setdefault(each["body"]["query"] if "/graphql" in each["url"] else each["url"], []).append(each)
    request = draw(st.sampled_from(kinds[draw(st.sampled_from(sorted(kinds)))]))
    parts, body = urlsplit(request["url"]), request["body"]
    path, query = parts.path.split("/"), parse_qsl(parts.query, keep_blank_values=True)
    content = body.encode() if isinstance(body, str) else b"" if body is None else json.dumps(body).encode()
    part = draw(st.sampled_from(["body", "body", "body", "bytes", "path", "query"]))
    if part == "body" and isinstance(body, (dict, list)):
        content = json.dumps(draw(changed(body))).encode()
    elif part == "path" and len(path) > 1:
        path[draw(st.integers(1, len(path) - 1))] = quote(draw(st.text(min_size=1, max_size=8)), safe="")
    elif part == "query":
        names = [name for name, _ in query] + ["$skiptoken", "$filter", "maxresults", "limit", "after"]
        query.append((draw(st.sampled_from(names)), draw(st.text(max_size=6) | st.integers().map(str))))
    else:
        content = draw(st.binary(max_size=8) | st.sampled_from([b"", b"[", b"null", b'"x"', b"[" * 9999, b"\xff"]))
    url = urlunsplit(parts._replace(path="/".join(path), query=urlencode(query)))
    headers = {name: value for name, value in request["headers"].items() if name in _KEPT or name.startswith("x-ms-")}
    if urlsplit(url).hostname == "api.forge.coreweave.com":
        headers["Authorization"] = "Basic " + base64.b64encode(f"api:{KEY}".encode()).decode()
    return request["method"], url, headers, content


def attacks(cloud: Cloud, requests: Sequence[Mapping[str, Any]], examples: int) -> None:
    """Send as many mutants of these, one after the other, into the same world."""

    @repeatable(examples)
    @given(mutants(requests))
    def attack(mutant: tuple[str, str, dict[str, str], bytes]) -> None:
        status = Attacker(cloud).send(*mutant)
        assert status < 500 or status == NOT_MODELLED, mutant

    attack()


@pytest.mark.parametrize("examples", [25, pytest.param(1500, marks=pytest.mark.long)])
def test_no_mutant_of_a_request_makes_a_500(cloud: Cloud, run: Run, examples: int) -> None:
    requests = sent(cloud, run)
    services = {each["service"] for each in requests}
    assert services == {"arm", "entra", "graph", "keyvault", "openai", "storage", "wandb"}
    with also_unmodelled(cloud):
        for service in sorted(services):
            of_it = [each for each in requests if each["service"] == service]
            attacks(cloud, of_it, examples * (3 if service == "wandb" else 1))
