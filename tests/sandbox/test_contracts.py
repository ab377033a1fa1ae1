"""The check of recorded traffic notices a fault, and the whole trace file of a run passes the tool as it is."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from azure.identity import AzureCliCredential
from azure.mgmt.keyvault import KeyVaultManagementClient

from sandbox.cloud import Cloud
from sandbox.scenario.reader import Scenario
from tests.contracts import PRESENT, TOOLS, WHY_ABSENT, findings

pytestmark = [pytest.mark.contract, pytest.mark.skipif(not PRESENT, reason=WHY_ABSENT)]


def exchange(cloud: Cloud) -> dict[str, Any]:
    KeyVaultManagementClient(AzureCliCredential(), cloud.world.tenant.subscription_id).vaults.get("rg-ml", "kv-ml")
    line = next(e for e in cloud.world.trace.exchanges if e.operation == "Vaults_Get").as_json()
    copy: dict[str, Any] = json.loads(json.dumps(line))
    return copy


@pytest.mark.parametrize(
    ("where", "value", "says"),
    [
        (("response", "body", "properties", "vaultUrl"), "https://x/", "ADDITIONALPROPERTIES"),
        (("response", "body", "properties", "enableSoftDelete"), "yes", "TYPE"),
        (("response", "statusCode"), 299, "INVALID_RESPONSE_CODE"),
        (("request", "url"), "https://management.azure.com/nowhere?api-version=2026-05-15", "OPERATION_NOT_FOUND"),
    ],
)
def test_a_broken_exchange_is_flagged(cloud: Cloud, where: tuple[str, ...], value: object, says: str) -> None:
    line = exchange(cloud)
    place = line
    for key in where[:-1]:
        place = place[key]
    place[where[-1]] = value
    assert [f for f in findings([line]) if says in f]


def test_the_trace_file_passes_the_tool(tmp_path: Path) -> None:
    trace = tmp_path / "trace.jsonl"
    program = (
        "from azure.identity import AzureCliCredential as C\n"
        "from azure.mgmt.keyvault import KeyVaultManagementClient as K\n"
        "K(C(), '5b1f6d1c-0000-4000-8000-0000000000aa').vaults.get('rg-ml', 'kv-ml')\n"
    )
    with Cloud(Scenario.load("contoso"), trace=trace) as own:
        subprocess.run([sys.executable, "-c", program], env=own.environment(), check=True, timeout=60)
    assert trace.read_text().count("\n") == 1
    checked = subprocess.run(
        [sys.executable, str(TOOLS / "check_trace.py"), str(trace)], capture_output=True, text=True
    )
    assert (checked.returncode, checked.stdout) == (0, "1 conform\n")
