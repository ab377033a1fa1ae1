"""`sync()` has the parameters of WandbLogger.sync, with the meaning that W&B documents."""

import ast
import inspect
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai
import pytest
import wandb
from azure.identity import DefaultAzureCredential, get_bearer_token_provider
from wandb.sdk.lib import wbauth

from function_app.errors import AccountError, KeyRefusedError, NotThereError, SettingsError
from function_app.models import Outcome, Result, Selection
from function_app.wandb_logger import EVERY, account_name, follow, sync
from tests.conftest import ROOT, start_wandb_core
from tests.function_app.conftest import (
    CLOSED_ENDPOINT,
    ENDPOINT,
    ENTITY,
    FILE,
    JOB,
    KEY,
    OTHER_JOB,
    PROJECT,
    SETTLED,
    STEPS,
    Bench,
    a_job,
)

PLATFORM = {"name": "org", "group": "rg-ml", "platform": True, "api_key": "sk-sandbox"}
THERE = {"project": PROJECT, "entity": ENTITY}
Script = Callable[..., dict[str, Outcome]]


@pytest.fixture
def script(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Script:
    """`sync()` in a process of somebody who has the W&B key in the environment; the outcomes by job."""
    start_wandb_core()
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    wbauth.unauthenticate_session()  # what other tests' runs left in this process

    def script(*arguments: Any, **values: Any) -> dict[str, Outcome]:
        with DefaultAzureCredential() as credential:
            scope = "https://cognitiveservices.azure.com/.default"
            client = openai.AzureOpenAI(
                azure_endpoint=values.pop("endpoint", ENDPOINT),
                api_version=values.pop("api_version", "2025-04-01-preview"),
                azure_ad_token_provider=get_bearer_token_provider(credential, scope),
            )
            with client:
                usual: dict[str, Any] = {"openai_client": client, "wait_for_job_success": False, **THERE}
                outcomes = sync(*arguments, **(usual | values))
        return {outcome.job: outcome for outcome in outcomes}

    return script


def test_the_parameters_are_wandbloggers_in_its_order_with_its_defaults() -> None:
    source = Path(wandb.__file__).parent / "integration" / "openai" / "fine_tuning.py"
    functions = [node for node in ast.walk(ast.parse(source.read_text())) if isinstance(node, ast.FunctionDef)]
    [logger] = [each for each in functions if each.name == "sync"]
    defaults = [ast.literal_eval(default) for default in logger.args.defaults]
    theirs = list(zip([argument.arg for argument in logger.args.args[1:]], defaults, strict=True))
    ours = inspect.signature(sync).parameters.values()
    assert [(each.name, each.default) for each in ours if each.kind is not each.VAR_KEYWORD] == theirs
    assert [each.name for each in ours][-1] == logger.args.kwarg.arg if logger.args.kwarg else None


def test_sync_is_imported_from_the_package_and_only_on_demand() -> None:
    script = "import sys, function_app; assert not {'wandb', 'openai'} & {*sys.modules}; from function_app import sync"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_jobs_get_runs_lines_and_outcomes(bench: Bench, script: Script, capsys: pytest.CaptureFixture[str]) -> None:
    bench.world(a_job(), a_job(id=OTHER_JOB, outcome={"status": "failed", "during": "preprocessing"}))
    outcomes = script()
    found = {job: (each.result, each.status, each.account) for job, each in outcomes.items()}
    synced = Result.SYNCED
    assert found == {JOB: (synced, "succeeded", "aoai-ml"), OTHER_JOB: (synced, "failed", "aoai-ml")}
    assert (bench.state(), bench.state(OTHER_JOB), bench.steps()) == ("finished", "failed", STEPS)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all(any(outcome.run_url in line for line in lines) for outcome in outcomes.values())
    assert sum("30 new steps" in line for line in lines) == 1
    assert KEY not in "".join(lines)
    bench.cloud.clock.advance(SETTLED)
    assert [each.result for each in script().values()] == [Result.CURRENT, Result.CURRENT]


@pytest.mark.parametrize("version", ["2024-05-01-preview", "2024-10-21", "2025-04-01-preview"])
def test_a_job_that_logs_by_itself_is_skipped_with_any_version(bench: Bench, script: Script, version: str) -> None:
    """Stable and older versions do not show the job's own integration."""
    own = [{"type": "wandb", "wandb": {"project": "theirs"}}]
    bench.world(a_job(integrations=own), a_job(id=OTHER_JOB))
    outcomes = script(api_version=version)
    assert (outcomes[JOB].result, outcomes[OTHER_JOB].result) == (Result.SKIPPED, Result.SYNCED)


def test_in_a_users_process_the_sdk_prints_nothing_and_the_environment_is_kept(bench: Bench) -> None:
    """Otherwise the SDK would print hints, and our WANDB_DIR would also redirect the user's own runs."""
    script = f"""
import os, openai
from function_app import sync
before = dict(os.environ)
client = openai.AzureOpenAI(azure_endpoint={ENDPOINT!r}, api_key="sandbox-key", api_version="2024-10-21")
assert sync({JOB!r}, client, project={PROJECT!r}, entity={ENTITY!r})[0].final
assert {{name for name in os.environ if os.environ[name] != before.get(name)}} <= {{"WANDB_SERVICE"}}
"""
    account = {"name": "aoai-ml", "group": "rg-ml", "api_key": "sandbox-key"}
    bench.world(accounts=[account | {"jobs": [a_job()], "files": [{"id": FILE, "created": "-3d"}]}], assignments=[])
    env = bench.cloud.environment(None) | {"WANDB_API_KEY": KEY, "PYTHONPATH": str(ROOT)}
    command, where = [sys.executable, "-c", script], bench.cloud.directory
    done = subprocess.run(command, env=env, cwd=where, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    assert line.startswith(f"synced    {JOB}")
    assert not (bench.cloud.directory / "wandb").exists()


def test_one_job_is_selected_by_its_id_under_either_name_of_the_parameter(bench: Bench, script: Script) -> None:
    bench.world(a_job(), a_job(id=OTHER_JOB))
    assert list(script(OTHER_JOB)) == [OTHER_JOB]
    assert list(script(id=JOB)) == [JOB]
    with pytest.raises(SettingsError, match="a run has the id of its job"):
        script(OTHER_JOB, id=JOB)


def test_num_fine_tunes_selects_the_most_recent_jobs(bench: Bench, script: Script) -> None:
    jobs = [f"ftjob-{n:032x}" for n in range(1, 6)]
    bench.world(*(a_job(id=job, created=f"-{n}d", timeline={"steps": 3}) for n, job in enumerate(jobs, start=2)))
    assert sorted(script(None, num_fine_tunes=2)) == jobs[:2]
    assert script(None, num_fine_tunes=0) == {}


def test_without_log_datasets_no_file_of_a_job_is_sent(bench: Bench, script: Script) -> None:
    bench.world(a_job())
    asked, _ = bench.counted(lambda: script(log_datasets=False))
    assert bench.run().used == []
    assert asked["Files_GetContent"] == 1  # the results


def ignored(_: object) -> None:
    """Print nothing, and do not wait."""


def followed(engine: Any, *, wait: bool = True, **how: Callable[[Any], None]) -> list[Outcome]:
    return follow(engine, Selection(), overwrite=False, wait=wait, **({"say": ignored, "sleep": ignored} | how))


def test_sync_waits_for_running_jobs_but_not_for_paused_ones(bench: Bench) -> None:
    bench.world(a_job(created="-5m"), a_job(id=OTHER_JOB, created="-1d", pauses=[{"at_step": 10}]))
    messages: list[str] = []
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        bench.cloud.clock.advance(seconds)

    ended, paused = sorted(followed(bench.engine(), sleep=sleep, say=messages.append), key=lambda each: each.job)
    assert (ended.status, ended.final, paused.status, paused.final) == ("succeeded", True, "paused", False)
    assert set(waits) == {EVERY}
    assert (bench.state(), bench.steps()) == ("finished", STEPS)
    assert len([line for line in messages if JOB in line]) == 2  # at the first look and at the end


def test_a_paused_job_is_waited_for_if_the_service_resumes_it(bench: Bench) -> None:
    bench.world(a_job(created="-30m", training_type="developerTier", pauses=[{"at_step": 10, "lasts": "2h"}]))
    seen: list[str] = []

    def sleep(seconds: float) -> None:
        seen.append(bench.run().config["status"])
        bench.cloud.clock.advance(seconds * 10)

    engine = bench.engine(azure_openai_api_version="v1")  # classic versions do not show the training type
    [outcome] = followed(engine, sleep=sleep)
    assert "paused" in seen
    assert (outcome.status, outcome.final) == ("succeeded", True)


class Passes:
    """An engine with given outcomes, pass by pass."""

    def __init__(self, *passes: list[Outcome]) -> None:
        self._passes = iter(passes)

    def sync(self, *_: object, **__: object) -> list[Outcome]:
        return next(self._passes)


RUNNING = Outcome(JOB, "c", Result.SYNCED, status="running")
DONE = Outcome(JOB, "c", Result.SYNCED, status="succeeded", final=True)


def test_every_refusing_account_is_reported_until_it_answers() -> None:
    refusing = [Outcome("", name, Result.FAILED, message="down") for name in ("a", "b")]
    for wait, accounts in ((False, {"a", "b", "c"}), (True, {"b", "c"})):
        seen = followed(Passes([*refusing, RUNNING], [refusing[1], DONE]), wait=wait)
        assert {each.account for each in seen} == accounts


def test_a_failure_that_is_waited_for_is_reported_once() -> None:
    failed = Outcome(JOB, "c", Result.FAILED, status="succeeded", message="W&B did not accept 7 bytes in time")
    messages: list[str] = []
    followed(Passes([RUNNING], [failed], [failed], [DONE]), say=messages.append)
    assert len([line for line in messages if failed.message in line]) == 1


def test_waiting_outlasts_an_outage_and_not_a_lasting_failure(bench: Bench) -> None:
    busy = {"status": 503, "headers": {"retry-after": "60"}}  # longer than the client waits within a pass
    outage = {"op": "Runs", "when": {"nth": [2, 3]}, "do": busy}
    bench.world(a_job(created="-5m"), faults=[outage])
    [outcome] = followed(bench.engine(), sleep=bench.cloud.clock.advance)
    assert outcome.final
    lasting = {"op": "FineTuning_GetEvents", "when": {"times": 99}, "do": {"status": 400}}
    bench.world(a_job(created="-5m"), faults=[lasting])
    waits: list[float] = []
    [outcome] = followed(bench.engine(), sleep=waits.append)
    assert (outcome.result, waits) == (Result.FAILED, [])


def test_names_and_models_are_as_asked_and_names_only_set_for_new_runs(bench: Bench, script: Script) -> None:
    bench.world(a_job())
    kept = {"name": "spring", "notes": "first try", "group": "tickets", "job_type": "training", "tags": ["mine"]}
    models = {"model_artifact_name": "our models", "model_artifact_type": "finetuned"}
    script(**kept, **models, config={"team": "search"})
    run = bench.run()
    assert (run.name, run.notes, run.group, run.job_type) == ("spring", "first try", "tickets", "training")
    assert run.tags == ["openai/finetune", "openai/gpt-4o-mini-2024-07-18", f"openai/{JOB}", "azure/aoai-ml", "mine"]
    assert (run.config["team"], run.config["job_id"]) == ("search", JOB)
    assert list(bench.aliases("our-models")) == ["v0"]
    assert bench.store.collection(ENTITY, PROJECT, "our-models").type == "finetuned"
    script(name="autumn", tags=["other"])
    assert (run.name, run.tags[-1]) == ("spring", "mine")


def test_an_existing_sign_in_is_kept(bench: Bench, script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    """The runs are written with the vault's key, which signs the process in while they are open (wandb 0.31)."""
    vault = {"name": "kv-open", "group": "rg-ml", "rbac": True, "secrets": [{"name": "wandb-api-key", "value": KEY}]}
    bench.world(a_job(), vaults=[vault])
    host = wandb.Settings().base_url
    wbauth.unauthenticate_session()
    script()
    assert wbauth.session_credentials(host=host) is None
    other = wbauth.AuthApiKey(host=host, api_key="7" * 40)
    wbauth.use_explicit_auth(other, source="a test")
    monkeypatch.setenv("KEY_VAULT_URL", "https://kv-open.vault.azure.net/")
    script(overwrite=True)
    assert wbauth.session_credentials(host=host) is other
    wbauth.unauthenticate_session()


def test_the_users_own_open_run_is_not_disturbed(bench: Bench, script: Script, tmp_path: Path) -> None:
    bench.world(a_job())
    quiet = wandb.Settings(silent=True, console="off")
    mine = wandb.init(entity=ENTITY, project=PROJECT, id="mine", dir=tmp_path, settings=quiet)
    try:
        mine.log({"loss": 2.0})
        assert script()[JOB].final
        assert wandb.run is mine
        mine.log({"loss": 1.0})
    finally:
        mine.finish()
    assert [row["loss"] for row in bench.run("mine").history] == [2.0, 1.0]
    assert (bench.state("mine"), bench.state()) == ("finished", "finished")
    assert "job_id" not in bench.run("mine").config


def test_a_wandb_login_is_used(bench: Bench, script: Script, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bench.world(a_job())
    monkeypatch.delenv("WANDB_API_KEY")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with pytest.raises(SettingsError, match="There is no W&B sign-in"):
        script()
    (tmp_path / "netrc").write_text(f"machine api.forge.coreweave.com\n  login user\n  password {KEY}\n")
    assert script()[JOB].final


def test_openais_own_platform_needs_only_its_key(bench: Bench, script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its results file is base64 of a CSV, and it says on which day a model ends."""
    job = a_job(retires="2027-01-14T00:00:00Z")
    bench.world(accounts=[PLATFORM | {"jobs": [job], "files": [{"id": FILE, "created": "-3d"}]}], assignments=[])
    monkeypatch.setenv("OPENAI_API_KEY", "sk-sandbox")
    outcome = script(openai_client=None)[JOB]
    assert (outcome.account, outcome.final, bench.steps()) == ("openai", True, STEPS)
    assert bench.run().config["model_retires_at"] == "2027-01-14T00:00:00Z"
    assert not any(tag.startswith("azure/") for tag in bench.run().tags)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"mode": "offline"}, SettingsError, "W&B is offline"),
        ({"openai_client": "https://aoai-ml"}, SettingsError, "openai_client is of type str"),
        ({"openai_client": None}, SettingsError, "AZURE_OPENAI_ENDPOINTS is not set"),
        ({"num_fine_tunes": -1}, SettingsError, "num_fine_tunes is -1"),
        ({"config": 7}, SettingsError, "config is of type int"),
        ({"project": "a/b"}, SettingsError, "WANDB_PROJECT"),
        ({"overwite": True}, TypeError, "unexpected keyword argument 'overwite'"),
        ({"fine_tune_job_id": "ftjob-gone"}, NotThereError, "aoai-ml has no job ftjob-gone"),
        ({"endpoint": CLOSED_ENDPOINT}, AccountError, "does not let this identity"),
    ],
)
def test_impossible_calls_raise_an_error_and_write_nothing(
    bench: Bench, script: Script, arguments: dict[str, Any], error: type[Exception], words: str
) -> None:
    bench.world(a_job())
    with pytest.raises(error, match=words):
        script(**arguments)
    assert bench.cloud.writes == 0


def test_a_key_that_wandb_refuses_is_an_error(bench: Bench, script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.world(a_job())
    for key in ("9" * 40, "short"):
        monkeypatch.setenv("WANDB_API_KEY", key)
        with pytest.raises(KeyRefusedError):
            script()
    assert bench.cloud.writes == 0


def test_unsupported_parameters_are_named(bench: Bench, script: Script, capsys: pytest.CaptureFixture[str]) -> None:
    bench.world(a_job())
    assert script(dir="/tmp", resume="allow", mode="online")[JOB].final
    assert "Ignored: dir, resume." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://aoai-ml.openai.azure.com/openai/", "aoai-ml"),
        ("https://aoai-ml.openai.azure.com/openai/v1/", "aoai-ml"),
        ("https://eastus2.api.cognitive.microsoft.com/openai/", "eastus2"),
        ("https://api.openai.com/v1/", "openai"),
        ("https://eu.api.openai.com/v1/", "openai"),
        ("http://localhost:8080/v1", "localhost"),
        ("http://10.1.2.3/v1", "10.1.2.3"),
    ],
)
def test_an_account_is_named_after_its_clients_address(url: str, name: str) -> None:
    assert account_name(url) == name
