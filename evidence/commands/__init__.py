"""The commands that the matrices run, each with the worlds it runs in and what must be there in the end."""

from .case import Case
from .provisioning import CASES as PROVISIONING
from .sync import CASES as SYNC

CASES: tuple[Case, ...] = (*PROVISIONING, *SYNC)
"""Every command and kind that there is, in the order in which they are told."""
