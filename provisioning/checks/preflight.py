"""preflight's checks of Azure: whether it will accept the deployment. They only read."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from provisioning import shell
from provisioning.azure.client import Azure
from provisioning.checks.parameters import Parameters
from provisioning.checks.report import Finding, failed, ok, readable, skipped
from provisioning.resource_ids import group_id_of, name_of, parse, same

_PROVIDERS = ("Microsoft.Web", "Microsoft.Storage", "Microsoft.Insights", "Microsoft.OperationalInsights")
_PRIVATE_PROVIDERS = ("Microsoft.App", "Microsoft.Network")
"""A subnet for Flex Consumption is delegated to Microsoft.App, which no tool registers (Azure/azure-cli#33177)."""
_DEPLOY = "Microsoft.Resources/deployments/write"
_ASSIGN = "Microsoft.Authorization/roleAssignments/write"


@dataclass(frozen=True)
class Deployment:
    """The planned deployment and its place."""

    azure: Azure
    parameters: Parameters
    group: str
    location: str

    @property
    def private(self) -> bool:
        """Whether the app gets private endpoints."""
        return self.parameters.flag("privateNetworking")

    @property
    def creates_network(self) -> bool:
        """Whether the template creates a network."""
        return self.private and not self.parameters.text("appSubnetId")


def providers(deployment: Deployment) -> Finding:
    """The resource providers are registered."""
    registered = readable(deployment.azure.deployments.registered_providers)
    own = () if deployment.parameters.text("identityId") else ("Microsoft.ManagedIdentity",)
    needed = (*_PROVIDERS, *own, *(_PRIVATE_PROVIDERS if deployment.private else ()))
    if missing := [each for each in needed if each.lower() not in registered]:
        subscription = deployment.azure.subscription.id
        commands = [
            shell.command("az", "provider", "register", "-n", each, "--subscription", subscription) for each in missing
        ]
        return failed(f"not registered: {', '.join(missing)}", "; ".join(commands))
    return ok(f"{len(needed)} are registered")


def region(deployment: Deployment) -> Finding:
    """The region has Flex Consumption."""
    if not deployment.location:
        return skipped("no region is given", "Pass --location, the region of the resource group.")
    regions = readable(deployment.azure.deployments.flex_regions)
    if _plain(deployment.location) in map(_plain, regions):
        return ok(f"{deployment.location} has Flex Consumption")
    if not regions:
        return failed("this cloud has no Flex Consumption", "The template cannot be deployed here: docs/deploy.md.")
    return failed(
        f"{deployment.location} has no Flex Consumption",
        f"Choose one of {', '.join(sorted(regions))}: -p location=…",
    )


def _plain(name: str) -> str:
    return "".join(each for each in name.lower() if each.isalnum())


def rights(deployment: Deployment) -> Finding:
    """The operator may deploy here, use the given resources, and assign roles where the template does."""
    needed = [(action, scope) for action, scope in _needed(deployment) if scope.lower().startswith("/subscriptions/")]
    lacking = readable(partial(deployment.azure.roles.lacking, needed))
    if not lacking:
        return ok("enough to deploy, as far as roles show (conditions and deny assignments are not seen)")
    return failed(
        "; ".join(f"you may not {action} at {name_of(scope)}" for action, scope in lacking),
        "Ask for the roles in docs/deploy.md, Separated duties; assignRoles=false deploys without assigning roles.",
    )


def _needed(deployment: Deployment) -> Iterator[tuple[str, str]]:
    parameters, here = deployment.parameters, deployment.azure.deployments.group_id(deployment.group)
    assign = parameters.flag("assignRoles", default=True)
    for action in (_DEPLOY, "Microsoft.Web/sites/write", "Microsoft.Storage/storageAccounts/write"):
        yield action, here
    if deployment.creates_network:
        yield "Microsoft.Network/virtualNetworks/write", here
    elif deployment.private:
        for name in ("appSubnetId", "endpointSubnetId"):
            yield "Microsoft.Network/virtualNetworks/subnets/join/action", parameters.text(name)
    joined = {
        "routeTableId": "Microsoft.Network/routeTables/join/action",
        "dnsZoneGroupId": "Microsoft.Network/privateDnsZones/join/action",
        "identityId": "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action",
    }
    yield from ((action, parameters.text(name)) for name, action in joined.items() if parameters.text(name))
    if not assign:
        return
    yield _ASSIGN, here
    vault = [parameters.text("keyVaultId")] if parameters.text("vaultAccess", "rbac") == "rbac" else []
    for scope in (*vault, *parameters.listed("azureOpenAiAccountIds"), *parameters.listed("discoveryResourceGroupIds")):
        yield from ((_DEPLOY, group_id_of(scope)), (_ASSIGN, scope))


def vault_access(deployment: Deployment) -> Finding:
    """The template gives access to the secret in the way that the vault authorizes."""
    try:
        vault = parse(deployment.parameters.text("keyVaultId"), "Microsoft.KeyVault/vaults")
    except ValueError:
        vault = None
    if vault is None:
        return skipped("keyVaultId is not the id of a vault")
    if not same(vault.subscription, deployment.azure.subscription.id):
        return skipped("the vault is in another subscription")
    found = readable(partial(deployment.azure.vaults.get, vault.resource_group, vault.name))
    expected, given = "rbac" if found.rbac else "policy", deployment.parameters.text("vaultAccess", "rbac")
    how = "Azure RBAC" if found.rbac else "access policies"
    if given == expected:
        return ok(f"{found.name} authorizes by {how}")
    return failed(f"{found.name} authorizes by {how}, and vaultAccess is {given}", f"-p vaultAccess={expected}")


def policies(deployment: Deployment) -> Finding:
    """No policy refuses what the template creates."""
    ask = deployment.azure.deployments.denied_by
    contents = list(_contents(deployment))
    denied = {
        str(content["type"]): readable(partial(ask, deployment.group, content, version))
        for content, version in contents
    }
    refused = {kind: names for kind, names in denied.items() if names}
    if not refused:
        return ok(f"none refuses any of {len(contents)} kinds of resources")
    return failed(
        "; ".join(f"{kind} is refused by {', '.join(names)}" for kind, names in refused.items()),
        "docs/deploy.md, In a company's landing zone, says which parameters satisfy common policies.",
    )


def _contents(deployment: Deployment) -> Iterator[tuple[Mapping[str, Any], str]]:
    """Yield the resources that policies restrict most often, as the template creates them, each with its API version."""
    parameters, access = deployment.parameters, "Disabled" if deployment.private else "Enabled"
    tags = parameters.given.get("tags") or {}
    names = parameters.given.get("names") or {}
    base = parameters.text("name", "finetune-wandb")

    def content(resource_type: str, name: str, default: str, **rest: Any) -> Mapping[str, Any]:
        where = {"location": deployment.location} if deployment.location else {}
        return {"type": resource_type, "name": names.get(name) or default, "tags": tags, **where, **rest}

    storage = {
        "allowBlobPublicAccess": False,
        "allowSharedKeyAccess": False,
        "allowCrossTenantReplication": False,
        "minimumTlsVersion": "TLS1_2",
        "supportsHttpsTrafficOnly": True,
        "publicNetworkAccess": access,
        "networkAcls": {"bypass": "None", "defaultAction": "Deny" if deployment.private else "Allow"},
    }
    if parameters.flag("infrastructureEncryption"):
        storage["encryption"] = {"keySource": "Microsoft.Storage", "requireInfrastructureEncryption": True}
    yield (
        content("Microsoft.Storage/storageAccounts", "storageAccount", "stpreflight", properties=storage),
        "2025-06-01",
    )
    site = {
        "httpsOnly": True,
        "publicNetworkAccess": "Disabled" if parameters.flag("closeSite") else "Enabled",
        "siteConfig": {"minTlsVersion": "1.2"},
    }
    yield content("Microsoft.Web/sites", "app", f"func-{base}", kind="functionapp,linux", properties=site), "2025-03-01"
    if not parameters.text("workspaceId"):
        features = {"features": {"disableLocalAuth": True}}
        yield (
            content("Microsoft.OperationalInsights/workspaces", "workspace", f"log-{base}", properties=features),
            "2025-02-01",
        )
    if deployment.creates_network:
        yield content("Microsoft.Network/virtualNetworks", "network", f"vnet-{base}", properties={}), "2025-05-01"
        if parameters.text("egress", "nat") == "nat":
            address = {"publicIPAllocationMethod": "Static"}
            yield (
                content("Microsoft.Network/publicIPAddresses", "publicAddress", f"pip-{base}", properties=address),
                "2025-05-01",
            )
    if deployment.private and parameters.text("privateDns", "create") == "create":
        zone = {"type": "Microsoft.Network/privateDnsZones", "name": "privatelink.openai.azure.com", "tags": tags}
        yield {**zone, "location": "global", "properties": {}}, "2024-06-01"


CHECKS: Mapping[str, Callable[[Deployment], Finding]] = {
    "providers": providers,
    "region": region,
    "rights": rights,
    "vault model": vault_access,
    "policies": policies,
}
"""The checks by name, in the order they run."""
