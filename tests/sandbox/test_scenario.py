"""A scenario that is wrong says what is wrong; one that is right becomes the tenant it describes."""

import re
from pathlib import Path

import pytest
import yaml

from sandbox.runtime.clock import Clock
from sandbox.scenario.events import Do
from sandbox.scenario.reader import Scenario
from sandbox.world import World


@pytest.mark.parametrize("name", ["contoso", "demo", "in-place", "shell"])
def test_every_scenario_that_comes_with_the_sandbox_can_be_read(name: str) -> None:
    scenario = Scenario.load(name)
    assert scenario.builder(Clock()).tenant.named("operator").kind == "User"


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"vault": []}, "vault: Extra inputs"),
        ({"vaults": [{"name": "kv"}]}, "vaults.0.group: Field required"),
        ({"faults": [{"op": "X", "do": {"explode": True}}]}, "faults.0.do.explode"),
    ],
)
def test_errors_in_a_scenario_are_listed_line_by_line(data: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Scenario.parse(data)


def _page() -> str:
    return (Path(__file__).parents[2] / "docs" / "sandbox.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("block", re.findall(r"```yaml\n(.*?)```", _page(), re.DOTALL))
def test_each_scenario_of_the_page_can_be_loaded(block: str) -> None:
    World(Scenario.parse(yaml.safe_load(block)), {}, [])


def test_the_page_names_every_key_of_a_scenario_and_every_action() -> None:
    words = set(re.findall(r"`(\w+)`", _page()))
    assert {*Do.model_fields, *Scenario.model_fields} - words - {"title", "cloud", "tenant_id", "subscription"} == set()
