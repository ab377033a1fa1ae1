"""Truncated answers, invalid JSON and busy services: nothing is written twice, and the error says what happened."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError

from provisioning import errors
from provisioning.azure.transport.errors import is_lost
from provisioning.azure.transport.pipeline import BoundedRetryPolicy
from provisioning.observation.inventory import _ahead
from sandbox.azure.tenant import Secret, SecretVersion
from tests.conftest import Load
from tests.provisioning.bench import GOOD_KEY, Bench
from tests.provisioning.execution.vault_in_use import OWNER


def world(op: str, do: dict[str, Any]) -> dict[str, Any]:
    """A vault on Azure RBAC, and one broken answer."""
    vault = {"name": "kv-ml", "group": "rg-ml", "rbac": True}
    fault = {"op": op, "when": {"nth": [1]}, "do": do}
    return {"extends": "contoso", "assignments": [OWNER], "vaults": [vault], "faults": [fault]}


def busy(status: int, **when: int) -> dict[str, Any]:
    """A vault that answers with this status and no Retry-After."""
    fault = {"op": "SetSecret", "when": when, "do": {"status": status}}
    return world("SetSecret", {}) | {"faults": [fault], "transitions": {"rbac_propagation": 0}}


@pytest.mark.parametrize("do", [{"cut_body": 12}, {"malformed_json": True}, {"lost_response": True}], ids=str)
def test_a_version_is_not_written_twice_if_the_answer_is_lost(load: Load, bench: Bench, do: dict[str, Any]) -> None:
    """The SDK would retry by itself, and each SetSecret writes a version."""
    load(world("SetSecret", do))
    bench.setup()
    assert bench.stored == [GOOD_KEY]


def test_a_connection_that_is_reset_within_the_answer_does_not_show_whether_the_request_succeeded() -> None:
    """azure-core raises this with Python 3.13, where the test above has the reset; other Pythons say IncompleteRead."""
    assert is_lost(HttpResponseError("Connection broken: ConnectionResetError(104, 'Connection reset by peer')"))
    assert not is_lost(ClientAuthenticationError("no sign-in"))


@pytest.mark.parametrize("body", [{}, {"value": None}, {"value": [None]}], ids=str)
@pytest.mark.parametrize(
    ("op", "says"),
    [("RoleAssignments_ListForScope", "documented form"), ("Permissions_ListForResourceGroup", "has no items")],
)
def test_a_listing_without_items_is_not_an_empty_one(load: Load, bench: Bench, op: str, says: str, body: Any) -> None:
    """Nothing is concluded from it, such as that the vault has no role assignment."""
    load(world(op, {"status": 200, "body": body}))
    bench.setup_fails(errors.ServiceError, says)
    assert bench.stored == []


@pytest.mark.parametrize("op", ["RoleAssignments_ListForScope", "GetSecrets"])
def test_a_listing_that_repeats_a_page_ends_with_an_error(load: Load, bench: Bench, op: str) -> None:
    """The SDKs follow the same link again and again."""
    load(world("Vaults_Get", {}) | {"transitions": {"rbac_propagation": 0}, "faults": []})
    roles = (
        f"management.azure.com{bench.vault.id}/providers/Microsoft.Authorization/roleAssignments?api-version=2022-04-01"
    )
    link = "kv-ml.vault.azure.net/secrets?api-version=7.6" if op == "GetSecrets" else roles
    page = {"value": [], "nextLink": f"https://{link}&%24skiptoken=1"}
    bench.setup()
    bench.fault(op, {"status": 200, "body": page})
    with pytest.raises(errors.ServiceError, match="a page repeats"):
        bench.teardown()


def test_an_account_without_an_id_is_named_by_teardown(load: Load, bench: Bench) -> None:
    load(world("Accounts_List", {"status": 200, "body": {"value": [{"kind": "OpenAI"}]}}))
    bench.setup()
    with pytest.raises(errors.ServiceError, match="documented form"):
        bench.teardown()
    assert bench.stored == [GOOD_KEY]


def test_retry_after_is_respected(load: Load, bench: Bench) -> None:
    load(world("SetSecret", {"status": 429, "headers": {"retry-after": "1"}}))
    bench.setup()
    assert bench.stored == [GOOD_KEY]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_vault_is_retried_after_a_pause(load: Load, bench: Bench, status: int) -> None:
    """Retry-After is optional (Microsoft, throttling guidance)."""
    load(busy(status, times=3))
    bench.setup()
    assert bench.stored == [GOOD_KEY]
    assert bench.clock.slept == 1 + 2 + 4


def test_a_version_that_a_busy_vault_wrote_anyway_is_not_written_twice(load: Load, bench: Bench) -> None:
    load(busy(503, times=1))

    def late() -> None:
        assert bench.cloud.counts["SetSecret"] == 1
        written = SecretVersion("late", GOOD_KEY, 0, 0)
        bench.vault.secrets.setdefault("wandb-api-key", Secret("wandb-api-key", [written]))

    bench.clock.before = late
    bench.setup()
    assert [version.version for version in bench.vault.secrets["wandb-api-key"].versions] == ["late"]


@pytest.mark.parametrize("status", [429, 503])
def test_a_vault_that_stays_busy_fails_setup_and_the_next_run_continues(load: Load, bench: Bench, status: int) -> None:
    cloud = load(busy(status))
    bench.setup_fails(errors.ServiceError, f"temporarily unavailable \\({status}")
    assert bench.clock.slept == 60
    cloud.world.faults.faults.clear()
    bench.setup()
    assert bench.stored == [GOOD_KEY]


def test_a_gateway_timeout_is_not_retried(load: Load, bench: Bench) -> None:
    """The vault behind it may still be writing."""
    load(busy(504, times=1))
    bench.setup_fails(errors.ServiceError)
    assert bench.cloud.counts["SetSecret"] == 1


@pytest.mark.parametrize("op", ["Subscriptions_List", "Vaults_Get", "RoleAssignments_Create"])
def test_invalid_json_is_reported_and_the_next_run_continues(load: Load, bench: Bench, op: str) -> None:
    load(world(op, {"malformed_json": True}))
    caught = bench.setup_fails(errors.ServiceError, "Azure's answer is not readable")
    assert "refused" not in caught.message
    bench.setup()
    assert bench.stored == [GOOD_KEY]


@pytest.mark.parametrize("end", ["2040-01-01T00:00:00", "2040-01-01T00:00:00.1234567Z", "soon", 5])
def test_an_end_of_a_role_in_another_form_is_no_failure(load: Load, bench: Bench, end: str | int) -> None:
    load(world("RoleAssignmentScheduleInstances_ListForScope", {}) | {"faults": []})
    (mine,) = bench.role_assignments
    shown = {"properties": {"originRoleAssignmentId": mine.id, "endDateTime": end}}
    bench.fault("RoleAssignmentScheduleInstances_ListForScope", {"status": 200, "body": {"value": [shown]}})
    steps = bench.setup().facts["steps"]
    assert ("when roles end" in str(steps)) is (end in ("soon", 5))


def test_a_subscription_without_a_name_is_shown_by_its_id(load: Load, bench: Bench) -> None:
    load(world("Subscriptions_List", {}) | {"faults": []})
    shown = {"subscriptionId": bench.tenant.subscription_id, "displayName": None}
    bench.fault(
        "Subscriptions_List", {"status": 200, "body": {"value": [shown, shown | {"subscriptionId": "another"}]}}
    )
    bench.setup_fails(errors.NotFoundError, "another")


def test_a_certificate_that_is_not_trusted_is_not_retried_and_names_the_variables(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name)
    with pytest.raises(errors.UnreachableError) as failed:
        bench.session().connect()
    assert "REQUESTS_CA_BUNDLE and SSL_CERT_FILE" in failed.value.hint
    cause = failed.value.__cause__
    assert isinstance(cause, Exception)
    policy = BoundedRetryPolicy(lambda *_: None)
    assert not policy.increment(policy.configure_retries({}), error=cause)


@pytest.mark.parametrize(
    ("date", "ahead"),
    [
        ("Sat, 01 Nov 2025 11:59:00", 60),
        ("Sat, 01 Nov 2025 11:59:00 -0000", 60),
        ("Sat, 01 Nov 2025 12:59:00 +0100", 60),
        ("Mon, 01 Jan 0001 00:00:00 GMT", 0),
        ("Sat, 01 Nov 2025 11:59:00 +999999999999", 0),
        ("today", 0),
    ],
)
def test_a_date_without_a_zone_is_in_utc_and_an_absurd_one_is_ignored(bench: Bench, date: str, ahead: int) -> None:
    azure = bench.session().sign_in()
    azure._date = date
    noon: Any = SimpleNamespace(now=lambda: datetime(2025, 11, 1, 12, tzinfo=UTC))
    assert _ahead(azure, noon).total_seconds() == ahead
