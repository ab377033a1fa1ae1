"""Whether a file can be used to fine-tune: its rules kept or not, line by line, its tokens, and what it may cost.

Files are streamed: half a gigabyte is checked in the memory of its longest line.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from function_app.authoring.rules import FORMATS, Finding, Severity, find, method_of
from function_app.authoring.tokens import Tokenizer, expected_epochs, tokens_of
from function_app.data.formats import SPECS, Format, NotAnExampleError, format_of
from function_app.data.jsonl import lines_of, parse_example, stripped
from function_app.models import Malformed, Method

LARGEST_FILE = 512 * 1024 * 1024
"""Bytes (Microsoft, Customize a model with fine-tuning: 512 MB)."""

FEWEST_EXAMPLES = 10
"""For training (Microsoft, Customize a model with fine-tuning)."""

MOST_WITH_IMAGES = 50_000
"""Examples of a training file that have images (Microsoft, Vision fine-tuning)."""

MOST_TOKENS = 2_000_000_000
"""Tokens times epochs of one job (Microsoft, Azure OpenAI quotas and limits)."""

LONGEST_EXAMPLE = 65_536
"""Tokens: the training example context length of gpt-4o and later (Microsoft, Models: fine-tuning)."""

FINDINGS_KEPT = 1000
"""Of all findings so many are told one by one; all are counted."""

_BOM = b"\xef\xbb\xbf"
_CHUNK = 1 << 16


@dataclass(frozen=True)
class Question:
    """What a file is to be checked for.

    Attributes:
        method: how a model is to be trained with it; None: what the first example looks like.
        validation: whether it is to validate, for which no least number of examples is known.
        epochs: how often it is gone through; None: as often as OpenAI's cookbook expects.
        price: of a million trained tokens, in any currency; None without an estimate of the cost.
        grader_fields: what a grader asks of each example.
    """

    method: Method | None = None
    validation: bool = False
    epochs: int | None = None
    price: float | None = None
    grader_fields: frozenset[str] = frozenset()


@dataclass
class Checked:
    """What is known of a file.

    Attributes:
        lines: that are not blank.
        findings: the first of them, by line and then of the file as a whole.
        counts: severity → how many findings there are, told or not.
        rules: rule → how many findings.
        tokens: of all examples, once; `longest` is the longest example's, at line `longest_line`.
        images: how many images there are, whose tokens are in no count.
    """

    question: Question
    tokenizer: Tokenizer
    size: int = 0
    format: Format | None = None
    method: Method | None = None
    lines: int = 0
    examples: int = 0
    findings: list[Finding] = field(default_factory=list)
    counts: Counter[Severity] = field(default_factory=Counter)
    rules: Counter[str] = field(default_factory=Counter)
    tokens: int = 0
    longest: int = 0
    longest_line: int = 0
    images: int = 0
    with_images: int = 0
    with_tools: int = 0
    bom: bool = False

    @property
    def ok(self) -> bool:
        """Whether no error was found."""
        return not self.counts[Severity.ERROR]

    @property
    def epochs(self) -> int:
        """As was said, or as is to be expected."""
        return self.question.epochs or expected_epochs(self.examples)

    @property
    def trained_tokens(self) -> int:
        """Tokens times epochs: what training is billed by, except for reinforcement, which is billed by time (Microsoft,
        Cost management for fine-tuning)."""
        return self.tokens * self.epochs

    @property
    def cost(self) -> float | None:
        """In the price's currency; None without a price, and for reinforcement."""
        if self.question.price is None or self.method is Method.REINFORCEMENT:
            return None
        return self.trained_tokens / 1_000_000 * self.question.price

    def add(self, finding: Finding) -> None:
        """Count a finding, and keep it while there is room."""
        self.counts[finding.severity] += 1
        self.rules[finding.rule] += 1
        if len(self.findings) < FINDINGS_KEPT:
            self.findings.append(finding)


def check_file(path: Path, question: Question, tokenizer: Tokenizer) -> Checked:
    """Check a file.

    Raises:
        OSError: it cannot be read.
    """
    checked = Checked(question, tokenizer, size=path.stat().st_size)
    with path.open("rb") as file:
        checked.bom = file.read(len(_BOM)) == _BOM
        file.seek(0)
        _check_lines(lines_of(iter(lambda: file.read(_CHUNK), b"")), checked)
    _check_whole(checked)
    return checked


def _check_lines(lines: Iterable[bytes], checked: Checked) -> None:
    for item in _examples(lines):
        checked.lines += 1
        if isinstance(item, Malformed):
            checked.add(Finding(Severity.ERROR, "malformed", item.message, item.line))
        else:
            _check_example(*item, checked)


def _check_example(line: int, file_format: Format, example: Mapping[str, Any], images: int, checked: Checked) -> None:
    checked.format = file_format
    if checked.method is None:
        checked.method = checked.question.method or method_of(file_format, example)
    checked.examples += 1
    checked.images += images
    checked.with_images += images > 0
    checked.with_tools += bool(example.get("tools"))
    if file_format in FORMATS[checked.method]:
        for finding in find(example, file_format, checked.method, line, checked.question.grader_fields):
            checked.add(finding)
    elif checked.examples == 1:  # so are all the others
        taken = " or ".join(FORMATS[checked.method])
        what = f"has {file_format} examples; {checked.method} fine-tuning takes {taken}"
        checked.add(Finding(Severity.ERROR, "format", what))
    tokens = tokens_of(example, file_format, checked.tokenizer)
    checked.tokens += tokens
    if tokens > checked.longest:
        checked.longest, checked.longest_line = tokens, line
    if tokens > LONGEST_EXAMPLE:
        about = "" if checked.tokenizer.exact else "about "
        what = f"has {about}{tokens:,} tokens; gpt-4o and later models train on {LONGEST_EXAMPLE:,} of an example"
        checked.add(Finding(Severity.WARNING, "long", what, line))


def _check_whole(checked: Checked) -> None:
    def add(severity: Severity, rule: str, message: str) -> None:
        checked.add(Finding(severity, rule, message))

    if checked.size > LARGEST_FILE:
        add(Severity.ERROR, "size", f"is larger than {LARGEST_FILE // 1024**2} MiB, the most that a file may have")
    if not checked.examples:
        add(Severity.ERROR, "no-examples", "has no example that can be read")
    elif checked.examples < FEWEST_EXAMPLES and not checked.question.validation:
        add(
            Severity.ERROR,
            "few-examples",
            f"has too few examples, {checked.examples}: training takes {FEWEST_EXAMPLES} or more",
        )
    if checked.with_images > MOST_WITH_IMAGES:
        add(
            Severity.ERROR,
            "many-images",
            f"has {checked.with_images:,} examples with images; {MOST_WITH_IMAGES:,} are allowed",
        )
    if checked.trained_tokens > MOST_TOKENS and not checked.question.validation:
        # Neither an estimate nor an expected number of epochs is reason enough to refuse a file.
        sure = checked.tokenizer.exact and checked.question.epochs is not None
        severity = Severity.ERROR if sure else Severity.WARNING
        what = f"{checked.trained_tokens:,} tokens in {checked.epochs} epochs; a job takes {MOST_TOKENS:,}"
        add(severity, "many-tokens", what)


def _examples(lines: Iterable[bytes]) -> Iterator[Malformed | tuple[int, Format, Mapping[str, Any], int]]:
    """Yield each line's number, format, example and number of images, or why it is no example."""
    file_format: Format | None = None
    for number, line in enumerate(lines, 1):
        text = stripped(line, number)
        if not text:
            continue
        try:
            example = parse_example(text)
            found = format_of(example)
            if file_format not in (None, found):
                raise NotAnExampleError(f"is a {found} example in a {file_format} file")
            images = SPECS[found].cells(example).get("images", 0)
        except NotAnExampleError as error:
            yield Malformed(number, str(error))
        except RecursionError:
            yield Malformed(number, "is nested too deeply to be read")
        else:
            file_format = found
            yield number, found, example, images if isinstance(images, int) else 0
