"""doctor's checks of what setup brings in place: account, vault, secret, W&B, and the list of jobs."""

from provisioning.azure.client import Azure
from provisioning.azure.fine_tuning import az_name
from provisioning.checks.access import tell_access, to_secret
from provisioning.checks.walk import Walk
from provisioning.cli import documents
from provisioning.cli.session import Session
from provisioning.errors import (
    KeyRefusedError,
    MalformedKeyError,
    ProvisioningError,
    UnreachableError,
    VaultUnreachableError,
)
from provisioning.models import Account, Secret, SecretState, Vault, WandbAccount
from provisioning.observation.inventory import require_usable
from provisioning.observation.vault import find_vault, network_refusal
from provisioning.planning.secret import until, warning
from provisioning.planning.vault import UNTRUSTED
from provisioning.wandb_key import Key


def _next(command: str, session: Session) -> str:
    """The command that mends this chain, whole. Whoever is here is signed in, so that the subscription is known."""
    return documents.command(command, session.target, session.facts["subscription"]["id"])


def account(walk: Walk, azure: Azure, session: Session) -> Account | None:
    """The account, its network and its identity."""
    found: Account | None = None
    with walk.checking("account"):
        found = azure.account(session.target.resource_group, session.target.account)
        require_usable(found)
        if found.state.lower() == "succeeded":
            walk.ok("account", f"{found.name}: {found.kind}, {found.endpoint}")
        else:
            walk.warn(
                "account",
                f"{found.name} is {found.state}: a change of it has not come to its end",
                f"az cognitiveservices account show {az_name(found)} --query properties.provisioningState",
            )
    if found is None:
        walk.skip("the account is not known", "account network", "account identity")
        return None
    _account_network(walk, found)
    if found.principal_id:
        walk.ok("account identity", f"system-assigned, principal {found.principal_id}")
    else:
        walk.fail("account identity", f"{found.name} has no system-assigned identity", _next("setup", session))
    return found


def _account_network(walk: Walk, found: Account) -> None:
    if not found.network.public:
        walk.warn(
            "account network",
            "only private endpoints: public network access is disabled",
            "The function app needs virtual network integration to reach it, and so do you.",
        )
    elif found.network.firewalled:
        walk.warn(
            "account network",
            "a firewall: only the networks that its rules name get in",
            "The function app's outbound network has to be among them: "
            f"az cognitiveservices account network-rule list {az_name(found)}",
        )
    else:
        walk.ok("account network", "open to all networks")


def vault(walk: Walk, azure: Azure, session: Session, known: Account | None) -> Vault | None:
    """The vault as Azure Resource Manager shows it, and its network."""
    found: Vault | None = None
    with walk.checking("vault"):
        if known:  # tells a deleted one from none
            found = find_vault(azure, session.target, known)
        else:
            found = azure.vaults.get(session.target.resource_group, session.target.vault)
        walk.ok("vault", f"{found.name}: {found.uri}, {'Azure RBAC' if found.rbac else 'access policies'}")
    if found is None:
        walk.skip("the vault is not known", "vault network")
        return None
    _vault_network(walk, found)
    return found


def _vault_network(walk: Walk, found: Vault) -> None:
    if not found.network.public:
        walk.warn(
            "vault network",
            f"{found.network} only; {UNTRUSTED}",
            "The function app needs virtual network integration and a private endpoint to the vault.",
        )
    elif found.network.firewalled:
        walk.warn(
            "vault network",
            f"a firewall: only what its rules name gets in; {UNTRUSTED}",
            f"az keyvault network-rule list -n {found.name} shows the rules; the function app's outbound network has "
            "to be among them.",
        )
    else:
        walk.ok("vault network", "open to all networks")


def secret(walk: Walk, azure: Azure, session: Session, held: Vault | None) -> Secret | None:
    """Whether the vault lets the operator in, and what the secret is like."""
    if held is None:
        walk.skip("the vault is not known", "vault access", "secret")
        return None
    seen: Secret | None = None
    with walk.checking("vault access"):
        try:
            seen = azure.secrets(held).read(session.target.secret)
        except VaultUnreachableError as error:
            raise network_refusal(held, error) from error
    if seen is None:
        walk.skip("the vault does not answer you", "secret")
        return None
    if seen.state is SecretState.UNKNOWN:
        what = "no role" if held.rbac else "no access policy"
        walk.fail(
            "vault access",
            f"the vault answers; {what} lets you read secrets, or it is too new to work",
            _next("setup", session),
        )
        walk.skip("the vault does not let you in", "secret")
        return None
    walk.ok("vault access", "the vault answers and lets you in")
    _secret(walk, session, held, seen)
    return seen


def _secret(walk: Walk, session: Session, held: Vault, seen: Secret) -> None:
    name = session.target.secret
    match seen.state:
        case SecretState.PRESENT:
            if danger := warning(seen.expires, session.clock.now()):
                walk.warn("secret", f"{name}: {danger}", _next("rotate-key", session))
            else:
                walk.ok("secret", f"{name} is there, {until(seen.expires)}")
        case SecretState.DISABLED:
            walk.fail(
                "secret",
                f"{name} is disabled: nobody can read it",
                f"az keyvault secret set-attributes --vault-name {held.name} -n {name} --enabled true, if that was "
                f"by mistake; with another key: {_next('rotate-key', session)}",
            )
        case SecretState.DELETED:
            walk.fail("secret", f"{name} is deleted; setup recovers it", _next("setup", session))
        case _:
            walk.fail("secret", f"there is no secret {name} in {held.name}", _next("setup", session))


def identity_access(walk: Walk, azure: Azure, session: Session, known: Account | None, held: Vault | None) -> None:
    """Whether the account's identity may read the secret."""
    name = "identity access"
    if held is None:
        walk.skip("the vault is not known", name)
    elif known is None or not known.principal_id:
        walk.skip("the account has no identity", name)
    else:
        with walk.checking(name, hidden=True):
            access = to_secret(azure, held, session.target.secret, known.principal_id)
            tell_access(
                walk,
                name,
                session,
                access,
                f"{known.name} may not read secret {session.target.secret}",
                _next("setup", session),
            )


def wandb(walk: Walk, session: Session, held: Secret | None) -> WandbAccount | None:
    """Whether W&B knows the key in the vault, and lets it write."""
    name = "W&B key"
    if held is None or held.value is None:
        walk.skip("the key in the vault could not be read", name)
        return None
    key = Key(held.value, f"secret {session.target.secret}")
    try:
        found = session.check_key(key, session.wandb_base_url, session.wandb_entity)
    except KeyRefusedError:
        walk.fail(
            name,
            f"W&B does not know the key in {key.origin}: it was revoked, or is another server's",
            _next("rotate-key", session),
        )
    except MalformedKeyError as error:
        walk.fail(name, error.message, _next("rotate-key", session))
    except UnreachableError:
        walk.fail(
            name,
            "W&B gave no answer, so that nothing can be said of the key",
            "Check the network, HTTPS_PROXY and --wandb-base-url (WANDB_BASE_URL), then run doctor again.",
        )
    except ProvisioningError as error:
        walk.fail(name, error.message, error.hint)
    else:
        _known_key(walk, found)
        return found
    return None


def _known_key(walk: Walk, found: WandbAccount) -> None:
    whose = f"W&B knows it: user {found.username}, entity {found.entity}"
    if found.may_write:
        walk.ok("W&B key", f"{whose}, may write")
    else:
        walk.warn(
            "W&B key",
            f"{whose}; W&B does not say whether it may write there",
            f"See the seat of {found.username} in the settings of {found.entity} on the W&B server.",
        )


def job_list(walk: Walk, azure: Azure, known: Account | None) -> None:
    """Whether the operator sees the account's jobs on the data plane: the way that the function app goes."""
    if known is None:
        walk.skip("the account is not known", "job list")
        return
    with walk.checking("job list"):
        some = azure.jobs(known).any(azure.caller)
        walk.ok(
            "job list", "you see the fine-tuning jobs" if some else "you may see fine-tuning jobs; there are none yet"
        )
