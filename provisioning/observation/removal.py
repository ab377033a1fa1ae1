"""Reads what only teardown needs: what setup may have added anywhere, and who else may use the secret."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import cache, partial

from provisioning.azure.client import AccountIdentities, Azure
from provisioning.clock import Clock
from provisioning.errors import AccessNotEffectiveError, MissingRightsError, VaultUnreachableError
from provisioning.models import Assignment, Observed, Principal, SecretState, Target, Vault
from provisioning.observation.inventory import observe, principals
from provisioning.planning.access.permissions import data_actions, grants, own_policies
from provisioning.planning.access.principals import principal
from provisioning.planning.owned import former_vault, owned_roles
from provisioning.planning.ownership import ACCOUNT_TAG, wrote
from provisioning.resource_ids import same, subscription_id_of, within

_READ_SECRET = "Microsoft.KeyVault/vaults/secrets/getSecret/action"  # noqa: S105 - an action, not a secret
_READ_JOBS = "Microsoft.CognitiveServices/accounts/OpenAI/fine-tunes/read"


def observe_for_removal(azure: Azure, target: Target, clock: Clock, *, restore: bool) -> Observed:
    """Read everything that a plan of teardown depends on: assignments below the vault and their principals, too.

    Raises:
        ProvisioningError: as observe raises.
    """
    observed = observe(azure, target, clock)
    vault, account = observed.vault, observed.account
    subscriptions = {_subscription(each.id) for each in (vault, account)}
    listed = {each: _assignments(azure, each) for each in subscriptions}
    # Names of vaults are unique in Azure, so a scope with its name is an id that it had before it was moved.
    left_behind = tuple(a for a in listed[_subscription(vault.id)] if former_vault(vault, a.scope))
    observed = replace(
        observed,
        assignments=azure.roles.at_and_below(vault.id),
        on_account=azure.roles.at(account.id),
        left_behind=left_behind,
        own_secrets=_own_secrets(azure, vault),
    )
    going_back = restore and vault.rbac
    at_vault = [a for a in observed.assignments if going_back or within(a.scope, vault.id)]
    owned = (each.assignment for each in owned_roles(observed))
    relevant = {a.principal_id for a in (*at_vault, *owned, *left_behind)} | {p.object_id for p in vault.policies}
    ids = sorted({a.role_id for a in observed.assignments}) if going_back else ()
    observed = replace(
        observed,
        principals=principals(azure, relevant, account),
        roles={i: role for i in ids if (role := azure.roles.definition(vault.id, i))},
    )
    if observed.secret.state in (SecretState.MISSING, SecretState.DELETED):
        return observed
    return replace(observed, sharing=_Sharing(azure, target, observed, listed).evidence())


def _subscription(resource_id: str) -> str:
    """Return a subscription's id in lower case, because Azure does not spell it in the same case everywhere."""
    return subscription_id_of(resource_id).lower()


def _assignments(azure: Azure, scope: str) -> tuple[Assignment, ...]:
    """Read all role assignments of a subscription or an account; none without the right to list them."""
    try:
        return azure.roles.at_and_below(scope)
    except MissingRightsError:
        return ()


def _own_secrets(azure: Azure, vault: Vault) -> Mapping[str, str] | None:
    """Read which secrets of the vault setup wrote, and for which accounts; None if this identity may not list them."""
    try:
        listed = azure.secrets(vault).tags()
    except (AccessNotEffectiveError, VaultUnreachableError):
        return None
    return {name: tags.get(ACCOUNT_TAG, "") for name, tags in listed.items() if wrote(tags)}


class _Sharing:
    """Looks for other accounts that may use the secret, whether or not there is a record of it.

    setup does not record what it finds in place. Therefore the access itself counts: the identity of another account
    may read the secret, or an application may read it that also lists the jobs of another account, as the function app
    does.
    """

    def __init__(
        self, azure: Azure, target: Target, observed: Observed, listed: Mapping[str, tuple[Assignment, ...]]
    ) -> None:
        self._azure = azure
        self._observed = observed
        self._secret = observed.vault.scope(target.secret)
        self._listed = listed
        self._definition = cache(partial(azure.roles.definition, observed.vault.id))

    def evidence(self) -> Mapping[str, str]:
        """Return the ids of these accounts, each with the evidence in words."""
        mine = self._observed.account.id
        others = [each for sub in self._listed for each in self._azure.openai_accounts(sub) if not same(each.id, mine)]
        identities = {who.lower() for each in others for who in each.principals}
        readers = [who for who in self._readers() if who.object_id.lower() not in identities]
        found = {each.id: self._use(each, readers) for each in others}
        return {account_id: words for account_id, words in found.items() if words}

    def _use(self, other: AccountIdentities, readers: Collection[Principal]) -> str:
        if any(self._may_read(who) for who in other.principals):
            return "its identity may read the secret"
        assignments = self._listed.get(_subscription(other.id), ()) or (
            _assignments(self._azure, other.id) if readers else ()
        )
        listing = [a for a in assignments if within(other.id, a.scope) and self._permits(a, _READ_JOBS)]
        for who in readers:
            if any(same(a.principal_id, who.object_id) for a in listing):
                return f"{who.label} may read the secret and list its jobs"
        return ""

    def _may_read(self, object_id: str) -> bool:
        """Whether a principal may read the secret, by itself or by a group."""
        if not self._observed.vault.rbac:
            return self._by_policy(object_id) or any(map(self._by_policy, self._groups(object_id)))
        return any(self._permits(a, _READ_SECRET) for a in self._azure.roles.of(self._secret, object_id))

    def _groups(self, object_id: str) -> frozenset[str]:
        return self._azure.groups_of(object_id) or frozenset()

    def _by_policy(self, object_id: str) -> bool:
        policies = own_policies(self._observed.vault.policies, object_id)
        return any(_READ_SECRET in data_actions(policy)[0] for policy in policies)

    def _permits(self, assignment: Assignment, action: str) -> bool:
        role = self._definition(assignment.role_id)
        return role is not None and grants(role, action)

    def _readers(self) -> list[Principal]:
        """The applications, besides operator and account, that may read the secret by their own role or access policy."""
        observed = self._observed
        if observed.vault.rbac:
            reading = (a for a in observed.assignments if within(self._secret, a.scope))
            ids = {a.principal_id for a in reading if self._permits(a, _READ_SECRET)}
        else:
            ids = {p.object_id for p in observed.vault.policies if self._by_policy(p.object_id)}
        found = (principal(observed, each) for each in sorted(ids))
        ours = {observed.caller.object_id.lower(), (observed.account.principal_id or "").lower()}
        return [
            who
            for who in found
            if who.kind in (None, "ServicePrincipal") and not who.missing and who.object_id.lower() not in ours
        ]
