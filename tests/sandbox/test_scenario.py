"""A scenario that is wrong says what is wrong; one that is right becomes the tenant it describes."""

import pytest

from sandbox.clock import Clock
from sandbox.scenario import Scenario, read


@pytest.mark.parametrize("name", ["contoso", "demo"])
def test_every_scenario_that_comes_with_the_sandbox_can_be_read(name: str) -> None:
    scenario = Scenario.load(name)
    assert scenario.tenant(Clock()).named("operator").kind == "User"


def test_extending_replaces_whole_parts() -> None:
    assert read("demo")["vaults"] == read("contoso")["vaults"]
    assert read("demo")["accounts"] != read("contoso")["accounts"]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"vault": []}, "vault: Extra inputs"),
        ({"vaults": [{"name": "kv"}]}, "vaults.0.group: Field required"),
        ({"faults": [{"op": "X", "do": {"explode": True}}]}, "faults.0.do.explode"),
    ],
)
def test_what_cannot_be_read_is_named_line_by_line(data: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Scenario.parse(data)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match="contoso, demo"):
        Scenario.load("no-such")
