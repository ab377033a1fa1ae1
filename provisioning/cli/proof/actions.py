"""The actions of the unattended steps of a proof. Each returns its measurements, in words and numbers that name nobody."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from provisioning import shell
from provisioning.app_models import FunctionAppName
from provisioning.checks import function_app
from provisioning.cli import doctor, rotation, setup, teardown
from provisioning.cli.proof.trial import LIMIT, MARK, NotPossibleError, Trial
from provisioning.cli.session import Session
from provisioning.clock import Clock
from provisioning.durations import spell
from provisioning.errors import (
    BrokenLinkError,
    MissingRightsError,
    NotInPlaceError,
    OperationFailedError,
    ProvisioningError,
    TimedOutError,
)
from provisioning.models import Principal, SecretState, VaultState

Measured = Mapping[str, str]
_JOBS_ROLE = "Cognitive Services OpenAI User"
_READ_EVERY = 2.0  # seconds
_OTHERS_SECRET = "secret-of-others"  # noqa: S105 - a name
_NOBODYS_KEY = "0" * 40  # has the form of a key, but is not one
_TEMPLATE = Path("infra/main.bicep")


def _setup(trial: Trial, **target: Any) -> dict[str, Any]:
    return trial.run(lambda session: setup.setup(session, yes=True, interactive=False), **target)


def _teardown(trial: Trial, *, restore: bool = False, **target: Any) -> dict[str, Any]:
    return trial.run(lambda session: teardown.teardown(session, restore=restore, yes=True, interactive=False), **target)


def create(trial: Trial) -> Measured:
    """Create an Azure OpenAI account, which costs nothing until it is used."""
    trial.group.create_account(trial.account_name, trial.location)
    took = trial.until(lambda: trial.account.state.lower() == "succeeded", "the new account")
    return {"account ready after": spell(took)}


def role_takes_effect(trial: Trial) -> Measured:
    """Give the operator the role that lists jobs, and retry until Azure returns the list."""
    caller, account = trial.azure.caller, trial.account
    who = Principal(caller.object_id, caller.name, caller.kind)
    trial.azure.roles.assign(account.id, who, shell.ROLE_IDS[_JOBS_ROLE], "")

    def answered() -> bool:
        try:
            trial.azure.jobs(account).read(caller)
        except MissingRightsError:
            return False
        return True

    return {"role works after": spell(trial.until(answered, "the new role"))}


def setup_twice(trial: Trial) -> Measured:
    """Run setup on a vault that does not exist; the second run must have nothing to change."""
    began = trial.session.clock.now()
    first = _setup(trial, create_vault=True, purge_protection=False)
    middle = trial.session.clock.now()
    if left := _setup(trial)["changes"]:
        raise NotInPlaceError(f"The second setup planned {left} changes.", hint="Compare the two plans with -v.")
    took = spell(timedelta(seconds=round((middle - began).total_seconds())))
    return {"changes of the first run": str(first["changes"]), "first run": took}


def _checks(trial: Trial, app: FunctionAppName | None = None) -> dict[str, str]:
    """Run doctor, and return the state of each check by its name."""
    found: dict[str, str] = {}

    def look(session: Session) -> None:
        try:
            doctor.doctor(session, app)
        except BrokenLinkError:
            pass  # the checks report that
        finally:
            found.update({each["name"]: each["state"] for each in session.facts["checks"]})

    trial.run(look)
    return found


def doctor_agrees(trial: Trial) -> Measured:
    """Run doctor, which must find nothing wrong."""
    found = _checks(trial)
    if failures := [name for name, state in found.items() if state == "failed"]:
        raise BrokenLinkError(f"Checks of doctor failed: {', '.join(failures)}.", hint="Run doctor by hand.")
    states = list(found.values())
    return {f"checks {state}": str(states.count(state)) for state in dict.fromkeys(states)}


def sync(trial: Trial) -> Measured:
    """Sync the account by hand. It has no jobs, so W&B gets nothing."""
    vault, account = trial.vault(), trial.account
    entity = trial.session.wandb_entity
    options = ["--endpoint", account.endpoint, "--project", trial.project, *(["--entity", entity] if entity else [])]
    server = {"WANDB_BASE_URL": trial.session.wandb_base_url} if trial.session.wandb_base_url else {}
    found = _program(["function_app", "sync", *options, "-o", "json"], KEY_VAULT_URL=vault.uri, **server)
    return {"jobs": str(len(found.get("jobs", ())))}


def rotate(trial: Trial) -> Measured:
    """Rotate to the second key, and back to the first."""
    if trial.new_key is None:
        raise NotPossibleError("it needs a second W&B key: --new-wandb-key-file")
    for key in (trial.new_key, trial.key):
        trial.run(lambda session: rotation.rotate(session, yes=True, interactive=False), key=key)
    return {}


def _names(check: str, trial: Trial) -> Measured:
    """Run doctor until it reports this check as failed, and return how long that took."""
    took = trial.until(lambda: _checks(trial).get(check) == "failed", f"doctor's finding about {check}")
    return {f"doctor names {check} after": spell(took)}


def firewall(trial: Trial) -> Measured:
    """Close the vault's firewall; doctor must name it. Open it again."""
    trial.group.close_vault(trial.vault_name, closed=True)
    try:
        return _names("vault access", trial)
    finally:
        trial.group.close_vault(trial.vault_name, closed=False)
        trial.until(_readable(trial, trial.vault_name, trial.session.target.secret), "the open firewall")


def disabled_secret(trial: Trial) -> Measured:
    """Disable the secret; doctor must name it, and setup must replace it."""
    secrets, name = trial.azure.secrets(trial.vault()), trial.session.target.secret
    secrets.disable(name, secrets.read(name).version)
    found = _names("secret", trial)
    _setup(trial)
    return found


def refused_key(trial: Trial) -> Measured:
    """Store text that is not a W&B key; doctor must name it, and setup must replace it."""
    secrets, name = trial.azure.secrets(trial.vault()), trial.session.target.secret
    secrets.write(name, SecretStr(_NOBODYS_KEY), None, secrets.read(name).tags, "")
    found = _names("W&B key", trial)
    _setup(trial)
    return found


def deleted_vault(trial: Trial) -> Measured:
    """Delete the vault; doctor must name it, and setup must recover it with its secret."""
    trial.group.delete_vault(trial.vault_name)
    found = _names("vault", trial)
    _setup(trial, recover_vault=True, location=trial.location)
    return found


def template(trial: Trial) -> Measured:
    """Deploy the template with the Azure CLI, and let doctor look at the app. Its code is deployed by hand."""
    if not _TEMPLATE.is_file():
        raise NotPossibleError("it needs the clone, or the folder that `init` writes, as the current folder")
    vault, account = trial.vault(), trial.account
    parameters = {
        "azureOpenAiEndpoints": account.endpoint,
        "azureOpenAiAccountIds": account.id,
        "keyVaultId": vault.id,
        "keyVaultUrl": vault.uri,
        "wandbSecretName": trial.session.target.secret,
        "wandbEntity": trial.session.wandb_entity or "",
        "wandbProject": trial.project,
        "syncDatasets": "off",
        "tags": json.dumps({MARK: "true"}),
    }
    began = trial.session.clock.now()
    command = ["az", "deployment", "group", "create", "-g", trial.group.name, "-f", str(_TEMPLATE), "-o", "json"]
    command += ["--subscription", trial.azure.subscription.id]
    outputs = _output([*command, "-p", *(f"{name}={value}" for name, value in parameters.items())])
    took = trial.session.clock.now() - began
    app = FunctionAppName(trial.group.name, outputs["properties"]["outputs"]["AZURE_FUNCTION_APP"]["value"])
    checks = {name: state for name, state in _checks(trial, app).items() if name in function_app.CHECKS}
    return {"deployed in": spell(timedelta(seconds=round(took.total_seconds()))), **checks}


def remove_twice(trial: Trial) -> Measured:
    """Run teardown; the second run must have nothing to remove."""
    removed = _teardown(trial)["changes"]
    if left := _teardown(trial)["changes"]:
        raise NotInPlaceError(f"The second teardown planned {left} changes.", hint="Compare the two plans with -v.")
    return {"removed": str(removed)}


def switch(trial: Trial) -> Measured:
    """Run setup on a vault that others use by access policy, while one of them reads a secret every few seconds."""
    name, caller = trial.used_vault_name, trial.azure.caller
    users = [caller.object_id, *filter(None, [trial.account.principal_id])]
    trial.group.create_vault(name, trial.location, users)
    trial.until(lambda: trial.vault(name).state is VaultState.READY, "the new vault")
    secrets = trial.azure.secrets(trial.vault(name))
    secrets.write(_OTHERS_SECRET, SecretStr("not secret"), None, {}, "")
    with _Reader(trial.session.clock, _readable(trial, name, _OTHERS_SECRET)) as reader:
        _setup(trial, vault=name)
    if not trial.vault(name).rbac:
        raise NotInPlaceError("The vault is not on Azure RBAC.", hint="Run setup on it by hand with -v.")
    return reader.measured()


def switch_back(trial: Trial) -> Measured:
    """Switch that vault back; the operator, who no longer has a role there, must read by access policy."""
    name = trial.used_vault_name
    with _Reader(trial.session.clock, _readable(trial, name, _OTHERS_SECRET)) as reader:
        _teardown(trial, vault=name, restore=True)
        trial.until(reader.readable, "access by access policy")
    if trial.vault(name).rbac:
        raise NotInPlaceError("The vault is still on Azure RBAC.", hint="Run teardown on it by hand with -v.")
    return reader.measured()


def _readable(trial: Trial, vault: str, secret: str) -> Callable[[], bool]:
    secrets = trial.azure.secrets(trial.vault(vault))

    def readable() -> bool:
        try:
            return secrets.read(secret).state is SecretState.PRESENT
        except ProvisioningError:
            return False

    return readable


class _Reader:
    """Reads a secret every few seconds in the background, as a program that uses the vault does."""

    def __init__(self, clock: Clock, readable: Callable[[], bool]) -> None:
        self.readable = readable
        self._clock = clock
        self._reads: list[tuple[datetime, bool]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._poll, daemon=True)

    def __enter__(self) -> "_Reader":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _poll(self) -> None:
        while True:
            self._reads.append((self._clock.now(), self.readable()))
            if self._stop.wait(_READ_EVERY):
                return

    def measured(self) -> Measured:
        """How many reads there were, how many failed, and the longest time from one success to the next."""
        good = [when for when, readable in self._reads if readable]
        gap = max((later - before for before, later in pairwise(good)), default=timedelta(0))
        failed = sum(not readable for _, readable in self._reads)
        longest = spell(timedelta(seconds=round(gap.total_seconds())))
        return {"reads": str(len(self._reads)), "failed reads": str(failed), "longest gap": longest}


def _program(argv: list[str], **env: str) -> dict[str, Any]:
    """Run one of our programs, which has a package that this one does not import, and return its document."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("WANDB_", "AZURE_OPENAI_"))}
    return _output([sys.executable, "-m", *argv], kept | env)


def _output(command: list[str], env: Mapping[str, str] | None = None) -> dict[str, Any]:
    how: dict[str, Any] = {"env": env, "stdin": subprocess.DEVNULL, "capture_output": True, "text": True}
    try:
        ended = subprocess.run(command, check=False, timeout=LIMIT.total_seconds(), **how)  # noqa: S603
    except FileNotFoundError as error:
        raise NotPossibleError(f"it needs {command[0]}") from error
    except subprocess.TimeoutExpired as error:
        raise TimedOutError(
            f"{' '.join(command[:4])} did not end within {spell(LIMIT)}.", hint="Run it by hand."
        ) from error
    if ended.returncode:
        raise OperationFailedError(
            f"{' '.join(command[:4])} ended with exit status {ended.returncode}: {ended.stderr.strip()[-500:]}",
            hint="Run it by hand: " + shell.command(*command),
        )
    document: dict[str, Any] = json.loads(ended.stdout)
    return document
