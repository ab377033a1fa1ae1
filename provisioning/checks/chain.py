"""doctor's checks of what setup creates: account, vault, secret, W&B key, and the list of jobs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from provisioning import shell
from provisioning.app_models import FunctionApp, FunctionAppName
from provisioning.azure.client import Azure
from provisioning.checks import access
from provisioning.checks.report import Finding, failed, known, ok, readable, skipped, warning
from provisioning.clock import Clock
from provisioning.errors import (
    KeyRefusedError,
    MalformedKeyError,
    UnreachableError,
    VaultUnreachableError,
)
from provisioning.models import Account, Secret, SecretState, Target, Vault
from provisioning.observation.inventory import require_usable
from provisioning.observation.vault import find_vault, network_refusal
from provisioning.planning.secret import expiry_warning, until
from provisioning.planning.vault import UNTRUSTED
from provisioning.wandb_key import Key, WandbAccount

_SOON = timedelta(days=90)
"""doctor warns about a model this long before it ends."""
_NEARLY = 0.9  # share of the limit of jobs
_NAMED = 5  # models named in one message


@dataclass
class Chain:
    """The subject of doctor, and the findings of its checks so far. None means not found, or not checked yet."""

    azure: Azure
    target: Target
    clock: Clock
    check_key: Callable[[Key], WandbAccount]
    app: FunctionAppName | None = None
    account: Account | None = None
    vault: Vault | None = None
    secret: Secret | None = None
    jobs: int = 0
    wandb: WandbAccount | None = None
    site: FunctionApp | None = None
    app_settings: Mapping[str, str] | None = None
    app_principal: str | None = None
    package_version: str = ""

    def command(self, name: str) -> str:
        """Return one of our own commands, for this account, vault and secret."""
        return shell.provisioning(name, self.target, self.azure.subscription.id)


def account(chain: Chain) -> Finding:
    """The account exists, can fine-tune and is not being changed."""
    found = chain.azure.account(chain.target.resource_group, chain.target.account)
    chain.account = found
    require_usable(found)
    if found.state.lower() == "succeeded":
        return ok(f"{found.name}: {found.kind}, {found.endpoint}")
    return warning(
        f"{found.name} is {found.state}: a change is still in progress",
        shell.az_account(found, "show", "--query", "properties.provisioningState"),
    )


def account_network(chain: Chain) -> Finding:
    """The account's data plane can be reached."""
    found = known(chain.account, "the account")
    if not found.network.public:
        return warning(
            "private endpoints only: public network access is disabled",
            "You and the function app need a connection to the virtual network of its private endpoint.",
        )
    if found.network.firewalled:
        return warning(
            "behind a firewall: only the networks in its rules have access",
            "Add the function app's outbound network to the rules: " + shell.az_account(found, "network-rule", "list"),
        )
    return ok("open to all networks")


def account_identity(chain: Chain) -> Finding:
    """The account has a system-assigned identity."""
    found = known(chain.account, "the account")
    if not chain.target.with_identity:
        return skipped("--no-account-identity")
    if found.principal_id:
        return ok(f"system-assigned, principal {found.principal_id}")
    return failed(f"{found.name} has no system-assigned identity", chain.command("setup"))


def vault(chain: Chain) -> Finding:
    """The vault exists."""
    if chain.account:  # find_vault tells a deleted vault from a missing one
        found = find_vault(chain.azure, chain.target, chain.account)
    else:
        found = chain.azure.vaults.get(chain.target.key_vault_group, chain.target.vault)
    chain.vault = found
    return ok(f"{found.name}: {found.uri}, {'Azure RBAC' if found.rbac else 'access policies'}")


def vault_network(chain: Chain) -> Finding:
    """The vault's data plane can be reached."""
    found = known(chain.vault, "the vault")
    if not found.network.public:
        return warning(
            f"{found.network} only; {UNTRUSTED}",
            "The function app needs virtual network integration and a private endpoint to the vault.",
        )
    if found.network.firewalled:
        rules = shell.command("az", "keyvault", "network-rule", "list", "-n", found.name)
        return warning(
            f"behind a firewall: only the networks in its rules have access; {UNTRUSTED}",
            f"Add the function app's outbound network to the rules: {rules}",
        )
    return ok("open to all networks")


def vault_access(chain: Chain) -> Finding:
    """The operator may read secrets."""
    found = known(chain.vault, "the vault")
    try:
        seen = chain.azure.secrets(found).read(chain.target.secret)
    except VaultUnreachableError as error:
        raise network_refusal(found, error) from error
    if seen.state is SecretState.UNKNOWN:
        what = "no role" if found.rbac else "no access policy"
        return failed(
            f"the vault answers, but {what} lets you read secrets, or a new one does not work yet",
            chain.command("setup"),
        )
    chain.secret = seen
    return ok("the vault answers, and you have access")


def secret(chain: Chain) -> Finding:
    """The secret exists, is enabled and does not expire soon."""
    found, seen, name = known(chain.vault, "the vault"), chain.secret, chain.target.secret
    if seen is None:
        return skipped("you have no access to the vault")
    match seen.state:
        case SecretState.PRESENT:
            if danger := expiry_warning(seen.expires, chain.clock.now()):
                return warning(f"{name}: {danger}", chain.command("rotate-key"))
            return ok(f"{name} exists, {until(seen.expires)}")
        case SecretState.DISABLED:
            named = ("--vault-name", found.name, "-n", name, "--enabled", "true")
            enable = shell.command("az", "keyvault", "secret", "set-attributes", *named)
            return failed(
                f"{name} is disabled: nobody can read it",
                f"{enable}, if that was by mistake; with another key: {chain.command('rotate-key')}",
            )
        case SecretState.DELETED:
            return failed(f"{name} is deleted; setup recovers it", chain.command("setup"))
        case _:
            return failed(f"{found.name} has no secret {name}", chain.command("setup"))


def identity_access(chain: Chain) -> Finding:
    """The account's identity may read the secret."""
    found, subject = known(chain.vault, "the vault"), chain.account
    if not chain.target.with_identity:
        return skipped("--no-account-identity")
    if subject is None or not subject.principal_id:
        return skipped("the account has no identity")
    principal_id, name = subject.principal_id, chain.target.secret
    held = readable(lambda: access.to_secret(chain.azure, found, name, principal_id))
    return held.finding(chain.clock.now(), f"{subject.name} may not read secret {name}", chain.command("setup"))


def wandb_key(chain: Chain) -> Finding:
    """W&B accepts the key in the vault, and the key may write."""
    if chain.secret is None or chain.secret.value is None:
        return skipped("the key in the vault could not be read")
    key = Key(chain.secret.value, f"secret {chain.target.secret}")
    try:
        found = chain.check_key(key)
    except KeyRefusedError:
        return failed(
            f"W&B does not accept the key in {key.origin}: it was revoked or belongs to another server",
            chain.command("rotate-key"),
        )
    except MalformedKeyError as error:
        return failed(error.message, chain.command("rotate-key"))
    except UnreachableError:
        return failed(
            "W&B did not answer, so the key could not be checked",
            "Check the network, HTTPS_PROXY, SSL_CERT_FILE (for a private authority) and --wandb-base-url (WANDB_BASE_URL), "
            "then run doctor again.",
        )
    chain.wandb = found
    owner = f"W&B accepts it: user {found.username}, entity {found.entity}"
    if found.may_write:
        return ok(f"{owner}, may write")
    return warning(
        f"{owner}; W&B does not say whether it may write there",
        f"Check the seat of {found.username} in the settings of {found.entity} on the W&B server.",
    )


def job_list(chain: Chain) -> Finding:
    """The operator may list the account's jobs, as the function app does. There is room for more, and no model ends soon."""
    found = known(chain.account, "the account")
    jobs = chain.azure.jobs(found)
    listed = jobs.read(chain.azure.caller)
    chain.jobs = listed.count
    most, largest = found.limits.get("MaxFineTuneCount"), found.limits.get("MaxTrainingFileSize")
    seen = f"you may list fine-tuning jobs; there are {listed.count or 'none yet'}"
    seen += f", and at most {most:,}" if most else ""
    seen += f"; training files have at most {largest:,} bytes" if largest else ""
    if most and listed.count >= most * _NEARLY:
        return warning(
            seen, "Azure refuses new jobs at that limit: delete old ones (their runs in W&B stay), or ask for more."
        )
    now = chain.clock.now()
    soon = [end for end in jobs.ends(listed) if now <= end.at < now + _SOON]
    if not soon:
        return ok(seen)
    words = ("{} no longer answers from {}" if end.answers else "training of {} ends on {}" for end in soon)
    ends = [text.format(end.model, end.at.date()) for text, end in zip(words, soon, strict=True)]
    more = [f"{len(ends) - _NAMED} more models end"] if len(ends) > _NAMED else []
    return warning(
        f"{seen}; within {_SOON.days} days: " + ", ".join(ends[:_NAMED] + more),
        "Plan the move to another base model: https://learn.microsoft.com/azure/foundry/openai/concepts/model-retirement-schedule"
        " (customers that used a base model before may train it longer).",
    )


def fine_tuning(chain: Chain) -> Finding:
    """The account's region offers fine-tuning."""
    found = known(chain.account, "the account")
    models = readable(lambda: chain.azure.trainable_models(found))
    if models:
        more = f" and {len(models) - _NAMED} more" if len(models) > _NAMED else ""
        many = "1 base model" if len(models) == 1 else f"{len(models)} base models"
        return ok(f"{found.location}: {many} can be trained ({', '.join(models[:_NAMED])}{more})")
    seen = f"Azure names no base model that can be trained in {found.location}"
    if chain.jobs:
        return ok(f"{seen}, but the account has jobs")
    return warning(
        f"{seen}, and it never names open-weight models",
        "Compare the region with https://learn.microsoft.com/azure/ai-foundry/openai/concepts/models#fine-tuning-models; "
        "where it is not listed, use an account in another region.",
    )


CHECKS: Mapping[str, Callable[[Chain], Finding]] = {
    "account": account,
    "account network": account_network,
    "account identity": account_identity,
    "vault": vault,
    "vault network": vault_network,
    "vault access": vault_access,
    "secret": secret,
    "identity access": identity_access,
    "W&B key": wandb_key,
    "job list": job_list,
    "fine-tuning": fine_tuning,
}
"""The checks by name, in the order in which they run. A later check uses what an earlier one found."""
