"""What the owners run in place of the template's role assignments."""

import re
import shlex
from pathlib import Path

import pytest

from infra import owner_commands
from provisioning.resource_ids import assignment_name
from provisioning.shell import ROLE_IDS
from sandbox.azure.roles import ROLES
from tests.conftest import ROOT
from tests.infra.test_from_setup import ACCOUNTS, SUBSCRIPTION, VAULT, document

PRINCIPAL = "49053e0f-0000-4000-8000-000000000001"


def printed(tmp_path: Path, capsys: pytest.CaptureFixture[str], *options: str) -> list[str]:
    (tmp_path / "setup.json").write_text(
        document(settings={"WANDB_SECRET_NAME": "wandb-api-key", "KEY_VAULT_URL": "https://kv-ml.vault.azure.net/"})
    )
    names = ("--storage-account", "stwandb", "--application-insights", "appi-wandb", "--app-group", "rg-wandb")
    given = ["--principal-id", PRINCIPAL, *names, *options, str(tmp_path / "setup.json")]
    assert owner_commands.main(given) == 0
    return [line for line in capsys.readouterr().out.splitlines() if not line.startswith("#")]


def test_each_assignment_of_the_template_is_a_command_with_the_templates_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-found"
    options = [shlex.split(line)[4:] for line in printed(tmp_path, capsys, "--discovery-group", found)]
    commands = [dict(zip(each[::2], each[1::2], strict=True)) for each in options]
    for each in commands:
        assert each["--name"] == assignment_name(each["--scope"], PRINCIPAL, ROLE_IDS[each["--role"]])
    group = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-wandb/providers"
    storage = f"{group}/Microsoft.Storage/storageAccounts/stwandb"
    assert [(each["--role"], each["--scope"]) for each in commands] == [
        ("Key Vault Secrets User", f"{VAULT}/secrets/wandb-api-key"),
        ("Cognitive Services OpenAI User", f"{ACCOUNTS}/aoai-ml"),
        ("Cognitive Services OpenAI User", found),
        ("Storage Blob Data Owner", storage),
        ("Storage Queue Data Contributor", storage),
        ("Storage Table Data Contributor", storage),
        ("Monitoring Metrics Publisher", f"{group}/Microsoft.Insights/components/appi-wandb"),
    ]
    templates = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "infra").rglob("*.bicep"))
    assert set(ROLE_IDS.values()) >= set(re.findall(r"^var \w+ = '([0-9a-f-]{36})'", templates, re.MULTILINE))


def test_the_ids_of_roles_match_azures() -> None:
    known = {role.name: role.id for role in ROLES.values()}
    assert {name: known.get(name, role_id) for name, role_id in ROLE_IDS.items()} == ROLE_IDS


def test_on_access_policies_the_identity_gets_an_entry(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, *_ = printed(tmp_path, capsys, "--vault-access-policy")
    assert first == f"az keyvault set-policy -n kv-ml --object-id {PRINCIPAL} --secret-permissions get"
