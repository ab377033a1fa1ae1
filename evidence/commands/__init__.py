"""The commands that the matrices run, each with its starting states and a description of the state that it leaves."""

from evidence.commands.case import Case
from evidence.commands.message import CASES as MESSAGE
from evidence.commands.provisioning import CASES as PROVISIONING
from evidence.commands.sync import CASES as SYNC

CASES: tuple[Case, ...] = (*PROVISIONING, *SYNC)
"""Every command that writes, in every starting state."""
KILLED = (*CASES, *MESSAGE)
"""The same, and what the platform ends besides: the function that works on a message."""
