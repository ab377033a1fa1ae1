"""Microsoft.Resources/deployments, for one template: the resources that infra/main.bicep creates, without the app's code.

A template is not evaluated here: Microsoft's own engine does that (tests/infra). The app has no functions until its code comes.
"""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from sandbox.azure.arm.common import authorize, group_scope
from sandbox.azure.bodies import DeploymentBody
from sandbox.azure.rbac import Assignment, within
from sandbox.azure.roles import ROLE_IDS
from sandbox.azure.tenant import FunctionApp, Principal, Tenant
from sandbox.runtime.http import Call, Operation, Reply, refused

_ONE = "/subscriptions/{sub}/resourcegroups/{group}/providers/Microsoft.Resources/deployments/{name}"
_REQUIRED = ("azureOpenAiEndpoints", "azureOpenAiAccountIds", "keyVaultId", "keyVaultUrl", "syncDatasets")


class Deployments:
    """The operation that deploys the template."""

    def __init__(self, tenant: Tenant) -> None:
        self._tenant = tenant
        self.operations: Sequence[Operation] = (
            Operation("Deployments_CreateOrUpdate", "PUT", _ONE, self._put, writes=True),
            Operation("Deployments_ListByResourceGroup", "GET", _ONE.removesuffix("/{name}"), self._list),
        )

    def _list(self, call: Call) -> Reply:
        """The deployments whose templates have the vaults of a group (Microsoft, "Deployments - List By Resource Group")."""
        group = group_scope(call)
        authorize(self._tenant, call, "Microsoft.Resources/deployments/read", group)
        vaults = [v for v in self._tenant.vaults.values() if v.deployment and within(v.id, group)]
        listed = [{"name": v.deployment, "properties": {"outputResources": [{"id": v.id}]}} for v in vaults]
        return Reply(200, {"value": listed})

    def _put(self, call: Call) -> Reply:
        group = group_scope(call)
        authorize(self._tenant, call, "Microsoft.Resources/deployments/write", group)
        authorize(self._tenant, call, "Microsoft.Web/sites/write", group)
        authorize(self._tenant, call, "Microsoft.Authorization/roleAssignments/write", group)
        properties = call.read(DeploymentBody)["properties"]
        given = {name: entry["value"] for name, entry in properties["parameters"].items()}
        if missing := [name for name in _REQUIRED if not given.get(name)]:
            why = f"The value for the template parameter '{missing[0]}' is not provided."
            raise refused(400, "InvalidTemplate", why)
        name = f"func-{given.get('name', 'finetune-wandb')}-{uuid.uuid5(uuid.NAMESPACE_URL, group).hex[:7]}"
        app = self._app(group, name, given)
        outputs = {"AZURE_FUNCTION_APP": {"type": "String", "value": app.name}}
        state = {"provisioningState": "Succeeded", "outputs": outputs}
        return Reply(200, {"id": call.path, "name": call.params["name"], "properties": state})

    def _app(self, group: str, name: str, given: Mapping[str, Any]) -> FunctionApp:
        tenant = self._tenant
        who = Principal(str(uuid.uuid4()), f"id-{name}", "ServicePrincipal", str(uuid.uuid4()), managed_identity=True)
        tenant.principals[who.object_id] = who
        secret = f"{given['keyVaultId']}/secrets/{given.get('wandbSecretName', 'wandb-api-key')}"
        self._assign(who, "Key Vault Secrets User", secret)
        for account in given["azureOpenAiAccountIds"].split(","):
            self._assign(who, "Cognitive Services OpenAI User", account)
        app = FunctionApp(
            id=f"{group}/providers/Microsoft.Web/sites/{name}",
            name=name,
            location="swedencentral",
            identities={f"{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id-{name}": who},
            settings={
                "AZURE_CLIENT_ID": who.app_id,
                "AZURE_OPENAI_ENDPOINTS": given["azureOpenAiEndpoints"],
                "KEY_VAULT_URL": given["keyVaultUrl"],
                "WANDB_SECRET_NAME": given.get("wandbSecretName", "wandb-api-key"),
                "WANDB_ENTITY": given.get("wandbEntity", ""),
                "SYNC_DATASETS": given["syncDatasets"],
                "AzureWebJobsStorage__accountName": "stfinetunewandb",
            },
            tags=dict(given.get("tags") or {}),
        )
        tenant.function_apps[app.id.lower()] = app
        return app

    def _assign(self, who: Principal, role: str, scope: str) -> None:
        now = self._tenant.clock.time()
        effective = now + self._tenant.transitions.rbac_propagation
        name = str(uuid.uuid4())
        self._tenant.rbac.add(
            Assignment(name, scope, ROLE_IDS[role], who.object_id, who.kind, created=now, effective=effective)
        )
