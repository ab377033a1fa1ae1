"""A vault that somebody else uses, before setup and after teardown, and what teardown's tests read of it."""

from typing import Any

from provisioning.planning.access.permissions import CANDIDATES

from ..bench import Bench

OFFICER = "Key Vault Secrets Officer"
USER = "Key Vault Secrets User"
SCOPE = "rg-ml/Microsoft.KeyVault/vaults/kv-ml"
OWNER = {"principal": "operator", "role": "Owner", "scope": "rg-ml"}
SOON = {"transitions": {"rbac_propagation": 0}}


def world(**more: Any) -> dict[str, Any]:
    """A vault with an access policy and a tag of somebody else."""
    vault = {"name": "kv-ml", "group": "rg-ml", "tags": {"cost-center": "ml"}}
    policies = [{"principal": "billing-api", "secrets": ["get"]}]
    return {"extends": "contoso", "vaults": [vault | {"policies": policies} | more]}


def held(bench: Bench) -> set[tuple[str, str]]:
    """(who, role) at the vault and below."""
    tenant = bench.tenant
    return {
        (tenant.principals[a.principal_id].alias or tenant.principals[a.principal_id].name, CANDIDATES[a.role_id])
        for a in tenant.rbac.assignments.values()
        if a.scope.startswith(bench.vault.id)
    }


def policies(bench: Bench) -> list[tuple[str, dict[str, list[str]]]]:
    tenant = bench.tenant
    return [(tenant.principals[p.object_id].alias, p.permissions) for p in bench.vault.policies]
