"""Writes docs/commands.md from the commands themselves: `make docs`. A test compares them."""

import sys
from collections.abc import Iterator
from pathlib import Path

import click

import function_app.cli.commands
import provisioning.cli.commands
import sandbox.cli

PAGE = Path(__file__).parent / "commands.md"
PROGRAMS: dict[str, click.Group] = {
    "provisioning": provisioning.cli.commands.cli,
    "function_app": function_app.cli.commands.main,
    "sandbox": sandbox.cli.main,
}
WIDTH = 100

_HEAD = """# Commands

The output of `--help` for every command. Written by `make docs`; do not edit.
"""


def page() -> str:
    """The whole page."""
    return "\n".join([_HEAD, *(part for name, group in PROGRAMS.items() for part in _program(name, group))])


def _program(name: str, group: click.Group) -> Iterator[str]:
    whole = _context(group, f"python -m {name}")
    yield _section(2, whole)
    for command_name in group.list_commands(whole):
        command = group.get_command(whole, command_name)
        if command and not command.hidden:
            yield _section(3, _context(command, command_name, parent=whole))


def _context(command: click.Command, name: str, parent: click.Context | None = None) -> click.Context:
    context = command.make_context(name, [], parent=parent, resilient_parsing=True)
    context.terminal_width = WIDTH
    return context


def _section(level: int, context: click.Context) -> str:
    lines = "\n".join(line.rstrip() for line in context.get_help().splitlines())
    return f"{'#' * level} {context.command_path}\n\n```text\n{lines}\n```\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"wrote {PAGE}\n")
