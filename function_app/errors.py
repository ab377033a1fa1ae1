"""The errors of the app. Each has a message, a hint with the next step, and whether a retry may help.

SyncError
├── SettingsError            a setting is missing or malformed
├── VaultError               the key cannot be read from Key Vault
│   └── VaultBusyError       … because the vault is unreachable or busy; retry later
├── StorageError             the app's storage account refuses or is unreachable
├── TakenError               another worker has the job
├── NotYetError              the run cannot be written just now; nothing is wrong
├── UsageError               the command line cannot be used (cli.commands)
├── InterruptedError         Ctrl-C ended a command (cli.report)
├── NotConfirmedError        `submit` cannot ask (cli.quote)
├── DeclinedError            the user answered no to `submit` (cli.submit)
├── RequestError             the options of `submit` contradict each other (authoring.request)
├── InvalidFileError         `check` finds errors in a file that is to be uploaded (authoring.request)
├── UnusableFileError        the account cannot use an uploaded file (authoring.submission)
├── TokenizerError           tokens cannot be counted, only estimated (authoring.checking.tokens)
├── AccountError             Azure OpenAI (or OpenAI)
│   ├── AccessError          … refuses access
│   ├── NotThereError        … has no such job or file
│   └── AccountBusyError     … is unreachable, busy or failing; retry later
│       └── LostAnswerError  … did not answer, but may have created a job (authoring.job_creation)
└── WandbError               W&B
    ├── KeyRefusedError      … does not accept the key
    ├── RunDeletedError      … the run was deleted there; its id cannot be reused
    ├── UnusableRunError     … lost rows of the run, which must be replaced
    ├── DashboardError       … does not save the workspace (authoring.dashboards.dashboard)
    ├── AutomationError      … does not create an automation (authoring.dashboards.automations)
    └── WandbBusyError       … is unreachable, busy or failing; retry later
        └── UnclearError     … failed without a clear reason (tracking.wandb.core.sdk)

Errors of a single command are defined in its module, which is in brackets.
"""

from collections.abc import Sequence
from typing import Any

from function_app.connections import cause_of
from function_app.text import lines


class SyncError(Exception):
    """An expected error.

    Message and hint may quote a service or a job's author. They are made harmless here, on their way to every log and screen.

    Attributes:
        message: what happened and what it means.
        hint: the next step; empty if there is none.
        retry: whether the same operation may succeed later.
    """

    retry = False

    def __init__(self, message: str, hint: str = "") -> None:
        self.message = lines(message)
        self.hint = lines(hint)
        super().__init__(self.message)
        if hint:
            self.add_note(self.hint)  # so that tracebacks, which the Functions host logs, end with the hint


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, at most 200 characters, or the name of its class if it has no text."""
    return cause_of(error).splitlines()[0][:200]


class SettingsError(SyncError):
    """A setting is missing or malformed."""


class VaultError(SyncError):
    """The W&B API key cannot be read from Key Vault."""


class VaultBusyError(VaultError):
    """Key Vault cannot be reached, is throttling, or failed; the next tick tries again."""

    retry = True


class StorageError(SyncError):
    """The app's own storage account refuses or is unreachable. Retry later: a new role takes minutes to work."""

    retry = True


class TakenError(SyncError):
    """Another worker has the job's lease, or has taken it over."""


class NotYetError(SyncError):
    """The run cannot be written just now: another program writes it, or W&B does not show yet what was written."""

    retry = True


class AccountError(SyncError):
    """Azure OpenAI, or OpenAI, refused.

    Attributes:
        listed: the jobs of the account's other addresses, if only one of them refuses to list jobs.
    """

    listed: Sequence[Any] = ()


class AccessError(AccountError):
    """The account refuses this identity."""


class NotThereError(AccountError):
    """The account has no such job or file, or no longer has it."""


class AccountBusyError(AccountError):
    """The account cannot be reached, is throttling, or failed; the next tick tries again."""

    retry = True


class WandbError(SyncError):
    """W&B refused."""


class KeyRefusedError(WandbError):
    """W&B does not accept the API key."""


class RunDeletedError(WandbError):
    """Somebody deleted the run in W&B, which never reuses an id."""


class UnusableRunError(WandbError):
    """The run can no longer be brought up to date and must be replaced."""


class WandbBusyError(WandbError):
    """W&B cannot be reached, is throttling, or failed; the next tick tries again."""

    retry = True
