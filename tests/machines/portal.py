"""Changes that people make to the chain between two runs, in the portal or with other tools."""

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from sandbox.azure.rbac import Assignment
from sandbox.azure.roles import ROLE_IDS
from sandbox.azure.tenant import AccessPolicy, Account, Principal, SecretVersion, Tenant, Vault
from tests.provisioning.bench import Bench

from .access import SECRET, ours

PEOPLE = ("operator", "dana", "billing-api", "reports-job", "function-app", "ml-team", "aoai-ml")
APPLICATION = "11111111-0000-4000-8000-000000000001"
PERMISSIONS: tuple[dict[str, list[str]], ...] = (
    {"secrets": ["Get", "List"]},
    {"secrets": ["get"], "keys": ["get", "unwrapKey", "wrapKey"]},
    {"secrets": ["all"]},
    {"secrets": ["get", "list", "set", "delete"], "certificates": ["get", "list"]},
    {"keys": ["sign"]},
    {"certificates": ["import"], "secrets": ["backup"]},
    {"secrets": []},
    {"storage": ["get"], "secrets": ["get"]},  # no role for managed storage
)
ROLES = (
    "Key Vault Secrets Officer",
    "Key Vault Secrets User",
    "Key Vault Administrator",
    "Key Vault Reader",
    "Key Vault Crypto User",
    "Key Vault Contributor",
)


class Portal(RuleBasedStateMachine):
    """The edits, on the resources that exist."""

    def __init__(self, bench: Bench) -> None:
        super().__init__()
        self.bench = bench
        self.made = 0

    @property
    def tenant(self) -> Tenant:
        return self.bench.tenant

    @property
    def account(self) -> Account:
        return next(iter(self.tenant.accounts.values()))

    @property
    def vault(self) -> Vault | None:
        """The vault, if it exists."""
        found = self.tenant.vaults.get("kv-ml")
        return found if found and found.deleted is None else None

    def _id(self) -> str:
        """An id that nothing else has."""
        self.made += 1
        return f"a0000000-0000-4000-8000-{self.made:012x}"

    def _who(self, name: str) -> str:
        """The principal's object id. For a missing identity it is an id that the directory does not know."""
        known = {each.alias: each.object_id for each in self.tenant.principals.values()}
        return known.get(name, "dead0000-0000-4000-8000-000000000000")

    @rule(seconds=st.sampled_from((5, 100, 700, 86400)))
    def time_passes(self, seconds: float) -> None:
        self.bench.cloud.clock.advance(seconds)

    # --- the account ------------------------------------------------------------------------------------------------------

    @rule()
    def the_identity_is_switched(self) -> None:
        """Off: the directory forgets it, and roles and policies that name it stay. On again: it is another one."""
        account = self.account
        if account.system_identity:
            del self.tenant.principals[account.system_identity]
            account.system_identity = None
        else:
            new = Principal(self._id(), account.name, "ServicePrincipal", self._id(), None, True, account.name)
            self.tenant.principals[new.object_id] = new
            account.system_identity = new.object_id

    @rule()
    def an_identity_of_the_users_is_added(self) -> None:
        known = self.tenant.resource_id("rg-ml", "Microsoft.ManagedIdentity/userAssignedIdentities", "shared")
        self.account.user_identities[known] = {"principalId": self._id(), "clientId": self._id()}

    # --- the vault --------------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.vault)
    @rule(rbac=st.sampled_from((True, False)))
    def the_access_model_is_chosen(self, rbac: bool) -> None:
        if self.vault:
            self.vault.rbac = rbac

    @precondition(lambda self: self.vault)
    @rule(firewall=st.sampled_from((False, False, True)))
    def the_firewall_is_set(self, firewall: bool) -> None:
        if self.vault:
            self.vault.firewall = firewall

    @precondition(lambda self: self.vault)
    @rule(tags=st.sampled_from(({}, {"cost-center": "ml"})))
    def the_vaults_tags_are_replaced(self, tags: dict[str, str]) -> None:
        if self.vault:
            self.vault.tags = dict(tags)

    @precondition(lambda self: self.vault)
    @rule(purged=st.booleans())
    def the_vault_is_deleted(self, purged: bool) -> None:
        if vault := self.vault:
            vault.deleted = self.tenant.clock.time()
            self.tenant.rbac.forget(vault.id)
            if purged:
                del self.tenant.vaults["kv-ml"]

    # --- access -----------------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.vault)
    @rule(
        name=st.sampled_from(PEOPLE),
        given=st.sampled_from(PERMISSIONS),
        through=st.sampled_from((None,) * 4 + (APPLICATION,)),
    )
    def an_access_policy_is_set(self, name: str, given: dict[str, list[str]], through: str | None) -> None:
        if self.vault:
            who = self._who(name)
            others = [each for each in self.vault.policies if (each.object_id, each.application_id) != (who, through)]
            permissions = {kind: list(verbs) for kind, verbs in given.items()}
            self.vault.policies = [*others, AccessPolicy(who, permissions, through)]

    @precondition(lambda self: self.vault and self.vault.policies)
    @rule(data=st.data())
    def an_access_policy_is_removed(self, data: st.DataObject) -> None:
        if self.vault:
            self.vault.policies.remove(data.draw(st.sampled_from(self.vault.policies)))

    @precondition(lambda self: self.vault)
    @rule(
        name=st.sampled_from(PEOPLE[:-1]),
        role=st.sampled_from(ROLES),
        where=st.sampled_from(("group", "vault", "secret")),
        conditional=st.sampled_from((False, False, True)),
    )
    def a_role_is_assigned(self, name: str, role: str, where: str, conditional: bool) -> None:
        if vault := self.vault:
            scopes = {
                "group": vault.id.partition("/providers/")[0],
                "vault": vault.id,
                "secret": f"{vault.id}/secrets/{SECRET}",
            }
            self._assign(scopes[where], ROLE_IDS[role], self._who(name), conditional=conditional)

    def _assign(self, scope: str, role_id: str, who: str, **more: Any) -> None:
        rbac, now = self.tenant.rbac, self.tenant.clock.time()
        if any((a.scope, a.role_id, a.principal_id) == (scope, role_id, who) for a in rbac.assignments.values()):
            return  # ARM does not take the same twice
        kind = self.tenant.principals[who].kind if who in self.tenant.principals else "ServicePrincipal"
        condition = "@Resource[…] StringEquals '…'" if more.get("conditional") else None
        later = now + self.tenant.transitions.rbac_propagation
        rbac.add(
            Assignment(
                self._id(), scope, role_id, who, kind, now, later, "", condition, "2.0", condition_met=not condition
            )
        )

    @rule(data=st.data(), again=st.booleans())
    def a_role_of_setups_is_taken_away(self, data: st.DataObject, again: bool) -> None:
        """Or `again` given under another name, as a person would."""
        mine = [each for each in self.tenant.rbac.assignments.values() if ours(each)]
        if mine:
            gone = data.draw(st.sampled_from(mine))
            del self.tenant.rbac.assignments[gone.name.lower()]
            if again:
                self._assign(gone.scope, gone.role_id, gone.principal_id)

    # --- the secret -------------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.vault)
    @rule(what=st.sampled_from(("new", "new", "disable", "enable", "delete", "recover", "purge")))
    def the_secret_is_changed(self, what: str) -> None:
        secret = self.vault.secrets.get(SECRET) if self.vault else None
        if self.vault is None or secret is None or not secret.versions:
            return
        now = int(self.tenant.clock.time())
        if what == "recover":
            secret.deleted = None
        elif what == "purge" and secret.deleted is not None:
            del self.vault.secrets[SECRET]
        elif secret.deleted is not None:
            return
        elif what == "new":
            secret.versions.append(SecretVersion(self._id().replace("-", ""), "somebody else's", now, now))
        elif what in ("disable", "enable"):
            secret.versions[-1].enabled = what == "enable"
        elif what == "delete":
            secret.deleted = now
