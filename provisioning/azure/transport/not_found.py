"""Errors for a resource that does not exist, with similar names and the option that names it."""

import difflib
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from azure.core.exceptions import AzureError, HttpResponseError

from provisioning.azure.transport.errors import code, text
from provisioning.azure.transport.pipeline import items
from provisioning.errors import NotFoundError, ServiceError
from provisioning.resource_ids import resource_group_of


def missing(
    what: str, name: str, group: str, flag: str, everything: Callable[[str], Any], elsewhere: str = ""
) -> NotFoundError:
    """The error for a resource that the group does not have; the hint names its group (`elsewhere`), or similar names."""
    if elsewhere:
        option = "--key-vault-resource-group" if flag == "--key-vault" else "-g"
        return NotFoundError(
            f"There is no {what} {name} in resource group {group}; it is in {elsewhere}.",
            hint=f"Pass {option} {shlex.quote(elsewhere)}, or its resource id as {flag}.",
        )
    return NotFoundError(
        f"There is no {what} {name} in resource group {group}.",
        hint=f"Check {flag}, -g/--resource-group and --subscription.{_near(name, group, everything)}",
    )


@contextmanager
def named(
    what: str,
    name: str,
    group: str,
    flag: str,
    everything: Callable[[str], Any],
    subscription: Callable[[], Any] = tuple,
) -> Iterator[None]:
    """Turn 404 and 403 into NotFoundError with a helpful hint.

    ARM answers 403 for a group that does not exist if the caller has no rights outside other groups.

    Raises:
        NotFoundError: the hint lists similar names.
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
                f"{what} {name} in resource group {group} does not exist, or you may not read it: {text(error)}",
                hint=f"Check {flag}, -g/--resource-group and --subscription. Reading requires the Reader role.",
            ) from error
        raise missing(what, name, group, flag, everything, group_of(name, subscription)) from error


def group_of(name: str, everything: Callable[[], Any]) -> str:
    """The resource group of the visible resource with this name in the subscription; empty if there is none."""
    try:
        ids = [str(each.id) for each in items(everything()) if str(each.name).lower() == name.lower()]
    except (AzureError, ServiceError):  # the hint works without its group
        return ""
    return resource_group_of(ids[0]) if ids else ""


def _near(name: str, group: str, everything: Callable[[str], Any]) -> str:
    try:
        names = [str(resource.name) for resource in items(everything(group))]
    except (AzureError, ServiceError):  # the hint works without similar names
        return ""
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5) or names[:5]
    return f" The group has: {', '.join(close)}." if close else " The group has none."
