"""How a command ends that could do nothing at all."""

from typing import NoReturn

from function_app.cli.report import Document, Report, Table
from function_app.errors import SyncError

INTERRUPTED = 130
"""The exit status after Ctrl-C."""


def failed(error: SyncError, output: str, status: int = 1) -> NoReturn:
    """Say what happened and what to do about it, as one document where `output` is "json", and exit."""
    report: Report = Document() if output == "json" else Table(everything=False)
    report.failed(error, status)
