"""preflight: each thing that would stop a deployment is found before it, with its remedy."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from function_app.shared_rules import longest_pause
from provisioning.checks.parameters import CHECKS, Parameters
from provisioning.checks.report import State
from provisioning.cli import preflight
from provisioning.errors import UsageError
from sandbox.cloud import Cloud
from sandbox.scenario.reader import Scenario
from tests.conftest import ROOT
from tests.provisioning.conftest import Call

SUBSCRIPTION = "/subscriptions/5b1f6d1c-0000-4000-8000-0000000000aa"
GIVEN = {
    "azureOpenAiEndpoints": "https://aoai-ml.openai.azure.com/",
    "azureOpenAiAccountIds": f"{SUBSCRIPTION}/resourceGroups/rg-ml/providers/Microsoft.CognitiveServices/accounts/aoai-ml",
    "keyVaultId": f"{SUBSCRIPTION}/resourceGroups/rg-ml/providers/Microsoft.KeyVault/vaults/kv-ml",
    "keyVaultUrl": "https://kv-ml.vault.azure.net/",
    "syncDatasets": "reference",
    "alertEmails": "oncall@example.com",
}
SUBNET = f"{SUBSCRIPTION}/resourceGroups/rg-net/providers/Microsoft.Network/virtualNetworks/v/subnets"
ASSIGNER = "Role Based Access Control Administrator"
OPERATOR = {"name": "operator", "kind": "user", "display_name": "you@contoso.example"}


@pytest.mark.parametrize(
    ("check", "change", "seen", "remedy"),
    [
        ("parameters", {"syncDatasets": ""}, "missing: syncDatasets", "reference or off"),
        ("parameters", {"keyVaultId": "kv-ml"}, "not a resource id: keyVaultId", "JSON view"),
        ("base name", {"name": "dev_test.1"}, "'dev_test.1' is not", "name=dev-test-1"),
        ("base name", {"name": "(x)" * 20}, "is not 3 to 24", "name=x-x-x-x-x-x-x-x-x-x-x-x"),
        ("base name", {"name": "[dev]._1"}, "'[dev]._1' is not", "name=dev-1"),
        ("base name", {"names": {"storageAccount": "st-Wandb"}}, "lower-case letters", "stwandb is legal"),
        ("base name", {"names": {"actionGroup": "-ag (prod)."}}, "closing parenthesis at", "ag (prod) is legal"),
        ("base name", {"names": {"app": "-my_app."}}, "2 to 60 letters, digits and hyphens", "my-app is legal"),
        ("base name", {"names": {"workspace": "log"}}, "names.workspace 'log' is not 4 to 63", "finetune-wandb is"),
        ("base name", {"names": {"storage": "st1"}}, "names has no storage", "storageAccount"),
        ("parameters", {"keyVaultId": GIVEN["azureOpenAiAccountIds"]}, "not a resource id: keyVaultId", "JSON view"),
        ("parameters", {"endpointSubnetId": "endpoints"}, "not a resource id: endpointSubnetId", "JSON view"),
        ("parameters", {"discoveryResourceGroupIds": "rg-ml"}, "not a resource id: discoveryRes", "JSON view"),
        ("parameters", {"syncDatasets": "some"}, "syncDatasets is 'some'", "full, sample, reference, off"),
        ("parameters", {"heartbeatMinutes": 20}, "heartbeatMinutes is '20'", "10, 15, 30, 45, 60"),
        ("parameters", {"heartbeatMinutes": 0}, "heartbeatMinutes is '0'", "10, 15, 30, 45, 60"),
        ("parameters", {"azureOpenAiEndpoints": "https://evil.example/"}, "not a host of Azure", "docs/accounts.md"),
        ("combinations", {"closeSite": "true"}, "closeSite needs privateNetworking", "landing zone"),
        ("combinations", {"privateNetworking": True, "appSubnetId": f"{SUBNET}/a"}, "together", "landing zone"),
        ("combinations", {"privateDns": "existing"}, "dnsZoneGroupId", "landing zone"),
        ("combinations", {"assignRoles": False}, "needs identityId", "landing zone"),
        ("schedule", {"syncSchedule": "\t0 */2 * * * *"}, "has a tab", "0 */2 * * * *"),
        ("schedule", {"syncSchedule": "*/2 * * * *"}, "has 5 fields", "0 */2 * * * *"),
        ("schedule", {"syncSchedule": "0 */30 * * * *"}, "up to 30 min apart", "longer heartbeatMinutes"),
        ("schedule", {"syncSchedule": "0 0 8 * * 1-5", "heartbeatMinutes": 60}, "apart", "longer heartbeatMinutes"),
        ("routes", {"wandbRoutes": "nonsense"}, "wandbRoutes: ", "docs/routing.md"),
    ],
)
def test_a_mistake_in_the_parameters_is_found(check: str, change: Mapping[str, Any], seen: str, remedy: str) -> None:
    found = CHECKS[check](Parameters({**GIVEN, **change}))
    assert (found.state, seen in found.seen, remedy in found.remedy) == (State.FAILED, True, True), found


def test_alerts_without_a_receiver_are_reported() -> None:
    found = CHECKS["alerts"](Parameters(GIVEN | {"alertEmails": ""}))
    assert (found.state, found.remedy) == (State.WARNING, "-p alertEmails=oncall@example.com")


def test_parameters_that_work_pass() -> None:
    names = {"network": "vnet-prod_", "actionGroup": "ag (prod)"}
    private = {"privateNetworking": "true", "appSubnetId": f"{SUBNET}/a", "endpointSubnetId": f"{SUBNET}/b"}
    given = Parameters({**GIVEN, **private, "privateDns": "none", "closeSite": "true", "names": names})
    assert {name: check(given).state.value for name, check in CHECKS.items()} == {
        **dict.fromkeys(CHECKS, "ok"),
        "azd's text": "skipped",
    }


@pytest.mark.parametrize(
    ("schedule", "minutes"),
    [("0 */2 * * * *", 2), ("30 5,50 * * * *", 45), ("0 0 8-18 * * *", 14 * 60), ("0 * * * * 1-5", 24 * 60)],
)
def test_the_longest_pause_of_a_schedule(schedule: str, minutes: int) -> None:
    assert longest_pause(schedule).total_seconds() == minutes * 60


def test_azds_environment_is_read_as_azd_passes_it_on(tmp_path: Path) -> None:
    routes = r"suffix=\"a\" -> x/y"
    other = r'SERVICE_IMAGES="{\"sync\": 1}"'  # which no parameter takes
    (tmp_path / ".env").write_text(
        f'{other}\nAZURE_ENV_NAME="dev_test.1"\nWANDB_ROUTES="{routes}"\nSYNC_DATASETS="off"\n'
    )
    given = preflight.read([], ["heartbeatMinutes=30"], tmp_path / ".env", ROOT / "infra" / "main.parameters.json")
    assert (given.text("name"), given.text("syncDatasets"), given.text("syncSchedule")) == (
        "dev_test.1",
        "off",
        "0 */2 * * * *",
    )
    assert given.text("heartbeatMinutes") == "30"
    assert given.given["tags"] == {}
    broken = CHECKS["azd's text"](given)
    assert (broken.state, "WANDB_ROUTES: azd inserts variables into JSON" in broken.seen) == (State.FAILED, True)
    assert "SERVICE_IMAGES" not in broken.seen
    assert CHECKS["base name"](given).remedy == "azd env new dev-test-1"


@pytest.mark.parametrize("assignment", ["syncDatasets", "tags=team", 'names={"app": ', "tags=[1]"])
def test_an_assignment_that_az_would_refuse_is_a_usage_error(assignment: str) -> None:
    assert preflight.read([], ['tags={"team": "ml"}'], None, Path()).given["tags"] == {"team": "ml"}
    with pytest.raises(UsageError):
        preflight.read([], [assignment], None, Path())


def checked(cloud: Cloud, call: Call, options: str = "", **world: Any) -> dict[str, dict[str, str]]:
    """The checks by name of a preflight of the good parameters in a world."""
    assignments = [{"principal": "operator", "role": world.pop("role", "Owner"), "scope": "subscription"}]
    target = world.pop("target", "rg-ml")
    vaults = [{"name": "kv-ml", "group": "rg-ml", "rbac": True}]
    scenario = {"extends": "contoso", "principals": [OPERATOR], "assignments": assignments, "vaults": vaults, **world}
    cloud.load(Scenario.parse(scenario))
    given = [word for name, value in GIVEN.items() for word in ("-p", f"{name}={value}")]
    done = call("preflight", "-g", target, "-o", "json", *given, "-l", "swedencentral", *options.split())
    assert cloud.writes == 0
    document = json.loads(done.stdout)
    assert done.returncode == (0 if document["ok"] else 1)
    assert [each["name"] for each in document["checks"]] == [*preflight.CHECKS]
    return {each["name"]: each for each in document["checks"]}


def test_a_subscription_that_takes_the_deployment_passes(cloud: Cloud, call: Call) -> None:
    checks = checked(cloud, call)
    assert {name: each["state"] for name, each in checks.items() if each["state"] != "ok"} == {"azd's text": "skipped"}


PRIVATE = "-p privateNetworking=true"
SUBNETS = f"-p appSubnetId={SUBNET.replace('/s', '/S', 1)}/a -p endpointSubnetId={SUBNET}/b"
IDENTITY = f"{SUBSCRIPTION}/resourceGroups/r/providers/Microsoft.ManagedIdentity/userAssignedIdentities/i"
UNREGISTERED = {"subscription": {"unregistered": ["Microsoft.App"]}}
OWNER_OF_GROUP = {"assignments": [{"principal": "operator", "role": "Owner", "scope": "rg-ml"}]}
AT_EACH_RESOURCE = {
    "assignments": [
        {"principal": "operator", "role": "Contributor", "scope": "subscription"},
        {"principal": "operator", "role": ASSIGNER, "scope": "rg-app"},
        {"principal": "operator", "role": ASSIGNER, "scope": "rg-ml/Microsoft.KeyVault/vaults/kv-ml"},
        {"principal": "operator", "role": ASSIGNER, "scope": GIVEN["azureOpenAiAccountIds"]},
    ],
    "groups": ["rg-ml", "rg-app"],
    "target": "rg-app",
}
NO_ADDRESSES = {"name": "no-addresses", "effect": "deny", "type": "Microsoft.Network/publicIPAddresses"}
CLOSED_STORAGE = {
    "name": "closed-storage",
    "effect": "deny",
    "type": "Microsoft.Storage/storageAccounts",
    "if": {"field": "properties.publicNetworkAccess", "notEquals": "Disabled"},
}


@pytest.mark.parametrize(
    ("check", "options", "world", "seen", "remedy"),
    [
        ("providers", PRIVATE, UNREGISTERED, "not registered: Microsoft.App", "az provider register -n Microsoft.App"),
        ("region", "-l norwaywest", {}, "norwaywest has no Flex", "Sweden Central"),
        ("rights", "", {"role": "Contributor"}, "roleAssignments/write at rg-ml", "assignRoles=false"),
        ("vault model", "-p vaultAccess=policy", {}, "kv-ml authorizes by Azure RBAC", "vaultAccess=rbac"),
        ("rights", "", {"role": "Reader"}, "deployments/write at rg-ml", "Separated duties"),
        ("rights", f"{PRIVATE} {SUBNETS}", OWNER_OF_GROUP, "subnets/join/action at a; you may not", "Separated duties"),
        ("policies", "", {"policies": [CLOSED_STORAGE]}, "refused by closed-storage", "landing zone"),
        ("policies", PRIVATE, {"policies": [NO_ADDRESSES]}, "publicIPAddresses is refused", "landing zone"),
    ],
)
def test_problems_that_azure_would_refuse_are_found(
    cloud: Cloud, call: Call, check: str, options: str, world: dict[str, Any], seen: str, remedy: str
) -> None:
    found = checked(cloud, call, options, **world)
    assert (found[check]["state"], seen in found[check]["seen"]) == ("failed", True), found[check]
    assert remedy in found[check]["remedy"]
    others = {name for name, each in found.items() if each["state"] == "failed"} - {check}
    assert others == set()


@pytest.mark.parametrize(
    ("options", "world"),
    [
        (PRIVATE, {"policies": [CLOSED_STORAGE]}),
        (f"{PRIVATE} -p egress=route", {"policies": [NO_ADDRESSES]}),
        (f"-p assignRoles=false -p identityId={IDENTITY}", {"role": "Contributor"}),
        ("", AT_EACH_RESOURCE),  # the right to assign roles at vault and account, and not in their groups
    ],
)
def test_parameters_for_a_landing_zone_satisfy_its_policies(cloud: Cloud, call: Call, options: str, world: Any) -> None:
    found = checked(cloud, call, options, **world)
    assert not [each for each in found.values() if each["state"] == "failed"]
