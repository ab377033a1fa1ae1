"""Role definitions: what each role permits, and the built-in ones.

Roles and their actions: Microsoft, "Azure built-in roles" (security, ai-machine-learning, general, storage, monitor).
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

ASSIGN = "Microsoft.Authorization/roleAssignments/write"
UNASSIGN = "Microsoft.Authorization/roleAssignments/delete"


@dataclass(frozen=True)
class Delegation:
    """A condition on the right to assign roles: only these, only to principals of these types. None: any."""

    roles: frozenset[str] | None = None  # GUIDs
    principal_types: frozenset[str] | None = None

    def permits(self, role_id: str, principal_type: str | None) -> bool:
        """Whether a role may be assigned to a principal of the type that the request names."""
        by_role = self.roles is None or role_id in self.roles
        return by_role and (self.principal_types is None or principal_type in self.principal_types)

    @property
    def condition(self) -> str:
        """The condition as ARM shows it, in short."""
        where = "@Request[Microsoft.Authorization/roleAssignments"
        parts = []
        if self.roles is not None:
            parts.append(f"{where}:RoleDefinitionId] ForAnyOfAnyValues:GuidEquals {{{', '.join(sorted(self.roles))}}}")
        if self.principal_types is not None:
            kinds = ", ".join(f"'{kind}'" for kind in sorted(self.principal_types))
            parts.append(f"{where}:PrincipalType] ForAnyOfAnyValues:StringEqualsIgnoreCase {{{kinds}}}")
        return f"((!(ActionMatches{{'{ASSIGN}'}})) OR ({' AND '.join(parts)}))"


@dataclass(frozen=True)
class Role:
    """A role definition. Patterns may hold `*`; letter case does not count."""

    id: str
    name: str
    actions: Sequence[str] = ()
    not_actions: Sequence[str] = ()
    data_actions: Sequence[str] = ()
    not_data_actions: Sequence[str] = ()
    delegation: Delegation | None = None  # the condition in the role's definition
    assignable: Sequence[str] = ()  # of a custom role: the scopes where it can be assigned; built-in ones: everywhere

    @property
    def permission(self) -> dict[str, list[str]]:
        """The patterns as ARM shows them."""
        named = {"actions": self.actions, "notActions": self.not_actions}
        named |= {"dataActions": self.data_actions, "notDataActions": self.not_data_actions}
        return {name: list(patterns) for name, patterns in named.items()}

    def permits(self, action: str, *, data: bool) -> bool:
        """Whether this role, by itself, permits the action (or data action)."""
        yes, no = (self.data_actions, self.not_data_actions) if data else (self.actions, self.not_actions)
        return _any(yes, action) and not _any(no, action)


@lru_cache(maxsize=4096)
def _regex(pattern: str) -> re.Pattern[str]:
    return re.compile(re.escape(pattern).replace(r"\*", ".*"), re.IGNORECASE)


def _any(patterns: Iterable[str], action: str) -> bool:
    return any(_regex(p).fullmatch(action) for p in patterns)


_PROVIDERS = {
    "KV": "Microsoft.KeyVault",
    "V": "Microsoft.KeyVault/vaults",
    "CS": "Microsoft.CognitiveServices",
    "OAI": "Microsoft.CognitiveServices/accounts/OpenAI",
    "AUTH": "Microsoft.Authorization",
    "INS": "Microsoft.Insights",
    "RES": "Microsoft.Resources",
    "SUP": "Microsoft.Support",
    "EG": "Microsoft.EventGrid/eventSubscriptions",
    "BLOB": "Microsoft.Storage/storageAccounts/blobServices/containers",
    "QUEUE": "Microsoft.Storage/storageAccounts/queueServices/queues",
}
_GROUPS = {
    "COMMON": "AUTH/*/read INS/alertRules/* RES/deployments/* RES/subscriptions/resourceGroups/read SUP/*",
    "VAULT_READS": "COMMON KV/checkNameAvailability/read KV/deletedVaults/read KV/locations/*/read KV/vaults/*/read"
    " KV/operations/read",
    "COGNITIVE_READS": "CS/*/read AUTH/roleAssignments/read AUTH/roleDefinitions/read",
}
# GUID and name | actions - those that are excluded | data actions - those that are excluded
_BUILT_IN = """
8e3af657-a8ff-443c-a75c-2fe8c4bcb635 Owner | * |
b24988ac-6180-42a0-ab88-20f7382dd24c Contributor | * - AUTH/*/Delete AUTH/*/Write AUTH/elevateAccess/Action |
acdd72a7-3385-48ef-bd42-f606fba81ae7 Reader | */read |
18d7d88d-d35e-4fb5-a5c3-7773c20a72d9 User Access Administrator | */read AUTH/* SUP/* |
f58310d9-a9f6-439a-9e8d-f62e7b41a168 Role Based Access Control Administrator
  | AUTH/roleAssignments/write AUTH/roleAssignments/delete */read SUP/* |
00482a5a-887f-4fb3-b363-3b7fe8e74483 Key Vault Administrator | VAULT_READS | V/*
a4417e6f-fecd-4de8-b567-7b0420556985 Key Vault Certificates Officer | VAULT_READS
  | V/certificatecas/* V/certificates/* V/certificatecontacts/write
db79e9a7-68ee-4b58-9aeb-b90e7c24fcba Key Vault Certificate User
  | | V/certificates/read V/secrets/getSecret/action V/secrets/readMetadata/action V/keys/read
f25e0fa2-a7c8-4377-a976-54943a77a395 Key Vault Contributor
  | COMMON KV/* - KV/locations/deletedVaults/purge/action KV/hsmPools/* KV/managedHsms/* |
14b46e9e-c2b7-41b4-b07b-48a6ebf60603 Key Vault Crypto Officer | VAULT_READS | V/keys/* V/keyrotationpolicies/*
e147488a-f6f5-4113-8e2d-b22465e65bf6 Key Vault Crypto Service Encryption User
  | EG/write EG/read EG/delete | V/keys/read V/keys/wrap/action V/keys/unwrap/action
08bbd89e-9f13-488c-ac41-acfcb10c90ab Key Vault Crypto Service Release User | | V/keys/release/action
12338af0-0e69-4776-bea7-57ae8d297424 Key Vault Crypto User | | V/keys/read V/keys/update/action V/keys/backup/action
  V/keys/encrypt/action V/keys/decrypt/action V/keys/wrap/action V/keys/unwrap/action V/keys/sign/action V/keys/verify/action
8b54135c-b56d-4d72-a534-26097cfdc8d8 Key Vault Data Access Administrator | AUTH/roleAssignments/write
  AUTH/roleAssignments/delete COMMON RES/subscriptions/read Microsoft.Management/managementGroups/read KV/vaults/*/read |
a68e7c17-0ab2-4c09-9a58-125dae29748c Key Vault Purge Operator
  | KV/locations/deletedVaults/purge/action KV/locations/deletedVaults/read KV/deletedVaults/read |
21090545-7ca7-4776-b22c-e363652d74d2 Key Vault Reader | VAULT_READS | V/*/read V/secrets/readMetadata/action
b86a8fe4-44ce-4948-aee5-eccb2c155cd7 Key Vault Secrets Officer | VAULT_READS | V/secrets/*
4633458b-17de-408a-b874-0445c86b69e6 Key Vault Secrets User | | V/secrets/getSecret/action V/secrets/readMetadata/action
25fbc0a9-bd7c-42a3-aa1a-3b75d497ee68 Cognitive Services Contributor | COMMON CS/* |
a001fd3d-188f-4b5d-821b-7da978bf7442 Cognitive Services OpenAI Contributor | COGNITIVE_READS | OAI/*
5e0bd9bd-7b93-4f28-af87-19fc36ad61bd Cognitive Services OpenAI User | COGNITIVE_READS | OAI/*/read
  OAI/deployments/chat/completions/action OAI/deployments/embeddings/action - OAI/stored-completions/read
b59867f0-fa02-499b-be73-45a86b5b3e1c Cognitive Services Data Reader | | CS/*/read
a97b65f3-24c7-4388-baec-2e87135dc908 Cognitive Services User | CS/*/read CS/accounts/listkeys/action | CS/*
b7e6dc6d-f1e8-4753-8033-0f276bb0955b Storage Blob Data Owner | BLOB/* | BLOB/blobs/*
974c5e8b-45b9-4653-ba55-5f855dd0fb88 Storage Queue Data Contributor | QUEUE/* | QUEUE/messages/*
3913510d-42f4-4e42-8a64-420c390055eb Monitoring Metrics Publisher | | INS/Metrics/Write INS/Telemetry/Write
"""
_DELEGATED = {
    "Key Vault Data Access Administrator": (
        "00482a5a-887f-4fb3-b363-3b7fe8e74483",
        "a4417e6f-fecd-4de8-b567-7b0420556985",
        "14b46e9e-c2b7-41b4-b07b-48a6ebf60603",
        "e147488a-f6f5-4113-8e2d-b22465e65bf6",
        "12338af0-0e69-4776-bea7-57ae8d297424",
        "21090545-7ca7-4776-b22c-e363652d74d2",
        "b86a8fe4-44ce-4948-aee5-eccb2c155cd7",
        "4633458b-17de-408a-b874-0445c86b69e6",
    )
}
"""The roles that a role may assign (the condition in its definition)."""


def _patterns(text: str) -> Iterator[str]:
    for word in text.split():
        provider, slash, rest = word.partition("/")
        if word in _GROUPS:
            yield from _patterns(_GROUPS[word])
        else:
            yield _PROVIDERS.get(provider, provider) + slash + rest


def _built_in() -> Iterator[Role]:
    for row in _BUILT_IN.strip().replace("\n ", "").splitlines():
        head, actions, data = row.split("|")
        guid, name = head.strip().split(" ", 1)
        halves = [half for part in (actions, data) for half in f"{part} - ".split(" - ")[:2]]
        yes, no, data_yes, data_no = (tuple(_patterns(half)) for half in halves)
        delegation = Delegation(frozenset(_DELEGATED[name])) if name in _DELEGATED else None
        yield Role(guid, name, yes, no, data_yes, data_no, delegation)


ROLES = {role.id: role for role in _built_in()}
"""The built-in roles that this project meets, by GUID."""

ROLE_IDS = {role.name: role.id for role in ROLES.values()}
