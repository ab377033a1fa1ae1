"""A resource that is not there: what else it could be called, and which option names it."""

import difflib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from azure.core.exceptions import AzureError, HttpResponseError

from provisioning.azure.errors import code, text
from provisioning.errors import NotFoundError


def missing(what: str, name: str, group: str, flag: str, everything: Callable[[str], Any]) -> NotFoundError:
    """The group has no such thing; the hint has names like this one."""
    return NotFoundError(
        f"There is no {what} {name} in resource group {group}.",
        hint=f"Check {flag}, -g/--resource-group and --subscription.{_near(name, group, everything)}",
    )


@contextmanager
def named(what: str, name: str, group: str, flag: str, everything: Callable[[str], Any]) -> Iterator[None]:
    """Make "not there" helpful. ARM says 403 for a group that is not there to who has no rights beyond his own.

    Raises:
        NotFoundError: with names like this one.
    """
    try:
        yield
    except HttpResponseError as error:
        if error.status_code not in (403, 404):
            raise
        if code(error) == "ResourceGroupNotFound":
            raise NotFoundError(
                f"There is no resource group {group}.", hint="Check -g/--resource-group and --subscription."
            ) from error
        if error.status_code == 403:
            raise NotFoundError(
                f"{what} {name} in resource group {group} is not there, or you may not read it: {text(error)}",
                hint=f"Check {flag}, -g/--resource-group and --subscription; reading takes the Reader role.",
            ) from error
        raise missing(what, name, group, flag, everything) from error


def _near(name: str, group: str, everything: Callable[[str], Any]) -> str:
    try:
        names = [str(resource.name) for resource in everything(group)]
    except AzureError:  # a guess less; the error itself is told anyway
        return ""
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5) or names[:5]
    return f" The group has: {', '.join(close)}." if close else " The group has none."
