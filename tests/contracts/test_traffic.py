"""The check of a session's traffic fails where an exchange does not conform."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from azure.identity import AzureCliCredential
from azure.mgmt.keyvault import KeyVaultManagementClient

from sandbox.cloud import Cloud

from . import PRESENT, WHY_ABSENT
from .traffic import ASTRAY, CONFORM, NOT, Traffic

pytestmark = [pytest.mark.contract, pytest.mark.skipif(not PRESENT, reason=WHY_ABSENT)]

Change = Callable[[dict[str, Any]], object]


@pytest.fixture
def line(cloud: Cloud) -> dict[str, Any]:
    """A line of a trace that conforms."""
    KeyVaultManagementClient(AzureCliCredential(), cloud.world.tenant.subscription_id).vaults.get("rg-ml", "kv-ml")
    found = next(each for each in cloud.world.trace.exchanges if each.operation == "Vaults_Get").as_json()
    copy: dict[str, Any] = json.loads(json.dumps(found))
    return copy


def write(directory: Path, name: str, *lines: Any) -> None:
    with (directory / name).open("a", encoding="utf-8") as trace:
        trace.writelines(json.dumps(each) + "\n" for each in lines)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda each: each["response"]["body"].update(colour="blue"), "colour"),
        (lambda each: each["response"]["body"].update(properties=None), "properties"),
        (lambda each: each["response"].update(statusCode=299), "INVALID_RESPONSE_CODE"),
        (lambda each: each["request"].update(url=each["request"]["url"] + "&colour=blue"), "QUERY_UNKNOWN"),
        (lambda each: each["response"].update(statusCode=404, body={"error": {"colour": "blue"}}), "colour"),
    ],
)
def test_exchanges_that_do_not_conform_are_found_and_counted(
    line: dict[str, Any], tmp_path: Path, change: Change, says: str
) -> None:
    change(line)
    write(tmp_path, "7-00001.jsonl", line)
    traffic = Traffic(tmp_path)
    assert any(says in each for each in traffic.findings())
    assert (traffic.counts[CONFORM], traffic.counts[NOT]) == (0, 1)


def test_intentionally_invalid_requests_are_allowed_and_invalid_answers_are_not(
    line: dict[str, Any], tmp_path: Path
) -> None:
    line["request"]["url"] += "&colour=blue"
    write(tmp_path, "7-00001.jsonl", line)
    assert Traffic(tmp_path).findings("requests") == []
    line["response"]["body"]["colour"] = "blue"
    write(tmp_path, "7-00001.jsonl", line)
    assert Traffic(tmp_path).findings("requests")
    traffic = Traffic(tmp_path)
    assert (traffic.findings("addresses"), traffic.counts[ASTRAY]) == ([], 2)
