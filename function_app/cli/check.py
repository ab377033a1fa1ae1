"""`python -m function_app check`: check a file before it is uploaded. Contacts no service and uploads nothing."""

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from function_app.authoring.checking.check import FINDINGS_KEPT, CheckedFile, Question, check_file, strict
from function_app.authoring.checking.rule_table import RULES
from function_app.authoring.checking.rules import Finding, Service, Severity, fields_of_grader, has_spaced_templates
from function_app.authoring.checking.statistics import Statistics
from function_app.authoring.checking.tokens import TokenizerError, estimating_tokenizer, tokenizer_for
from function_app.cli.console import echo, echo_json, wrapped
from function_app.cli.options import output_option, tokenizer_option
from function_app.cli.report import fail
from function_app.data.credentials import has_credentials
from function_app.errors import SyncError
from function_app.models import Method
from function_app.text import money

_SHOWN = 20  # findings, in text output
_LABEL = 10
_BAR = 30  # characters of the longest bar of a histogram
_COLOURS = {Severity.ERROR: "red", Severity.WARNING: "yellow"}
_FILE = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)


@click.command()
@click.argument("file", type=_FILE)
@click.option(
    "--method",
    type=click.Choice([method.value for method in Method]),
    help="The training method.  [default: the method that most examples fit]",
)
@click.option(
    "--service",
    type=click.Choice([service.value for service in Service]),
    help="The service that will train.  [default: from AZURE_OPENAI_ENDPOINTS or OPENAI_API_KEY, else both]",
)
@click.option("--validation", is_flag=True, help="It is a validation file, which may be short.")
@click.option("--grader", type=_FILE, help="The grader (JSON) of reinforcement: checks that examples have its fields.")
@click.option(
    "--model", metavar="NAME", help="The base model: checks that it supports the method, and selects the vocabulary."
)
@tokenizer_option
@click.option(
    "--epochs",
    type=click.IntRange(min=1),
    help="Number of epochs.  [default: the number that OpenAI's cookbook expects]",
)
@click.option(
    "--price-per-million",
    "price",
    type=click.FloatRange(min=0),
    metavar="PRICE",
    help="Price of trained tokens in your currency: adds the expected cost. Prices change, so there is no default.",
)
@click.option("--stats", is_flag=True, help="Show lengths, duplicates and short answers; no text.")
@click.option(
    "--compare", type=_FILE, metavar="FILE", help="With --stats: count the examples that this file also contains."
)
@click.option("--strict", "is_strict", is_flag=True, help="Treat warnings as errors.")
@click.option("--explain", is_flag=True, help="For each broken rule, say what the services do and how that is known.")
@output_option
def check(
    file: Path,
    method: str | None,
    *,
    service: str | None,
    validation: bool,
    grader: Path | None,
    model: str | None,
    tokenizer: str,
    epochs: int | None,
    price: float | None,
    stats: bool,
    compare: Path | None,
    is_strict: bool,
    explain: bool,
    output: str,
) -> None:
    """Check a training or validation FILE (JSONL) before it is uploaded.

    Reports line by line what the service would refuse, without quoting the lines. Counts tokens and, with a price,
    estimates the cost. Supports chats (with tools and images), preferences, reinforcement and completions. If
    sources disagree, or nothing is documented, a finding is a warning.

    \b
    Exit status: 0 no errors (there may be warnings), 1 errors found or no tokenizer, 2 usage.
    """
    if compare and not stats:
        raise click.UsageError("--compare needs --stats.")
    checks = read_grader(grader) if grader else None
    question = Question(
        method=Method(method) if method else None,
        validation=validation,
        epochs=epochs,
        price=price,
        grader_fields=fields_of_grader(checks) if checks else frozenset(),
        service=Service(service) if service else service_of_settings(),
        model=model,
        statistics=stats,
    )
    checked, other = _checked(file, compare, question, tokenizer, output)
    if checks is not None:
        _check_grader(checks, checked)
    checked = strict(checked) if is_strict else checked
    if output == "json":
        echo_json(as_document(file, checked, other, explain=explain))
    else:
        show(file, checked, other, explain=explain)
    sys.exit(0 if checked.ok else 1)


def _checked(
    file: Path, compare: Path | None, question: Question, tokenizer: str, output: str
) -> tuple[CheckedFile, Statistics | None]:
    """Check the file, and read the statistics of the other one. Report an error and exit."""
    try:
        checked = check_file(file, question, tokenizer_for(tokenizer, question.model))
        other = check_file(compare, Question(statistics=True), estimating_tokenizer()).statistics if compare else None
    except TokenizerError as error:
        fail(error, output)
    except OSError as error:
        fail(SyncError(f"{error.filename or file} cannot be read: {error.strerror}."), output)
    return checked, other


def service_of_settings() -> Service | None:
    """Return the service that the environment configures: Azure if an endpoint is set, OpenAI if only its key is set."""
    if os.environ.get("AZURE_OPENAI_ENDPOINTS") or os.environ.get("AZURE_OPENAI_ENDPOINT"):
        return Service.AZURE
    return Service.OPENAI if os.environ.get("OPENAI_API_KEY") else None


def read_grader(path: Path) -> dict[str, Any]:
    """Read a grader's JSON.

    Raises:
        click.UsageError: the file is not a grader.
    """
    try:
        grader = json.loads(path.read_bytes())
        json.dumps(grader)  # what can be serialized can also be searched
    except ValueError as error:
        raise click.UsageError(f"--grader {path}: not JSON ({error})") from None
    except RecursionError:
        raise click.UsageError(f"--grader {path}: nested too deeply to read") from None
    if not isinstance(grader, dict) or "type" not in grader:
        raise click.UsageError(f"--grader {path}: a grader is a JSON object with a type")
    return grader


def _check_grader(grader: dict[str, Any], checked: CheckedFile) -> None:
    if has_spaced_templates(grader):
        checked.add(
            "grader-template", "has a grader with spaces inside the braces of its templates: write {{item.NAME}}"
        )
    if has_credentials(grader):
        checked.add("credential", "has a grader that contains a credential")


# --- for programs


def as_document(
    file: Path, checked: CheckedFile, other: Statistics | None = None, *, explain: bool = False
) -> dict[str, Any]:
    """Return the result as a JSON document. At most a thousand findings are listed."""
    question, tokenizer = checked.question, checked.tokenizer
    document: dict[str, Any] = {
        "ok": checked.ok,
        "file": str(file),
        "bytes": checked.size,
        "service": question.service,
        "format": checked.format,
        "method": checked.method,
        "method_given": question.method is not None,
        "lines": checked.lines,
        "examples": checked.examples,
        "examples_with_tools": checked.with_tools,
        "images": checked.images,
        "byte_order_mark": checked.bom,
        "errors": checked.counts[Severity.ERROR],
        "warnings": checked.counts[Severity.WARNING],
        "rules": dict(checked.rules.most_common()),
        "findings": [asdict(finding) for finding in checked.findings],
        "tokens": {
            "count": checked.tokens,
            "longest": checked.longest,
            "longest_line": checked.longest_line or None,
            "tokenizer": tokenizer.name,
            "exact": tokenizer.exact,
            "note": tokenizer.note,
        },
        "epochs": {"count": checked.epochs, "given": question.epochs is not None},
        "trained_tokens": checked.trained_tokens,
        "cost": checked.cost,
    }
    if checked.statistics:
        document["statistics"] = checked.statistics.document(other)
    if explain:
        document["explanations"] = {
            name: {"rule": RULES[name].text, "openai": str(RULES[name].openai), "azure": str(RULES[name].azure)}
            for name in checked.rules
        }
    return document


# --- for people


def show(file: Path, checked: CheckedFile, other: Statistics | None = None, *, explain: bool = False) -> None:
    """Print the result, with at most twenty findings."""
    echo(str(file), bold=True)
    _row("looks like", _kind(checked))
    lines = f"{checked.lines:,} line{'s' * (checked.lines != 1)}"
    _row("examples", f"{checked.examples:,} in {lines}, {_size(checked.size)}")
    if checked.examples:
        _row("tokens", _tokens(checked))
        if not checked.question.validation:
            _row("training", _training(checked))
    if checked.images:
        _row("images", "the services skip images of people, faces and CAPTCHAs, which cannot be checked here.")
    if checked.statistics:
        _show_statistics(checked.statistics, other)
    if checked.findings:
        echo("")
    for finding in checked.findings[:_SHOWN]:
        _show_finding(finding)
    _summarise(checked)
    for name in checked.rules if explain else ():
        _show_rule(name)


def _row(label: str, text: str) -> None:
    for line in wrapped(text, first=f"  {label:<{_LABEL}}  ", other=" " * (_LABEL + 4)):
        echo(line)


def _kind(checked: CheckedFile) -> str:
    if checked.format is None:
        return "not a training file"
    parts = [f"{checked.with_tools:,} with tools"] if checked.with_tools else []
    parts += [f"{checked.with_images:,} with images"] if checked.with_images else []
    method = f"for {checked.method} fine-tuning" + (" (--method)" if checked.question.method else "")
    service = f"on {checked.question.service}" if checked.question.service else "on OpenAI or Azure"
    return ", ".join([f"{checked.format} {method} {service}", *parts])


def _tokens(checked: CheckedFile) -> str:
    about = "" if checked.tokenizer.exact else "about "
    counts = f"{about}{checked.tokens:,}, the longest example {about}{checked.longest:,} (line {checked.longest_line})"
    how = checked.tokenizer.name + (f", as {checked.tokenizer.note}" if checked.tokenizer.note else "")
    return f"{counts}; {how}" + (f"; the {checked.images:,} images are not counted" if checked.images else "")


def _size(size: int) -> str:
    return f"{size / 1e6:,.1f} MB" if size >= 1e6 else f"{size / 1e3:,.1f} kB"


def _training(checked: CheckedFile) -> str:
    question = checked.question
    source = (
        "as given" if question.epochs else "as OpenAI's cookbook expects; the service decides; change it with --epochs"
    )
    text = f"{checked.epochs} epochs ({source}): {checked.trained_tokens:,} tokens"
    if checked.cost is not None:
        return f"{text}, {money(checked.cost)} at {question.price:,g} a million"
    if question.price is not None:
        return f"{text}; no cost is shown, because reinforcement is billed by time"
    return text


def _show_statistics(figures: Statistics, other: Statistics | None) -> None:
    _row(
        "lengths",
        f"half of the examples have at most {figures.quantile(0.5):,} tokens, 95 % at most {figures.quantile(0.95):,}",
    )
    bins = figures.histogram()
    most = max((count for *_, count in bins), default=0)
    for low, high, count in bins:
        bar = "█" * (-(-count * _BAR // most) if count else 0)
        echo(f"  {f'{low:,}–{high:,}':>{_LABEL + 8}}  {bar} {count:,}")
    longest = ", ".join(f"line {line} ({tokens:,})" for tokens, line in sorted(figures.longest, reverse=True))
    _row("longest", longest or "none")
    _row("duplicates", f"{figures.duplicates:,} of {figures.digests.total():,} examples occur earlier in the file")
    if other is not None:
        _row("shared", f"{figures.shared_with(other):,} examples are also in the other file")
    document = figures.document()["short_answers"]
    if document["examples"]:
        share = 100 * document["most_frequent"] / document["examples"]
        different = f"{document['different']:,} different one{'s' * (document['different'] != 1)}"
        _row("answers", f"{document['examples']:,} are short, {different}; the most frequent is {share:.0f} % of them")


def _show_finding(finding: Finding) -> None:
    where = f"line {finding.line}" if finding.line else "file"
    start = f"  {where:<{_LABEL}}  "
    text = f"{finding.severity:<7} {finding.message}"
    for line in wrapped(text, first=start, other=" " * (len(start) + 8)):
        echo(line, fg=_COLOURS[finding.severity])


def _summarise(checked: CheckedFile) -> None:
    errors, warnings = checked.counts[Severity.ERROR], checked.counts[Severity.WARNING]
    hidden = errors + warnings - len(checked.findings[:_SHOWN])
    if hidden > 0:
        echo(f"  and {hidden:,} more; -o json lists the first {FINDINGS_KEPT:,}")
    counts = [
        f"{count:,} {word}{'s' * (count != 1)}" for count, word in ((errors, "error"), (warnings, "warning")) if count
    ]
    verdict = "The service would refuse the file." if errors else "No reason for a refusal was found."
    echo(" ".join([verdict, *([", ".join(counts) + "."] if counts else [])]), err=True)


def _show_rule(name: str) -> None:
    rule = RULES[name]
    echo("")
    _row(name[:_LABEL] if len(name) <= _LABEL else "rule", rule.text if len(name) <= _LABEL else f"{name}: {rule.text}")
    _row("OpenAI", str(rule.openai))
    _row("Azure", str(rule.azure))
