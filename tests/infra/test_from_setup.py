"""From what `provisioning setup` prints to a deployment: azd's environment, or Bicep's parameters."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from dotenv import dotenv_values

from infra import from_setup
from sandbox.cloud import Cloud
from tests.conftest import ROOT, Load, Run
from tests.provisioning import chain
from tests.provisioning.bench import GOOD_KEY, OPERATOR_ENV
from tests.provisioning.checks.broken_links import A_JOB

SUBSCRIPTION = "5b1f6d1c-0000-4000-8000-0000000000aa"
ACCOUNTS = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-ml/providers/Microsoft.CognitiveServices/accounts"
WORLD: dict[str, Any] = {
    "extends": "contoso",
    "transitions": {"rbac_propagation": 0},
    "accounts": [{"name": "aoai-ml", "group": "rg-ml"}],
    "vaults": [{"name": "kv-ml", "group": "rg-ml", "rbac": True}],
}
VAULT = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-ml/providers/Microsoft.KeyVault/vaults/kv-ml"
SETTINGS = {
    "AZURE_OPENAI_ENDPOINTS": "https://aoai-ml.openai.azure.com/",
    "KEY_VAULT_URL": "https://kv-ml.vault.azure.net/",
    "WANDB_ENTITY": "acme",
}
PASSED_ON = dict(re.findall(r'"(\w+)": \{ "value": "\$\{(\w+)', from_setup.PARAMETERS.read_text(encoding="utf-8")))


def document(**changed: Any) -> str:
    """What setup prints, as far as this page needs it."""
    whole = {
        "ok": True,
        "subscription": {"id": SUBSCRIPTION, "name": "contoso-ml"},
        "account": {"name": "aoai-ml", "id": f"{ACCOUNTS}/aoai-ml", "endpoint": "https://aoai-ml.openai.azure.com/"},
        "vault": {"name": "kv-ml", "id": VAULT, "url": "https://kv-ml.vault.azure.net/"},
        "settings": SETTINGS,
    }
    return json.dumps(whole | changed)


def test_a_deployment_needs_nothing_beyond_the_output_of_setup(load: Load, run: Run, tmp_path: Path) -> None:
    load(WORLD)
    argv = ["setup", "-g", "rg-ml", "--openai-account", "aoai-ml", "--key-vault", "kv-ml", "-y", "-o", "json"]
    done = run("provisioning", *argv, env={"WANDB_API_KEY": GOOD_KEY, "WANDB_ENTITY": "acme"})
    assert done.returncode == 0, done.stderr
    (tmp_path / "setup.json").write_text(done.stdout)

    environment = run("infra.from_setup", str(tmp_path / "setup.json"))
    assert (environment.returncode, environment.stderr) == (0, "")
    values = dict(line.split("=", 1) for line in shlex.split(environment.stdout))
    assert values == {
        "AZURE_SUBSCRIPTION_ID": SUBSCRIPTION,
        "AZURE_OPENAI_ACCOUNT_IDS": f"{ACCOUNTS}/aoai-ml",
        "AZURE_OPENAI_ENDPOINTS": "https://aoai-ml.openai.azure.com/",
        "KEY_VAULT_ID": VAULT,
        "KEY_VAULT_URL": "https://kv-ml.vault.azure.net/",
        "WANDB_SECRET_NAME": "wandb-api-key",
        "WANDB_ENTITY": "acme",
        "VAULT_ACCESS": "rbac",
    }, "no AZURE_RESOURCE_GROUP: azd deletes whole groups, so the app must not go to the account's by default"
    template = (ROOT / "infra" / "main.bicep").read_text(encoding="utf-8")
    required = set(re.findall(r"^param (\w+) \w+$", template, re.MULTILINE))
    known = {name for name, variable in PASSED_ON.items() if variable in values}
    assert required - known == {"syncDatasets"}, "which the operator has to choose"

    bicep = json.loads(run("infra.from_setup", "--bicep", str(tmp_path / "setup.json")).stdout)
    assert bicep["$schema"].endswith("/deploymentParameters.json#")
    given = {PASSED_ON[name]: entry["value"] for name, entry in bicep["parameters"].items()}
    assert given == {name: value for name, value in values.items() if name != "AZURE_SUBSCRIPTION_ID"}


def test_a_vault_that_stays_on_access_policies_is_deployable_from_setup_to_sync(cloud: Cloud, run: Run) -> None:
    """The world is as the template leaves it for vaultAccess=policy: the app has its role on the account, none on the vault."""
    on_vault = tuple((who, role) for who, role, _ in chain.GRANTS if role.startswith("Key Vault"))
    chain.put(cloud, vault={"rbac": None}, secret=None, account={"jobs": [A_JOB]}, without=on_vault)
    env = OPERATOR_ENV | {"AZURE_FUNCTION_APP": "func-ml", "WANDB_API_KEY": GOOD_KEY, "WANDB_ENTITY": "acme"}
    setup = ("provisioning", "setup", "--vault-access-policy", "-y", "-o", "json")
    done = run(*setup, env=env)
    assert done.returncode == 0, done.stderr
    values = from_setup.variables(done.stdout)
    assert values["VAULT_ACCESS"] == "policy"

    def links() -> dict[str, str]:
        told = run("provisioning", "doctor", "-o", "json", env=env)
        return {each["name"]: each["state"] for each in json.loads(told.stdout)["checks"] if each["state"] != "ok"}

    assert links() == {"app secret access": "failed"}
    tenant = cloud.world.tenant
    app = tenant.named("func-identity")
    assert run(*setup, "--reader", app.object_id, env=env).returncode == 0
    assert links() == {}
    settings = {**values, "AZURE_CLIENT_ID": app.app_id, "WANDB_PROJECT": "tuning", "SYNC_DATASETS": "reference"}
    synced = run("function_app", "sync", principal="func-identity", env=settings)
    assert synced.returncode == 0, synced.stderr
    assert [each.id for each in cloud.world.wandb.store.runs("acme", "tuning")] == [A_JOB["id"]]
    assert not tenant.vaults["kv-ml"].rbac
    assert not [each for each in tenant.rbac.assignments.values() if "/vaults/" in each.scope]


def test_several_accounts_are_one_deployment(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    endpoints = {"AZURE_OPENAI_ENDPOINTS": "https://aoai-eu.openai.azure.com/"}
    other = {"id": f"{ACCOUNTS.replace('rg-ml', 'rg-eu')}/aoai-eu"}
    for name, text in (("ml", document()), ("eu", document(account=other, settings=SETTINGS | endpoints))):
        (tmp_path / name).write_text(text)
    assert from_setup.main(["--bicep", *(str(tmp_path / name) for name in ("ml", "eu", "ml"))]) == 0
    given = json.loads(capsys.readouterr().out)["parameters"]
    assert given["azureOpenAiAccountIds"]["value"].split(",") == [f"{ACCOUNTS}/aoai-ml", other["id"]]
    assert given["azureOpenAiEndpoints"]["value"].split(",") == [
        "https://aoai-ml.openai.azure.com/",
        "https://aoai-eu.openai.azure.com/",
    ]
    assert given["wandbEntity"]["value"] == "acme"


def test_documents_that_name_different_vaults_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = SETTINGS | {"KEY_VAULT_URL": "https://kv-other.vault.azure.net/"}
    for name, text in (("one", document()), ("two", document(settings=other))):
        (tmp_path / name).write_text(text)
    assert from_setup.main([str(tmp_path / "one"), str(tmp_path / "two")]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "KEY_VAULT_URL is https://kv-ml.vault.azure.net/ in one document and https://kv-other" in err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not what setup prints"),
        ("In place.", "not what setup prints"),
        ("[]", "not what setup prints"),
        ('{"ok": true, "changes": 0, "steps": []}', "not what setup prints"),
        ('{"ok": false, "error": {"code": "x", "message": "No vault.", "hint": "Make one."}}', "No vault.\nMake one."),
        (document(settings={"LD_PRELOAD": "x.so"}), "does not print these settings: 'LD_PRELOAD'"),
        (document(settings={"A=1; touch INJ; B": "v"}), "does not print these settings"),
        (document(settings={"WANDB_ENTITY": 3}), "WANDB_ENTITY"),
        *(
            (document(settings={"WANDB_ENTITY": f"x{end}A=1"}), "WANDB_ENTITY")
            for end in ("'; ", "\r\n", "\r", "\u2028", '", "', "$(")
        ),
    ],
)
def test_any_other_document_is_refused(text: str, message: str) -> None:
    with pytest.raises(from_setup.DocumentError, match=message):
        from_setup.variables(text)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_documents_redirected_by_a_shell_on_windows_can_be_read(encoding: str) -> None:
    assert from_setup.variables(document().encode(encoding)) == from_setup.variables(document())


def test_the_environment_file_reads_back_the_same(tmp_path: Path) -> None:
    values = {"A": "https://x/?a=$b", "B": "with space, and #", "C": "", "D": r"back\slash"}
    (tmp_path / ".env").write_text(from_setup.dotenv(values))
    assert dict(dotenv_values(tmp_path / ".env", interpolate=False)) == values
