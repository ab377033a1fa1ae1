"""The operator's screen. Data goes to stdout, everything else to stderr. Color is never the only carrier of a meaning."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import zip_longest
from typing import Any

from rich.console import Console
from rich.status import Status
from rich.text import Text

from provisioning.checks.report import Check, State
from provisioning.cli.output.columns import Columns, Row, lines, printable, wrapped
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
_PLAN_COLUMNS = Columns(lead=2, sign=9)
_CHECK_COLUMNS = Columns(lead=2, sign=9, about=17)
_PROOF_COLUMNS = Columns(lead=0, sign=15, about=22)
_MESSAGE_COLUMNS = Columns(lead=0, sign=9)
_WAIT_LINE_EVERY = timedelta(seconds=30)
"""Time between two lines about a wait, on a stream that cannot rewrite a line."""


class Ui:
    """Writes to the operator's screen. With `as_json`, stdout gets exactly one JSON document, also on failure."""

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json
        self._out = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
        self._err = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)
        self._status: Status | None = None
        self._waited: dict[str, timedelta] = {}
        self._width = 0  # width of the column with resource names

    # --- progress ----------------------------------------------------------------------------------------------

    def note(self, text: str, style: str = "") -> None:
        """Print a note on stderr."""
        self._print(self._err, text, style)

    def signed_in(self, caller: Caller, subscription: Subscription) -> None:
        """Print the signed-in principal and the subscription."""
        self.note(
            f"Signed in as {caller.name} through {caller.via}, subscription {subscription.name} (…{subscription.id[-4:]})"
        )

    def plan(self, plan: Plan) -> None:
        """Print the plan as the result, on stdout, unless the JSON document contains it."""
        if not self.as_json:
            self._steps(self._out, plan)

    def proposal(self, plan: Plan) -> None:
        """Print the plan that is about to be applied."""
        self._steps(self._err, plan)

    def _steps(self, console: Console, plan: Plan) -> None:
        counts = f"{len(plan.changes)} to change, {len(plan.already)} unchanged"
        self._print(console, f"Plan for {plan.about}: {counts}", "bold")
        self._width = max((len(s.resource) for s in plan.steps), default=0)
        for step in plan.steps:
            sign, style = _SIGNS[step.verb]
            row = Row(sign, step.resource, step.detail, step.why, step.danger, step.command, style)
            self._row(console, row, _PLAN_COLUMNS)
        for loss in plan.losses:
            self._row(console, Row("! loses", "", f"{loss.principal}: {loss.reason}", style="red"), _PLAN_COLUMNS)

    def check(self, check: Check) -> None:
        """Print a result of doctor as soon as it is known, unless the JSON document contains it."""
        if not self.as_json:
            row = Row(check.state.value, check.name, check.seen, command=check.remedy, style=_STATES[check.state])
            self._row(self._out, row, _CHECK_COLUMNS)

    def done(self, step: Step, seconds: float, note: str) -> None:
        """Print a step that is done."""
        sign = "waited" if step.verb is Verb.WAIT else "done"
        what = step.detail + (f"; {note}" if note else "") + f"  {spell(timedelta(seconds=seconds))}"
        self._row(self._err, Row(sign, step.resource, what, style="green"), _MESSAGE_COLUMNS)

    def waiting(self, what: str, elapsed: timedelta, budget: timedelta) -> None:
        """Show a wait: a line that updates on a terminal, or a new line every half minute elsewhere."""
        line = f"waiting  for {printable(what)}: {spell(timedelta(seconds=int(elapsed.total_seconds())))} of {spell(budget)}"
        if self._err.is_terminal and not self._err.is_dumb_terminal:
            if self._status is None:
                self._status = self._err.status("", spinner="line")
                self._status.start()
            self._status.update(Text(line))
            return
        last = self._waited.get(what)
        if last is None or elapsed < last or elapsed - last >= _WAIT_LINE_EVERY:
            self._waited[what] = elapsed
            self._err.print(line)

    def tried(self, name: str, result: str, seen: str) -> None:
        """Print a step of a proof as soon as it has ended."""
        style = {"holds": "green", "does not hold": "bold red"}.get(result, "dim")
        self._row(self._err, Row(result, name, seen, style=style), _PROOF_COLUMNS)

    def confirm(self, question: str) -> bool:
        """Ask on the terminal. Any answer but yes means no, and so does Ctrl-D."""
        return self.ask(f"{question} [y/N]").lower() in ("y", "yes")

    def ask(self, question: str) -> str:
        """Ask on the terminal, and return the answer. Ctrl-D is an empty one."""
        self._stop_status()
        self._err.print(f"{printable(question)} ", end="")
        try:
            return input().strip()
        except EOFError:
            self._err.print()
            return ""

    # --- results -----------------------------------------------------------------------------------------------

    def answer(self, document: Mapping[str, Any], summary: Sequence[str | Row]) -> None:
        """Print the command's result: the summary, or the document in ASCII."""
        self._stop_status()
        if self.as_json:
            self._out.file.write(json.dumps(document, indent=2) + "\n")
            self._out.file.flush()  # a closed pipe must fail here, not when Python exits
            return
        rows = [each for each in summary if isinstance(each, Row)]
        columns = Columns(2, max((len(r.sign) + 2 for r in rows if r.sign), default=0))
        self._width = max((len(r.about) for r in rows), default=0)
        for each in summary:
            if isinstance(each, Row):
                self._row(self._out, each, columns)
            else:
                self._out.print(printable(each))

    def failed(self, error: ProvisioningError, document: Mapping[str, Any]) -> None:
        """Print what went wrong and what to do next."""
        self._stop_status()
        if self.as_json:
            shown = {"code": error.code, "message": error.message, "hint": error.hint}
            self.answer({"ok": False, "error": shown, **document}, ())
            return
        self._row(self._err, Row("error", "", error.message, style="bold red"), _MESSAGE_COLUMNS)
        self._err.print(Text.assemble(("next     ", "bold"), printable(error.hint)))

    # --- lines -------------------------------------------------------------------------------------------------

    def _print(self, console: Console, text: str, style: str) -> None:
        self._stop_status()
        for line in wrapped(printable(text), console.width) if console.is_terminal else [printable(text)]:
            console.print(Text(line, style=style))

    def _row(self, console: Console, row: Row, columns: Columns) -> None:
        self._stop_status()
        for line in lines(row, replace(columns, about=columns.about or self._width), console):
            console.print(line)

    def _stop_status(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None


def wants_json(arguments: Sequence[str]) -> bool:
    """Whether a command line that click could not parse asks for JSON."""
    return any(
        word in ("-ojson", "--output=json") or (word in ("-o", "--output") and after == "json")
        for word, after in zip_longest(arguments, arguments[1:])
    )
