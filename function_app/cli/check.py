"""`python -m function_app check`: is a file fit for fine-tuning? Asks no service and uploads nothing."""

import json
import shutil
import sys
import textwrap
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from function_app.authoring.check import FINDINGS_KEPT, Checked, Question, check_file
from function_app.authoring.rules import Finding, Severity, fields_of_grader
from function_app.authoring.tokens import Tokenizer, TokenizerError, counting, estimating
from function_app.cli.report import fail
from function_app.errors import SyncError
from function_app.models import Method

_SHOWN = 20  # findings, as text
_WIDTH = 100  # where there is no terminal
_LABEL = 10
_COLOURS = {Severity.ERROR: "red", Severity.WARNING: "yellow"}
_FILE = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)


@click.command()
@click.argument("file", type=_FILE)
@click.option(
    "--method",
    type=click.Choice([method.value for method in Method]),
    help="What it is to train with.  [default: what its first example looks like]",
)
@click.option("--validation", is_flag=True, help="It is to validate: there is no least number of examples.")
@click.option("--grader", type=_FILE, help="The grader (JSON) of reinforcement: does each example have its fields?")
@click.option("--model", metavar="NAME", help="The base model, whose vocabulary counts.  [default: that of gpt-4o]")
@click.option(
    "--tokenizer",
    type=click.Choice(["auto", "tiktoken", "estimate"]),
    default="auto",
    show_default=True,
    help="auto: tiktoken where it is installed and has its vocabulary, else an estimate that says it is one.",
)
@click.option("--epochs", type=click.IntRange(min=1), help="How many.  [default: as many as OpenAI's cookbook expects]")
@click.option(
    "--price-per-million",
    "price",
    type=click.FloatRange(min=0),
    metavar="PRICE",
    help="Of trained tokens, in your currency: adds what training may cost. Prices change, so none is built in.",
)
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def check(
    file: Path,
    method: str | None,
    *,
    validation: bool,
    grader: Path | None,
    model: str | None,
    tokenizer: str,
    epochs: int | None,
    price: float | None,
    output: str,
) -> None:
    """Check a training or validation FILE (JSONL) before it is uploaded.

    Says line by line what the service would refuse, without a word of what the lines say; counts tokens, and with a
    price what training may cost. Chats (with tools, with images), preferences and prompts with completions are known.

    \b
    Exit status: 0 nothing wrong (there may be warnings), 1 errors found or no tokenizer, 2 usage.
    """
    question = Question(
        method=Method(method) if method else None,
        validation=validation,
        epochs=epochs,
        price=price,
        grader_fields=fields_of_grader(read_grader(grader)) if grader else frozenset(),
    )
    try:
        checked = check_file(file, question, _tokenizer(tokenizer, model))
    except TokenizerError as error:
        fail(error, output)
    except OSError as error:
        fail(SyncError(f"{file} cannot be read: {error.strerror}."), output)
    if output == "json":
        click.echo(json.dumps(as_document(file, checked), indent=2))
    else:
        tell(file, checked)
    sys.exit(0 if checked.ok else 1)


def read_grader(path: Path) -> dict[str, Any]:
    """A grader's JSON.

    Raises:
        click.UsageError: it is none.
    """
    try:
        grader = json.loads(path.read_bytes())
    except ValueError as error:
        raise click.UsageError(f"--grader {path}: no JSON ({error})") from None
    if not isinstance(grader, dict) or "type" not in grader:
        raise click.UsageError(f"--grader {path}: a grader is a JSON object with a type")
    return grader


def as_document(file: Path, checked: Checked) -> dict[str, Any]:
    """What is known of the file, for programs; at most a thousand findings one by one."""
    question, tokenizer = checked.question, checked.tokenizer
    return {
        "ok": checked.ok,
        "file": str(file),
        "bytes": checked.size,
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


def tell(file: Path, checked: Checked) -> None:
    """What is known of the file, for people; of many findings the first twenty."""
    click.secho(str(file), bold=True)
    _row("looks like", _kind(checked))
    lines = f"{checked.lines:,} line{'s' * (checked.lines != 1)}"
    _row("examples", f"{checked.examples:,} in {lines}, {_size(checked.size)}")
    if checked.examples:
        _row("tokens", _tokens(checked))
        if not checked.question.validation:
            _row("training", _training(checked))
    if not checked.bom:
        _row("note", "no byte-order mark: Microsoft's guide asks for one, OpenAI's does not.")
    if checked.findings:
        click.echo()
    for finding in checked.findings[:_SHOWN]:
        _tell_finding(finding)
    _sum_up(checked)


def _row(label: str, said: str) -> None:
    width = shutil.get_terminal_size((_WIDTH, 24)).columns
    indent = " " * (_LABEL + 4)
    for line in textwrap.wrap(said, width, initial_indent=f"  {label:<{_LABEL}}  ", subsequent_indent=indent):
        click.echo(line)


def _kind(checked: Checked) -> str:
    if checked.format is None:
        return "nothing that fine-tuning knows"
    having = [f"{checked.with_tools:,} with tools"] if checked.with_tools else []
    having += [f"{checked.with_images:,} with images"] if checked.with_images else []
    for_what = f"for {checked.method} fine-tuning" + (" (--method)" if checked.question.method else "")
    return ", ".join([f"{checked.format} {for_what}", *having])


def _tokens(checked: Checked) -> str:
    about = "" if checked.tokenizer.exact else "about "
    said = f"{about}{checked.tokens:,}, the longest example {about}{checked.longest:,} (line {checked.longest_line})"
    how = checked.tokenizer.name + (f", as {checked.tokenizer.note}" if checked.tokenizer.note else "")
    return f"{said}; {how}" + (f"; the {checked.images:,} images are not counted" if checked.images else "")


def _size(size: int) -> str:
    return f"{size / 1e6:,.1f} MB" if size >= 1e6 else f"{size / 1e3:,.1f} kB"


def _training(checked: Checked) -> str:
    question = checked.question
    who = "as asked" if question.epochs else "as OpenAI's cookbook expects; the service decides, or --epochs here"
    said = f"{checked.epochs} epochs ({who}): {checked.trained_tokens:,} tokens"
    if checked.cost is not None:
        return f"{said}, {checked.cost:,.2f} at {question.price:,g} a million"
    if question.price is not None:
        return f"{said}; no cost, as reinforcement is billed by time"
    return said


def _tell_finding(finding: Finding) -> None:
    where = f"line {finding.line}" if finding.line else "file"
    said = f"{finding.severity:<7} {finding.message}"
    width = shutil.get_terminal_size((_WIDTH, 24)).columns
    start = f"  {where:<{_LABEL}}  "
    for line in textwrap.wrap(said, width, initial_indent=start, subsequent_indent=" " * (len(start) + 8)):
        click.secho(line, fg=_COLOURS[finding.severity])


def _sum_up(checked: Checked) -> None:
    errors, warnings = checked.counts[Severity.ERROR], checked.counts[Severity.WARNING]
    hidden = errors + warnings - len(checked.findings[:_SHOWN])
    if hidden > 0:
        click.echo(f"  and {hidden:,} more; -o json lists the first {FINDINGS_KEPT:,}")
    said = [
        f"{count:,} {word}{'s' * (count != 1)}" for count, word in ((errors, "error"), (warnings, "warning")) if count
    ]
    verdict = "It would be refused." if errors else "Nothing found that would be refused."
    click.echo(" ".join([verdict, *([", ".join(said) + "."] if said else [])]), err=True)


def _tokenizer(asked: str, model: str | None) -> Tokenizer:
    if asked == "estimate":
        return estimating()
    try:
        return counting(model)
    except TokenizerError as error:
        if asked == "tiktoken":
            raise
        return estimating(error.message.rstrip("."))
