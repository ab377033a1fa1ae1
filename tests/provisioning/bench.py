"""A bench for commands: in this process, against the sandbox, on the sandbox's clock."""

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError
from pydantic import SecretStr

from provisioning.azure.client import Azure
from provisioning.azure.identity.sign_in import cloud as azure_cloud
from provisioning.cli import rotation, setup, teardown
from provisioning.cli.output.console import Ui
from provisioning.cli.session import Session
from provisioning.errors import ProvisioningError
from provisioning.models import Target
from provisioning.planning.steps import Step
from provisioning.wandb_key import Key, WandbAccount
from sandbox.azure.rbac import Assignment
from sandbox.azure.tenant import Account, Tenant
from sandbox.cloud import Cloud
from sandbox.runtime.faults import Fault
from sandbox.runtime.http import Call
from sandbox.scenario.events import EventScript

_Error = TypeVar("_Error", bound=ProvisioningError)

GOOD_KEY = "5a4db0c5a4db0c5a4db0c5a4db0c5a4db0c00001"
VIEWERS_KEY = "5a4db0c5a4db0c5a4db0c5a4db0c5a4db0c00002"
ACCOUNT_RECORD = "aoai-ml#1eab4a1e"
"""The contoso account in the records of setup: its name, and a digest of its id."""
OPERATOR_ENV = {"AZURE_RESOURCE_GROUP": "rg-ml", "AZURE_OPENAI_ACCOUNT": "aoai-ml", "AZURE_KEY_VAULT": "kv-ml"}


@dataclass
class VirtualClock:
    """The sandbox's clock, or one that is `behind` it or ahead. Sleeping moves it; `before` each nap something may happen."""

    cloud: Cloud
    slept: float = 0.0
    before: Callable[[], None] = lambda: None
    behind: timedelta = timedelta(0)

    def stop_when(self, so: Callable[[], bool], error: type[BaseException] = KeyboardInterrupt) -> None:
        """Raise this, once, at the first nap where that is so."""

        def look() -> None:
            if so():
                self.before = lambda: None
                raise error

        self.before = look

    def now(self) -> datetime:
        return self.cloud.clock.now() - self.behind

    def sleep(self, seconds: float) -> None:
        self.before()
        self.slept += seconds
        self.cloud.clock.advance(seconds)


@dataclass
class Desk:
    """A credential that gets a person's tokens as `az` does, without starting it each time."""

    cloud: Cloud
    who: str = "operator"

    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        desk = self.cloud.world.desk
        session = desk.session(self.cloud.world.tenant.named(self.who))
        query = {"resource": scopes[0].removesuffix("/.default")}
        reply = desk.cli_token(Call("GET", "", "", query, {"x-session": session}))
        assert isinstance(reply.body, dict)
        if reply.status != 200:
            raise ClientAuthenticationError(reply.body["error"])
        return AccessToken(reply.body["accessToken"], int(reply.body["expires_on"]))


@dataclass
class Listener(Ui):
    """An Ui that remembers what was done, and may do something after each step."""

    steps: list[Step] = field(default_factory=list)
    after: Callable[[Step], None] = lambda step: None

    def __post_init__(self) -> None:
        super().__init__(as_json=True)

    def done(self, step: Step, seconds: float, note: str) -> None:
        super().done(step, seconds, note)
        self.steps.append(step)
        self.after(step)

    def interrupt_after(self, steps: int) -> None:
        """Have Ctrl-C pressed, once, when so many more steps are done."""
        self.steps.clear()

        def stop(step: Step) -> None:
            if len(self.steps) == steps:
                self.after = lambda step: None
                raise KeyboardInterrupt

        self.after = stop


@dataclass
class Bench:
    """Runs setup in this process, as the operator."""

    cloud: Cloud
    clock: VirtualClock
    target: Target
    ui: Listener
    key: str | None = GOOD_KEY
    who: str = "operator"

    def session(self, **more: Any) -> Session:
        target = replace(self.target, **{k: more.pop(k) for k in list(more) if hasattr(self.target, k)})
        return Session(
            target=target,
            ui=self.ui,
            clock=self.clock,
            connect=self._connect,
            provided_key=lambda: Key(SecretStr(self.key), "the test") if self.key else None,
            prompt_for_key=_no_prompt_expected,
            check_key=_known,
            **more,
        )

    def _connect(self) -> Azure:
        """Sign in. The life of tokens is in virtual time where the scenario limits it."""
        sign_in = self.cloud.world.tenant.sign_in
        limited = sign_in.token_life is not None or sign_in.federated_for is not None
        now = (lambda: self.clock.now().timestamp()) if limited else time.time
        return Azure(azure_cloud(None), Desk(self.cloud, self.who), None, poll_seconds=0, now=now)

    def setup(self, **more: Any) -> Session:
        session = self.session(**more)
        setup.setup(session, yes=True, interactive=False)
        return session

    def setup_fails(
        self, error: type[_Error] | tuple[type[_Error], ...], words: str | None = None, hint: str = "", **more: Any
    ) -> _Error:
        """setup, which ends with this error: its message matches the words, and its hint has those of `hint`."""
        with pytest.raises(error, match=words) as caught:
            self.setup(**more)
        assert hint in caught.value.hint
        return caught.value

    def setup_is_refused(
        self, error: type[_Error] | tuple[type[_Error], ...], words: str | None = None, hint: str = "", **more: Any
    ) -> _Error:
        """setup, which ends with this error before anything is written."""
        writes = self.cloud.writes
        refused = self.setup_fails(error, words, hint, **more)
        assert self.cloud.writes == writes
        return refused

    @contextmanager
    def no_writes(self) -> Iterator[None]:
        """Check that the block writes nothing."""
        writes = self.cloud.writes
        yield
        assert self.cloud.writes == writes

    def idle(self, **more: Any) -> bool:
        """Whether another setup, which must succeed, writes nothing."""
        writes = self.cloud.writes
        self.setup(**more)
        return self.cloud.writes == writes

    def rotate(self, key: str, **more: Any) -> Session:
        """rotate-key to this key."""
        session = replace(self, key=key).session(**more)
        rotation.rotate(session, yes=True, interactive=False)
        return session

    def teardown(self, *, restore: bool = False, **more: Any) -> Session:
        session = self.session(**more)
        teardown.teardown(session, restore=restore, yes=True, interactive=False)
        return session

    def happens(self, *actions: Mapping[str, Any], **moment: Any) -> None:
        """Have others act: at once, or once at a moment such as `after="DeleteSecret"`."""
        script = EventScript.model_validate({**(moment or {"at": 0}), "do": list(actions)})
        if moment:
            self.cloud.world.schedule(script)
        else:
            script.apply(self.cloud.world.builder)

    def fault(self, operation: str, do: Mapping[str, Any], **when: Any) -> None:
        """Disturb the requests of an operation from now on."""
        self.cloud.world.faults.faults.append(Fault.model_validate({"op": operation, "when": when, "do": do}))

    def id_of(self, name: str) -> str:
        """A principal's object id."""
        return str(self.tenant.named(name).object_id)

    @property
    def stored(self) -> list[str]:
        """The key's versions, the oldest first."""
        secret = self.vault.secrets.get("wandb-api-key")
        return [version.value for version in secret.versions] if secret else []

    @property
    def tenant(self) -> Tenant:
        return self.cloud.world.tenant

    @property
    def account(self) -> Account:
        (account,) = self.tenant.accounts.values()
        return account

    @property
    def vault(self) -> Any:
        return self.tenant.vaults["kv-ml"]

    @property
    def role_assignments(self) -> Collection[Assignment]:
        return self.tenant.rbac.assignments.values()


def _known(key: Key, base_url: str | None, entity: str | None) -> WandbAccount:
    """W&B, where W&B is not the point."""
    del key, base_url
    return WandbAccount("sync-bot", entity or "acme", ("acme",), may_write=True)


def _no_prompt_expected() -> Key:
    raise AssertionError("no prompt for a key is expected")
