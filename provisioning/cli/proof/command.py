"""prove: show what it will do and cost, do what can be done unattended, ask for the rest, delete everything, report."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from provisioning import shell
from provisioning.azure.client import Azure
from provisioning.cli.arguments.deployment_options import PROOF_GROUP
from provisioning.cli.output import documents
from provisioning.cli.proof.report import Report, Result, TriedStep
from provisioning.cli.proof.steps import BY_HAND, NOTHING, UNATTENDED, Step
from provisioning.cli.proof.trial import MARK, NotPossibleError, Trial
from provisioning.cli.session import Session
from provisioning.errors import (
    DeclinedError,
    InterruptedByUserError,
    NotAsModelledError,
    NotConfirmedError,
    ProvisioningError,
)
from provisioning.wandb_key import Key


@dataclass(frozen=True)
class Options:
    """The choices of the operator. `report` is the file for the report; None means a name with version and date."""

    location: str
    project: str
    new_key: Key | None
    report: Path | None
    yes: bool
    interactive: bool


def clean(session: Session, location: str) -> None:
    """Delete what an interrupted run left behind."""
    azure = session.sign_in()
    trial = _trial(session, azure, location)
    found = trial.clean()
    actor = documents.signed_in(azure.caller, azure.subscription)
    session.ui.answer(
        {"ok": True, **actor, "tried": [], "deleted": found},
        [f"Deleted {trial.group.name}." if found else "Nothing to delete."],
    )


def prove(session: Session, options: Options, *, dry_run: bool) -> None:
    """Run the proof. Whatever happens, delete what it created, and write the report.

    Raises:
        NotAsModelledError: a step does not hold.
        UsageError: the report cannot be written.
        NotOursError: the resource group is not one that `prove` created.
        InterruptedByUserError: Ctrl-C was pressed. Everything that was created is deleted.
    """
    azure = session.sign_in()
    session.facts |= documents.signed_in(azure.caller, azure.subscription)
    trial = replace(_trial(session, azure, options.location), new_key=options.new_key, project=options.project)
    _show(trial, asks=options.interactive and not options.yes)
    if dry_run:
        session.ui.answer({"ok": True, **session.facts, "tried": []}, ())
        return
    _consent(session, options)
    key = session.provided_key() or session.prompt_for_key()
    session.check(key)
    report = Report(session.clock.now(), azure.cloud, options.location)
    report.write(options.report)  # before anything is created
    _run(replace(trial, key=key), report, options)
    if failures := [each.step.name for each in report.tried if each.result is Result.FAILS]:
        raise NotAsModelledError(
            f"{len(failures)} of {len(report.tried)} steps do not hold: {', '.join(failures)}.",
            hint=f"Attach {session.facts['report']} to an issue: it names nobody. What is above may name your resources.",
        )
    session.ui.answer(
        {"ok": True, **session.facts},
        [f"{report.counts}.", f"Report: {session.facts['report']}. It contains no ids, names or keys."],
    )


def _trial(session: Session, azure: Azure, location: str) -> Trial:
    return Trial(session, azure, azure.proof_group(session.target.resource_group or PROOF_GROUP), location)


def _show(trial: Trial, *, asks: bool) -> None:
    note, minutes = trial.session.ui.note, sum(each.minutes for each in UNATTENDED)
    note(
        f"prove creates resource group {trial.group.name} in {trial.location}, tries this in it, and deletes it. "
        f"It takes about {minutes} minutes.",
        "bold",
    )
    for each in UNATTENDED:
        about = [f"{each.minutes} min"]
        about += [f"costs {each.cost}"] if each.cost != NOTHING else []
        about += [f"needs {each.needs}"] if each.needs else []
        note(f"  {each.name:<22} {each.evidence} ({', '.join(about)})")
    note(f"{'Then it asks what you have tried' if asks else 'To be tried'} by hand (docs/evidence.md says how):")
    for each in BY_HAND:
        note(f"  {each.evidence}" + (f" (costs {each.cost})" if each.cost != NOTHING else ""))


def _consent(session: Session, options: Options) -> None:
    if options.yes:
        return
    if not options.interactive:
        raise NotConfirmedError(
            "No terminal to ask for consent. Nothing was written.", hint="Read the list above, then pass --yes."
        )
    if not session.ui.confirm("Do this?"):
        raise DeclinedError("Nothing was written.", hint="Run the command again to do it.")


def _run(trial: Trial, report: Report, options: Options) -> None:
    session = trial.session
    if trial.clean():
        session.ui.note(f"Deleted what an earlier run left behind in {trial.group.name}.")
    interrupted = False
    try:
        trial.group.create(trial.location, {MARK: trial.location})
        for each in _unattended(trial, report):
            session.ui.tried(each.step.name, each.result, each.seen)
        for step in BY_HAND:
            asked = options.interactive and not options.yes
            report.tried.append(_tried_by_hand(session, step) if asked else TriedStep(step, Result.NOT_TRIED))
    except KeyboardInterrupt:
        interrupted = True
    finally:
        session.facts["tried"] = [each.document() for each in report.tried]
        try:
            session.facts["report"] = str(report.write(options.report))
        finally:
            _delete(trial)
    if interrupted:
        raise InterruptedByUserError(
            "Interrupted. Everything that was created is deleted.", hint="Run the command again to start over."
        )


def _unattended(trial: Trial, report: Report) -> Iterator[TriedStep]:
    ended: dict[str, Result] = {"": Result.HOLDS}
    for step in UNATTENDED:
        trial.session.ui.note(f"… {step.name}")
        each = _try(trial, step, ended)
        ended[step.name] = each.result
        report.tried.append(each)
        yield each


def _try(trial: Trial, step: Step, ended: Mapping[str, Result]) -> TriedStep:
    if step.run is None or ended[step.after] is not Result.HOLDS:
        return TriedStep(step, Result.NOT_TRIED, reason=f"because {step.after!r} does not hold")
    try:
        return TriedStep(step, Result.HOLDS, step.run(trial))
    except NotPossibleError as missing:
        return TriedStep(step, Result.NOT_POSSIBLE, reason=str(missing))
    except ProvisioningError as error:
        return TriedStep(step, Result.FAILS, code=error.code, reason=f"{error.message} {error.hint}")


def _tried_by_hand(session: Session, step: Step) -> TriedStep:
    answer = session.ui.ask(f"{step.evidence} Does it hold? [y/n, Enter if you did not try it]")
    return TriedStep(step, {"y": Result.HOLDS, "n": Result.FAILS}.get(answer[:1].lower(), Result.NOT_TRIED))


def _delete(trial: Trial) -> None:
    """Delete everything.

    Raises:
        InterruptedByUserError: Ctrl-C was pressed, and some resources are left.
    """
    trial.session.ui.note(f"Deleting {trial.group.name}. Azure may take some minutes.")
    try:
        trial.clean()
    except KeyboardInterrupt:
        raise InterruptedByUserError(
            f"Interrupted. Some of {trial.group.name} is left.",
            hint=shell.command(*shell.program(), "prove", "--clean"),
        ) from None
