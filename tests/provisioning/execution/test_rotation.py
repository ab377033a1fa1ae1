"""rotate-key stores the new key and disables the old one, also after an interruption, and changes no version of others."""

import contextlib
import json
from dataclasses import replace
from typing import Any

import pytest

from function_app.azure.key_vault import FRESH_FOR
from provisioning import errors
from provisioning.cli import rotation
from sandbox.azure.tenant import SecretVersion
from tests.conftest import Load

from ..bench import ACCOUNT_RECORD, GOOD_KEY, OPERATOR_ENV, Bench
from ..cli.outcomes import NEW_KEY, WANDB
from ..conftest import Call
from .vault_in_use import OFFICER, USER

OURS = {"created-by": "azure-openai-wandb"}
READER = {"principal": "operator", "role": "Reader", "scope": "rg-ml"}
OLD = {"value": GOOD_KEY, "tags": OURS, "created_days_ago": 90}


def world(*versions: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A vault on Azure RBAC whose operator may work with secrets."""
    secrets = [{"name": "wandb-api-key", "versions": list(versions)}] if versions else []
    return {
        "extends": "contoso",
        "vaults": [{"name": "kv-ml", "group": "rg-ml", "rbac": True, "secrets": secrets}],
        "assignments": [READER, READER | {"role": OFFICER}],
        "wandb": WANDB,
        **more,
    }


def versions(bench: Bench) -> list[tuple[str, bool]]:
    """(value, enabled), the oldest first."""
    return [(v.value, v.enabled) for v in bench.vault.secrets["wandb-api-key"].versions]


def test_the_new_key_becomes_the_current_version_and_the_old_one_is_disabled(load: Load, bench: Bench) -> None:
    load(world(OLD))
    session = bench.rotate(NEW_KEY)
    assert versions(bench) == [(GOOD_KEY, False), (NEW_KEY, True)]
    new = bench.vault.secrets["wandb-api-key"].versions[-1]
    assert new.expires == pytest.approx(bench.cloud.clock.time() + 180 * 86400, abs=60)
    assert new.tags == OURS | {"azure-openai-account": ACCOUNT_RECORD, "wandb-entity": "acme"}
    assert [s["detail"].split()[0] for s in session.facts["applied"]] == ["a", "disable"]


def test_versions_of_others_are_shown_and_not_changed(load: Load, bench: Bench) -> None:
    theirs = {"value": "by hand", "created_days_ago": 400}
    load(world(theirs, OLD, {"value": "older and disabled", "enabled": False}))
    session = bench.rotate(NEW_KEY)
    assert versions(bench) == [("by hand", True), (GOOD_KEY, False), ("older and disabled", False), (NEW_KEY, True)]
    (note,) = [s for s in session.facts["steps"] if s["verb"] == "note"]
    assert "neither setup nor rotate-key wrote it" in note["detail"]


def test_a_disabled_current_version_is_replaced(load: Load, bench: Bench) -> None:
    load(world(OLD | {"enabled": False}))
    bench.rotate(NEW_KEY)
    assert versions(bench) == [(GOOD_KEY, False), (NEW_KEY, True)]


@pytest.mark.parametrize(
    ("secret", "words"),
    [([], "is missing"), ([{"name": "wandb-api-key", "value": GOOD_KEY, "deleted": True}], "is deleted, recoverable")],
    ids=["missing", "deleted"],
)
def test_without_a_secret_there_is_nothing_to_rotate(load: Load, bench: Bench, secret: list[Any], words: str) -> None:
    data = world()
    data["vaults"][0]["secrets"] = secret
    load(data)
    with pytest.raises(errors.KeyNotStoredError, match=words) as caught:
        bench.rotate(NEW_KEY)
    assert "`setup`" in caught.value.hint
    assert bench.cloud.writes == 0


def test_missing_rights_on_the_secret_are_reported_before_the_prompt_for_a_key(load: Load, bench: Bench) -> None:
    load(world(OLD, assignments=[READER]))
    bench.key = None  # the bench's prompt fails the test
    with pytest.raises(errors.MissingRightsError, match="You may not read secret"):
        rotation.rotate(bench.session(), yes=True, interactive=False)
    assert bench.clock.slept == 0


def test_an_operator_who_may_only_read_disables_nothing(load: Load, bench: Bench) -> None:
    load(world(OLD, assignments=[READER, READER | {"role": USER}]))
    with pytest.raises(errors.AccessNotEffectiveError, match="setSecret"):
        bench.rotate(NEW_KEY)
    assert versions(bench) == [(GOOD_KEY, True)]
    assert bench.clock.slept == 0, "waiting would not help"


# --- stopped anywhere, and run again with the same key ----------------------------------------------------------------


WRITES = [("SetSecret", 1), ("UpdateSecret", 1), ("UpdateSecret", 2)]
READS = [
    ("GetSecret", 2),  # before the write
    ("GetSecret", 3),  # reading back
    ("GetSecret", 4),  # the last read
    ("GetSecretVersions", 2),
]
TWO_OLD = (OLD | {"value": "the first"}, OLD)
END = [("the first", False), (GOOD_KEY, False), (NEW_KEY, True)]


def finish(bench: Bench) -> None:
    bench.rotate(NEW_KEY)
    assert versions(bench) == END
    with bench.no_writes():
        bench.rotate(NEW_KEY)


@pytest.mark.parametrize(("op", "nth"), [*WRITES, *READS])
def test_the_next_run_completes_after_a_request_that_fails_before_the_service_acts(
    load: Load, bench: Bench, op: str, nth: int
) -> None:
    load(world(*TWO_OLD, faults=[{"op": op, "when": {"nth": [nth]}, "do": {"status": 400}}]))
    with pytest.raises(errors.ProvisioningError) as caught:
        bench.rotate(NEW_KEY)
    assert caught.value.hint
    finish(bench)


@pytest.mark.parametrize(("op", "nth"), WRITES)
def test_the_next_run_completes_after_an_answer_that_is_lost(load: Load, bench: Bench, op: str, nth: int) -> None:
    load(world(*TWO_OLD, faults=[{"op": op, "when": {"nth": [nth]}, "do": {"lost_response": True}}]))
    with contextlib.suppress(errors.UnreachableError):
        bench.rotate(NEW_KEY)
    finish(bench)


def test_nothing_is_disabled_while_the_vault_returns_another_key(load: Load, bench: Bench) -> None:
    """Somebody writes a version right after ours."""
    load(world(OLD))
    secret = bench.vault.secrets["wandb-api-key"]

    class Crowded(list[SecretVersion]):
        def append(self, version: SecretVersion) -> None:
            super().append(version)
            super().append(replace(version, version="f" * 32, value="theirs", tags=None))

    secret.versions = Crowded(secret.versions)
    with pytest.raises(errors.ConflictError, match="Nothing was disabled"):
        bench.rotate(NEW_KEY)
    assert versions(bench) == [(GOOD_KEY, True), (NEW_KEY, True), ("theirs", True)]


# --- the command ------------------------------------------------------------------------------------------------------


def test_rotate_key_prints_what_happens_next(load: Load, call: Call) -> None:
    load(world(OLD))
    done = call("rotate-key", "--yes", env=OPERATOR_ENV | {"WANDB_API_KEY": NEW_KEY})
    assert done.returncode == 0, done.stderr
    assert "Rotated." in done.stdout
    assert "within 5 min, without a restart" in done.stdout
    assert "revoke the old key" in done.stdout
    again = call("rotate-key", env=OPERATOR_ENV | {"WANDB_API_KEY": NEW_KEY})  # nothing to consent to
    assert again.returncode == 0, again.stderr
    assert "nothing to rotate" in again.stdout
    assert "revoke" not in again.stdout


def test_functions_use_a_new_key_within_the_printed_time() -> None:
    assert rotation.REFRESH.total_seconds() == FRESH_FOR


def test_the_document_names_version_and_expiry_and_never_a_key(load: Load, call: Call) -> None:
    cloud = load(world(OLD))
    env = OPERATOR_ENV | {"WANDB_API_KEY": NEW_KEY}
    result = call("rotate-key", "--yes", "--secret-lifetime", "30d", "-o", "json", "-v", env=env)
    document = json.loads(result.stdout)
    current = cloud.world.tenant.vaults["kv-ml"].secrets["wandb-api-key"].versions[-1]
    assert (document["ok"], document["rotated"], document["version"]) == (True, True, current.version)
    assert document["expires"]
    assert len(document["applied"]) == document["changes"] == 2
    for key in (GOOD_KEY, NEW_KEY):
        assert key not in result.stdout + result.stderr
