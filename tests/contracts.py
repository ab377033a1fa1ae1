"""The official API descriptions as a check of recorded traffic, where they are present (here and in CI)."""

import importlib.util
import os
import re
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

CONTRACTS = Path(os.environ.get("AZURE_CONTRACTS_DIR", Path(__file__).parent.parent.parent / "shared" / "contracts"))
TOOLS = CONTRACTS.parent / "tools"
PRESENT = (TOOLS / "check_trace.py").is_file()
WHY_ABSENT = f"the official API descriptions are not in {CONTRACTS} (AZURE_CONTRACTS_DIR)"


# The description of Permissions_ListForResource only has room for nested resources. At a vault or an account we ask at
# the exact scope, as every other operation of Microsoft.Authorization is asked, without the SDK's empty segment.
_TOP_LEVEL_PERMISSIONS = re.compile(
    r"/resourceGroups/[^/]+/providers/[^/]+/[^/]+/[^/]+/providers/Microsoft\.Authorization/permissions$"
)

# No description of Microsoft.Web is among them (tests/sandbox/test_arm_web.py holds its site to Microsoft's generated
# type), and none of the listing of a subscription's resources, which only az asks for.
_UNDESCRIBED = re.compile(
    r"/providers/Microsoft\.Web/(?!.*/providers/)|^/subscriptions/[^/]+/resources$", re.IGNORECASE
)


# Azure publishes a description of the v1 surface, too; it is not among those that are present here.
_V1 = "/openai/v1/"


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
def _library() -> Any:
    return _checker().library()


def findings(exchanges: Iterable[Mapping[str, Any]]) -> list[str]:
    """What the checker has to say about these lines of a trace; nothing when the descriptions are absent."""
    if not PRESENT:
        return []
    described = _checker().DESCRIBED
    found: list[str] = []
    for exchange in exchanges:
        request, response = exchange["request"], exchange["response"]
        host = urlsplit(request["url"]).hostname or ""
        if not any(host == h or host.endswith(h) for h in described) or int(response["statusCode"]) == 401:
            continue
        path = urlsplit(request["url"]).path
        if urlsplit(request["url"]).path.startswith(_V1):
            continue
        if _TOP_LEVEL_PERMISSIONS.search(path) or _UNDESCRIBED.search(path):
            continue
        _, said = _library().check(
            request["method"],
            request["url"],
            request.get("body") or None,
            int(response["statusCode"]),
            response.get("body"),
            request.get("headers", {}),
            response.get("headers", {}),
        )
        found += [f"{exchange['operation']} {response['statusCode']} {f}" for f in said if f.severity == "error"]
    return sorted(set(found))
