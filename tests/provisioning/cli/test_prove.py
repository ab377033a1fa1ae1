"""prove: in the sandbox it succeeds, never leaves anything behind, and its report names nobody."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from provisioning import errors
from provisioning.cli.arguments.deployment_options import PROOF_GROUP as GROUP
from provisioning.cli.proof import command
from provisioning.cli.proof.report import Report, Result
from provisioning.cli.proof.steps import BY_HAND, UNATTENDED
from provisioning.cli.proof.trial import MARK, Trial
from provisioning.cli.session import Session
from provisioning.wandb_key import Key, check
from sandbox.cloud import Cloud
from tests.conftest import ROOT, Load, Run
from tests.provisioning.bench import GOOD_KEY, Bench, Listener, VirtualClock

from .outcomes import NEW_KEY, WANDB

WORLD: dict[str, Any] = {
    "extends": "contoso",
    "assignments": [{"principal": "operator", "role": "Owner", "scope": "subscription"}],
    "wandb": WANDB,
}


@dataclass
class Screen(Listener):
    """Remembers the result of each step, and may do something after one."""

    results: dict[str, str] = field(default_factory=dict)
    then: Mapping[str, Callable[[], object]] = field(default_factory=dict)

    def tried(self, name: str, result: str, seen: str) -> None:
        self.results[name] = result
        self.then.get(name, lambda: None)()


@dataclass
class Proof:
    """Runs `prove` in this process, on the sandbox's clock."""

    session: Session
    screen: Screen
    file: Path

    def run(self) -> str:
        options = command.Options(
            "swedencentral", "proofs", Key(SecretStr(NEW_KEY), "the test"), self.file, yes=True, interactive=False
        )
        command.prove(self.session, options, dry_run=False)
        return self.file.read_text()

    @property
    def trial(self) -> Trial:
        azure = self.session.connect()
        return Trial(self.session, azure, azure.proof_group(GROUP), "swedencentral")


@pytest.fixture
def proof(load: Load, bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Proof:
    cloud = load(WORLD)
    monkeypatch.chdir(ROOT)
    screen = Screen()
    session = replace(bench.session(resource_group=""), ui=screen, clock=VirtualClock(cloud), check_key=check)
    return Proof(replace(session, wandb_entity="acme"), screen, tmp_path / "report.md")


def left_behind(cloud: Cloud) -> list[str]:
    tenant = cloud.world.tenant
    return [
        *(name for name in tenant.groups if name != "rg-ml"),
        *(name for name in tenant.vaults if name != "kv-ml"),
        *(a.name for a in (*tenant.accounts.values(), *tenant.deleted_accounts.values()) if a.name != "aoai-ml"),
        *(a.scope for a in tenant.rbac.assignments.values() if GROUP in a.scope),
    ]


def test_every_step_holds_nothing_is_left_behind_and_the_report_names_nobody(cloud: Cloud, proof: Proof) -> None:
    report = proof.run()
    assert proof.screen.results == {each.name: Result.HOLDS for each in UNATTENDED}
    assert left_behind(cloud) == []
    names = ["you@contoso", "contoso-ml", "acme", "sync-bot", "proof-8", ".azure.com/", "/sub"]
    assert [name for name in (*names, GROUP, GOOD_KEY, NEW_KEY) if name in report] == []
    assert re.findall(r"[0-9a-f]{8}-[0-9a-f]{4}|https?://", report) == []
    assert re.search(r"\| role \|.*role works after: 1 min", report)
    assert report.count("not tried") == len(BY_HAND) + 1


def test_the_table_has_each_item_that_the_page_lists() -> None:
    page = (ROOT / "docs" / "evidence.md").read_text()
    listed = re.findall(r"^\* \*\*(.+?)\*\*", page, re.MULTILINE)
    assert {each.evidence for each in (*UNATTENDED, *BY_HAND)} == set(listed)


def test_after_ctrl_c_everything_is_deleted_and_the_report_is_written(cloud: Cloud, proof: Proof) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    proof.screen.then = {"setup twice": interrupt}
    with pytest.raises(errors.InterruptedByUserError, match="is deleted"):
        proof.run()
    assert left_behind(cloud) == []
    assert "| setup twice |" in proof.file.read_text()


def test_a_report_that_cannot_be_written_stops_before_anything_is_created(cloud: Cloud, proof: Proof) -> None:
    with pytest.raises(errors.UsageError, match="cannot be written"):
        replace(proof, file=proof.file / "missing" / "report.md").run()
    assert left_behind(cloud) == []


def test_a_second_proof_of_a_day_keeps_the_report_of_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    began = datetime(2026, 11, 30, 23, 10, tzinfo=UTC)
    first, second = (Report(began + timedelta(minutes=n), "AzureCloud", "swedencentral").write(None) for n in (0, 30))
    assert first.is_file()
    assert first != second


def test_everything_is_deleted_if_the_report_can_no_longer_be_written(cloud: Cloud, proof: Proof) -> None:
    def put_a_folder_there() -> None:
        proof.file.unlink()
        proof.file.mkdir()

    proof.screen.then = {"setup twice": put_a_folder_there}
    with pytest.raises(errors.UsageError, match="cannot be written"):
        proof.run()
    assert left_behind(cloud) == []


def test_what_a_killed_run_left_is_found_by_the_next_one(cloud: Cloud, proof: Proof) -> None:
    """Killed at its worst moment: the group is gone, and its vaults and account wait to be purged."""
    trial = proof.trial
    trial.group.create("westeurope", {MARK: "westeurope"})
    trial.group.create_account(trial.account_name, "westeurope")
    trial.group.create_vault(trial.used_vault_name, "westeurope", [])
    trial.group.delete_vault(trial.used_vault_name)
    command.clean(proof.session, "swedencentral")
    assert left_behind(cloud) == []
    command.clean(proof.session, "swedencentral")


@pytest.mark.parametrize("theirs", ["the group", "a vault in it"])
def test_nothing_of_others_is_deleted(cloud: Cloud, proof: Proof, theirs: str) -> None:
    group = proof.trial.group
    group.create("swedencentral", {} if theirs == "the group" else {MARK: "swedencentral"})
    if theirs != "the group":
        group.create_vault("kv-theirs", "swedencentral", [])
    with pytest.raises(errors.NotOursError, match="Nothing was deleted"):
        proof.run()
    assert GROUP in cloud.world.tenant.groups


def test_a_step_that_fails_stops_those_that_need_it_and_no_other(cloud: Cloud, bench: Bench, proof: Proof) -> None:
    broken = {"error": {"code": "Strange", "message": "Something about /subscriptions/secret-id"}}
    bench.fault("Vaults_CreateOrUpdate", {"status": 418, "body": broken}, nth=[1])
    with pytest.raises(errors.NotAsModelledError, match=r"1 of .* steps do not hold: setup twice"):
        proof.run()
    assert left_behind(cloud) == []
    assert proof.screen.results["doctor"] == Result.NOT_TRIED
    assert proof.screen.results["switch back"] == Result.HOLDS
    assert "secret-id" not in proof.file.read_text()


def test_the_operator_is_asked_about_what_only_people_can_try(proof: Proof, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {"y": Result.HOLDS, "No": Result.FAILS, "": Result.NOT_TRIED}
    for answer, result in answers.items():
        monkeypatch.setattr("builtins.input", lambda answer=answer: answer)
        assert command._tried_by_hand(proof.session, BY_HAND[0]).result is result


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_whole_command_succeeds(cloud: Cloud, load: Load, run: Run, tmp_path: Path) -> None:
    load(WORLD | {"clock": {"rate": 60}})
    options = ("--yes", "--propagation-wait", "3s", "--report", str(tmp_path / "report.md"), "--wandb-entity", "acme")
    ended = run("provisioning", "prove", *options, "-o", "json", env={"WANDB_API_KEY": GOOD_KEY})
    assert ended.returncode == 0, ended.stderr
    assert {each["result"] for each in json.loads(ended.stdout)["tried"]} == {"holds", "not possible", "not tried"}
    assert left_behind(cloud) == []
    assert GOOD_KEY not in ended.stdout + ended.stderr
