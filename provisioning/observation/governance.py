"""Reads what governs the resources of a plan, before anything is written: no more than the plan's changes need."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from provisioning.azure.client import Azure
from provisioning.azure.governance import GovernanceReads, Policies, Restrictions
from provisioning.errors import MissingRightsError, NotSignedInError, ProvisioningError
from provisioning.models import Assignment, Observed, Target, Vault, VaultState
from provisioning.observation.inventory import effective
from provisioning.planning.access.principals import UNREADABLE_END, lasts, principal, with_ends
from provisioning.planning.actions import (
    Action,
    AllowByPolicy,
    AssignRole,
    CreateVault,
    EnableIdentity,
    RemoveRole,
    RestoreAccessPolicies,
    StoreSecret,
    SwitchToRbac,
)
from provisioning.planning.governance import (
    EVERYBODY,
    DenyAssignment,
    Governance,
    Lock,
    PolicyPrincipal,
    Refusal,
    switching_right,
)
from provisioning.planning.steps import Plan
from provisioning.resource_ids import group_id_of, subscription_id_of

_VAULT_VERSION, _ACCOUNT_VERSION, _ROLE_VERSION = "2023-07-01", "2023-05-01", "2022-04-01"
_PROBING = timedelta(minutes=10)
"""How much longer than the wait for roles the operator's right must last, for the probe and the way back."""
_SWITCH = "the switch to Azure RBAC"
_RBAC = "enableRbacAuthorization"
_Found = TypeVar("_Found")


def observe_governance(azure: Azure, target: Target, observed: Observed, plan: Plan) -> tuple[Observed, Governance]:
    """Read what governs the resources that the plan changes, and when the observed role assignments end.

    What cannot be read is named in the result.
    """
    return _Reading(azure, target, observed, plan).all()


def observe_rights(
    azure: Azure, target: Target, observed: Observed, plan: Plan, known: Governance
) -> tuple[Observed, Governance]:
    """Read again what may have ended in the meantime: role assignments, and the operator's right to switch the vault.

    Other obstacles refuse the write itself, which then changes nothing.
    """
    return _Reading(azure, target, observed, plan).again(known)


class _Reading:
    """Reads governance once. `unread` collects what could not be read."""

    def __init__(self, azure: Azure, target: Target, observed: Observed, plan: Plan) -> None:
        self._azure = azure
        self._target = target
        self._observed = observed
        self._plan = plan
        self._unread: list[str] = []
        self._restrictions: dict[str, Restrictions] = {}  # by change
        self._way_back = Restrictions()

    @property
    def _reads(self) -> GovernanceReads:
        return self._azure.governance

    def all(self) -> tuple[Observed, Governance]:
        """Read everything."""
        vault, rights = self._observed.vault, self._plan.rights
        scopes = {right.scope for right in rights}
        subscriptions = {subscription_id_of(scope): group_id_of(scope) for scope in scopes}
        locks = tuple(lock for each in subscriptions.items() for lock in self._locks(*each))
        denials = tuple(dict.fromkeys(d for scope in sorted({*scopes, vault.id}) for d in self._denials(scope)))
        ends = self._ends(vault.id) if rights else {}
        self._ask_policy(vault)
        policies = self._policies(vault.id)
        return self._ending(ends), Governance(
            self._who(denials),
            locks,
            denials,
            self._principals(denials),
            tuple(self._refusals()),
            _demanding(self._way_back, rbac=True),
            tuple(dict.fromkeys(self._sets())),
            policies.on_secrets,
            policies.undeletable,
            self._cannot_switch(ends),
            self._deployments(vault),
            tuple(dict.fromkeys(self._unread)),
        )

    def again(self, known: Governance) -> tuple[Observed, Governance]:
        """Read what may end without a change by anybody, and the deny assignments of a vault that is switched."""
        ends = self._ends(self._observed.vault.id) if self._plan.rights else {}
        if self._plans(SwitchToRbac):
            denials = tuple(dict.fromkeys((*known.denials, *self._denials(self._observed.vault.id))))
            who = known.who | self._who(denials)
            known = replace(known, who=who, denials=denials, principals=self._principals(denials))
        cannot_switch = self._cannot_switch(ends)
        unread = tuple(dict.fromkeys((*known.unread, *self._unread)))
        return self._ending(ends), replace(known, cannot_switch=cannot_switch, unread=unread)

    def _denials(self, scope: str) -> tuple[DenyAssignment, ...]:
        nothing: tuple[DenyAssignment, ...] = ()
        return self._attempt(lambda: self._reads.denials(scope), nothing, "deny assignments")

    def _ends(self, scope: str) -> Mapping[str, datetime]:
        nothing: Mapping[str, datetime] = {}
        found = self._attempt(lambda: self._reads.ends(scope), nothing, "when roles end")
        self._unread += ["when roles end"] if UNREADABLE_END in found.values() else []
        return found

    def _policies(self, scope: str) -> Policies:
        if not self._plans(StoreSecret, RemoveRole):
            return Policies()
        found = self._attempt(lambda: self._reads.policies(scope), Policies(), "policies")
        self._unread += [] if found.complete else ["some policy initiatives"]
        return found

    def _deployments(self, vault: Vault) -> tuple[str, ...]:
        """The templates that may put back what setup changes in an existing vault."""
        nothing: tuple[str, ...] = ()
        if not self._plans(SwitchToRbac, AllowByPolicy) or vault.state is not VaultState.READY:
            return nothing
        return self._attempt(lambda: self._reads.deployments(vault.group_id, vault.id), nothing, "deployments")

    def _plans(self, *kinds: type[Action]) -> bool:
        return any(isinstance(step.action, kinds) for step in self._plan.work)

    def _attempt(self, read: Callable[[], _Found], otherwise: _Found, what: str) -> _Found:
        """Return the result of a read. Only note a failure, because the writes themselves will show what refuses them."""
        try:
            return read()
        except NotSignedInError:
            raise
        except ProvisioningError:
            self._unread.append(what)
            return otherwise

    def _locks(self, subscription: str, group: str) -> tuple[Lock, ...]:
        """The locks of the whole subscription, or only those of the group if the others cannot be read."""
        nothing: tuple[Lock, ...] = ()

        def read() -> tuple[Lock, ...]:
            try:
                return self._reads.locks(subscription)
            except MissingRightsError:
                return self._reads.locks(group)

        return self._attempt(read, nothing, "locks")

    def _who(self, denials: Iterable[DenyAssignment]) -> frozenset[str]:
        """The operator's ids. Its groups are read only if a deny assignment names principals."""
        mine = self._observed.caller.object_id.lower()
        groups = self._azure.groups_of(mine) if _name_principals(denials) else frozenset[str]()
        if groups is None:
            self._unread.append("your groups, which deny assignments may name")
        return (groups or frozenset()) | {mine}

    def _principals(self, denials: Iterable[DenyAssignment]) -> Mapping[str, PolicyPrincipal]:
        """The principals of the access policies that a switch replaces, with their groups if a deny assignment names groups."""
        denying = [d for d in denials if d.data_actions]
        if not denying or not self._plans(SwitchToRbac):
            return {}
        found = {}
        for policy in self._observed.vault.policies:
            object_id = policy.object_id.lower()
            groups = self._azure.groups_of(object_id) if _name_principals(denying) else frozenset[str]()
            if groups is None:
                self._unread.append("groups of the principals of access policies, which deny assignments may name")
            found[object_id] = PolicyPrincipal(
                principal(self._observed, object_id).label, (groups or frozenset()) | {object_id}
            )
        return found

    def _ending(self, ends: Mapping[str, datetime]) -> Observed:
        """Return what was observed, with the ends of role assignments. Roles that end soon no longer count as other access."""
        seen = self._observed
        observed = replace(seen, assignments=with_ends(seen.assignments, ends))
        if not ends or not seen.vault.rbac or seen.vault.state is not VaultState.READY:
            return observed

        def counts(each: Assignment) -> bool:
            return lasts(observed, replace(each, ends=ends.get(each.id.lower())))

        where = (self._target, seen.vault, seen.account, observed.assignments)
        return replace(observed, effective=effective(self._azure, *where, counts))

    def _cannot_switch(self, ends: Mapping[str, datetime]) -> str:
        if not self._plans(SwitchToRbac, RestoreAccessPolicies):
            return ""
        roles, vault, now = self._azure.roles, self._observed.vault, self._observed.at

        def read() -> str:
            mine = with_ends(roles.of(vault.id, self._observed.caller.object_id), ends)
            known = self._observed.roles
            defined = {i: known.get(i) or roles.definition(vault.id, i) for i in {a.role_id for a in mine}}
            held = [(a, role) for a in mine if (role := defined[a.role_id])]
            return switching_right(held, now + self._target.propagation_wait + _PROBING, now)

        return self._attempt(read, "", "conditions on your roles")

    # --- policies ----------------------------------------------------------------------------------------------------

    def _ask_policy(self, vault: Vault) -> None:
        """Ask Azure Policy about each change of a resource that the plan makes."""
        for change, resource_id, content, version in self._questions(vault):
            read = partial(self._reads.restrictions, resource_id, content, version)
            found = self._attempt(read, Restrictions(), "policies")
            if change:
                self._restrictions[change] = found
            else:
                self._way_back = found

    def _questions(self, vault: Vault) -> Iterator[tuple[str, str, dict[str, Any], str]]:
        """Yield each change in words with the resource as it would be. Without words: the vault on its access policies."""
        on_policies = (
            self._plans(SwitchToRbac, RestoreAccessPolicies, AllowByPolicy) and vault.state is VaultState.READY
        )
        if on_policies and (there := self._resource(vault.id, _VAULT_VERSION)):
            if self._plans(SwitchToRbac):
                yield _SWITCH, vault.id, _on(there, rbac=True), _VAULT_VERSION
            yield "", vault.id, _on(there, rbac=False), _VAULT_VERSION
        for action in (step.action for step in self._plan.work):
            match action:
                case CreateVault():
                    yield f"creating {vault.name}", vault.id, _new(action), _VAULT_VERSION
                case EnableIdentity() if there := self._resource(action.account.id, _ACCOUNT_VERSION):
                    kept = (there.get("identity") or {}).get("type")
                    identity = {"type": f"SystemAssigned, {kept}" if kept else "SystemAssigned"}
                    content = there | {"identity": {**(there.get("identity") or {}), **identity}}
                    yield f"the identity of {action.account.name}", action.account.id, content, _ACCOUNT_VERSION
                case AssignRole() if f"role {action.role_name}" not in self._restrictions:
                    yield f"role {action.role_name}", action.where, _assignment(action), _ROLE_VERSION

    def _resource(self, resource_id: str, version: str) -> dict[str, Any]:
        nothing: dict[str, Any] = {}
        return self._attempt(lambda: self._reads.resource(resource_id, version), nothing, "policies")

    def _refusals(self) -> Iterator[Refusal]:
        for change, found in self._restrictions.items():
            undoing = _demanding(found, rbac=False) if change == _SWITCH else found.refusing
            if undoing:
                yield Refusal(change, undoing)
        if self._plans(RestoreAccessPolicies, AllowByPolicy) and (demanding := _demanding(self._way_back, rbac=True)):
            yield Refusal("access policies", demanding)

    def _sets(self) -> Iterator[tuple[str, str]]:
        for found in (*self._restrictions.values(), self._way_back):
            for policy, field, value in found.sets:
                if field != _RBAC:
                    yield policy, f"{field} to {value}"


def _name_principals(denials: Iterable[DenyAssignment]) -> bool:
    return any(d.excluded or d.principals != {EVERYBODY} for d in denials)


def _demanding(found: Restrictions, *, rbac: bool) -> tuple[str, ...]:
    """The policies that would refuse the changed vault, or set this access model in place of the other."""
    undoing = [policy for policy, field, value in found.sets if field == _RBAC and value.lower() == str(rbac).lower()]
    return tuple(dict.fromkeys((*found.refusing, *undoing)))


def _on(vault: Mapping[str, Any], *, rbac: bool) -> dict[str, Any]:
    content = deepcopy(dict(vault))
    content["properties"] = {**(content.get("properties") or {}), _RBAC: rbac}
    return content


def _new(action: CreateVault) -> dict[str, Any]:
    vault = action.vault
    properties: dict[str, Any] = {
        _RBAC: vault.rbac,
        "enableSoftDelete": True,
        "sku": {"family": "A", "name": "standard"},
    }
    if action.purge_protection:
        properties["enablePurgeProtection"] = True
    kind = "Microsoft.KeyVault/vaults"
    return {"type": kind, "name": vault.name, "location": vault.location, "properties": properties}


def _assignment(action: AssignRole) -> dict[str, Any]:
    who = action.principal
    properties = {
        "roleDefinitionId": f"/providers/Microsoft.Authorization/roleDefinitions/{action.role_id}",
        "principalType": (who.kind if who else None) or "ServicePrincipal",
        "scope": action.scope,
    }
    return {"type": "Microsoft.Authorization/roleAssignments", "properties": properties}
