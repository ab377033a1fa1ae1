"""The report of a sync, while it runs and at its end, shows each fact once, and nothing that did not happen."""

from collections.abc import Iterable

import pytest

from function_app.cli.report import Table
from function_app.models import Outcome, Result

URL = "https://wandb.example/acme/fine-tuning/runs/"


def outcome(number: int, result: Result, **values: object) -> Outcome:
    job = f"ftjob-{number:032x}"
    usual = {"account": "aoai-ml", "status": "running", "run_url": URL + job}
    return Outcome(job=job, result=result, **(usual | values))  # type: ignore[arg-type] # as the tests say


def shown(
    capsys: pytest.CaptureFixture[str], outcomes: Iterable[Outcome], *, everything: bool = False, stopped: bool = False
) -> tuple[str, list[str]]:
    """Stdout with its line breaks taken out, and the lines on stderr."""
    table = Table(everything=everything, width=100)
    if stopped:
        table.stops()
    last = {}
    for each in outcomes:
        table.outcome(each)
        last[each.account, each.job] = each
    table.done([*last.values()], interrupted=stopped)
    captured = capsys.readouterr()
    return " ".join(captured.out.split()), captured.err.splitlines()


def test_a_link_is_shown_once_and_every_pass_with_an_action_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    snapshots = [outcome(1, Result.SYNCED, steps=steps, last_step=9) for steps in (6, 0, 3)]
    text, _ = shown(capsys, snapshots)
    assert text.count(URL) == 1
    assert ("6 new steps" in text, "3 new steps" in text, "nothing new" in text) == (True, True, False)


@pytest.mark.parametrize("result", [Result.CURRENT, Result.SKIPPED])
def test_unchanged_jobs_are_counted_and_only_listed_with_v(capsys: pytest.CaptureFixture[str], result: Result) -> None:
    jobs = [outcome(number, result, message="it logs by itself") for number in range(3)]
    text, [counted, *_] = shown(capsys, jobs)
    assert (text, counted) == ("", f"3 jobs: 3 {result}; -v lists those that are {result}")
    text, [counted, *_] = shown(capsys, jobs, everything=True)
    assert (text.count("ftjob-0"), counted) == (6, f"3 jobs: 3 {result}")  # each and its link


def test_each_reason_for_skipping_jobs_is_shown_once(capsys: pytest.CaptureFixture[str]) -> None:
    reasons = ["it logs by itself", "it logs by itself", "its run was deleted"]
    _, [_, *lines] = shown(capsys, [outcome(number, Result.SKIPPED, message=why) for number, why in enumerate(reasons)])
    assert lines == ["2 skipped: it logs by itself.", "1 skipped: its run was deleted."]


def test_an_error_of_many_jobs_is_shown_once_with_its_hint(capsys: pytest.CaptureFixture[str]) -> None:
    failed = [outcome(number, Result.FAILED, message="W&B says no", hint="Ask W&B.") for number in range(4)]
    text, lines = shown(capsys, failed)
    assert (text.count("W&B says no"), text.count("the same"), text.count("failed")) == (1, 3, 4)
    assert lines == ["4 jobs: 4 failed", "4 failed: W&B says no. Ask W&B."]


def test_an_unreachable_account_is_not_counted_as_a_job(capsys: pytest.CaptureFixture[str]) -> None:
    account = Outcome("", "aoai-eu", Result.FAILED, message="No token.", hint="Run az login.")
    text, lines = shown(capsys, [account, outcome(1, Result.SYNCED, steps=1)])
    assert "failed (aoai-eu)" in text
    assert lines == ["1 job: 1 synced; 1 unreachable account", "1 failed: No token. Run az login."]


def test_after_ctrl_c_unstarted_jobs_are_counted_and_interrupted_ones_shown(capsys: pytest.CaptureFixture[str]) -> None:
    broken_off = outcome(1, Result.PENDING, message="interrupted before the end", steps=4)
    text, lines = shown(capsys, [broken_off, outcome(2, Result.PENDING, message="no run in W&B yet")], stopped=True)
    assert "interrupted before the end; 4 new steps" in text
    assert "no run" not in text
    assert (lines[0].partition(".")[0], lines[1]) == ("Stopping", "2 jobs: 2 pending")
    assert lines[-2].startswith("error    Interrupted.")


@pytest.mark.parametrize(("actions", "what"), [((), "nothing new"), (("1 dataset",), "1 dataset")])
def test_the_estimated_end_is_shown(capsys: pytest.CaptureFixture[str], actions: tuple[str, ...], what: str) -> None:
    figures = {"estimated_finish": "2026-11-30T14:20:33Z"}
    printed, _ = shown(capsys, [outcome(1, Result.SYNCED, actions=actions, figures=figures)])
    assert f"{what}; expected to end at 2026-11-30 14:20:33 UTC" in printed
