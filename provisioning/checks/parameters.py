"""preflight's checks of the template's parameters, which need no Azure: names, combinations, schedule, routes, azd's text."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from function_app.shared_rules import (
    EVERY_TWO_MINUTES,
    check_schedule,
    ignored_routes,
    longest_pause,
    parse_address,
    split_endpoints,
)
from provisioning.checks.report import Finding, failed, ok, skipped, warning
from provisioning.durations import spell

_REQUIRED = ("azureOpenAiEndpoints", "azureOpenAiAccountIds", "keyVaultId", "keyVaultUrl", "syncDatasets")
ALLOWED: Mapping[str, tuple[str, ...]] = {
    "syncDatasets": ("full", "sample", "reference", "off"),
    "egress": ("nat", "route"),
    "privateDns": ("create", "existing", "none"),
    "vaultAccess": ("rbac", "policy"),
    "heartbeatMinutes": ("10", "15", "30", "45", "60"),
    "instanceMemoryMB": ("512", "2048", "4096"),
}
"""The values that the template takes; a test compares them with it."""
_GROUP = "/subscriptions/[^/]+/resourceGroups/[^/]+"
_IDS = {
    "azureOpenAiAccountIds": "Microsoft.CognitiveServices/accounts/*",
    "keyVaultId": "Microsoft.KeyVault/vaults/*",
    "identityId": "Microsoft.ManagedIdentity/userAssignedIdentities/*",
    "workspaceId": "Microsoft.OperationalInsights/workspaces/*",
    "appSubnetId": "Microsoft.Network/virtualNetworks/*/subnets/*",
    "endpointSubnetId": "Microsoft.Network/virtualNetworks/*/subnets/*",
    "routeTableId": "Microsoft.Network/routeTables/*",
    "actionGroupIds": "Microsoft.Insights/actionGroups/*",
    "discoveryResourceGroupIds": "",
    "dnsZoneGroupId": "",
}
"""The parameters that take ids, with the type of the resource; empty for resource groups."""
_BASE_NAME = ("a-z0-9-", 3, 24)
NAMES: Mapping[str, tuple[str, int, int]] = {
    "actionGroup": ("a-z0-9_. ()-", 1, 260),
    "alerts": ("a-z0-9_. ()-", 1, 240),
    "app": ("a-z0-9-", 2, 60),
    "applicationInsights": ("a-z0-9_. ()-", 1, 260),
    "identity": ("a-z0-9_-", 3, 128),
    "natGateway": ("a-z0-9_.-", 1, 80),
    "network": ("a-z0-9_.-", 2, 64),
    "plan": ("a-z0-9-", 1, 60),
    "privateEndpoints": ("a-z0-9_.-", 1, 50),
    "publicAddress": ("a-z0-9_.-", 1, 80),
    "storageAccount": ("a-z0-9", 3, 24),
    "workspace": ("a-z0-9-", 4, 63),
}
"""The names that the template takes, each with its characters, the shortest and the longest length (Microsoft, naming rules for
Azure resources). A prefix leaves room for what follows. A name starts with a letter or digit, and ends with one of `_ENDS`."""
_CHARACTERS = {"_": "underscores", ".": "periods", " ": "spaces", "(": "parentheses", "-": "hyphens"}
_ENDS = {"_": "underscore", ")": "closing parenthesis"}
"""Characters that a name may end with besides letters and digits, if it may contain them."""
_QUIET = timedelta(minutes=5)
"""How long W&B waits before it shows a run as crashed (from reports)."""


@dataclass(frozen=True)
class Parameters:
    """The parameters of infra/main.bicep as a deployment would pass them.

    Attributes:
        given: the values by parameter.
        variables: azd's environment, from which `given` was made; empty without azd.
    """

    given: Mapping[str, Any]
    variables: Mapping[str, str] = field(default_factory=dict)

    def text(self, name: str, default: str = "") -> str:
        """A text; an absent or empty one means the template's default."""
        value = self.given.get(name)
        return str(default if value in (None, "") else value).strip()

    def flag(self, name: str, *, default: bool = False) -> bool:
        """A boolean, which azd passes as text."""
        value = self.given.get(name)
        return default if value in (None, "") else str(value).lower() == "true"

    def listed(self, name: str) -> tuple[str, ...]:
        """The parts of a comma-separated text."""
        return tuple(part.strip() for part in self.text(name).split(",") if part.strip())


def given(parameters: Parameters) -> Finding:
    """Every required parameter is given, and ids have the form of ids."""
    if missing := [name for name in _REQUIRED if not parameters.text(name)]:
        choice = " syncDatasets is your choice: full, sample, reference or off (docs/data.md)." * (
            "syncDatasets" in missing
        )
        return failed(
            f"missing: {', '.join(missing)}",
            f"Make the file with python -m infra.from_setup, and add the rest with -p NAME=VALUE.{choice}",
        )
    wrong = [name for name, kind in _IDS.items() if not all(_is_id(each, kind) for each in parameters.listed(name))]
    if wrong:
        return failed(
            f"not a resource id: {', '.join(wrong)}", "Copy the id from the resource's JSON view in the portal."
        )
    for name, values in ALLOWED.items():
        if (value := parameters.text(name, values[0])) not in values:
            return failed(f"{name} is {value!r}", f"It takes {', '.join(values)}.")
    try:
        for each in split_endpoints(parameters.text("azureOpenAiEndpoints")):
            parse_address(each, split_endpoints(parameters.text("azureTrustedHosts").lower()))
    except ValueError as error:
        return failed(f"azureOpenAiEndpoints: {error}", "Correct the address: docs/accounts.md.")
    accounts = parameters.listed("azureOpenAiAccountIds")
    return ok(f"all required ones; {len(accounts)} account{'s' * (len(accounts) != 1)}")


def _is_id(text: str, kind: str) -> bool:
    whole = _GROUP + (f"/providers/{kind.replace('.', '[.]').replace('*', '[^/]+')}" if kind else "")
    return bool(re.fullmatch(whole, text, re.IGNORECASE))


def base_name(parameters: Parameters) -> Finding:
    """The base name makes legal names of all resources, and each given name is legal. azd passes its environment's name."""
    single = {key: str(value) for key, value in (parameters.given.get("names") or {}).items() if value}
    if unknown := sorted(single.keys() - NAMES.keys()):
        return failed(f"names has no {', '.join(unknown)}, so it would be ignored", f"It takes {', '.join(NAMES)}.")
    for key, name in single.items():
        if legal := _legal(name, *NAMES[key]):
            return failed(f"names.{key} {name!r} is not {_rule(*NAMES[key])}", f"{legal} is legal.")
    name = parameters.text("name", "finetune-wandb")
    if legal := _legal(name.lower(), *_BASE_NAME):
        remedy = f"azd env new {legal}" if parameters.variables else f"-p name={legal}"
        return failed(f"{name!r} is not {_rule(*_BASE_NAME)}, as names of resources require", remedy)
    return ok(f"{name} makes legal names")


def _legal(name: str, characters: str, shortest: int, longest: int) -> str:
    """A legal name that resembles this one; empty if this one is legal."""
    case = re.IGNORECASE if characters.endswith("-") else re.NOFLAG  # names of storage accounts have no capital letters
    ends = "a-z0-9" + "".join(sign for sign in _ENDS if sign in characters)
    inner = f"[a-z0-9](?:[{characters}]*[{ends}])?"
    if shortest <= len(name) <= longest and re.fullmatch(inner, name, case | re.ASCII):
        return ""
    dash = "-" if characters.endswith("-") else ""
    legal = re.sub(r"-{2,}", "-", re.sub(f"[^{characters}]", dash, name.lower()))
    legal = re.sub("^[^a-z0-9]+", "", legal)[:longest]
    legal = re.sub(f"[^{ends}]+$", "", legal)
    return legal if len(legal) >= shortest else f"finetune{dash}wandb"


def _rule(characters: str, shortest: int, longest: int) -> str:
    if not characters.endswith("-"):
        return f"{shortest} to {longest} lower-case letters and digits"
    *kinds, last = ["digits", *(word for sign, word in _CHARACTERS.items() if sign in characters)]
    *ends, end = ["letter", "digit", *(word for sign, word in _ENDS.items() if sign in characters)]
    where = f"a letter or digit at the start and a {', '.join(ends)} or {end} at the end"
    return f"{shortest} to {longest} letters, {', '.join(kinds)} and {last}, with {where}"


def azd_text(parameters: Parameters) -> Finding:
    """No variable breaks the JSON into which azd inserts it without escaping."""
    if not parameters.variables:
        return skipped("azd is not used")
    broken = [name for name, value in parameters.variables.items() if re.search(r'["\\\x00-\x1f]', value)]
    if not broken:
        return ok("azd can pass every variable")
    return failed(
        f"{', '.join(sorted(broken))}: azd inserts variables into JSON without escaping quotes, backslashes and line breaks",
        "Write the value without them (rules of WANDB_ROUTES are separated by semicolons), or deploy with az.",
    )


def combinations(parameters: Parameters) -> Finding:
    """No combination contradicts itself. The template also refuses these, but only when it is deployed."""
    private, subnet = parameters.flag("privateNetworking"), parameters.text("appSubnetId")
    endpoint, dns = parameters.text("endpointSubnetId"), parameters.text("privateDns", "create")
    extra = subnet + endpoint + parameters.text("routeTableId") + parameters.text("dnsZoneGroupId")
    rules = {
        "appSubnetId and endpointSubnetId must be given together": bool(subnet) != bool(endpoint),
        "a delegated subnet takes no private endpoints: give two subnets": bool(subnet) and subnet == endpoint,
        "subnets, route table and DNS zones need privateNetworking=true": bool(extra) and not private,
        "closeSite needs privateNetworking=true": parameters.flag("closeSite") and not private,
        "routeTableId is for subnets that are created": bool(subnet) and bool(parameters.text("routeTableId")),
        "dnsZoneGroupId and privateDns=existing require each other": (dns == "existing")
        != bool(parameters.text("dnsZoneGroupId")),
        "assignRoles=false needs identityId": not parameters.flag("assignRoles", default=True)
        and not parameters.text("identityId"),
    }
    if wrong := [rule for rule, broken in rules.items() if broken]:
        return failed("; ".join(wrong), "Change the parameters: docs/deploy.md, In a company's landing zone.")
    return ok("they work together")


def schedule(parameters: Parameters) -> Finding:
    """The timer runs, and more often than the heartbeat alert waits."""
    # Not stripped, because the host refuses a tab.
    cron = str(parameters.given.get("syncSchedule") or EVERY_TWO_MINUTES)
    try:
        check_schedule(cron)
    except ValueError as error:
        return failed(f"syncSchedule: {error}", f"-p 'syncSchedule={EVERY_TWO_MINUTES}'")
    heartbeat = parameters.text("heartbeatMinutes", "15")
    pause = longest_pause(cron)
    if not heartbeat.isdigit() or pause >= timedelta(minutes=int(heartbeat)):
        return failed(
            f"ticks are up to {spell(pause)} apart, and an alert fires after heartbeatMinutes={heartbeat} without one",
            "Choose a shorter syncSchedule, or a longer heartbeatMinutes (at most 60).",
        )
    if pause > _QUIET:
        return warning(
            f"ticks are up to {spell(pause)} apart, and W&B may show a running job as crashed after {spell(_QUIET)}",
            f"-p 'syncSchedule={EVERY_TWO_MINUTES}' is every two minutes.",
        )
    return ok(f"a tick every {spell(pause)} or more often, an alert after {heartbeat} minutes without one")


def routes(parameters: Parameters) -> Finding:
    """The rules can be read, and none is ignored."""
    text = parameters.text("wandbRoutes")
    try:
        ignored = ignored_routes(text, parameters.text("syncDatasets"))
    except ValueError as error:
        return failed(f"wandbRoutes: {error}", "Correct the rule: docs/routing.md.")
    if ignored:
        return warning("; ".join(ignored), "Correct the rule: docs/routing.md.")
    return ok("readable" if text else "none")


def alerts(parameters: Parameters) -> Finding:
    """Somebody receives the alerts."""
    if parameters.text("alertEmails") or parameters.text("actionGroupIds"):
        return ok("they go to alertEmails or actionGroupIds")
    return warning("nobody receives them: no alertEmails and no actionGroupIds", "-p alertEmails=oncall@example.com")


CHECKS: Mapping[str, Callable[[Parameters], Finding]] = {
    "parameters": given,
    "base name": base_name,
    "azd's text": azd_text,
    "combinations": combinations,
    "schedule": schedule,
    "routes": routes,
    "alerts": alerts,
}
"""The checks by name, in the order they run."""
