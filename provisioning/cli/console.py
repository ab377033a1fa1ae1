"""What the operator sees. Data goes to stdout, everything else to stderr; colour is never the only sign."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from rich.console import Console
from rich.status import Status
from rich.text import Text

from provisioning.checks.diagnosis import Check, State
from provisioning.cli.columns import Columns, Row, lines, wrapped
from provisioning.durations import spell
from provisioning.errors import ProvisioningError
from provisioning.models import Caller, Subscription
from provisioning.planning.steps import Plan, Step, Verb

_SIGNS = {
    Verb.ALREADY: ("ok", "green"),
    Verb.ADD: ("+ add", "cyan"),
    Verb.CHANGE: ("~ change", "yellow"),
    Verb.REMOVE: ("- remove", "magenta"),
    Verb.WAIT: (". wait", "dim"),
    Verb.NOTE: ("! note", "yellow"),
}
_STATES = {State.OK: "green", State.WARNING: "yellow", State.FAILED: "bold red", State.SKIPPED: "dim"}
_PLANNED = Columns(lead=2, sign=9)
_CHECKED = Columns(lead=2, sign=9, about=17)
_TOLD = Columns(lead=0, sign=9)
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
        self._say(self._err, text, style)

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
        counts = f"{len(plan.changes)} to change, {len(plan.already)} already so"
        self._say(console, f"Plan for {plan.about}: {counts}", "bold")
        self._width = max((len(s.resource) for s in plan.steps), default=0)
        for step in plan.steps:
            sign, style = _SIGNS[step.verb]
            self._row(
                console, Row(sign, step.resource, step.detail, step.why, step.danger, step.command, style), _PLANNED
            )
        for loss in plan.losses:
            self._row(console, Row("! loses", "", f"{loss.principal}: {loss.reason}", style="red"), _PLANNED)

    def check(self, check: Check) -> None:
        """One link of the chain, as soon as it is known; the document says it in the end."""
        if not self.as_json:
            row = Row(check.state.value, check.name, check.seen, command=check.remedy, style=_STATES[check.state])
            self._row(self._out, row, _CHECKED)

    def done(self, step: Step, seconds: float, note: str) -> None:
        """A step is done."""
        sign = "waited" if step.verb is Verb.WAIT else "done"
        what = step.detail + (f"; {note}" if note else "") + f"  {spell(timedelta(seconds=seconds))}"
        self._row(self._err, Row(sign, step.resource, what, style="green"), _TOLD)

    def _say(self, console: Console, text: str, style: str) -> None:
        self._quiet()
        for line in wrapped(text, console.width) if console.is_terminal else [text]:
            console.print(Text(line, style=style))

    def _row(self, console: Console, row: Row, columns: Columns) -> None:
        self._quiet()
        for line in lines(row, replace(columns, about=columns.about or self._width), console):
            console.print(line)

    def waiting(self, what: str, elapsed: timedelta, budget: timedelta) -> None:
        """Still waiting: a line that renews itself on a terminal, elsewhere one every half minute."""
        line = f"waiting  for {what}: {spell(timedelta(seconds=int(elapsed.total_seconds())))} of {spell(budget)}"
        if self._err.is_terminal and not self._err.is_dumb_terminal:
            if self._status is None:
                self._status = self._err.status("", spinner="line")
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
        """Ask on the terminal; anything but yes is no, Ctrl-D too."""
        self._quiet()
        self._err.print(f"{question} [y/N] ", end="")
        try:
            return input().strip().lower() in ("y", "yes")
        except EOFError:
            self._err.print()
            return False

    # --- answering ---------------------------------------------------------------------------------------------

    def answer(self, document: Mapping[str, Any], said: Sequence[str | Row]) -> None:
        """The command's result: lines for people, the document for programs, which is ASCII whatever the locale."""
        self._quiet()
        if self.as_json:
            self._out.file.write(json.dumps(document, indent=2) + "\n")
            self._out.file.flush()  # a reader who is gone shows here, and not when Python ends
            return
        rows = [each for each in said if isinstance(each, Row)]
        columns = Columns(2, max((len(r.sign) + 2 for r in rows if r.sign), default=0))
        self._width = max((len(r.about) for r in rows), default=0)
        for each in said:
            if isinstance(each, Row):
                self._row(self._out, each, columns)
            else:
                self._out.print(each)

    def failed(self, error: ProvisioningError, document: Mapping[str, Any]) -> None:
        """What went wrong and what to do next."""
        self._quiet()
        if self.as_json:
            shown = {"code": error.code, "message": error.message, "hint": error.hint}
            self.answer({"ok": False, "error": shown, **document}, ())
            return
        self._row(self._err, Row("error", "", error.message, style="bold red"), _TOLD)
        self._err.print(Text.assemble(("next     ", "bold"), error.hint))
