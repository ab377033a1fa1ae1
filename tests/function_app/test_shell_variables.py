"""Nothing of the shell's variables for the W&B SDK gets into runs, redirects them, or stops a sync; a wrong proxy is named."""

import pytest

from function_app.errors import SettingsError
from tests.function_app.conftest import JOB, PATIENCE, STEPS, Bench, a_job, child

TEXTS = ("NAME", "NOTES", "TAGS", "RUN_GROUP", "JOB_TYPE", "RUN_ID", "USERNAME", "HOST", "DOCKER", "USER_EMAIL")
OF_THE_SDK = {
    **{f"WANDB_{name}": "leak" for name in (*TEXTS, "GIT_COMMIT", "DESCRIPTION")},
    "WANDB_RESUME": "never",
    "WANDB_SYNC_TENSORBOARD": "true",
    "WANDB_GIT_REMOTE_URL": "https://leak@example.com",
    "WANDB_IGNORE_GLOBS": "*.json",
    "WANDB_INIT_TIMEOUT": "1",
}
OF_OTHER_RUNS = {  # the SDK itself does not start with some of them, or makes other runs
    "WANDB_FORK_FROM": "x?_step=3",
    "WANDB_RESUME_FROM": "x?_step=3",
    "WANDB_LAUNCH": "true",
    "WANDB_LAUNCH_QUEUE_NAME": "leak",
    "WANDB_SWEEP_ID": "leak",
    "WANDB_CONFIG_PATHS": "/leak.yaml",
    "WANDB_MODE": "offline",
    "WANDB_SERVICE": "3-9-tcp-localhost-1",
}
SYNC = "from function_app import sync; sync(project='fine-tuning', entity='acme', wait_for_job_success=False)"


@pytest.mark.parametrize(
    ("argv", "variables"), [((), OF_THE_SDK | OF_OTHER_RUNS), (("-c", SYNC), OF_THE_SDK)], ids=["command", "function"]
)
def test_variables_of_the_sdk_change_nothing(bench: Bench, argv: tuple[str, ...], variables: dict[str, str]) -> None:
    bench.world(a_job())
    child(bench.cloud, *argv, **variables).communicate(timeout=PATIENCE)
    assert [run.id for run in bench.store.runs("acme", "fine-tuning")] == [JOB]
    run = bench.run()
    assert (bench.state(), bench.steps()) == ("finished", STEPS)
    shown = {name: value for name, value in vars(run).items() if "leak" in str(value)}
    assert shown == {}
    assert (run.config["status"], len(run.used), len(run.logged)) == ("succeeded", 1, 1)


@pytest.mark.parametrize("proxy", ["socks5://me:canary@127.0.0.1:9", "ftp://me:canary@h:9", "http://me:canary@h:port"])
def test_an_unusable_proxy_is_named_but_not_quoted(bench: Bench, monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    with pytest.raises(SettingsError, match="ALL_PROXY") as caught:
        bench.engine()
    assert "canary" not in f"{caught.value.message} {caught.value.hint}"
