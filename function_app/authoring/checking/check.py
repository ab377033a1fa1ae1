"""Check a file for fine-tuning: the rules of its method line by line, its tokens, and what training may cost.

A file is read once, as a stream: checking half a gigabyte needs only the memory of its longest line. Format and method are
those of most of its lines, so everything is counted for each kind of line until the file has been read.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

from function_app.authoring.checking.base_models import base_models_of
from function_app.authoring.checking.encodings import not_jsonl, of_another_trainer
from function_app.authoring.checking.examples import broken_rules
from function_app.authoring.checking.rule_table import RULES
from function_app.authoring.checking.rules import FORMATS, Finding, Service, Severity, method_of
from function_app.authoring.checking.statistics import Statistics
from function_app.authoring.checking.tokens import Tokenizer, expected_epochs, tokens_of
from function_app.data.training.formats import SPECS, Format, NotAnExampleError, format_of
from function_app.data.training.jsonl import BOM, lines_of, parse_example, stripped
from function_app.models import Method

LARGEST_FILE = 512 * 1024 * 1024
"""Bytes (OpenAI, API reference: 512 MB)."""

LARGEST_FILE_ON_AZURE = 512_000_000
"""Bytes (recorded: MaxTrainingFileSize of an account)."""

LARGEST_WHOLE_UPLOAD = 150 * 1000 * 1000
"""Bytes (azure-skills: jobs on larger files failed unless the file was uploaded in parts)."""

FEWEST_EXAMPLES = 10
MOST_WITH_IMAGES = 50_000
MOST_TOKENS = 2_000_000_000
LONGEST_EXAMPLE = 65_536

FINDINGS_KEPT = 1000
"""The maximum number of findings that are listed. All are counted."""

_CHUNK = 1 << 16
_ODD_LINES_NAMED = 20


@dataclass(frozen=True)
class Question:
    """The options of a check.

    Attributes:
        method: the training method; None for the method that most examples fit.
        validation: whether it is a validation file.
        epochs: number of passes over the file; None for the number that OpenAI's cookbook expects.
        price: the price of a million trained tokens, in any currency; None for no estimate of the cost.
        grader_fields: the fields of an example that a grader uses.
        service: the service that trains; None for either.
        model: the base model's name; None for any.
        statistics: whether to collect `CheckedFile.statistics`.
    """

    method: Method | None = None
    validation: bool = False
    epochs: int | None = None
    price: float | None = None
    grader_fields: frozenset[str] = frozenset()
    service: Service | None = None
    model: str | None = None
    statistics: bool = False


@dataclass(kw_only=True)
class Counts:
    """Counts of examples and findings.

    Attributes:
        findings: the first findings by line, then those about the whole file.
        counts: the number of findings by severity, listed or not.
        rules: the number of findings by rule.
        tokens: the tokens of one pass over all examples; `longest` is the number of the longest example, at `longest_line`.
        images: the number of images; their tokens are not counted.
    """

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

    def count(self, finding: Finding) -> None:
        """Count a finding, and list it if the list is not full."""
        self.counts[finding.severity] += 1
        self.rules[finding.rule] += 1
        if len(self.findings) < FINDINGS_KEPT:
            self.findings.append(finding)


@dataclass
class _Kind(Counts):
    """The lines of one format and method. A file may contain lines of several kinds."""

    format: Format
    method: Method
    lines: list[int] = field(default_factory=list)


@dataclass
class CheckedFile(Counts):
    """The result of a check.

    Attributes:
        lines: number of lines that are not blank.
        bom: whether the file begins with a byte-order mark.
        statistics: None unless they were requested.
    """

    question: Question
    tokenizer: Tokenizer
    size: int = 0
    format: Format | None = None
    method: Method | None = None
    lines: int = 0
    blank: int = 0
    bom: bool = False
    statistics: Statistics | None = None

    @property
    def ok(self) -> bool:
        """Whether no error was found."""
        return not self.counts[Severity.ERROR]

    @property
    def epochs(self) -> int:
        """The given number of epochs, or the expected one."""
        return self.question.epochs or expected_epochs(self.examples)

    @property
    def trained_tokens(self) -> int:
        """Tokens times epochs: the unit in which training is billed, except for reinforcement, which is billed by time
        (Microsoft, Cost management for fine-tuning)."""
        return self.tokens * self.epochs

    @property
    def cost(self) -> float | None:
        """The cost in the currency of the price; None without a price, and for reinforcement."""
        if self.question.price is None or self.method is Method.REINFORCEMENT:
            return None
        return self.trained_tokens / 1_000_000 * self.question.price

    def add(self, rule: str, message: str, line: int | None = None, *, severity: Severity | None = None) -> None:
        """Count a violation of a rule, unless the service allows it. List it if the list is not full.

        Args:
            severity: overrides the severity of the rule.
        """
        found = severity or RULES[rule].severity(self.question.service)
        if found:
            self.count(Finding(found, rule, message, line))


def check_file(path: Path, question: Question, tokenizer: Tokenizer) -> CheckedFile:
    """Check a file.

    Raises:
        OSError: it cannot be read.
    """
    checked = CheckedFile(question, tokenizer, size=path.stat().st_size)
    if question.statistics:
        checked.statistics = Statistics()
    largest = LARGEST_FILE_ON_AZURE if question.service is Service.AZURE else LARGEST_FILE
    if checked.size > largest:
        checked.add("size", f"is larger than {largest:,} bytes, the maximum; nothing else was checked")
        return checked
    with path.open("rb") as file:
        head = file.read(_CHUNK)
        checked.bom = head.startswith(BOM)
        if problem := not_jsonl(head):
            checked.add("not-jsonl", problem)
            return checked
        if problem := of_another_trainer(head):
            checked.add("format", problem, severity=Severity.ERROR)
            return checked
        file.seek(0)
        kinds = _check_lines(file, checked)
    _choose(kinds, checked)
    _check_whole(path, checked)
    return checked


def _check_lines(file: BinaryIO, checked: CheckedFile) -> list[_Kind]:
    kinds: dict[tuple[Format, Method], _Kind] = {}
    chunks = iter(lambda: file.read(_CHUNK), b"")
    for number, line in enumerate(lines_of(chunks, longest=LARGEST_FILE), 1):
        text = stripped(line, number)
        if not text:
            checked.blank += 1
            continue
        checked.lines += 1
        constants: list[str] = []
        try:
            example = parse_example(text, longest=LARGEST_FILE, constant=constants.append)
            found = format_of(example)
            messages = SPECS[found].messages(example)
            method = checked.question.method or method_of(found, example)
            kind = kinds.setdefault((found, method), _Kind(found, method))
            for finding in _check_example(kind, example, messages, number, checked):
                kind.count(finding)
        except NotAnExampleError as error:
            checked.add("malformed", str(error), number)
        except RecursionError:
            checked.add("malformed", "is nested too deeply to read", number)
        if constants:
            checked.add("not-a-number", "has NaN or Infinity, which are not JSON", number)
    return list(kinds.values())


def _check_example(
    kind: _Kind, example: Mapping[str, Any], messages: Iterable[Mapping[str, Any]], line: int, checked: CheckedFile
) -> Iterator[Finding]:
    question = checked.question
    tokens = tokens_of(example, kind.format, checked.tokenizer)
    images = SPECS[kind.format].cells(example).get("images", 0)
    images = images if isinstance(images, int) else 0
    kind.examples += 1
    if len(kind.lines) < _ODD_LINES_NAMED:
        kind.lines.append(line)
    kind.images += images
    kind.with_images += images > 0
    kind.with_tools += bool(SPECS[kind.format].tools(example))
    kind.tokens += tokens
    if tokens > kind.longest:
        kind.longest, kind.longest_line = tokens, line
    if checked.statistics:
        checked.statistics.add(example, messages, tokens, line)
    if kind.format in FORMATS[kind.method]:
        for rule, message in broken_rules(example, kind.format, kind.method, question.grader_fields):
            if severity := RULES[rule].severity(question.service):
                yield Finding(severity, rule, message, line)
    if tokens > LONGEST_EXAMPLE:
        about = "" if checked.tokenizer.exact else "about "
        message = (
            f"has {about}{tokens:,} tokens; after {LONGEST_EXAMPLE:,} tokens the end, which is the answer, is cut off"
        )
        yield Finding(Severity.WARNING, "long-example", message, line)


def _choose(kinds: list[_Kind], checked: CheckedFile) -> None:
    """Give the file the format and method of most of its lines, and report the lines of other kinds."""
    if not kinds:
        return
    formats: Counter[Format] = Counter()
    for kind in kinds:
        formats[kind.format] += kind.examples
    file_format = formats.most_common(1)[0][0]
    same = [kind for kind in kinds if kind.format == file_format]
    main = max(same, key=lambda kind: kind.examples)
    checked.format, checked.method = main.format, main.method
    for kind in kinds:
        checked.examples += kind.examples
        checked.tokens += kind.tokens
        checked.images += kind.images
        checked.with_images += kind.with_images
        checked.with_tools += kind.with_tools
        if kind.longest > checked.longest:
            checked.longest, checked.longest_line = kind.longest, kind.longest_line
        if kind is main:
            checked.counts += kind.counts
            checked.rules += kind.rules
            checked.findings += kind.findings
        else:
            _report_odd_lines(kind, main, checked)
    checked.findings.sort(key=lambda finding: finding.line or math.inf)
    del checked.findings[FINDINGS_KEPT:]


def _report_odd_lines(kind: _Kind, main: _Kind, checked: CheckedFile) -> None:
    if kind.format is not main.format:
        rule, message = "mixed-formats", f"is a {kind.format} example in a {main.format} file"
    elif main.method is Method.REINFORCEMENT:
        rule, message = (
            "last-user-message",
            "ends with an answer, but the file's other examples end with the user's turn",
        )
    else:
        rule, message = "last-message", "ends with the user's turn, but the file's other examples end with an answer"
    for line in kind.lines:
        checked.add(rule, message, line, severity=Severity.ERROR)
    hidden = kind.examples - len(kind.lines)
    if hidden:
        checked.add(rule, f"has {hidden:,} more lines like this: {message}", severity=Severity.ERROR)


# --- the file as a whole


def _check_whole(path: Path, checked: CheckedFile) -> None:
    question = checked.question
    _check_size(path, checked)
    if not checked.examples or checked.format is None or checked.method is None:
        checked.add("no-examples", "has no readable example")
        return
    if checked.format not in FORMATS[checked.method]:
        taken = " or ".join(FORMATS[checked.method])
        checked.add(
            "format",
            f"has {checked.format} examples; {checked.method} fine-tuning requires {taken}",
            severity=Severity.ERROR,
        )
    elif checked.format is Format.COMPLETION:
        checked.add(
            "completion-format",
            "has prompts and completions, which no current model supports: convert them to chats",
        )
    _check_numbers(checked)
    if question.model:
        _check_model(question.model, checked)


def _check_size(path: Path, checked: CheckedFile) -> None:
    if path.suffix != ".jsonl":
        checked.add("file-name", "has a name that does not end with .jsonl")
    if checked.bom:
        checked.add("byte-order-mark", "begins with a byte-order mark, which neither service needs")
    if checked.blank:
        checked.add("blank-lines", f"has {checked.blank:,} blank line{'s' * (checked.blank > 1)}")
    if checked.size > LARGEST_WHOLE_UPLOAD:
        checked.add("large-file", "is larger than 150 MB: upload it in parts")


def _check_numbers(checked: CheckedFile) -> None:
    question = checked.question
    if checked.examples < FEWEST_EXAMPLES:
        has = f"has only {checked.examples} example{'s' * (checked.examples != 1)}"
        if not question.validation:
            checked.add("few-examples", f"{has}: training requires {FEWEST_EXAMPLES} or more")
        elif checked.method is Method.REINFORCEMENT:
            message = f"{has}: validation of reinforcement requires {FEWEST_EXAMPLES} or more"
            checked.add("few-validation-examples", message)
    if checked.with_images > MOST_WITH_IMAGES:
        message = f"has {checked.with_images:,} examples with images; {MOST_WITH_IMAGES:,} are allowed"
        checked.add("many-images", message)
    if checked.trained_tokens > MOST_TOKENS and not question.validation:
        # An estimate of tokens, or an expected number of epochs, is not certain enough for an error.
        sure = checked.tokenizer.exact and question.epochs is not None
        message = f"has {checked.trained_tokens:,} tokens in {checked.epochs} epochs; a job may have {MOST_TOKENS:,}"
        checked.add("many-tokens", message, severity=None if sure else Severity.WARNING)


def _check_model(name: str, checked: CheckedFile) -> None:
    known = base_models_of(name, checked.question.service)
    if not known:
        return
    if not any(checked.method in model.methods for model in known):
        methods = ", ".join(sorted({method for model in known for method in model.methods}))
        checked.add("model-method", f"is for {checked.method} fine-tuning; {name} supports {methods}")
    elif checked.images and not any(model.images for model in known):
        checked.add("model-images", f"has images, but {name} cannot be trained with images")


def strict(checked: CheckedFile) -> CheckedFile:
    """Return the same result with every warning turned into an error."""
    findings = [replace(finding, severity=Severity.ERROR) for finding in checked.findings]
    counts = Counter({Severity.ERROR: checked.counts.total()})
    return replace(checked, findings=findings, counts=counts)
