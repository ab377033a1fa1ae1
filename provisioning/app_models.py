"""A function app and its alerts as Azure shows them. Frozen dataclasses."""

from dataclasses import dataclass

from provisioning.resource_ids import name_of


@dataclass(frozen=True)
class FunctionAppName:
    """Names a function app. Without a subscription, it is in the account's subscription."""

    resource_group: str
    name: str
    subscription: str = ""


@dataclass(frozen=True)
class UserIdentity:
    """A user-assigned managed identity of a function app. `id` is its ARM id."""

    id: str
    client_id: str
    principal_id: str

    @property
    def name(self) -> str:
        """The last part of its ARM id."""
        return name_of(self.id)


@dataclass(frozen=True)
class FunctionApp:
    """A function app as Azure Resource Manager shows it."""

    name: str
    state: str
    system_identity: str | None = None  # the principal's object id
    user_identities: tuple[UserIdentity, ...] = ()
    runtime: str = ""  # such as "python 3.13"; empty if the plan does not name one
    template_version: str = ""  # version of the template that deployed it; empty if unknown


@dataclass(frozen=True)
class IndexedFunction:
    """A function that the host of a function app has indexed."""

    name: str
    disabled: bool = False
    package_version: str = ""  # version of its package; empty if unknown


@dataclass(frozen=True)
class AlertRule:
    """An alert rule that watches a function app. `receivers` is the number of receivers in its action groups."""

    name: str
    enabled: bool
    receivers: int
