"""What infra/ deploys: held to the code, to the official types and to what was decided. No compiler runs here."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import tree_sitter_bicep
import yaml
from pydantic import AliasChoices
from tree_sitter import Language, Node, Parser

from function_app.azure.storage import LEASES
from function_app.functions import POISON_QUEUE, QUEUE, STORAGE
from function_app.settings import Settings
from infra.package import PYTHON
from sandbox.azure.rbac import ROLES
from tests.contracts import CONTRACTS, TOOLS
from tests.functions import declared

ROOT = Path(__file__).parent.parent.parent
TEMPLATES = sorted((ROOT / "infra").rglob("*.bicep"))
MAIN = (ROOT / "infra" / "main.bicep").read_text(encoding="utf-8")
WORKBOOK = (ROOT / "infra" / "workbook.json").read_text(encoding="utf-8")
EVERYTHING = "\n".join(path.read_text(encoding="utf-8") for path in TEMPLATES)

FORBIDDEN_ON_FLEX = (  # (Microsoft, "Flex Consumption plan deprecations")
    "FUNCTIONS_WORKER_RUNTIME",
    "FUNCTIONS_EXTENSION_VERSION",
    "FUNCTIONS_WORKER_PROCESS_COUNT",
    "FUNCTIONS_MAX_HTTP_CONCURRENCY",
    "SCM_DO_BUILD_DURING_DEPLOYMENT",
    "ENABLE_ORYX_BUILD",
    "WEBSITE_RUN_FROM_PACKAGE",
    "WEBSITE_CONTENT",
    "WEBSITE_TIME_ZONE",
    "linuxFxVersion",
)
UNTYPED = ("publicIPAddresses@2024-05-01", "natGateways@2024-05-01")  # no official type of these is at hand
NOT_DEPLOYED = {
    "AZURE_OPENAI_API_KEY": "a secret; the app signs in with its identity",
    "OPENAI_API_KEY": "a secret, and not of Azure",
    "WANDB_API_KEY": "a secret; it is in the vault",
    "SYNC_CONCURRENCY": "of the command line; in Azure the instances are the concurrency",
}


def nodes(source: str) -> Iterator[Node]:
    """Every node of a template's syntax tree."""
    waiting = [Parser(Language(tree_sitter_bicep.language())).parse(source.encode()).root_node]
    while waiting:
        node = waiting.pop()
        yield node
        waiting += node.children


def parameters() -> dict[str, str | None]:
    """The parameters of main.bicep, each with the text of its default."""
    found = re.finditer(r"^param (\w+) \w+(?: = (.+))?$", MAIN, re.MULTILINE)
    return {match[1]: match[2] for match in found}


def deployed() -> dict[str, str]:
    """The app's own settings as main.bicep passes them: name to parameter."""
    block = re.search(r"settings: \{\n(.*?)\n    \}", MAIN, re.DOTALL)
    assert block
    return dict(line.strip().split(": ") for line in block[1].splitlines())


def read_by_the_code() -> dict[str, object]:
    """The settings that the function app reads: name in the environment to default."""
    found: dict[str, object] = {}
    for name, field in Settings.model_fields.items():
        alias = field.validation_alias
        chosen = str(alias.choices[0]) if isinstance(alias, AliasChoices) else name.upper()
        found[chosen] = field.default
    return found


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_a_template_is_bicep(path: Path) -> None:
    wrong = [n for n in nodes(path.read_text(encoding="utf-8")) if n.type == "ERROR" or n.is_missing]
    assert not wrong, [(n.start_point.row + 1, n.text) for n in wrong]


@pytest.mark.skipif(not (TOOLS / "bicep_lint.py").is_file(), reason=f"the official types are not in {CONTRACTS}")
def test_the_templates_conform_to_the_official_types() -> None:
    lint = [sys.executable, str(TOOLS / "bicep_lint.py"), str(CONTRACTS / "bicep-types"), *map(str, TEMPLATES)]
    done = subprocess.run(lint, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    warnings = [line for line in done.stdout.splitlines() if line.startswith("warning")]
    assert [line for line in warnings if not line.endswith(UNTYPED)] == []


def test_a_roles_guid_is_what_its_name_says() -> None:
    said = dict(re.findall(r"^var (\w+) = '([0-9a-f-]{36})'", EVERYTHING, re.MULTILINE))
    names = {role.id: re.sub(r"\W", "", role.name).lower() for role in ROLES.values()}
    names["0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3"] = (
        "storagetabledatacontributor"  # nothing here asks the sandbox for it
    )
    assert said
    assert {name.lower() for name in said} == {names[guid] for guid in said.values()}
    assert set(re.findall(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", EVERYTHING)) == set(
        said.values()
    )


def test_every_assignment_is_named_as_provisioning_names_it() -> None:
    """guid(scope, principal, role GUID): see provisioning.roles.assignment_name."""
    names = re.findall(r"name: guid\((.*principalId.*)\)", EVERYTHING)
    assert len(names) == EVERYTHING.count("Microsoft.Authorization/roleAssignments@")
    assert all(re.fullmatch(r"[\w:]+\.id, principalId, \w+", name) for name in names), names
    assert EVERYTHING.count("principalType: 'ServicePrincipal'") == len(names)
    scopes = re.findall(r"name: guid\(([\w:]+)\.id, .*\)\n  scope: ([\w:]+)\n", EVERYTHING)
    assert len(scopes) == len(names)
    assert all(named == scope for named, scope in scopes), "a role counts where its scope is, not where its name says"


def test_with_private_networking_storage_is_closed_and_everything_else_goes_through_the_network() -> None:
    assert "publicNetworkAccess: privateNetworking ? 'Disabled' : 'Enabled'" in MAIN
    assert "subnetId: privateNetworking ? network!.outputs.appSubnetId : ''" in MAIN
    storage, network = (
        (ROOT / "infra" / "modules" / f"{name}.bicep").read_text(encoding="utf-8") for name in ("storage", "network")
    )
    assert "    publicNetworkAccess: publicNetworkAccess\n" in storage
    assert "defaultAction: publicNetworkAccess == 'Enabled' ? 'Allow' : 'Deny'" in storage
    reached = re.findall(r"name: '([\w$-]+)(?:\{index\})?'.* service: |name: '(account)-", network)
    assert {one or other for one, other in reached} == {"blob", "queue", "table", "vault", "account"}


def test_every_setting_that_the_code_reads_is_deployed_and_the_other_way_round() -> None:
    block = re.search(r"var host = \{\n(.*?)\n\}", EVERYTHING, re.DOTALL)
    assert block
    host = set(re.findall(r"^  (\w+): ", block[1], re.MULTILINE))
    ours = set(deployed())
    assert ours | (host & set(read_by_the_code())) == set(read_by_the_code()) - set(NOT_DEPLOYED)
    assert {name.partition("__")[0] for name in host - set(read_by_the_code())} == {
        STORAGE,
        "APPLICATIONINSIGHTS_CONNECTION_STRING",
        "APPLICATIONINSIGHTS_AUTHENTICATION_STRING",
    }


def test_the_defaults_of_the_templates_are_the_codes() -> None:
    given = parameters()
    for setting, parameter in deployed().items():
        default = read_by_the_code()[setting]
        if isinstance(default, str) and given[parameter] not in (None, "''"):
            assert given[parameter] == f"'{default}'", setting


def test_the_parameters_file_gives_what_has_no_default_and_names_nothing_else() -> None:
    document = json.loads((ROOT / "infra" / "main.parameters.json").read_text(encoding="utf-8"))
    given = document["parameters"]
    assert {name for name, default in parameters().items() if default is None} <= set(given) <= set(parameters())
    for name, entry in given.items():
        match = re.fullmatch(r"\$\{([A-Z_]+)(?:=(.*))?\}", entry["value"])
        assert match, f"{name} does not come from azd's environment"
        default = parameters()[name]
        if match[2] is not None:  # azd turns texts into the numbers and booleans that a parameter is declared as
            assert default in (match[2], f"'{match[2]}'"), name
        elif match[1] != "AZURE_ENV_NAME":  # which azd always has
            assert default in (None, "''"), f"azd gives {name} as '' when it is not set, in place of its default"


def test_nothing_has_a_key() -> None:
    assert "allowSharedKeyAccess: false" in EVERYTHING
    assert re.findall(r"(?i)disableLocalAuth: (\w+)", EVERYTHING) == ["true", "true"], (
        "Application Insights and its logs"
    )
    assert not [name for name, why in NOT_DEPLOYED.items() if "secret" in why and name in EVERYTHING]
    for word in ("listKeys", "listAccountSas", "connectionString: 'Default", "@secure", "AccountKey"):
        assert word not in EVERYTHING
    assert not [name for name in FORBIDDEN_ON_FLEX if name in EVERYTHING]


def test_what_the_app_expects_in_storage_is_made() -> None:
    queues = re.search(r"queueServices'.*?\n  \}\n", EVERYTHING, re.DOTALL)
    assert queues
    assert set(re.findall(r"name: '(finetune-[\w-]+)'", queues[0])) == {QUEUE, POISON_QUEUE}
    containers = re.search(r"blobServices'.*?\n  \}\n", EVERYTHING, re.DOTALL)
    assert containers
    assert re.findall(r"resource leases 'containers' = \{\n +name: '(.+)'", containers[0]) == [LEASES]
    assert "prefixMatch: ['${account::blobs::leases.name}/']" in EVERYTHING, "what killed workers leave is cleared away"


def test_the_app_runs_on_the_plan_and_the_python_that_the_package_is_made_for() -> None:
    template = (ROOT / "infra" / "modules" / "app.bicep").read_text(encoding="utf-8")
    assert re.findall(r"name: 'python'\n +version: '(.+)'", template) == [PYTHON]
    assert re.findall(r"name: '(.+)'\n +tier: '(.+)'", template) == [("FC1", "FlexConsumption")]
    assert re.findall(r"^    type: '(\w+)'", template, re.MULTILINE) == ["UserAssigned"]


def test_roles_are_given_where_the_vault_and_each_account_are() -> None:
    """In their own resource groups and subscriptions, cut out of /subscriptions/S/resourceGroups/G/… by position."""
    scopes = re.findall(r"scope: resourceGroup\(split\((\w+), '/'\)\[(\d)\], split\(\1, '/'\)\[(\d)\]\)", MAIN)
    assert scopes == [("keyVaultId", "2", "4"), ("id", "2", "4")]
    assert re.search(r"module accountRoles .* = \[for \(id, index\) in accountIds:", MAIN)


def test_alerts_watch_functions_that_there_are() -> None:
    watched = set(re.findall(r"Name == [\"'](\w+)[\"']", EVERYTHING + WORKBOOK))
    assert watched
    assert watched <= declared().keys()


def test_azd_deploys_the_root_of_the_repository_to_the_app_with_its_tag() -> None:
    azd = yaml.safe_load((ROOT / "azure.yaml").read_text(encoding="utf-8"))
    assert azd["services"] == {"sync": {"project": ".", "language": "python", "host": "function"}}
    assert "'azd-service-name': 'sync'" in EVERYTHING
    assert (ROOT / azd["infra"]["path"] / f"{azd['infra']['module']}.bicep").is_file()


def test_azd_does_not_delete_the_groups_that_it_deployed_roles_to() -> None:
    """`azd down` deletes resource groups whole (Azure/azure-dev#2916, #4785): the vault and the accounts are in some."""
    down = yaml.safe_load((ROOT / "azure.yaml").read_text(encoding="utf-8"))["hooks"]["predown"]
    done = subprocess.run(["/bin/sh", "-c", down["posix"]["run"]], capture_output=True, text=True)
    assert done.returncode == 1
    assert "az group delete" in done.stderr
    assert down["windows"]["run"].rstrip().endswith("exit 1")
    assert not down["posix"].get("continueOnError")
    assert not down["windows"].get("continueOnError")
