"""The sandbox's traffic that is not checked against an official description, with reasons. Everything else is checked."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from sandbox.azure.tenant import CLOUDS, PUBLIC

Line = Mapping[str, Any]
"""A line of a trace (sandbox/runtime/trace.py)."""

_DESCRIBED = (PUBLIC.arm, f".{PUBLIC.vault_suffix}", f".{PUBLIC.openai_suffix}")
_PUBLIC_NAMES = {
    ours: theirs
    for names in CLOUDS.values()
    for ours, theirs in (
        (names.arm, PUBLIC.arm),
        (names.vault_suffix, PUBLIC.vault_suffix),
        (names.openai_suffix, PUBLIC.openai_suffix),
    )
}
V1 = "/openai/v1/"
_TOP_LEVEL_PERMISSIONS = re.compile(
    r"/resourceGroups/[^/]+/providers/[^/]+/[^/]+/[^/]+/providers/Microsoft\.Authorization/permissions$"
)
_GOVERNANCE = re.compile(
    r"/providers/Microsoft\.(Authorization/(locks|denyAssignments|roleAssignmentScheduleInstances|policyAssignments"
    r"|policySetDefinitions)|PolicyInsights/checkPolicyRestrictions)",
    re.IGNORECASE,
)
_WEB = re.compile(r"/providers/Microsoft\.Web/(?!.*/providers/)", re.IGNORECASE)
_RESOURCES = re.compile(
    r"^/subscriptions/[^/]+/(resources|providers|resourcegroups/[^/]+(/resources|/providers/Microsoft\.Resources/deployments(/[^/]+)?)?)$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Deviation:
    """Exchanges that are not checked, and why."""

    name: str
    why: str
    holds: Callable[[Line], bool]


def as_public(url: str) -> str:
    """The address in Azure's public cloud: the descriptions are written for that one, the services are the same."""
    host = urlsplit(url).hostname or ""
    ours = next((each for each in _PUBLIC_NAMES if host == each or host.endswith(f".{each}")), None)
    return url.replace(ours, _PUBLIC_NAMES[ours], 1) if ours else url


def skipped(line: Line) -> Deviation | None:
    """Why this exchange is not checked; None: it is."""
    return next((each for each in DEVIATIONS if each.holds(line)), None)


def undescribed(line: Line) -> bool:
    host = urlsplit(as_public(line["request"]["url"])).hostname or ""
    return not any(host == each or host.endswith(each) for each in _DESCRIBED)


def refused_by_policy(line: Line) -> bool:
    return "RequestDisallowedByPolicy" in str(line["response"].get("body"))


def _path(line: Line) -> str:
    return urlsplit(str(line["request"]["url"])).path


DEVIATIONS = (
    Deviation(
        "W&B, Entra, Graph, storage, OpenAI's platform",
        "no description of theirs is among those that are present, and no recording of theirs. W&B's GraphQL answers the "
        "fields that the SDK's own queries ask for and no other; for the rest the SDKs are who reads it, and Azurite stands "
        "beside the storage",
        undescribed,
    ),
    Deviation("fault on purpose", "a scenario made this answer", lambda line: bool(line.get("fault"))),
    Deviation(
        "connection broke",
        "a scenario or a killed client: there was no answer",
        lambda line: not int(line["response"]["statusCode"]),
    ),
    Deviation(
        "401",
        "the challenge (Key Vault) and refused tokens come from the front door, which no description covers; check_trace.py "
        "skips them as well",
        lambda line: int(line["response"]["statusCode"]) == 401,
    ),
    Deviation(
        "Azure OpenAI v1",
        "Azure publishes a description of the v1 surface, which is not among those that are present; fields.py holds its "
        "bodies to the preview's description and the recordings",
        lambda line: _path(line).startswith(V1),
    ),
    Deviation(
        "permissions of a top-level resource",
        "the description of Permissions_ListForResource only has room for nested resources. At a vault or an account we ask "
        "at the exact scope, as every other operation of Microsoft.Authorization is asked, without the SDK's empty segment",
        lambda line: bool(_TOP_LEVEL_PERMISSIONS.search(_path(line))),
    ),
    Deviation(
        "locks, policies, deny assignments, activations",
        "no description is present; azure-mgmt-authorization reads two of them in tests/sandbox/test_governance.py",
        lambda line: bool(_GOVERNANCE.search(_path(line))),
    ),
    Deviation(
        "refused by Azure Policy",
        "the front door refuses, with a target and additionalInfo, which no provider's description has (azure-mgmt-core's tests)",
        refused_by_policy,
    ),
    Deviation(
        "Microsoft.Insights",
        "no description is present; the shapes are Microsoft's generated types and the REST references",
        lambda line: "/providers/microsoft.insights/" in _path(line).lower(),
    ),
    Deviation(
        "Microsoft.Web",
        "no description is present; tests/sandbox/test_arm_web.py holds the site to Microsoft's generated type",
        lambda line: bool(_WEB.search(_path(line))),
    ),
    Deviation(
        "listing of a subscription's resources and providers, resource groups",
        "no description is present; only az asks for resources, preflight for providers, and prove for resource groups",
        lambda line: bool(_RESOURCES.search(_path(line))),
    ),
)
"""In the order in which they are looked at."""
