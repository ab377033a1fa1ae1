"""A running scenario: its tenant, its services, its clock. The server serves it; a test may inspect it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sandbox.azure.arm.service import Arm
from sandbox.azure.entra import Entra
from sandbox.azure.graph import Graph
from sandbox.azure.identity import SignedInMachines, Tokens
from sandbox.azure.key_vault import KeyVault
from sandbox.azure.logs import Logs
from sandbox.azure.openai.service import OpenAI, OpenAIAccount
from sandbox.azure.storage import Storage
from sandbox.azure.tenant import Account
from sandbox.runtime.clock import Clock
from sandbox.runtime.events import Event, Events
from sandbox.runtime.faults import Faults, Gate
from sandbox.runtime.http import Call, Reply, Service, ServiceError
from sandbox.runtime.trace import Trace
from sandbox.scenario.events import EventScript
from sandbox.scenario.reader import Scenario
from sandbox.wandb.service import Wandb

Page = Callable[["World", Call], Reply | None]


class World:
    """The state behind the host names. The order of `services` does not matter, because hosts do not overlap."""

    def __init__(
        self,
        scenario: Scenario,
        sessions: dict[str, str],
        denied: list[str],
        *,
        trace: Path | None = None,
        page: Page | None = None,
    ) -> None:
        self.scenario = scenario
        self.clock = Clock(scenario.clock.start, rate=scenario.clock.rate)
        self.builder = scenario.builder(self.clock)
        self.tenant = self.builder.tenant
        self.events = Events(self.clock)
        for event in scenario.events:
            self.schedule(event)
        self.faults = Faults(list(scenario.faults))
        self.gate = Gate()
        self.latency = scenario.latency
        self.trace = Trace(trace)
        self.unmodelled: list[str] = []
        self.denied = denied  # requested host names that belong to no service here
        self._page = page
        tokens = Tokens(self.tenant)
        self.desk = SignedInMachines(self.tenant, tokens, sessions)
        self.entra = Entra(self.tenant, tokens)
        self.wandb = Wandb(scenario.wandb.build(self.clock))
        self.openai = OpenAI(
            scenario.openai_accounts(self.builder),
            self.clock,
            tokens.verify,
            lambda caller, action, resource: self.tenant.may(caller.object_id, action, resource, data=True),
            audiences=self.tenant.names.openai_audiences,
        )
        self.tenant.account_added = self._serve
        self.tenant.account_removed = lambda account: self.openai.remove(account.id)
        self.storage = Storage(self.clock, tokens.verify)
        self.services: Sequence[Service] = (
            self.entra,
            Graph(self.tenant, tokens),
            Arm(self.tenant, tokens),
            KeyVault(self.tenant, tokens),
            Logs(self.tenant, tokens),
            self.openai,
            self.wandb,
            self.storage,
        )

    def schedule(self, event: EventScript) -> Event:
        """Add an event to those of the scenario; requests and virtual seconds count from now."""
        scheduled = Event(event, lambda: event.apply(self.builder), event.label)
        self.events.add(scheduled)
        return scheduled

    def serves(self, host: str) -> bool:
        """Whether some service answers for this host name."""
        return any(s.serves(host) for s in self.services)

    def virtual_time(self) -> str:
        """Now, as ISO."""
        return self.clock.now().isoformat(timespec="seconds")

    def local(self, call: Call) -> Reply | None:
        """Plain requests on loopback. None: W&B's API over plain HTTP, for programs that cannot use our CA."""
        try:
            if call.path == "/msi/token":
                return self.desk.managed_identity(call)
            if call.path == "/metadata/identity/oauth2/token":
                raise ServiceError(400, {"error": "invalid_request", "error_description": "Identity not found"})
            if call.path.startswith("/_sandbox/"):
                return self._control(call)
        except ServiceError as refused:
            return refused.reply
        return self._page(self, call) if self._page else None

    def _control(self, call: Call) -> Reply:
        what = call.path.removeprefix("/_sandbox/")
        if what == "token":
            return self.desk.cli_token(call)
        if what == "device":
            return self.entra.approve(call)
        if what == "clock":
            if call.method == "POST":
                self.clock.advance(float(call.json["advance"]))
            return Reply(200, {"now": self.virtual_time()})
        if what == "counts":
            return Reply(200, self.counts())
        if what == "events":
            if call.method == "POST":
                self.schedule(EventScript.model_validate(call.json))
            return Reply(200, {"happened": self.events.log, "pending": [str(e) for e in self.events.pending]})
        raise ServiceError(404, {"error": f"no such control: {what}"})

    def counts(self) -> dict[str, Any]:
        """Requests and writes so far, by operation."""
        writes = [e.operation for e in self.trace.writes()]
        return {"requests": self.trace.requests, "writes": len(writes), "operations": dict(self.trace.counts)}

    def _serve(self, account: Account) -> None:
        host = urlsplit(account.endpoint).hostname
        self.openai.add(OpenAIAccount(name=account.name, resource_id=account.id, endpoint=host))
