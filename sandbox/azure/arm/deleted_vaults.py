"""Microsoft.KeyVault, control plane: vaults in the deleted state, and their purge."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sandbox.azure.arm.common import LongRunning, arm_time, authorize, shown
from sandbox.azure.tenant import Tenant, Vault
from sandbox.runtime.http import Call, Operation, Reply, refused

_PROVIDER = "/subscriptions/{sub}/providers/Microsoft.KeyVault"
_LOCATION = _PROVIDER + "/locations/{location}"


class DeletedVaults:
    """The operations of Microsoft.KeyVault on deleted vaults. They need rights on the subscription, not on a group."""

    def __init__(self, tenant: Tenant) -> None:
        self._tenant = tenant
        self._purges: dict[str, LongRunning[Vault]] = {}  # a vault's name is free once its purge is done
        one = _LOCATION + "/deletedVaults/{name}"
        self.operations: Sequence[Operation] = (
            Operation("Vaults_ListDeleted", "GET", _PROVIDER + "/deletedVaults", self._list),
            Operation("Vaults_GetDeleted", "GET", one, self._get),
            Operation("Vaults_PurgeDeleted", "POST", one + "/purge", self._purge, writes=True),
            Operation("Vaults_OperationResult", "GET", _LOCATION + "/operationResults/{id}", self._poll),
        )

    def _authorize(self, call: Call, action: str) -> None:
        authorize(self._tenant, call, f"Microsoft.KeyVault/{action}", f"/subscriptions/{call.params['sub']}")

    def _deleted(self, call: Call) -> Vault:
        for purge in self._purges.values():
            self._complete_if_done(purge)
        vault = self._tenant.vaults.get(call.params["name"].lower())
        if vault is None or vault.deleted is None or vault.location.lower() != call.params["location"].lower():
            raise refused(  # UNVERIFIED wording
                404, "DeletedVaultNotFound", f"The specified deleted vault '{call.params['name']}' does not exist."
            )
        return vault

    def _get(self, call: Call) -> Reply:
        self._authorize(call, "locations/deletedVaults/read")
        return Reply(200, self._body(self._deleted(call)))

    def _list(self, call: Call) -> Reply:
        self._authorize(call, "deletedVaults/read")
        here = f"/subscriptions/{call.params['sub'].lower()}/"
        gone = [v for v in self._tenant.vaults.values() if v.deleted is not None and v.id.startswith(here)]
        return Reply(200, {"value": [self._body(v) for v in gone]})

    def _purge(self, call: Call) -> Reply:
        self._authorize(call, "locations/deletedVaults/purge/action")
        vault = self._deleted(call)
        if vault.purge_protection:  # code and message: public reports (AzureTRE issue 1446); status UNVERIFIED
            raise refused(405, "MethodNotAllowed", "Operation 'DeletedVaultPurge' is not allowed.")
        purge = LongRunning(vault, self._tenant.transitions.vault_polls, self._tenant.clock.time())
        self._purges[purge.id] = purge
        return Reply(202, None, {"location": self._address(call, purge.id)})

    def _address(self, call: Call, name: str) -> str:
        where = f"/subscriptions/{call.params['sub']}/providers/Microsoft.KeyVault/locations/{call.params['location']}"
        return f"https://{call.host}{where}/operationResults/{name}?api-version={call.query['api-version']}"

    def _poll(self, call: Call) -> Reply:
        purge = self._purges.get(call.params["id"])
        if purge is None:
            raise refused(404, "NotFound", "The operation is not known.")
        body: dict[str, Any] = {"createdDateTime": _spaced(purge.started), "status": "NotStarted"}
        if not self._complete_if_done(purge):
            purge.polls_left -= 1
            return Reply(202, body, {"location": self._address(call, purge.id)})
        body |= {"lastActionDateTime": _spaced(self._tenant.clock.time()), "status": "Succeeded"}
        return Reply(200, body)

    def _complete_if_done(self, purge: LongRunning[Vault]) -> bool:
        done, name = purge.done(self._tenant.clock.time()), purge.resource.name.lower()
        if done and self._tenant.vaults.get(name) is purge.resource:
            del self._tenant.vaults[name]
        return done

    def _body(self, vault: Vault) -> dict[str, Any]:
        deleted = vault.deleted or 0.0
        properties: dict[str, Any] = {
            "vaultId": vault.id,
            "location": vault.location,
            "tags": vault.tags,
            "deletionDate": arm_time(deleted),
            "scheduledPurgeDate": arm_time(deleted + vault.retention_days * 86400),
        }
        if vault.purge_protection:
            properties["purgeProtectionEnabled"] = True
        provider = f"{'/'.join(vault.id.split('/')[:3])}/providers/Microsoft.KeyVault"
        where = f"{provider}/locations/{vault.location}/deletedVaults/{vault.name}"
        return shown(where, "Microsoft.KeyVault/deletedVaults", properties)


def _spaced(seconds: float) -> str:
    """The operation's times have a space where others have a T (recorded)."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
