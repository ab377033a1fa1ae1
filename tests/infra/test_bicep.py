"""What infra/ deploys, compared with the code, the official types and the decisions in docs/. No compiler runs here."""

import json
import re
import subprocess
import sys
import tomllib
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
from function_app.shared_rules import PYTHON, VERSION
from provisioning.azure.function_apps import TEMPLATE_VERSION
from provisioning.checks.parameters import ALLOWED, NAMES
from sandbox.azure.roles import ROLES
from tests.conftest import ROOT
from tests.contracts import CONTRACTS, TOOLS
from tests.functions import declared

INFRA = ROOT / "infra"
TEMPLATES = sorted(INFRA.rglob("*.bicep"))
TEXTS = {path.stem: path.read_text(encoding="utf-8") for path in TEMPLATES}
MAIN, EVERYTHING = TEXTS["main"], "\n".join(TEXTS.values())
FORBIDDEN_ON_FLEX = """FUNCTIONS_WORKER_RUNTIME FUNCTIONS_EXTENSION_VERSION FUNCTIONS_WORKER_PROCESS_COUNT linuxFxVersion
FUNCTIONS_MAX_HTTP_CONCURRENCY SCM_DO_BUILD_DURING_DEPLOYMENT ENABLE_ORYX_BUILD WEBSITE_RUN_FROM_PACKAGE WEBSITE_CONTENT
WEBSITE_TIME_ZONE ftpsState"""  # (Microsoft, "Flex Consumption plan deprecations")
NOT_DEPLOYED = {
    "AZURE_OPENAI_API_KEY": "a secret; the app signs in with its identity",
    "OPENAI_API_KEY": "a secret, and not of Azure",
    "WANDB_API_KEY": "a secret; it is in the vault",
    "SYNC_CONCURRENCY": "of the command line; in Azure the instances are the concurrency",
}
UNKNOWN_TO_THE_SANDBOX = {"storagetabledatacontributor": "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3"}
PARAMETERS = dict(re.findall(r"^param (\w+) \w+(?: = (.+))?$", MAIN, re.MULTILINE))
"""The parameters of main.bicep with the text of their defaults, which is empty for a required one."""


def nodes(source: str) -> Iterator[Node]:
    """Every node of a template's syntax tree."""
    waiting = [Parser(Language(tree_sitter_bicep.language())).parse(source.encode()).root_node]
    while waiting:
        node = waiting.pop()
        yield node
        waiting += node.children


def block(pattern: str, text: str = EVERYTHING) -> str:
    """The text of the only match of a pattern's group."""
    (found,) = re.findall(pattern, text, re.DOTALL | re.MULTILINE)
    return str(found)


def deployed() -> dict[str, str]:
    """The app's settings as main.bicep passes them: name to parameter."""
    return dict(line.strip().split(": ") for line in block(r"settings: \{\n(.*?)\n    \}", MAIN).splitlines())


def read_by_the_code() -> dict[str, object]:
    """The settings that the function app reads: name in the environment to default."""
    fields = Settings.model_fields.items()
    aliases = {name: field.validation_alias for name, field in fields}
    names = {name: str(alias.choices[0]) for name, alias in aliases.items() if isinstance(alias, AliasChoices)}
    return {names.get(name, name.upper()): field.default for name, field in fields}


@pytest.mark.parametrize("name", TEXTS)
def test_every_template_is_valid_bicep(name: str) -> None:
    wrong = [node for node in nodes(TEXTS[name]) if node.type == "ERROR" or node.is_missing]
    assert not wrong, [(node.start_point.row + 1, node.text) for node in wrong]


@pytest.mark.skipif(not (TOOLS / "bicep_lint.py").is_file(), reason=f"the official types are not in {CONTRACTS}")
def test_the_templates_conform_to_the_official_types() -> None:
    lint = [sys.executable, str(TOOLS / "bicep_lint.py"), str(CONTRACTS / "bicep-types"), *map(str, TEMPLATES)]
    done = subprocess.run(lint, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not [line for line in done.stdout.splitlines() if line.startswith("warning")]


def test_a_role_variable_holds_the_id_of_the_role_that_it_names() -> None:
    variables = dict(re.findall(r"^var (\w+) = '([0-9a-f-]{36})'", EVERYTHING, re.MULTILINE))
    known = {re.sub(r"\W", "", role.name).lower(): role.id for role in ROLES.values()} | UNKNOWN_TO_THE_SANDBOX
    assert variables
    assert variables == {name: known[name.lower()] for name in variables}
    assert set(re.findall(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", EVERYTHING)) == set(variables.values())


def test_an_assignment_has_the_name_that_provisioning_gives_it_and_the_scope_of_its_name() -> None:
    """guid(scope, principal, role): see provisioning/resource_ids.py, assignment_name."""
    named = re.findall(r"name: guid\(([\w:()]+)\.id, principalId, \w+\)\n  scope: ([\w:()]+)\n", EVERYTHING)
    assert all(name == scope for name, scope in named)
    assert len(named) == EVERYTHING.count("Microsoft.Authorization/roleAssignments@")
    assert len(named) == EVERYTHING.count("principalType: 'ServicePrincipal'")


def test_roles_go_to_the_resource_groups_of_the_vault_and_of_each_account() -> None:
    """They are extracted from /subscriptions/S/resourceGroups/G/… by position."""
    scopes = re.findall(r"scope: resourceGroup\((.+)\[(\d)\], \1\[(\d)\]\)", TEXTS["access"])
    assert scopes == [("vaultParts", "2", "4"), ("split(id, '/')", "2", "4"), ("split(id, '/')", "2", "4")]
    assert re.search(r"module accountRoles .* = \[for id in accountIds:", TEXTS["access"])
    assert "keyVaultId: vaultAccess == 'rbac' ? keyVaultId : ''" in MAIN
    assert "module access 'modules/access.bicep' = if (assignRoles) {" in MAIN


def test_private_networking_closes_the_storage_account_and_reaches_every_service() -> None:
    assert "publicNetworkAccess: privateNetworking ? 'Disabled' : 'Enabled'" in MAIN
    assert "subnetId: createNetwork ? network!.outputs.appSubnetId : appSubnetId" in MAIN
    assert "    publicNetworkAccess: publicNetworkAccess\n" in TEXTS["storage"]
    assert "defaultAction: publicNetworkAccess == 'Enabled' ? 'Allow' : 'Deny'" in TEXTS["storage"]
    assert set(re.findall(r"name: '(\w+)[^']*'(?:, |\n +)service: ", EVERYTHING)) == {
        *("blob", "queue", "table", "vault", "account", "site")
    }
    assert MAIN.count("publicNetworkAccess: closeSite ? 'Disabled' : 'Enabled'") == 1


def test_combinations_that_cannot_work_stop_the_deployment_before_a_resource_is_written() -> None:
    """Every resource gets its region through the check."""
    assert re.search(r"^var region = !empty\(mistakes\) \? fail\(join\(mistakes, ' '\)\) : ", MAIN, re.MULTILINE)
    assert MAIN.count("  location: region\n") == len(re.findall(r"^  location: |^    location: ", MAIN, re.MULTILINE))
    locations = set(re.findall(r"^ *location: (.+)", EVERYTHING.replace(MAIN, ""), re.MULTILINE))
    assert locations == {"location", "'global'"}


def test_an_update_keeps_the_settings_of_others_and_removes_ours_that_are_empty_now() -> None:
    text = TEXTS["app-settings"]
    assert (
        "filter(items(present), each => !contains(settings, each.key) && toLower(each.key) != connectionString)" in text
    )
    assert f"var connectionString = '{STORAGE.lower()}'" in text, "the host would use it in place of the identity"
    assert "properties: union(others, extraSettings, host, given)" in text
    assert "@secure()\nparam present" in text, "settings of others may be secrets, which a deployment would keep"


def test_the_template_sets_every_setting_that_the_code_reads_and_no_other() -> None:
    host = set(re.findall(r"^  (\w+): ", block(r"var host = \{\n(.*?)\n\}"), re.MULTILINE))
    read = set(read_by_the_code())
    assert deployed().keys() | (host & read) == read - NOT_DEPLOYED.keys()
    insights = {f"APPLICATIONINSIGHTS_{name}_STRING" for name in ("CONNECTION", "AUTHENTICATION")}
    assert {name.partition("__")[0] for name in host - read} == {STORAGE, *insights}
    assert f"{STORAGE}__accountName" in host, "a start with URIs alone can fail (Azure/azure-functions-host#11787)"


def test_a_parameter_has_the_codes_default_in_the_template_and_in_azds_file() -> None:
    for setting, parameter in deployed().items():
        default = read_by_the_code()[setting]
        if isinstance(default, str) and PARAMETERS[parameter] not in ("", "''"):
            assert PARAMETERS[parameter] == f"'{default}'", setting
    given = json.loads((INFRA / "main.parameters.json").read_text(encoding="utf-8"))["parameters"]
    declared_here = set(re.findall(r"^param (\w+) ", MAIN, re.MULTILINE))
    not_of_azd = {"packageUri", "deployedAt"}
    assert given.keys() == declared_here - not_of_azd, "azd cannot set a parameter that its file does not have"
    for name, entry in given.items():
        if entry["value"] == {}:  # azd's environment has only text: objects are edited in the file
            assert re.search(rf"^param {name} .+ = \{{\}}$", MAIN, re.MULTILINE), name
            continue
        match = re.fullmatch(r"\$\{([A-Z_]+)(?:=(.*))?\}", entry["value"])
        assert match, f"{name} does not come from azd's environment"
        if match[2] is not None:  # azd converts a text to the number or boolean that a parameter is declared as
            assert PARAMETERS[name] in (match[2], f"'{match[2]}'"), name
        elif match[1] != "AZURE_ENV_NAME":  # which azd always has
            assert PARAMETERS[name] in ("", "''"), f"azd passes '' for an unset {match[1]}, in place of the default"


def test_preflight_knows_the_values_and_the_names_that_the_template_takes() -> None:
    allowed = re.findall(r"^@allowed\(\[(.+)\]\)\nparam (\w+) ", MAIN, re.MULTILINE)
    assert {name: tuple(re.findall(r"\w+", values)) for values, name in allowed} == ALLOWED
    assert (
        set(re.findall(r"^  (\w+): string\?", block(r"type resourceNames = \{\n(.*?)\n\}"), re.MULTILINE))
        == NAMES.keys()
    )


def test_the_custom_roles_permit_what_the_template_does() -> None:
    """The role for the app's group, and that for the groups of vault and accounts, to which private endpoints lead, too."""
    roles = [
        json.loads((INFRA / "roles" / f"{name}.json").read_text())["Actions"] for name in ("deploy-app", "give-access")
    ]
    here, elsewhere = ({action.lower() for action in actions} for actions in roles)
    nested = {"Web/sites/basicPublishingCredentialsPolicies", "Web/sites/config"} | {
        f"Storage/storageAccounts/{kind}Services{below}"
        for kind, inner in (("blob", "containers"), ("queue", "queues"))
        for below in ("", f"/{inner}")
    }
    written = set(re.findall(r"'(Microsoft\.[\w/]+)@[\d-]+' = ", EVERYTHING)) | {f"Microsoft.{kind}" for kind in nested}
    assigning = "microsoft.authorization/roleassignments/write"
    assert {each for each in here | elsewhere if each.endswith("/write")} == {
        f"{kind}/write".lower() for kind in written
    }
    assert assigning in elsewhere - here
    assert not [each for each in here if "listkeys" in each]
    reached = {"Microsoft.Storage/storageAccounts": here, "Microsoft.Web/sites": here}
    reached |= {"Microsoft.KeyVault/vaults": elsewhere, "Microsoft.CognitiveServices/accounts": elsewhere}
    for kind, actions in reached.items():
        assert f"{kind}/PrivateEndpointConnectionsApproval/action".lower() in actions


def test_no_resource_uses_a_key() -> None:
    assert "allowSharedKeyAccess: false" in EVERYTHING
    assert re.findall(r"(?i)disableLocalAuth: (\w+)", EVERYTHING) == ["true", "true"], "Application Insights, its logs"
    secrets = [name for name, reason in NOT_DEPLOYED.items() if "secret" in reason]
    keys = ["listKeys", "listAccountSas", "connectionString: 'Default", "AccountKey"]
    assert not [word for word in (*secrets, *keys, *FORBIDDEN_ON_FLEX.split()) if word in EVERYTHING]


def test_the_template_creates_what_the_app_expects_in_storage() -> None:
    queues, containers = (block(rf"{kind}Services'(.*?)\n  \}}\n") for kind in ("queue", "blob"))
    assert set(re.findall(r"name: '(finetune-[\w-]+)'", queues)) == {QUEUE, POISON_QUEUE}
    assert re.findall(r"resource leases 'containers' = \{\n +name: '(.+)'", containers) == [LEASES]
    assert "prefixMatch: ['${account::blobs::leases.name}/']" in EVERYTHING, "leases of killed workers are cleared away"


def test_the_app_runs_on_the_plan_and_the_python_that_the_package_is_built_for() -> None:
    assert re.findall(r"name: 'python'\n +version: '(.+)'", TEXTS["app"]) == [PYTHON]
    assert re.findall(r"name: '(.+)'\n +tier: '(.+)'", TEXTS["app"]) == [("FC1", "FlexConsumption")]
    assert re.findall(r"^    type: '(\w+)'", TEXTS["app"], re.MULTILINE) == ["UserAssigned"]


def test_project_package_and_template_have_one_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {project["version"], block(r"^var version = '([\d.]+)'$", TEXTS["app"])} == {VERSION}
    assert f"'{TEMPLATE_VERSION}': version" in TEXTS["app"], "doctor reads it"


def test_alerts_and_workbook_watch_functions_that_exist() -> None:
    workbook = (INFRA / "workbook.json").read_text(encoding="utf-8")
    watched = set(re.findall(r"Name == [\"'](\w+)[\"']", EVERYTHING + workbook))
    assert watched
    assert watched <= declared().keys()


def test_azd_deploys_the_root_of_the_repository_and_refuses_to_delete_resource_groups() -> None:
    """`azd down` deletes whole resource groups (Azure/azure-dev#2916, #4785), and the template deploys to the vault's."""
    azd = yaml.safe_load((ROOT / "azure.yaml").read_text(encoding="utf-8"))
    assert azd["services"] == {"sync": {"project": ".", "language": "python", "host": "function"}}
    assert "'azd-service-name': 'sync'" in EVERYTHING
    assert (ROOT / azd["infra"]["path"] / f"{azd['infra']['module']}.bicep").is_file()
    down = azd["hooks"]["predown"]
    done = subprocess.run(["/bin/sh", "-c", down["posix"]["run"]], capture_output=True, text=True)
    assert done.returncode == 1
    assert "az group delete" in done.stderr
    assert down["windows"]["run"].rstrip().endswith("exit 1")
    assert not any(each.get("continueOnError") for each in down.values())


@pytest.mark.parametrize("status", [0, 1])
def test_azd_ends_a_deployment_with_the_status_of_verify_app(tmp_path: Path, status: int) -> None:
    hook = yaml.safe_load((ROOT / "azure.yaml").read_text(encoding="utf-8"))["hooks"]["postdeploy"]
    program = tmp_path / "aoai-wandb-provision"
    program.write_text(f'#!/bin/sh\necho "$@"\nexit {status}\n')
    program.chmod(0o755)
    env = {"AZURE_RESOURCE_GROUP": "rg-app", "AZURE_FUNCTION_APP": "func-app", "PATH": f"{tmp_path}:/bin"}
    shell = ["/bin/sh", "-c", hook["posix"]["run"]]
    done = subprocess.run(shell, env=env, capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (status, "verify-app -g rg-app --function-app func-app\n")
    without = subprocess.run(shell, env=env | {"PATH": "/bin"}, capture_output=True, text=True, cwd=tmp_path)
    assert without.returncode == 1, "nobody has verified it"
    assert "aoai-wandb-provision verify-app -g rg-app --function-app func-app" in without.stderr
    assert hook["windows"]["run"].rstrip().endswith("exit $LASTEXITCODE")


def test_the_template_deploys_the_code_only_from_an_address_that_was_given() -> None:
    assert (
        "'Microsoft.Web/sites/extensions@2025-03-01' = if (!empty(packageUri)) {\n  name: 'onedeploy'" in TEXTS["app"]
    )
    assert "remoteBuild: false" in TEXTS["app"], "what was tested is what runs"
    assert EVERYTHING.count("@secure()\nparam packageUri string") == 2, "an address may carry a signature"
