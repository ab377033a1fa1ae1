"""The errors of the commands. Each has an exit status, a code for programs, a message, and a hint with the next step.

ProvisioningError
├── UsageError                 2    the command cannot run as given
│   ├── KeyNotGivenError            no W&B key, and no terminal to ask for one
│   ├── MalformedKeyError           the given text cannot be a W&B key
│   └── NotConfirmedError           changes to apply, and no terminal to ask for consent
├── NotReadyError              3    a named resource does not exist or is not ready
│   ├── NotFoundError
│   ├── KeyNotStoredError           there is no secret to rotate
│   ├── WrongAccountError           the account cannot be used
│   ├── WrongVaultError             the vault does not fit the options
│   ├── VaultDeletedError           the vault is in the deleted state
│   ├── VaultNameTakenError         no vault can be created with this name
│   ├── BusyError                   the resource is being changed or deleted
│   ├── SubscriptionDisabledError   the subscription is read-only
│   ├── ProviderNotRegisteredError  the subscription lacks a resource provider
│   ├── HostUnavailableError        the host of the function app does not start
│   ├── VaultUnreachableError       the vault's network rules refuse this machine
│   └── AccountUnreachableError     the account's network rules refuse this machine
├── RefusedError               1    a service, or the operator, refused
│   ├── NotSignedInError
│   ├── MissingRightsError
│   ├── LockedError                 a lock forbids the change
│   ├── PolicyError                 Azure Policy refused the request
│   ├── DenyAssignmentError         a deny assignment forbids the action
│   ├── LimitReachedError           a limit of Azure is reached
│   ├── DeclinedError               the operator answered "no"
│   ├── NoWayBackError              a policy would refuse to undo the switch
│   ├── AccessWouldBeLostError      no role can replace the access policy of some principals
│   ├── PrincipalMissingError       the principal of a role is not in the directory
│   │   └── PrincipalUnsupportedError   a role cannot be assigned to it
│   ├── ConditionalRoleError        the role assignment exists, with a condition
│   ├── NotOursError                setup did not make the change that is to be undone
│   ├── KeyRefusedError             W&B does not accept the key
│   └── EntityRefusedError          W&B accepts the key, but it may not write there
├── FailedError                1    an operation failed
│   ├── UnreachableError            no answer: network, proxy, name resolution
│   ├── ServiceError                an unexpected answer
│   │   ├── ThrottledError          the service asks for a slower pace
│   │   ├── BadRequestError         the request is not accepted as it is (azure.transport.errors)
│   │   └── VaultBusyError          the vault is busy, and probably wrote nothing (azure.secrets)
│   ├── OperationFailedError        an accepted operation failed later
│   ├── TimedOutError               an operation did not end in time
│   ├── ConflictError               somebody else changed the state at the same time
│   │   ├── OutdatedPlanError       the state that the plan saw has changed (execution.services)
│   │   └── SecretDeletedError      the name belongs to a deleted secret (azure.secrets)
│   ├── AccessNotEffectiveError     a role did not take effect in time
│   ├── NotInPlaceError             all steps were applied, but something is missing
│   ├── BrokenLinkError             a check of doctor failed
│   └── NotAsModelledError          a step of prove does not hold
└── InterruptedByUserError     130  Ctrl-C

Errors of a single module are defined there; the module is in brackets.
"""

from typing import ClassVar


class ProvisioningError(Exception):
    """Base class of all errors of the commands.

    Attributes:
        code: stable name for programs, in kebab-case.
        message: what happened and what it means.
        hint: what to do next; never empty.
        exit_status: exit status of the process.
    """

    code: ClassVar[str] = "error"
    exit_status: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str) -> None:
        if not hint:
            raise ValueError(f"This error has no hint: {message}")
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(ProvisioningError):
    """The command cannot run as given."""

    code = "usage"
    exit_status = 2


class KeyNotGivenError(UsageError):
    """No W&B key, and no terminal to ask for one."""

    code = "wandb-key-not-given"


class MalformedKeyError(UsageError):
    """The given text cannot be a W&B key."""

    code = "wandb-key-malformed"


class NotConfirmedError(UsageError):
    """There are changes to apply and no terminal to ask for consent."""

    code = "not-confirmed"


class NotReadyError(ProvisioningError):
    """A named resource does not exist or is not ready."""

    code = "not-ready"
    exit_status = 3


class NotFoundError(NotReadyError):
    """A named resource does not exist, or this identity may not see it."""

    code = "not-found"


class KeyNotStoredError(NotReadyError):
    """There is no secret to rotate."""

    code = "wandb-key-not-stored"


class WrongAccountError(NotReadyError):
    """The account exists but cannot be used."""

    code = "wrong-account"


class WrongVaultError(NotReadyError):
    """The vault exists but does not fit the options."""

    code = "wrong-vault"


class VaultDeletedError(NotReadyError):
    """The vault is in the deleted state and can be recovered."""

    code = "vault-deleted"


class VaultNameTakenError(NotReadyError):
    """No vault can be created with this name."""

    code = "vault-name-taken"


class BusyError(NotReadyError):
    """The resource is being changed or deleted."""

    code = "busy"


class SubscriptionDisabledError(NotReadyError):
    """The subscription is disabled, and so read-only."""

    code = "subscription-disabled"


class ProviderNotRegisteredError(NotReadyError):
    """The subscription is not registered for a resource provider."""

    code = "provider-not-registered"


class HostUnavailableError(NotReadyError):
    """The host of the function app does not answer Azure Resource Manager."""

    code = "host-unavailable"


class VaultUnreachableError(NotReadyError):
    """The vault's firewall refuses this machine, or the vault has no public endpoint."""

    code = "vault-unreachable"


class AccountUnreachableError(NotReadyError):
    """The account's firewall refuses this machine, or the account has no public endpoint."""

    code = "account-unreachable"


class RefusedError(ProvisioningError):
    """A service, or the operator, refused."""

    code = "refused"


class NotSignedInError(RefusedError):
    """No credential returned a token, or a service rejected it."""

    code = "not-signed-in"


class MissingRightsError(RefusedError):
    """This identity lacks rights that the command needs."""

    code = "missing-rights"


class LockedError(RefusedError):
    """A lock forbids the change."""

    code = "locked"


class PolicyError(RefusedError):
    """Azure Policy refused the request. Waiting does not help."""

    code = "disallowed-by-policy"


class DenyAssignmentError(RefusedError):
    """A deny assignment forbids the action."""

    code = "denied-by-assignment"


class LimitReachedError(RefusedError):
    """A limit of Azure is reached, such as the number of role assignments."""

    code = "limit-reached"


class DeclinedError(RefusedError):
    """The operator did not consent."""

    code = "declined"


class AccessWouldBeLostError(RefusedError):
    """Principals would lose access on the switch to Azure RBAC."""

    code = "access-would-be-lost"


class NoWayBackError(RefusedError):
    """The switch to Azure RBAC could not be undone, because a policy demands Azure RBAC."""

    code = "no-way-back"


class PrincipalMissingError(RefusedError):
    """The principal of a role is not in the directory."""

    code = "principal-missing"


class PrincipalUnsupportedError(PrincipalMissingError):
    """A role cannot be assigned to a directory object of this kind, such as an application."""

    code = "principal-unsupported"


class ConditionalRoleError(RefusedError):
    """The role assignment exists with a condition, which may narrow what the role permits."""

    code = "conditional-role"


class NotOursError(RefusedError):
    """Nothing proves that setup made the change that is to be undone."""

    code = "not-ours"


class KeyRefusedError(RefusedError):
    """W&B does not accept the key."""

    code = "wandb-key-refused"


class EntityRefusedError(RefusedError):
    """W&B accepts the key, but it may not write to the entity."""

    code = "wandb-entity-refused"


class FailedError(ProvisioningError):
    """An operation failed."""

    code = "failed"


class UnreachableError(FailedError):
    """A service did not answer: network, proxy or name resolution."""

    code = "unreachable"


class ServiceError(FailedError):
    """A service gave an unexpected answer."""

    code = "service-error"


class ThrottledError(ServiceError):
    """The service asks for a slower pace."""

    code = "throttled"


class OperationFailedError(FailedError):
    """Azure accepted a long-running operation, which then failed."""

    code = "operation-failed"


class TimedOutError(FailedError):
    """A long-running operation did not end within its limit."""

    code = "timed-out"


class ConflictError(FailedError):
    """Somebody else changed the state at the same time."""

    code = "conflict"


class AccessNotEffectiveError(FailedError):
    """A role did not take effect in time."""

    code = "access-not-effective"


class NotInPlaceError(FailedError):
    """All steps were applied, but the final check shows that something is missing."""

    code = "not-in-place"


class BrokenLinkError(FailedError):
    """A check of doctor failed."""

    code = "broken-link"


class NotAsModelledError(FailedError):
    """A real subscription does not behave as modelled."""

    code = "not-as-modelled"


class InterruptedByUserError(ProvisioningError):
    """Ctrl-C."""

    code = "interrupted"
    exit_status = 130
