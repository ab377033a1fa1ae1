"""A command that leaks its secret in one of many ways: `python -m tests.secrets.leaky HOW`."""

import base64
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.request import Request, urlopen

KEY = os.environ["WANDB_API_KEY"]
WAIT = [sys.executable, "-c", "import time; time.sleep(3)"]


def child(*arguments: str, env: dict[str, str]) -> None:
    subprocess.run([*WAIT, *arguments], env=env, check=True)


def clean() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "WANDB_API_KEY"}


def in_a_traceback() -> None:
    raise ValueError(KEY[10:30])


def in_a_file_that_goes() -> None:
    path = Path(os.environ["TMPDIR"], "core.log")
    path.write_text(KEY)
    time.sleep(3)
    path.unlink()


def in_a_request() -> None:
    with urlopen(Request("https://kv-ml.vault.azure.net/secrets/x?api-version=7.5", headers={"X-Key": KEY})):
        pass


WAYS: dict[str, Callable[[], object]] = {
    "nothing": lambda: child(env=clean()),
    "stdout": lambda: sys.stdout.write(f"the key is {KEY}"),
    "stderr": lambda: sys.stderr.write(base64.b64encode(f"api:{KEY}".encode()).decode()),
    "traceback": in_a_traceback,
    "file": lambda: Path("debug.log").write_text(KEY),
    "a file that goes": in_a_file_that_goes,
    "netrc": lambda: (Path.home() / ".netrc").write_text("machine api.wandb.ai"),
    "arguments": lambda: child(KEY, env=clean()),
    "environment": lambda: child(env=dict(os.environ)),
    "request": in_a_request,
}

if __name__ == "__main__":
    WAYS[sys.argv[1]]()
