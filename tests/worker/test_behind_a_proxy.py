"""Both programs and the app behind a company's proxy: a forward proxy by others (proxy.py) that asks for a password, in front of
the sandbox, whose certificate is from a private authority."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from function_app.connections import TRUST
from sandbox.cloud import Cloud
from tests.conftest import Load, Run
from tests.provisioning import chain
from tests.provisioning.bench import GOOD_KEY, OPERATOR_ENV
from tests.worker.test_worker import WORLD, Host, asked_for, azure, delivered, host, message, tick

__all__ = ["host"]  # a fixture

PROXY = Path(sys.prefix) / "forward-proxy"
PASSWORD = "s3cret-of-the-proxy"
PATIENCE = 90.0  # seconds for the proxy to start on a busy machine
SYNC = {"AZURE_OPENAI_ENDPOINT": "https://aoai-ml.openai.azure.com/", "KEY_VAULT_URL": "https://kv-ml.vault.azure.net/"}

pytestmark = [
    pytest.mark.skipif(not PROXY.is_dir(), reason=f"proxy.py is not in {PROXY}: `make test` installs it there"),
    pytest.mark.skipif(sys.version_info >= (3, 14), reason="nobody has seen proxy.py on Python 3.14"),
]


@pytest.fixture
def proxy(cloud: Cloud, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The variables of a program behind a proxy that leads to the sandbox's."""
    port, log = tmp_path / "port", tmp_path / "log"
    pool = cloud.environment(None)["HTTPS_PROXY"].removeprefix("http://")
    command = [sys.executable, "-m", "proxy", "--hostname", "127.0.0.1", "--port", "0", "--port-file", str(port)]
    command += ["--num-acceptors", "1", "--num-workers", "1", "--basic-auth", f"someone:{PASSWORD}"]
    command += ["--plugins", "proxy.plugin.ProxyPoolPlugin", "--proxy-pool", pool, "--data-dir", str(tmp_path / "data")]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(PROXY), "HOME": str(tmp_path)}
    running = subprocess.Popen([*command, "--log-file", str(log)], env=environment)
    try:
        until = time.monotonic() + PATIENCE
        while not (port.exists() and port.read_text().strip()):
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.05)
        yield dict.fromkeys(
            ("HTTPS_PROXY", "HTTP_PROXY"), f"http://someone:{PASSWORD}@127.0.0.1:{port.read_text().split()[0]}"
        )
    finally:
        running.terminate()
        running.wait()


def test_both_programs_work(cloud: Cloud, run: Run, proxy: dict[str, str]) -> None:
    chain.put(cloud)
    requests = cloud.world.trace.requests
    told = run("provisioning", "doctor", env=OPERATOR_ENV | proxy | {"WANDB_API_KEY": GOOD_KEY})
    assert told.returncode == 0, told.stdout + told.stderr
    synced = run("function_app", "sync", env=SYNC | proxy)
    assert synced.returncode == 0, synced.stdout + synced.stderr
    assert cloud.world.trace.requests > requests
    assert PASSWORD not in told.stdout + told.stderr + synced.stdout + synced.stderr


@pytest.mark.slow  # the SDKs try again
@pytest.mark.parametrize(
    ("program", "missing"),
    [
        (("provisioning", "doctor"), ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")),
        (("function_app", "sync"), ("SSL_CERT_FILE",)),
    ],
    ids=lambda value: value[0],
)
def test_a_private_authority_that_is_not_trusted_is_named_with_both_variables(
    cloud: Cloud, run: Run, program: tuple[str, ...], missing: tuple[str, ...]
) -> None:
    chain.put(cloud)
    env = OPERATOR_ENV | SYNC | {"WANDB_API_KEY": GOOD_KEY} | dict.fromkeys(missing, "")
    told = run(*program, env=env)
    assert told.returncode == 1
    assert TRUST in re.sub(r"\s+", " ", told.stdout + told.stderr)


def test_the_deployed_app_works(load: Load, host: Host, proxy: dict[str, str]) -> None:
    cloud = load(WORLD)
    env = azure(cloud) | proxy
    enqueued, mirrored = host(tick(), delivered(message("ftjob-done")), env=env)["invocations"]
    assert asked_for(enqueued) == ["ftjob-running", "ftjob-done"]
    assert mirrored["ok"], mirrored["error"]
    project = cloud.world.wandb.store.project("acme", "tuning")
    assert project is not None
    assert project.runs["ftjob-done"].history
