"""A vault or an account that Terraform or Bicep manages: the plan says what to change in the configuration."""

from typing import Any

import pytest

from provisioning.cli import setup
from provisioning.planning.steps import Step, Verb
from tests.conftest import Load

from ..bench import Bench
from .vault_in_use import SOON, world


def notes(bench: Bench, **options: Any) -> list[Step]:
    return [s for s in setup.plan(bench.session(**options)).steps if s.resource == "configuration"]


@pytest.mark.parametrize(
    ("vault", "sign"),
    [
        ({"tags": {"managed-by": "Terraform"}}, "tag managed-by: Terraform"),
        ({"tags": {"bicep-module": "vaults"}}, "tag bicep-module: vaults"),
        ({"tags": {"createdBy": "pulumi-bot"}}, "tag createdBy: pulumi-bot"),
        ({"changed_by": "Application"}, "last changed by an application"),
        ({"deployment": "main-vaults"}, "deployment main-vaults"),
    ],
    ids=["terraform", "bicep", "pulumi", "a pipeline", "a deployment"],
)
def test_signs_of_a_configuration_are_reported_with_the_lines_to_change(
    load: Load, bench: Bench, vault: dict[str, Any], sign: str
) -> None:
    load(world(**vault) | SOON)
    (note,) = notes(bench)
    assert note.verb is Verb.NOTE
    assert f"kv-ml may be managed by Terraform, Bicep or another tool ({sign})" in note.detail
    assert (
        'rbac_authorization_enabled = true and lifecycle { ignore_changes = [tags["azure-openai-wandb"]] }'
        in note.danger
    )
    assert "enableRbacAuthorization: true (Bicep)" in note.danger
    (by_policy,) = notes(bench, by_access_policy=True)
    assert "access_policy" in by_policy.danger
    bench.setup()
    assert notes(bench) == [], "nothing will be changed"


def test_the_identity_of_an_account_is_one_of_these_lines(load: Load, bench: Bench) -> None:
    account = {"name": "aoai-ml", "group": "rg-ml", "tags": {"source": "terraform/ml"}}
    load(world() | {"accounts": [account]} | SOON)
    (note,) = notes(bench)
    assert "aoai-ml may be managed" in note.detail
    assert 'identity { type = "SystemAssigned" }' in note.danger


def test_without_a_sign_there_is_no_note_and_an_unreadable_history_is_named(load: Load, bench: Bench) -> None:
    load(world() | SOON)
    assert notes(bench) == []
    refused = {"op": "Deployments_ListByResourceGroup", "do": {"status": 403}}
    load(world() | {"faults": [refused]} | SOON)
    shown = setup.plan(bench.session()).steps
    assert [s.detail for s in shown if s.resource == "not read"] == ["deployments"]
