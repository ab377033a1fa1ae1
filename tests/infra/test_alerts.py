"""Each alert fires when it should and not otherwise: its query runs, by a KQL engine, on lines that the app logged."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb_kql
import pytest

from provisioning.azure.monitoring import import_errors_query
from tests.conftest import ROOT, Load
from tests.function_app.conftest import KEY
from tests.worker.test_worker import JOB, WORLD, Answer, Host, azure, delivered, host, message, tick, worker

__all__ = ["host"]  # a fixture

KUSTO = Path(sys.prefix) / "kusto"
TABLES = {  # the columns that our queries use (Azure Monitor's table reference)
    "AppTraces": "(TimeGenerated: datetime, AppRoleName: string, Message: string)",
    "AppRequests": "(TimeGenerated: datetime, AppRoleName: string, Name: string, Success: bool, DurationMs: real)",
    "AppExceptions": (
        "(TimeGenerated: datetime, AppRoleName: string, OperationName: string, ExceptionType: string, OuterMessage: string)"
    ),
}
SQL = {"datetime": "timestamp", "string": "varchar", "bool": "boolean", "real": "double"}
ALERT = re.compile(
    r"name: '([\w-]+)'\n.*?    query: '(.*?)'\n    measure: '(\w+)'\n    operator: '(\w+)'\n    threshold: (\d+)\n"
    r"    minutes: (\w+)",
    re.DOTALL,
)
HEARTBEAT = 15  # minutes, the template's default
LONG_AGO = "2020-01-01T00:00:00Z"  # when the alerts' first quiet minutes ended
LATER = "2100-01-01T00:00:00Z"


@dataclass(frozen=True)
class Alert:
    """A rule of alerts.bicep."""

    name: str
    query: str
    measure: str
    operator: str
    threshold: int
    minutes: int


def alerts() -> Iterator[Alert]:
    text = (ROOT / "infra" / "modules" / "alerts.bicep").read_text(encoding="utf-8")
    rows = {
        name: f'{table} | where AppRoleName =~ "func"'
        for name, table in (("requests", "AppRequests"), ("traces", "AppTraces"))
    } | {"quietUntil": LONG_AGO}
    for name, query, measure, operator, threshold, minutes in ALERT.findall(text):
        whole = re.sub(r"\$\{(\w+)\}", lambda found: rows[found[1]], query)
        yield Alert(name, whole, measure, operator, int(threshold), int(minutes) if minutes.isdigit() else HEARTBEAT)


ALERTS = tuple(alerts())


class Workspace:
    """A Log Analytics workspace that holds what the app and its host logged; times are minutes before now."""

    def __init__(self) -> None:
        self.connection = duckdb_kql.connect()
        for name, columns in TABLES.items():
            typed = re.sub(r": (\w+)", lambda found: f" {SQL[found[1]]}", columns)
            self.connection.sql(f"create table {name} {typed}")

    def add(self, table: str, minutes: float, *values: Any, app: str = "func") -> None:
        self.connection.execute(
            f"insert into {table} values (now() - to_seconds({minutes * 60}), ?{', ?' * len(values)})", [app, *values]
        )

    def invocation(self, function: str, answer: Answer, minutes: float) -> None:
        """Add the request and the lines of an invocation."""
        self.add("AppRequests", minutes, function, answer["ok"], 900.0)
        for line in answer["logs"]:
            self.add("AppTraces", minutes, line["message"])

    def fired(self, quiet_until: str = LONG_AGO) -> set[str]:
        return {alert.name for alert in ALERTS if self._fires(alert, quiet_until)}

    def _fires(self, alert: Alert, quiet_until: str) -> bool:
        recent = f"where TimeGenerated > ago({alert.minutes}m) |"
        query = re.sub(r"(App\w+) \|", rf"\1 | {recent}", alert.query.replace(LONG_AGO, quiet_until))
        [row] = duckdb_kql.query(self.connection, query).fetchall()
        value = row[0]
        return bool(value > alert.threshold if alert.operator == "GreaterThan" else value < alert.threshold)


@pytest.fixture
def workspace() -> Iterator[Workspace]:
    made = Workspace()
    yield made
    made.connection.close()


@worker
def test_nothing_fires_while_the_app_works_and_instances_are_drained(
    workspace: Workspace, host: Host, load: Load
) -> None:
    """A paused job, a worker that is shut down, and an invocation that its host aborted are normal."""
    paused = {"id": "ftjob-paused", "created": "-1d", **JOB, "outcome": {"status": "paused", "during": "queue"}}
    [account] = WORLD["accounts"]
    cloud = load({**WORLD, "accounts": [account | {"jobs": [*account["jobs"], paused]}]})
    first, synced, second = host(tick(), delivered(message("ftjob-done")), tick(), env=azure(cloud))["invocations"]
    workspace.invocation("find_jobs", first, 4)
    workspace.invocation("sync_job", synced, 3)
    workspace.invocation("find_jobs", second, 2)
    workspace.add("AppRequests", 3, "sync_job", False, 1200.0)
    for words in (  # the host's, as users report them (azure-functions-host 12007)
        "WorkerProcessExitException: python exited with code 143 (0x8F)",
        "FunctionTimeoutAbortException: Worker channel is shutting down",
    ):
        workspace.add("AppTraces", 3, words)
    for _ in range(3):  # what another app logs into the same workspace
        workspace.add("AppTraces", 1, "message result=failed job=ftjob-done account=x reason=none", app="other")
        workspace.add("AppTraces", 1, "key state=refused version=1", app="other")
    assert workspace.fired() == set()


@worker
def test_alerts_fire_for_a_refused_account_a_failing_job_and_an_expiring_key(
    workspace: Workspace, host: Host, load: Load
) -> None:
    secret = {"name": "wandb-api-key", "value": KEY, "expires_in_days": 12}
    closed = {"name": "aoai-closed", "group": "rg-ml"}  # where the app has no role
    vault = WORLD["vaults"][0] | {"secrets": [secret]}
    events = {"op": "FineTuning_GetEvents", "when": {"times": 99}, "do": {"status": 400}}
    cloud = load({**WORLD, "accounts": [*WORLD["accounts"], closed], "vaults": [vault], "faults": [events]})
    endpoints = f"{azure(cloud)['AZURE_OPENAI_ENDPOINTS']},https://aoai-closed.openai.azure.com/"
    checked, failed = host(
        tick(), delivered(message("ftjob-running")), env=azure(cloud, AZURE_OPENAI_ENDPOINTS=endpoints)
    )["invocations"]
    workspace.invocation("find_jobs", checked, 6)
    workspace.invocation("sync_job", failed, 5)
    assert workspace.fired() == {"key-expiring"}, "neither one tick nor one attempt is worth a call"
    for minutes in (4, 2):
        workspace.invocation("find_jobs", checked, minutes)
    workspace.invocation("sync_job", failed, 1)
    assert workspace.fired() == {"key-expiring", "jobs-failing", "refused"}
    workspace.add("AppTraces", 0, "message result=synced job=ftjob-running account=aoai-ml")
    assert "jobs-failing" not in workspace.fired(), "it was mirrored since"


@worker
def test_alerts_fire_for_a_refused_key_and_a_missing_tick(workspace: Workspace, host: Host, load: Load) -> None:
    secret = {"name": "wandb-api-key", "value": "f" * 40}
    cloud = load({**WORLD, "vaults": [WORLD["vaults"][0] | {"secrets": [secret]}]})
    [refused] = host(tick(), env=azure(cloud))["invocations"]
    workspace.invocation("find_jobs", refused, 2)
    assert workspace.fired() == {"key-refused", "no-tick"}


def test_alerts_fire_for_a_stuck_timer_and_a_message_that_only_the_host_logged(workspace: Workspace) -> None:
    workspace.add("AppRequests", HEARTBEAT + 1, "find_jobs", True, 900.0)
    workspace.add("AppTraces", 1, "Message decoding has failed! Check MessageEncoding settings.")
    assert workspace.fired() == {"no-tick", "poison"}


def test_no_alert_fires_in_the_first_minutes_of_a_new_app(workspace: Workspace) -> None:
    for minutes in (6, 4, 2):  # new roles do not work yet
        workspace.add("AppTraces", minutes, "tick accounts=1 accounts_failed=1 jobs=0 refused=0")
        workspace.add("AppTraces", minutes, "message result=failed job=ftjob-1 account=x reason=no role")
    assert workspace.fired() == {"no-tick", "refused", "jobs-failing"}
    assert workspace.fired(quiet_until=LATER) == set()


def test_no_alert_fires_because_telemetry_is_late(workspace: Workspace) -> None:
    """Log Analytics may show a line five minutes after it was logged."""
    for minutes in range(6, 60, 2):
        workspace.add("AppRequests", minutes, "find_jobs", True, 900.0)
        workspace.add("AppTraces", minutes, "tick accounts=1 accounts_failed=0 jobs=1 refused=0")
    workspace.add("AppTraces", 8, "message result=failed job=ftjob-1 account=x reason=busy")
    assert workspace.fired() == set()


def _queries() -> Iterator[tuple[str, str]]:
    """Every query of alerts, workbook and docs/observability.md."""
    yield from ((f"alert {alert.name}", alert.query) for alert in ALERTS)
    for item in json.loads((ROOT / "infra" / "workbook.json").read_text(encoding="utf-8"))["items"]:
        if query := item["content"].get("query"):
            yield f"workbook {item['name']}", query.replace("{TimeRange:grain}", "1h")
    page = (ROOT / "docs" / "observability.md").read_text(encoding="utf-8")
    for block in re.findall(r"^```kusto\n(.*?)```", page, re.MULTILINE | re.DOTALL):
        for number, query in enumerate(block.split("\n\n")):
            yield f"page {number}", query
    yield "doctor, app log", import_errors_query("func-finetune")


def _problems(queries: Mapping[str, str]) -> Mapping[str, Sequence[str]]:
    script = [str(shutil.which("node")), str(Path(__file__).parent / "kusto.js"), str(KUSTO)]
    more = {"AppTraces": "SeverityLevel: int", "AppExceptions": "InnermostMessage: string"}
    tables = {name: columns[:-1] + f", {more[name]})" if name in more else columns for name, columns in TABLES.items()}
    done = subprocess.run(
        script, input=json.dumps({"tables": tables, "queries": queries}), capture_output=True, text=True, check=True
    )
    found: Mapping[str, Sequence[str]] = json.loads(done.stdout)
    return found


@pytest.mark.skipif(
    not (KUSTO / "node_modules").is_dir(),
    reason="Microsoft's Kusto language service is absent: `make test` installs it",
)
def test_every_query_passes_microsofts_language_service() -> None:
    queries = dict(_queries())
    assert len(queries) > 20
    assert _problems(queries) == {}
    assert _problems({"wrong": "AppTraces | where Mesage == 'x'"})["wrong"]


def test_the_payload_for_a_chat_is_what_azure_sends_for_a_rule_of_ours() -> None:
    """The page's example in the common alert schema, and the fields that it tells people to post."""
    page = (ROOT / "docs" / "observability.md").read_text(encoding="utf-8")
    [payload] = [json.loads(block) for block in re.findall(r"^```json\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)]
    data, [condition] = payload["data"], payload["data"]["alertContext"]["condition"]["allOf"]
    text = (ROOT / "infra" / "modules" / "alerts.bicep").read_text(encoding="utf-8")
    name = data["essentials"]["alertRule"].removeprefix("alert-finetune-wandb-")
    [alert] = [each for each in ALERTS if each.name == name]
    assert data["essentials"]["description"] in text
    assert (condition["operator"], float(condition["threshold"])) == (alert.operator, alert.threshold)
    assert f"measure: '{condition['metricMeasureColumn']}'" in text
    assert data["alertContext"]["condition"]["windowSize"] == f"PT{alert.minutes // 60}H"
    for path in re.findall(r"`(data\.[\w.]+)`", page):
        found: Any = payload
        for part in path.split("."):
            found = found[part]
        assert found, path
