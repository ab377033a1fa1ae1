"""The query API of Azure Monitor's logs: the errors of a function app, for callers that may read its Application
Insights.

No query is evaluated: tests run them with a KQL engine elsewhere. Shapes: azure-monitor-query's generated client.
"""

from collections.abc import Sequence

from sandbox.azure.arm.insights import component_id
from sandbox.azure.identity import Tokens
from sandbox.azure.tenant import Tenant
from sandbox.runtime.http import Call, Caller, Operation, Reply, Service, refused


class Logs(Service):
    """The logs of a cloud."""

    name = "logs"
    unreadable = ("BadArgumentError", "")

    def __init__(self, tenant: Tenant, tokens: Tokens) -> None:
        self._tenant = tenant
        self._tokens = tokens
        self.hosts = [tenant.names.logs]
        self.operations: Sequence[Operation] = (
            Operation("Query_ResourceExecute", "POST", "/v1/{+resource}/query", self._query),
        )

    def authenticate(self, call: Call) -> Caller | None:
        """See Service."""
        return self._tokens.verify(call, (f"https://{self._tenant.names.logs}",))

    def _query(self, call: Call) -> Reply:
        resource = f"/{call.params['resource']}"
        if not self._tenant.may(call.who.object_id, "Microsoft.Insights/components/query/read", resource):
            raise refused(403, "InsufficientAccessError", "The credentials have insufficient access for this operation")
        query = str(call.json["query"])
        lines = [
            line
            for app in self._tenant.function_apps.values()
            if component_id(app).lower() == resource.lower() and f'"{app.name}"' in query
            for line in app.import_errors
        ]
        table = {
            "name": "PrimaryResult",
            "columns": [{"name": "Text", "type": "string"}],
            "rows": [[line] for line in lines[-1:]],
        }
        return Reply(200, {"tables": [table]})
