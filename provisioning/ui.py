"""What the operator sees. Data goes to stdout, everything else to stderr; colour is never the only sign."""

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from rich.console import Console
from rich.status import Status
from rich.text import Text

from .diagnosis import Check, State
from .errors import ProvisioningError
from .model import Caller, Subscription
from .steps import Plan, Step, Verb
from .timespan import spell

_SIGNS = {
    Verb.ALREADY: ("ok", "green"),
    Verb.ADD: ("+ add", "cyan"),
    Verb.CHANGE: ("~ change", "yellow"),
    Verb.REMOVE: ("- remove", "magenta"),
    Verb.WAIT: (". wait", "dim"),
    Verb.NOTE: ("! note", "yellow"),
}
_STATES = {State.OK: "green", State.WARNING: "yellow", State.FAILED: "bold red", State.SKIPPED: "dim"}
_SAY_EVERY = timedelta(seconds=30)
"""How often a wait is mentioned where no line can be rewritten."""


class Ui:
    """Talks to the operator. With `as_json`, stdout gets exactly one JSON document, whatever happens."""

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json
        self._out = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
        self._err = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)
        self._status: Status | None = None
        self._waited: dict[str, timedelta] = {}
        self._width = 0  # of the column that names resources

    # --- saying ------------------------------------------------------------------------------------------------

    def note(self, text: str, style: str = "") -> None:
        """Something to know, on stderr."""
        self._quiet()
        self._err.print(Text(text, style=style))

    def signed_in(self, caller: Caller, subscription: Subscription) -> None:
        """Who acts, and where."""
        self.note(
            f"Signed in as {caller.name} through {caller.via}, subscription {subscription.name} (…{subscription.id[-4:]})"
        )

    def plan(self, plan: Plan) -> None:
        """The plan as the answer: on stdout, unless the document says it."""
        if not self.as_json:
            self._steps(self._out, plan)

    def proposal(self, plan: Plan) -> None:
        """The plan as what is about to happen."""
        self._steps(self._err, plan)

    def _steps(self, console: Console, plan: Plan) -> None:
        self._quiet()
        counts = f"{len(plan.changes)} to change, {len(plan.already)} already so"
        console.print(Text(f"Plan for {plan.about}: {counts}", style="bold"))
        self._width = max((len(s.resource) for s in plan.steps), default=0)
        for step in plan.steps:
            sign, style = _SIGNS[step.verb]
            console.print(
                Text.assemble(
                    (f"  {sign:<9}", style),
                    f"{step.resource:<{self._width}}  {step.detail}",
                    (f"  ({step.why})" if step.why else "", "dim"),
                    (f"  ! {step.danger}" if step.danger else "", "bold yellow"),
                )
            )
        for loss in plan.losses:
            console.print(Text(f"  ! loses     {loss.principal}: {loss.reason}", style="red"))

    def check(self, check: Check) -> None:
        """One link of the chain, as soon as it is known; the document says it in the end."""
        if self.as_json:
            return
        self._quiet()
        sign, style = check.state.value, _STATES[check.state]
        self._out.print(Text.assemble((f"  {sign:<9}", style), f"{check.name:<17}  {check.seen}"))
        if check.remedy:
            self._out.print(Text.assemble((f"  {'':<9}next  ", "bold"), check.remedy))

    def done(self, step: Step, seconds: float, note: str) -> None:
        """A step is done."""
        what = step.detail + (f"; {note}" if note else "")
        self._quiet()
        self._err.print(
            Text.assemble(
                ("waited   " if step.verb is Verb.WAIT else "done     ", "green"),
                f"{step.resource:<{self._width}}  {what}",
                (f"  {spell(timedelta(seconds=seconds))}", "dim"),
            )
        )

    def waiting(self, what: str, elapsed: timedelta, budget: timedelta) -> None:
        """Still waiting: a line that renews itself on a terminal, elsewhere one every half minute."""
        line = f"waiting  for {what}: {spell(elapsed)} of {spell(budget)}"
        if self._err.is_terminal:
            if self._status is None:
                self._status = self._err.status("")
                self._status.start()
            self._status.update(Text(line))
            return
        last = self._waited.get(what)
        if last is None or elapsed < last or elapsed - last >= _SAY_EVERY:
            self._waited[what] = elapsed
            self._err.print(line)

    def _quiet(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None

    def confirm(self, question: str) -> bool:
        """Ask on the terminal; anything but yes is no."""
        self._quiet()
        self._err.print(f"{question} [y/N] ", end="")
        return input().strip().lower() in ("y", "yes")

    # --- answering ---------------------------------------------------------------------------------------------

    def answer(self, document: Mapping[str, Any], lines: Sequence[str]) -> None:
        """The command's result: lines for people, the document for programs."""
        self._quiet()
        if self.as_json:
            sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
            return
        for line in lines:
            self._out.print(line)

    def failed(self, error: ProvisioningError, document: Mapping[str, Any]) -> None:
        """What went wrong and what to do next."""
        self._quiet()
        if self.as_json:
            shown = {"code": error.code, "message": error.message, "hint": error.hint}
            self.answer({"ok": False, "error": shown, **document}, ())
            return
        self._err.print(Text.assemble(("error    ", "bold red"), error.message))
        self._err.print(Text.assemble(("next     ", "bold"), error.hint))
