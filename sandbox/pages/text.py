"""The page's content for a terminal: plain text in at most 100 columns."""

from collections.abc import Iterator, Sequence
from textwrap import wrap

from sandbox.pages.chain import chains
from sandbox.pages.format import count, number, shortened
from sandbox.pages.runs import RunView, collections, jobs, runs, totals
from sandbox.world import World

WIDTH = 100
_SYMBOLS = {"ok": "✓", "waiting": "◷", "bad": "✕", "off": "○"}
_DEEP = " " * 6
_NAME = 30  # characters of a run's name
_MOST = 20  # lines of one kind; the page has more


def summary(world: World) -> str:
    """Write the chain, the runs and the totals."""
    parts = [_chain(world), _runs(world), _total(world)]
    return "\n\n".join("\n".join(shortened(_printable(line), WIDTH) for line in part) for part in parts)


def _printable(line: str) -> str:
    """Replace control characters: people choose the names of runs."""
    return "".join(c if c.isprintable() else "\ufffd" for c in line)


def _chain(world: World) -> Iterator[str]:
    yield f"The chain, at {world.virtual_time()}"
    for account, links in chains(world):
        yield f"  {account}"
        for link in links:
            yield f"    {_SYMBOLS[link.mark]} {link.title:<24} {link.words}" + (
                f" ({link.detail})" if link.detail else ""
            )


def _runs(world: World) -> Iterator[str]:
    all_runs, all_jobs = totals(world)
    shown = runs(world, _MOST)
    yield f"Runs in W&B: {all_runs:,} ({_SYMBOLS['ok']} agrees with Azure)"
    yield f"    {'run':<{_NAME}} {'state':<9} {'step':>14} {'train_loss':>10}"
    by_id = {job.id: job for job in jobs(world, shown, _MOST)}
    for run in shown:
        yield _run(run, _SYMBOLS[by_id[run.id].agreement.mark] if run.id in by_id else " ")
        if run.error:
            yield from wrap(run.error, WIDTH, initial_indent=_DEEP, subsequent_indent=_DEEP)
    yield from _rest(all_runs, "run")
    yield from (
        f"  {job.id}: {job.status} in Azure, {job.agreement.words}" for job in by_id.values() if job.run is None
    )
    yield from _rest(all_jobs, "job")


def _run(run: RunView, mark: str) -> str:
    losses = [value for _, value in run.series.get("train_loss", ())]
    loss = number(losses[-1]) if losses else "–"
    steps = f"{run.steps:,}" + (f" of {run.of:,}" if run.of else "")
    name = run.run.name
    if len(name) > _NAME or name.split()[-1:] != [run.id.removeprefix("ftjob-")[:6]]:
        name = f"{shortened(name, _NAME - 6)} …{run.id[-4:]}"  # the name alone does not distinguish runs
    return f"  {mark} {name:<{_NAME}} {run.state:<9} {steps:>14} {loss:>10}"


def _total(world: World) -> Iterator[str]:
    found = collections(world)
    versions = count(sum(len(each.versions) for each in found), "version")
    yield f"Datasets and models in W&B: {len(found)}, with {versions}"
    yield f"Traffic: {count(world.trace.requests, 'request')}, {count(len(world.trace.writes()), 'write')}"


def _rest(total: int, thing: str) -> Sequence[str]:
    return [f"  … and {count(total - _MOST, f'more {thing}')}"] if total > _MOST else []
