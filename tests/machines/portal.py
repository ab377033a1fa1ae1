"""Changes that people make to the chain between two runs, in the portal or with other tools."""

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from sandbox.azure.roles import ROLES as ALL_ROLES
from sandbox.azure.tenant import Account, Principal, Tenant, Vault
from tests.provisioning.bench import Bench

from .access import SECRET, ours

PEOPLE = ("operator", "dana", "billing-api", "reports-job", "function-app", "ml-team", "aoai-ml")
VAULT = "rg-ml/Microsoft.KeyVault/vaults/kv-ml"
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
        return self.bench.account

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
        self.bench.happens({"change_account": {"account": "aoai-ml", "attach": ["shared"]}})

    # --- the vault --------------------------------------------------------------------------------------------------------

    def _acts(self, action: str, **what: Any) -> None:
        """Have somebody do something to the vault, now. It does nothing where there is none."""
        self.bench.happens({action: {"vault": "kv-ml", **what}})

    @rule(rbac=st.sampled_from((True, False)))
    def the_access_model_is_chosen(self, rbac: bool) -> None:
        self._acts("change_vault", rbac=rbac)

    @rule(firewall=st.sampled_from((False, False, True)))
    def the_firewall_is_set(self, firewall: bool) -> None:
        self._acts("change_vault", firewall=firewall)

    @precondition(lambda self: self.vault)
    @rule(tags=st.sampled_from(({}, {"cost-center": "ml"})))
    def the_vaults_tags_are_replaced(self, tags: dict[str, str]) -> None:
        if self.vault:
            self.vault.tags = dict(tags)

    @precondition(lambda self: self.vault)
    @rule(purged=st.booleans())
    def the_vault_is_deleted(self, purged: bool) -> None:
        self._acts("delete_vault")
        if purged:
            self._acts("purge_vault")

    # --- access -----------------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.vault)
    @rule(
        name=st.sampled_from(PEOPLE),
        given=st.sampled_from(PERMISSIONS),
        through=st.sampled_from((None,) * 4 + (APPLICATION,)),
    )
    def an_access_policy_is_set(self, name: str, given: dict[str, list[str]], through: str | None) -> None:
        whose = {"principal": self._who(name), "application_id": through}
        self._acts("remove_access_policy", **whose)
        self._acts("add_access_policy", **whose, **given)

    @precondition(lambda self: self.vault and self.vault.policies)
    @rule(data=st.data())
    def an_access_policy_is_removed(self, data: st.DataObject) -> None:
        if self.vault:
            self.vault.policies.remove(data.draw(st.sampled_from(self.vault.policies)))

    @precondition(lambda self: self.vault)
    @rule(
        name=st.sampled_from(PEOPLE[:-1]),
        role=st.sampled_from(ROLES),
        where=st.sampled_from(("rg-ml", VAULT, f"{VAULT}/secrets/{SECRET}")),
        conditional=st.sampled_from((False, False, True)),
    )
    def a_role_is_assigned(self, name: str, role: str, where: str, conditional: bool) -> None:
        condition = "@Resource[…] StringEquals '…'" if conditional else None
        self._assign(self._who(name), role, where, condition=condition, condition_met=not condition)

    def _assign(self, who: str, role: str, scope: str, **more: Any) -> None:
        scope = self.bench.cloud.world.builder.scope(scope)
        held = ((a.scope, ALL_ROLES[a.role_id].name, a.principal_id) for a in self.bench.role_assignments)
        if (scope, role, who) not in held:  # ARM does not take the same twice
            given = {"principal": who, "role": role, "scope": scope, "name": self._id(), **more}
            self.bench.happens({"assign_role": given})

    @rule(data=st.data(), again=st.booleans())
    def a_role_of_setups_is_taken_away(self, data: st.DataObject, again: bool) -> None:
        """Or `again` given under another name, as a person would."""
        mine = [each for each in self.bench.role_assignments if ours(each)]
        if mine:
            gone = data.draw(st.sampled_from(mine))
            del self.tenant.rbac.assignments[gone.name.lower()]
            if again:
                self._assign(gone.principal_id, ALL_ROLES[gone.role_id].name, gone.scope)

    # --- the secret -------------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.vault and SECRET in self.vault.secrets)
    @rule(what=st.sampled_from(("write", "write", "disable", "enable", "delete", "recover", "purge")))
    def the_secret_is_changed(self, what: str) -> None:
        """A deleted secret can only be recovered or purged, and no other can be."""
        if self.vault is None or (self.vault.secrets[SECRET].deleted is None) is (what in ("recover", "purge")):
            return
        if what in ("disable", "enable"):
            self._acts("change_secret", name=SECRET, enabled=what == "enable")
        else:
            value = {"value": "somebody else's"} if what == "write" else {}
            self._acts(f"{what}_secret", name=SECRET, **value)
