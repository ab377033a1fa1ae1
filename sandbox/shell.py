"""`python -m sandbox shell`: a shell in which everything is set, to try the commands by hand."""

import os
import shutil
from collections.abc import Mapping

from sandbox.cloud import Cloud
from sandbox.demo import SETTINGS, TARGET

_WITH_NEW_KEY = "set WANDB_API_KEY=%NEW_WANDB_API_KEY%&& " if os.name == "nt" else "WANDB_API_KEY=$NEW_WANDB_API_KEY "
_TRY = (
    (
        "python -m provisioning setup -g rg-ml --propagation-wait 3s",
        "shows its plan and asks; roles take effect in 3 s here",
    ),
    ("python -m provisioning doctor -g rg-ml", "every link from you to W&B; run the az command that it prints"),
    ("python -m function_app sync", "mirrors the jobs; the page shows their runs"),
    (f"{_WITH_NEW_KEY}python -m provisioning rotate-key -g rg-ml", "stores the second key"),
    ("python -m provisioning teardown -g rg-ml", "removes what setup added"),
)


def settings(cloud: Cloud) -> dict[str, str]:
    """Return the variables that the commands read, besides the sandbox's own: resources, endpoints and two W&B keys.

    WANDB_API_KEY is the key that setup stores.
    """
    users = cloud.world.scenario.wandb.users
    first, *others = [key for user in users[:1] for key in user.keys] or [""]
    keys = {"WANDB_API_KEY": first, "NEW_WANDB_API_KEY": next(iter(others), "")}
    return {**SETTINGS, **TARGET, "AZURE_FUNCTION_APP": "func-ml", **keys}


def command(environment: Mapping[str, str]) -> list[str]:
    """The user's shell, without its start files, which may set real accounts."""
    shell = environment.get("SHELL") or ""
    if os.name == "nt":
        return [environment.get("COMSPEC", "cmd.exe")]
    if shell.endswith("zsh"):
        return [shell, "-f", "-i"]
    found = shell if shell.endswith("bash") else shutil.which("bash")
    return [found, "--noprofile", "--norc", "-i"] if found else ["/bin/sh", "-i"]


def welcome(url: str) -> str:
    """Return the introduction: what this is, and commands to try."""
    lines = [
        "This is a sandbox: nothing is real, and nothing leaves this machine. `exit` ends it, and what happened in it is gone.",
        f"Its page: {url}/",
        "",
        "Try:",
        *(f"  {what}\n      {why}" for what, why in _TRY),
        "",
    ]
    return "\n".join(lines)
