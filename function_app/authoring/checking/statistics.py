"""Statistics of a training file for the decision to train: lengths, duplicates, short answers. No text is kept.

Examples and answers are compared by digest, so that each example takes only some tens of bytes of memory.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from heapq import heappush, heappushpop
from typing import Any

_LONGEST = 5
_BINS = 10
_SHORT_ANSWER = 40  # characters; a shorter answer is probably a label


@dataclass
class Statistics:
    """Statistics of one file.

    Attributes:
        tokens: the tokens of each example, in the order of the file.
        digests: how often each example occurs.
        answers: how often each short answer occurs, by digest.
        longest: (tokens, line) of the longest examples.
    """

    tokens: list[int] = field(default_factory=list)
    digests: Counter[bytes] = field(default_factory=Counter)
    answers: Counter[bytes] = field(default_factory=Counter)
    longest: list[tuple[int, int]] = field(default_factory=list)

    def add(self, example: Mapping[str, Any], messages: Iterable[Mapping[str, Any]], tokens: int, line: int) -> None:
        """Count an example."""
        self.tokens.append(tokens)
        self.digests[_digest(example)] += 1
        last = [*messages][-1]
        answer = last.get("content")
        if (
            last.get("role") in ("assistant", None)
            and isinstance(answer, str)
            and 0 < len(answer.strip()) <= _SHORT_ANSWER
        ):
            self.answers[_digest(answer.strip())] += 1
        if len(self.longest) < _LONGEST:
            heappush(self.longest, (tokens, line))
        else:
            heappushpop(self.longest, (tokens, line))

    @property
    def duplicates(self) -> int:
        """Number of examples that occur earlier in the file."""
        return self.digests.total() - len(self.digests)

    def shared_with(self, other: "Statistics") -> int:
        """Return the number of different examples that both files contain."""
        return len(self.digests.keys() & other.digests.keys())

    def histogram(self) -> list[tuple[int, int, int]]:
        """Return the number of examples by tokens, as (from, to, examples); ten bins at most, of equal width."""
        if not self.tokens:
            return []
        low, high = min(self.tokens), max(self.tokens)
        width = max(1, -(-(high - low + 1) // _BINS))
        counts = Counter((tokens - low) // width for tokens in self.tokens)
        last = (high - low) // width
        return [(low + each * width, low + (each + 1) * width - 1, counts[each]) for each in range(last + 1)]

    def quantile(self, share: float) -> int:
        """Return the number of tokens that this share of the examples does not exceed."""
        ordered = sorted(self.tokens)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0

    def document(self, other: "Statistics | None" = None) -> dict[str, Any]:
        """Return the statistics as a JSON document; `other` is the file to compare with."""
        most = self.answers.most_common(1)
        return {
            "histogram": [{"from": low, "to": high, "examples": count} for low, high, count in self.histogram()],
            "median": self.quantile(0.5),
            "p95": self.quantile(0.95),
            "duplicates": self.duplicates,
            "shared": None if other is None else self.shared_with(other),
            "short_answers": {
                "examples": self.answers.total(),
                "different": len(self.answers),
                "most_frequent": most[0][1] if most else 0,
            },
            "longest": [{"line": line, "tokens": tokens} for tokens, line in sorted(self.longest, reverse=True)],
        }


def _digest(value: object) -> bytes:
    text = json.dumps(value, sort_keys=True, ensure_ascii=True)
    return blake2b(text.encode(), digest_size=12).digest()
