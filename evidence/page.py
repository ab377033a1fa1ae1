"""docs/evidence.md from the records: pure, so that a test can say that nobody has written into it."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from .claims import Claim
from .records import Record, Records
from .unproven import Unproven

Since = Callable[[Claim, Record], int | None]
"""How many commits the code that a claim speaks of has had since its record; None when nobody can say."""

_HEAD = """\
# Evidence

Written by `make evidence`, which runs every command below and takes its last line; do not edit. `make evidence
WITH='--only speed'` runs one claim again, `WITH=--render` only writes this page. It is all shown on a laptop, against the
[sandbox](../sandbox): first, therefore, what that cannot show.

## Not proven without a real subscription
"""
_TABLE = """
## Claims

A command's exit status says whether its claim holds. A run is told with its commit; *N commits ago* counts those since then
that touched what the claim speaks of, and *with changes* is a run of code that was not committed as it was.
"""
_HEADER = """\
| claim | | figure | command | run |
|---|---|---|---|---|"""
_NO_REASON = "nobody has written down why."


@dataclass(frozen=True)
class Sight:
    """A claim and what there is to show for it."""

    claim: Claim
    record: Record | None
    since: int | None = None

    @property
    def word(self) -> str:
        """Whether it holds."""
        if self.record is None:
            return "not run"
        return "holds" if self.record.holds else "**does not hold**"


def sights(claims: Sequence[Claim], records: Records, since: Since) -> list[Sight]:
    """Each claim with the record of its command; a record of another command shows nothing for it."""
    found = []
    for claim in claims:
        record = records.get(claim.id)
        if record is None or record.command != claim.command:
            found.append(Sight(claim, None))
        else:
            found.append(Sight(claim, record, since(claim, record)))
    return found


def page(unproven: Sequence[Unproven], seen: Sequence[Sight]) -> str:
    """The whole page."""
    first = (f"* **{each.what}** {each.how}" for each in unproven)
    words = Counter(sight.word.strip("*") for sight in seen)
    counts = ", ".join(f"{count} {word}" for word, count in words.items())
    lines = [_HEAD, *first, _TABLE, f"Of {len(seen)} claims: {counts}.\n", _HEADER, *map(_row, seen), *_misses(seen)]
    return "\n".join(lines) + "\n"


def _row(sight: Sight) -> str:
    record = sight.record
    figure, run = ("", "") if record is None else (record.figure, _run(record, sight.since))
    return f"| {_cell(sight.claim.says)} | {sight.word} | {_cell(figure)} | `{sight.claim.command}` | {run} |"


def _run(record: Record, since: int | None) -> str:
    commit = f"`{record.commit}`" if record.commit else "no commit known"
    age = " (not in this history)" if since is None else f", {since} commit{'s' * (since > 1)} ago" if since else ""
    changes = " with changes" if record.changed else ""
    return f"{record.date[:10]}, {commit}{changes}{age}; {took(record.seconds)}; {record.machine}"


def took(seconds: float) -> str:
    """A duration for people."""
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def _misses(seen: Sequence[Sight]) -> Iterator[str]:
    missed = [(sight.claim, sight.record) for sight in seen if sight.record and not sight.record.holds]
    if missed:
        yield "\n## Missed\n\nEach with the last lines that its command printed."
    for claim, record in missed:
        yield f"\n**{claim.id}**: {claim.missed or _NO_REASON}\n"
        yield from ("```text", *record.said, "```")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
