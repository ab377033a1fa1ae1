"""What can go wrong, for people: what happened, what to do next, and whether trying again can help.

SyncError
├── SettingsError            a setting is missing or malformed
├── VaultError               the key cannot be read from Key Vault
├── StorageError             the app's storage account cannot be asked
├── TakenError               another worker has the job
├── NotYetError              the run cannot be written just now; nothing is wrong
├── UsageError               the command line cannot be used (cli.commands)
├── RequestError             `submit` was asked for what does not fit together (authoring.request)
├── InvalidFileError         `check` finds errors in a file that is to be uploaded (authoring.request)
├── UnusableFileError        the account cannot use an uploaded file (authoring.submission)
├── TokenizerError           tokens cannot be counted, only estimated (authoring.tokens)
├── AccountError             Azure OpenAI (or OpenAI)
│   ├── AccessError          … does not let us in
│   ├── NotThereError        … has no such job or file
│   └── AccountBusyError     … cannot be reached, is busy or broken: later
│       └── LostAnswerError  … may have created a job and did not say so (authoring.job_creation)
└── WandbError               W&B
    ├── KeyRefusedError      … does not take the key
    ├── RunDeletedError      … somebody deleted the run there; its id cannot come back
    ├── UnusableRunError     … lost rows of the run; it has to be replaced
    ├── DashboardError       … does not save the workspace (authoring.dashboard)
    └── WandbBusyError       … cannot be reached, is busy or broken: later
        └── UnclearError     … did not answer in a way that says what happened (tracking.wandb.sdk)

Those that one command alone knows stand in its module, named in brackets.
"""


class SyncError(Exception):
    """Something expected went wrong.

    Attributes:
        message: what happened and what that means.
        hint: the next step; empty when there is none.
        retry: whether the same thing may work later, as it is.
    """

    retry = False

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if hint:
            self.add_note(hint)  # so that a traceback, which is what the Functions host keeps, ends with it


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, at most 200 characters; the name of its class where it has no text.

    azure-core's text for a connection that timed out is a tuple of urllib3's connection and message: only the message counts.
    """
    cause = getattr(error, "inner_exception", None)
    texts = [each for each in getattr(cause, "args", ())[1:] if isinstance(each, str)]
    lines = (texts[-1] if texts else str(error)).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:200]


class SettingsError(SyncError):
    """A setting is missing or malformed."""


class VaultError(SyncError):
    """The W&B API key cannot be read from Key Vault."""


class StorageError(SyncError):
    """The app's own storage account refuses or cannot be reached: later, as a new role takes minutes to count."""

    retry = True


class TakenError(SyncError):
    """Another worker has the job's lease, or has taken it over."""


class NotYetError(SyncError):
    """The run cannot be written just now: another program writes it, or W&B does not show yet what was written."""

    retry = True


class AccountError(SyncError):
    """Azure OpenAI, or OpenAI, refused."""


class AccessError(AccountError):
    """The account does not let this identity do it."""


class NotThereError(AccountError):
    """The account has no such job or file (any more)."""


class AccountBusyError(AccountError):
    """The account cannot be reached, is throttling, or failed; the next tick tries again."""

    retry = True


class WandbError(SyncError):
    """W&B refused."""


class KeyRefusedError(WandbError):
    """W&B does not take the API key."""


class RunDeletedError(WandbError):
    """Somebody deleted the run in W&B, which never gives the same id out again."""


class UnusableRunError(WandbError):
    """The run cannot be brought up to date any more: it has to be replaced."""


class WandbBusyError(WandbError):
    """W&B cannot be reached, is throttling, or failed; the next tick tries again."""

    retry = True
