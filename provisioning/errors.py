"""Everything that can go wrong for an operator, each with what to do next.

ProvisioningError
├── UsageError                 2    the command cannot be carried out as given
│   ├── KeyNotGivenError            no W&B key, and nobody to ask
│   ├── MalformedKeyError           what was given cannot be a W&B key
│   └── NotConfirmedError           changes to make, and nobody to ask
├── NotReadyError              3    something named does not exist or is not ready
│   ├── NotFoundError
│   ├── KeyNotStoredError           there is no secret to rotate
│   ├── WrongAccountError           the account cannot be used for this
│   ├── WrongVaultError             the vault cannot be used as asked
│   ├── VaultDeletedError           the vault is in the deleted state
│   ├── VaultNameTakenError         no vault can be made under this name
│   ├── BusyError                   the resource is being changed or deleted
│   ├── VaultUnreachableError       a firewall or private endpoint is in the way
│   └── AccountUnreachableError     the same, of the account
├── RefusedError               1    somebody said no
│   ├── NotSignedInError
│   ├── MissingRightsError
│   ├── DeclinedError               the operator answered "no"
│   ├── AccessWouldBeLostError      principals that cannot be carried over to Azure RBAC
│   ├── PrincipalMissingError       the directory does not know who should get a role
│   ├── ConditionalRoleError        the role is there, under a condition
│   ├── NotOursError                what should be undone was not done by setup
│   ├── KeyRefusedError             W&B does not know the key
│   └── EntityRefusedError          W&B knows the key, which may not write there
├── FailedError                1    it was tried and did not work
│   ├── UnreachableError            no answer: network, proxy, name resolution
│   ├── ServiceError                an answer that nobody asked for
│   ├── ConflictError               the state changed under our hands
│   ├── AccessNotEffectiveError     a role did not take effect in time
│   ├── NotInPlaceError             everything was done, and yet something is missing
│   └── BrokenLinkError             doctor found a link of the chain that does not hold
└── InterruptedByUserError     130  Ctrl-C
"""

from typing import ClassVar


class ProvisioningError(Exception):
    """Something the operator is told in three parts.

    Attributes:
        code: stable name for programs, kebab-case.
        message: what happened and what that means.
        hint: what to do next; never empty.
        exit_status: of the process.
    """

    code: ClassVar[str] = "error"
    exit_status: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str) -> None:
        if not hint:
            raise ValueError(f"an error without a hint: {message}")
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(ProvisioningError):
    """The command cannot be carried out as given."""

    code = "usage"
    exit_status = 2


class KeyNotGivenError(UsageError):
    """No W&B key, and no terminal to ask for one."""

    code = "wandb-key-not-given"


class MalformedKeyError(UsageError):
    """What was given cannot be a W&B key."""

    code = "wandb-key-malformed"


class NotConfirmedError(UsageError):
    """There are changes to make and no terminal to ask for consent."""

    code = "not-confirmed"


class NotReadyError(ProvisioningError):
    """Something named does not exist or is not ready."""

    code = "not-ready"
    exit_status = 3


class NotFoundError(NotReadyError):
    """Something named does not exist, or this identity may not see it."""

    code = "not-found"


class KeyNotStoredError(NotReadyError):
    """There is no secret whose key could be changed."""

    code = "wandb-key-not-stored"


class WrongAccountError(NotReadyError):
    """The account exists and cannot be used for this."""

    code = "wrong-account"


class WrongVaultError(NotReadyError):
    """The vault exists and cannot be used as asked."""

    code = "wrong-vault"


class VaultDeletedError(NotReadyError):
    """The vault is in the deleted state and can be recovered."""

    code = "vault-deleted"


class VaultNameTakenError(NotReadyError):
    """No vault can be made under this name."""

    code = "vault-name-taken"


class BusyError(NotReadyError):
    """The resource is being changed or deleted."""

    code = "busy"


class VaultUnreachableError(NotReadyError):
    """The vault's firewall, or its lack of a public endpoint, keeps this machine out."""

    code = "vault-unreachable"


class AccountUnreachableError(NotReadyError):
    """The account's firewall, or its lack of a public endpoint, keeps this machine out."""

    code = "account-unreachable"


class RefusedError(ProvisioningError):
    """Somebody said no."""

    code = "refused"


class NotSignedInError(RefusedError):
    """No credential gave a token."""

    code = "not-signed-in"


class MissingRightsError(RefusedError):
    """This identity may not do what the plan needs."""

    code = "missing-rights"


class DeclinedError(RefusedError):
    """The operator answered no."""

    code = "declined"


class AccessWouldBeLostError(RefusedError):
    """Principals would lose access on the switch to Azure RBAC."""

    code = "access-would-be-lost"


class PrincipalMissingError(RefusedError):
    """The directory does not know the principal that should get a role."""

    code = "principal-missing"


class ConditionalRoleError(RefusedError):
    """The assignment exists under a condition, so it may not grant what its role says."""

    code = "conditional-role"


class NotOursError(RefusedError):
    """What should be undone was not done by setup, or no mark tells that it was."""

    code = "not-ours"


class KeyRefusedError(RefusedError):
    """W&B does not know the key."""

    code = "wandb-key-refused"


class EntityRefusedError(RefusedError):
    """W&B knows the key, which may not write where it should."""

    code = "wandb-entity-refused"


class FailedError(ProvisioningError):
    """It was tried and did not work."""

    code = "failed"


class UnreachableError(FailedError):
    """No answer: network, proxy or name resolution."""

    code = "unreachable"


class ServiceError(FailedError):
    """The service gave an answer that nobody asked for."""

    code = "service-error"


class ConflictError(FailedError):
    """The state changed under our hands."""

    code = "conflict"


class AccessNotEffectiveError(FailedError):
    """A role did not take effect in time."""

    code = "access-not-effective"


class NotInPlaceError(FailedError):
    """Everything was done, and a last look shows that something is missing."""

    code = "not-in-place"


class BrokenLinkError(FailedError):
    """doctor found a link of the chain that does not hold."""

    code = "broken-link"


class InterruptedByUserError(ProvisioningError):
    """Ctrl-C."""

    code = "interrupted"
    exit_status = 130
