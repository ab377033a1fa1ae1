"""The check of a session's traffic: what it reads, what it counts, and that it fails where something does not conform."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from azure.identity import AzureCliCredential
from azure.mgmt.keyvault import KeyVaultManagementClient
from openai import OpenAI

from sandbox.cloud import Cloud

from . import PRESENT, WHY_ABSENT
from .deviations import DEVIATIONS, as_public
from .fields import strange_fields
from .traffic import ASTRAY, CONFORM, NOT, POLLS, Traffic, summary

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


def test_lines_are_read_once_as_they_come_and_files_of_former_worlds_go(line: dict[str, Any], tmp_path: Path) -> None:
    traffic = Traffic(tmp_path)
    assert traffic.findings() == []
    write(tmp_path, "7-00001.jsonl", line)
    assert (traffic.findings(), traffic.counts[CONFORM]) == ([], 1)
    write(tmp_path, "7-00001.jsonl", line)
    write(tmp_path, "7-00002.jsonl", line)
    write(tmp_path, "8-00001.jsonl", line)
    with (tmp_path / "8-00001.jsonl").open("a") as half:
        half.write('{"request": ')
    assert (traffic.findings(), traffic.counts[CONFORM]) == ([], 4)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["7-00002.jsonl", "8-00001.jsonl"]
    assert (traffic.findings(), traffic.counts[CONFORM]) == ([], 4)


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
def test_what_does_not_conform_is_found_and_counted(
    line: dict[str, Any], tmp_path: Path, change: Change, says: str
) -> None:
    change(line)
    write(tmp_path, "7-00001.jsonl", line)
    traffic = Traffic(tmp_path)
    assert any(says in each for each in traffic.findings())
    assert (traffic.counts[CONFORM], traffic.counts[NOT]) == (0, 1)


def test_wrong_requests_are_let_through_where_they_are_meant_and_wrong_answers_are_not(
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


def test_another_clouds_traffic_is_held_to_the_public_clouds_descriptions(line: dict[str, Any], tmp_path: Path) -> None:
    url = line["request"]["url"]
    line["request"]["url"] = url.replace("management.azure.com", "management.usgovcloudapi.net")
    assert as_public(line["request"]["url"]) == url
    line["response"]["body"]["colour"] = "blue"
    write(tmp_path, "7-00001.jsonl", line)
    assert Traffic(tmp_path).findings()


def test_a_field_of_v1_that_is_in_no_description_and_no_recording_is_found(load: Any) -> None:
    job = {
        "id": "ftjob-1",
        "model": "gpt-4o-mini",
        "created": "-2d",
        "training_file": "file-1",
        "training_type": "standard",
    }
    account = {"name": "aoai-ml", "group": "rg-ml", "api_key": "the-key", "jobs": [job]}
    cloud = load({"extends": "contoso", "accounts": [account]})
    with OpenAI(base_url="https://aoai-ml.openai.azure.com/openai/v1/", api_key="the-key") as client:
        client.fine_tuning.jobs.list()
    line = json.loads(json.dumps(cloud.world.trace.exchanges[0].as_json()))
    [shown] = line["response"]["body"]["data"]
    assert shown["trainingType"] == "standard", "recorded, and in no description"
    assert strange_fields(line) == []
    shown["colour"] = "blue"
    assert [each for each in strange_fields(line) if "colour" in each]


def test_the_summary_says_how_many_and_names_every_deviation(tmp_path: Path, line: dict[str, Any]) -> None:
    write(tmp_path, "7-00001.jsonl", line, line | {"fault": True}, line | {"polls": [line]})
    traffic = Traffic(tmp_path)
    assert traffic.findings() == []
    said = summary(traffic.counts)
    assert said[0].startswith("2 exchanges conform to the official API descriptions, 0 do not.")
    assert {each.strip().split(" ", 1)[1] for each in said[1:]} == {*(each.name for each in DEVIATIONS), POLLS, ASTRAY}
    assert "1 fault on purpose" in "\n".join(said)
    assert all(each.why for each in DEVIATIONS)
