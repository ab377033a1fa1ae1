"""The secret's life as setup and status see it: expiry, tags, and every state it can be found in."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from provisioning.cli import setup
from provisioning.planning.steps import Step, Verb
from tests.conftest import Load

from ..bench import ACCOUNT_RECORD, GOOD_KEY, OPERATOR_ENV, Bench
from ..conftest import Call
from .vault_in_use import OFFICER, OWNER, SCOPE, SOON, USER

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
DAY = 86400
OURS = {"created-by": "azure-openai-wandb"}


def world(**secret: Any) -> dict[str, Any]:
    """A vault on Azure RBAC where everything else is in place already."""
    vault = {"name": "kv-ml", "group": "rg-ml", "rbac": True, "secrets": [{"name": "wandb-api-key", **secret}]}
    return {"extends": "contoso", "vaults": [vault], "assignments": [OWNER, OWNER | {"role": OFFICER, "scope": SCOPE}]}


def about_secret(steps: tuple[Step, ...]) -> Step:
    (found,) = [s for s in steps if s.resource == "secret wandb-api-key"]
    return found


def test_a_version_has_expiry_content_type_and_tags(bench: Bench) -> None:
    bench.setup(secret_lifetime=timedelta(days=90))
    (version,) = bench.vault.secrets["wandb-api-key"].versions
    assert version.expires == pytest.approx(bench.cloud.clock.time() + 90 * DAY, abs=60)
    assert version.content_type == "Weights & Biases API key"
    assert version.tags == OURS | {"azure-openai-account": ACCOUNT_RECORD, "wandb-entity": "acme"}


def test_a_configured_lifetime_only_applies_to_new_versions(bench: Bench) -> None:
    bench.setup()
    assert bench.idle(secret_lifetime=timedelta(days=7))


@pytest.mark.parametrize(
    ("command", "lifetime"), [("setup", "7d"), ("setup", "never"), ("rotate-key", "720d"), ("rotate-key", "never")]
)
def test_a_lifetime_on_the_command_line_changes_the_expiry_of_the_existing_key(
    load: Load, call: Call, command: str, lifetime: str
) -> None:
    """A second time it writes nothing, and status agrees. An expiry cannot be removed: that takes a new version."""
    theirs = {"owner": "ml-platform", "cost-center": "4711"}
    cloud = load(world(value=GOOD_KEY, expires_in_days=5, content_type="text/plain", tags=OURS | theirs))
    env = OPERATOR_ENV | {"WANDB_API_KEY": GOOD_KEY}
    assert call("setup", "--yes", env=env).returncode == 0
    ended = call(command, "--yes", "--secret-lifetime", lifetime, env=env)
    assert ended.returncode == 0, ended.stderr
    versions = cloud.world.tenant.vaults["kv-ml"].secrets["wandb-api-key"].versions
    expires = None if lifetime == "never" else cloud.clock.time() + int(lifetime[:-1]) * DAY
    assert versions[-1].expires == (pytest.approx(expires, abs=60) if expires else None)
    assert (versions[-1].content_type, versions[-1].tags) == ("text/plain", OURS | theirs)
    assert [(v.value, v.enabled) for v in versions] == [(GOOD_KEY, command == "setup")] * (expires is None) + [
        (GOOD_KEY, True)
    ]
    writes = cloud.writes
    assert call(command, "--yes", "--secret-lifetime", lifetime, env=env).returncode == 0
    assert cloud.writes == writes
    assert ("does not expire" if expires is None else "expires 20") in call("status", env=env).stdout


@pytest.mark.parametrize("lifetime", [timedelta(days=7), None])
def test_the_expiry_of_an_unseen_key_is_changed(load: Load, bench: Bench, lifetime: timedelta | None) -> None:
    load(world(value=GOOD_KEY, expires_in_days=90, tags=OURS) | {"assignments": [OWNER]})
    bench.setup(secret_lifetime=lifetime, renew_expiry=True)
    current = bench.vault.secrets["wandb-api-key"].versions[-1]
    expires = bench.cloud.clock.time() + 7 * DAY if lifetime else None
    assert current.expires == (pytest.approx(expires, abs=3600) if expires else None)


@pytest.mark.parametrize("enabled", [True, False])
def test_a_new_version_keeps_tags_and_content_type(load: Load, bench: Bench, *, enabled: bool) -> None:
    theirs = {f"policy-{n}": "demanded" for n in range(13)}
    load(world(value="another", enabled=enabled, content_type="text/plain", tags=theirs))
    bench.setup()
    version = bench.vault.secrets["wandb-api-key"].versions[-1]
    assert version.content_type == "text/plain"
    assert version.tags == theirs | OURS | {"azure-openai-account": ACCOUNT_RECORD}, "15 tags are Azure's limit"


@pytest.mark.parametrize(("days", "words"), [(12, "it expires in 12 days"), (-3, "it expired on ")])
def test_a_warning_is_shown_and_does_not_count_as_drift(load: Load, call: Call, days: float, words: str) -> None:
    cloud = load(world(value=GOOD_KEY, expires_in_days=days, tags=OURS))
    env = OPERATOR_ENV | {"WANDB_API_KEY": GOOD_KEY}
    assert call("setup", "--yes", env=env).returncode == 0
    versions = cloud.world.tenant.vaults["kv-ml"].secrets["wandb-api-key"].versions
    assert len(versions) == 1, "an expiry is no reason to write"
    status = call("status", env=OPERATOR_ENV)
    assert status.returncode == 0
    assert f"! {words}" in status.stdout
    plan = call("plan", "--detailed-exitcode", "-o", "json", env=env)
    assert plan.returncode == 0
    assert words in plan.stdout


@pytest.mark.parametrize(
    ("secret", "verb", "words"),
    [
        ({"value": GOOD_KEY}, Verb.ALREADY, "holds this key"),
        ({"value": "another"}, Verb.CHANGE, "a new version"),
        ({"value": GOOD_KEY, "enabled": False}, Verb.CHANGE, "the current version is disabled"),
        ({"value": GOOD_KEY, "expires_in_days": -1}, Verb.ALREADY, "it expired on"),
        ({"value": GOOD_KEY, "deleted": True}, Verb.CHANGE, "recover it"),
        ({"value": "another", "deleted": True}, Verb.CHANGE, "recover it"),
    ],
    ids=["same", "different", "disabled", "expired", "deleted", "deleted and different"],
)
def test_every_state_of_the_secret_is_reported_and_handled(
    load: Load, bench: Bench, secret: dict[str, Any], verb: Verb, words: str
) -> None:
    load(world(**secret))
    planned = about_secret(setup.plan(bench.session()).steps)
    assert planned.verb is verb
    assert words in planned.detail + planned.danger
    bench.setup()
    versions = bench.vault.secrets["wandb-api-key"].versions
    assert (versions[-1].value, versions[-1].enabled) == (GOOD_KEY, True)
    assert versions[0].enabled is secret.get("enabled", True)
    kept = verb is Verb.ALREADY or secret == {"value": GOOD_KEY, "deleted": True}
    assert len(versions) == 2 - kept


@pytest.mark.parametrize("late", [1, 2])
def test_a_deleted_secret_unseen_by_the_plan_is_recovered_and_gets_the_key(load: Load, bench: Bench, late: int) -> None:
    """Without the right to read deleted secrets it seems missing, when the plan is made or also before the write."""
    fault = {"op": "GetDeletedSecret", "when": {"times": late}, "do": {"status": 403}}
    roles = [OWNER, OWNER | {"role": USER}]
    load(world(value="another", deleted=True) | {"assignments": roles, "faults": [fault]} | SOON)
    bench.setup()
    assert bench.stored == ["another", GOOD_KEY]


def test_when_the_secret_expires_is_in_the_document(bench: Bench) -> None:
    bench.setup()
    session = bench.session()
    setup.status(session)
    expires = datetime.fromisoformat(session.facts["secret_expires"])
    assert expires - bench.clock.now() == pytest.approx(timedelta(days=180), abs=timedelta(minutes=1))
    session = bench.session(secret="not-there")
    setup.status(session)
    assert session.facts["secret_expires"] is None
