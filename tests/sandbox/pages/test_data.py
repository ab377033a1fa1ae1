"""World to what is shown: the state as it is, in words that a stranger understands."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.azure.rbac import ROLE_IDS, Assignment
from sandbox.azure.tenant import Secret, SecretVersion
from sandbox.pages import chain as page_chain
from sandbox.pages import runs as page_runs
from sandbox.pages import traffic as page_traffic
from sandbox.pages.format import count, duration, moment, number, shortened, size
from sandbox.runtime.http import Call, Caller
from sandbox.runtime.trace import Exchange, masked_request, masked_response
from sandbox.scenario.reader import read
from sandbox.wandb.runs import SILENCE
from sandbox.world import World
from tests.sandbox.pages.world import BAD, DONE, ENTITY, KEY, LIVE, NEW, PROJECT, committed, page_world

# --- numbers and times ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.001647822, "0.001648"), (3.8e-06, "3.8e-06"), (1.0, "1"), (3000, "3,000"), (12345.6, "12,346"), (-0.5, "-0.5")],
)
def test_numbers_have_four_digits_and_whole_ones_all(value: float, shown: str) -> None:
    assert number(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (57_216, "57.2 kB"), (999_999, "1 MB")]
)
def test_sizes_have_a_unit(value: int, shown: str) -> None:
    assert size(value) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0 s"), (0.2, "1 s"), (59.5, "1 min"), (80, "1 min 20 s"), (3600, "1 h"), (90_000, "1 d 1 h"), (-5, "0 s")],
)
def test_a_countdown_is_zero_only_when_it_is_over(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


@given(st.text(), st.integers(1, 50))
def test_a_shortened_text_is_never_longer_than_asked(text: str, most: int) -> None:
    short = shortened(text, most)
    assert len(short) <= most
    assert short == text or text.startswith(short[:-1])


def test_one_is_singular() -> None:
    assert (count(1, "write"), count(0, "write"), count(2, "policy", "policies")) == (
        "1 write",
        "0 writes",
        "2 policies",
    )


# --- the chain -----------------------------------------------------------------------------------------------------


def links(world: World) -> dict[str, page_chain.Link]:
    ((_, found),) = page_chain.chains(world)
    return {link.title: link for link in found}


def provisioned(world: World, *, effective: float) -> None:
    """What setup does, done by hand."""
    tenant = world.tenant
    (account,), vault = tenant.accounts.values(), tenant.vaults["kv-ml"]
    identity = tenant.named("billing-api")  # any service principal will do
    account.system_identity, vault.rbac = identity.object_id, True
    role = ROLE_IDS["Key Vault Secrets Officer"]
    tenant.rbac.add(Assignment("a", vault.id, role, identity.object_id, "ServicePrincipal", 0, effective))
    version = SecretVersion("v1", KEY, 0, 0)
    vault.secrets["wandb-api-key"] = Secret("wandb-api-key", [version])


def test_before_setup_the_chain_says_what_is_missing() -> None:
    found = links(page_world())
    assert found["Account identity"].mark == "off"
    assert found["Vault permission model"].words == "access policies"
    assert found["Identity may use secrets"].mark == "off"
    assert found["W&B key in the vault"].words == "none"
    assert found["W&B"].words == "3 runs"


def test_a_role_that_was_assigned_and_has_not_arrived_counts_down_on_the_virtual_clock() -> None:
    world = page_world()
    provisioned(world, effective=world.clock.time() + 90)
    assert links(world)["Identity may use secrets"].words == "in 1 min 30 s"
    world.clock.advance(60)
    assert links(world)["Identity may use secrets"].mark == "waiting"
    world.clock.advance(30)
    assert links(world)["Identity may use secrets"].words == "effective"


def test_after_setup_every_link_holds() -> None:
    world = page_world()
    provisioned(world, effective=0)
    assert {link.mark for link in links(world).values()} == {"ok"}
    assert links(world)["W&B key in the vault"].detail == "wandb-api-key, a key of sync-bot"


@pytest.mark.parametrize(
    ("change", "words"),
    [({"enabled": False}, "disabled"), ({"expires": 1}, "expired"), ({"value": "0" * 40}, "none")],
    ids=["disabled", "expired", "revoked"],
)
def test_a_key_that_cannot_be_used_is_not_called_fine(change: dict[str, Any], words: str) -> None:
    world = page_world()
    provisioned(world, effective=0)
    (version,) = world.tenant.vaults["kv-ml"].secrets["wandb-api-key"].versions
    for name, value in change.items():
        setattr(version, name, value)
    link = links(world)["W&B key in the vault"]
    assert (link.words, link.mark == "ok") == (words, False)


# --- jobs and runs -------------------------------------------------------------------------------------------------


def test_jobs_stand_next_to_their_runs_the_newest_first() -> None:
    world = page_world()
    found = page_runs.jobs(world, page_runs.runs(world))
    assert [job.id for job in found] == [LIVE, NEW, *sorted([DONE, BAD], reverse=True)]
    by_id = {job.id: job for job in found}
    assert by_id[DONE].agreement == page_runs.Agreement("ok", "match")
    assert by_id[BAD].agreement.mark == "ok"
    assert by_id[NEW].agreement.words == "not in W&B yet"
    live = by_id[LIVE]
    assert live.step > 5
    assert live.agreement == page_runs.Agreement("waiting", f"W&B is {live.step - 5} steps behind")


@pytest.mark.parametrize(
    ("status", "step", "state", "have", "mark"),
    [
        ("running", 50, "running", 50, "ok"),
        ("running", 50, "running", 40, "waiting"),
        ("running", 50, "crashed", 50, "waiting"),
        ("running", 50, "finished", 50, "bad"),
        ("running", 50, "running", 60, "bad"),
        ("succeeded", 100, "finished", 100, "ok"),
        ("succeeded", 100, "finished", 99, "waiting"),
        ("succeeded", 100, "running", 100, "waiting"),
        ("succeeded", 100, "failed", 100, "bad"),
        ("failed", 0, "failed", 0, "ok"),
        ("cancelled", 10, "failed", 10, "ok"),
        ("cancelled", 10, "finished", 10, "bad"),
        ("pausing", 10, "running", 10, "ok"),
        ("pending", 0, "", 0, "waiting"),
    ],
)
def test_the_two_sides_agree_only_when_state_and_step_do(
    status: str, step: int, state: str, have: int, mark: str
) -> None:
    assert page_runs.agreement(status, step, state, have).mark == mark


@pytest.mark.parametrize(
    ("have", "mark", "words"),
    [
        (0, "waiting", "W&B is 60 steps behind"),
        (59, "waiting", "W&B is 1 step behind"),
        (60, "ok", "match; Azure has no more metrics"),
        (63, "ok", "match; Azure has no more metrics"),
        (65, "ok", "match"),
        (66, "bad", "W&B is 1 step ahead"),
    ],
)
def test_a_run_is_not_behind_where_azure_shows_no_more_steps(have: int, mark: str, words: str) -> None:
    """A results file that is gone leaves the sampled events, and what W&B got from it before stays there."""
    assert page_runs.agreement("succeeded", 65, "finished", have, readable=60) == page_runs.Agreement(mark, words)


def test_a_job_that_shows_no_curve_at_all_is_told_as_that() -> None:
    timeline = {"steps": 5, "seconds_per_step": 1}
    job = {"id": DONE, "model": "gpt-4.1-mini", "training_file": "file-1", "created": "-5d", "timeline": timeline}
    silent = {"events": {"every": 10, "first_step": False}, "results": {"purged": True}}
    run = {"entity": ENTITY, "project": PROJECT, "id": DONE, "user": "sync-bot", "name": "without a curve"}
    accounts = [{"name": "aoai-ml", "group": "rg-ml", "jobs": [job | silent], "files": [{"id": "file-1"}]}]
    world = page_world(accounts=accounts, wandb={**read("contoso")["wandb"], "runs": [run]})
    (shown,) = page_runs.jobs(world, page_runs.runs(world))
    assert (shown.step, shown.agreement.words) == (5, "match; Azure has no metrics")


def test_a_run_that_somebody_deleted_is_not_called_late() -> None:
    world = page_world()
    world.wandb.store.delete_run(world.wandb.store.run(ENTITY, PROJECT, DONE))
    job = next(job for job in page_runs.jobs(world, page_runs.runs(world)) if job.id == DONE)
    assert (job.run, job.agreement.words) == (None, "deleted in W&B")


def test_a_run_that_is_silent_shows_as_crashed() -> None:
    world = page_world()
    world.clock.advance(SILENCE + 1)
    live = page_runs.find(world, ENTITY, PROJECT, LIVE)
    assert live is not None
    assert live.state == "crashed"


def test_a_run_shows_its_curves_its_config_flat_and_why_it_failed() -> None:
    world = page_world()
    done, bad = (page_runs.find(world, ENTITY, PROJECT, job) for job in (DONE, BAD))
    assert done is not None
    assert bad is not None
    assert done.series["train_loss"][0] == (1.0, 3.0)
    assert (len(done.series["train_loss"]), len(done.series["valid_loss"])) == (100, 10)
    assert done.config["hyperparameters.n_epochs"] == "3"
    assert (done.steps, done.of, done.error) == (100, 100, "")
    assert bad.error == "invalidPayload: Line 17 has no assistant message."


def test_what_is_no_finite_number_is_not_part_of_a_curve() -> None:
    rows: list[dict[str, Any]] = [
        {"_step": 1, "_timestamp": 5.0, "loss": "NaN", "done": True, "text": "x", "other": float("inf")},
        {"_step": 2, "loss": 1},
    ]
    assert page_runs.series_of(rows) == {"loss": [(2.0, 1.0)]}


def test_datasets_and_models_have_their_lineage() -> None:
    model, dataset = sorted(page_runs.collections(page_world()), key=lambda c: c.type, reverse=True)
    address = f"/runs/{ENTITY}/{PROJECT}/{DONE}"
    assert (model.type, model.made_by, model.used_by) == ("model", {address: f"run of {DONE}"}, {})
    assert (dataset.title, dataset.made_by, dataset.used_by) == ("train.jsonl", {}, {address: f"run of {DONE}"})
    assert dataset.versions == [("v0", ["latest"])]


def test_the_first_rows_of_a_table_are_shown_without_their_empty_cells() -> None:
    world = page_world()
    (dataset,) = world.wandb.store.run(ENTITY, PROJECT, DONE).used
    (table,) = page_runs.tables(dataset)
    assert (table.name, table.total, len(table.rows)) == ("examples", 7, page_runs.ROWS_SHOWN)
    assert table.rows[0] == {"line": "1", "prompt": "question 1"}


def test_an_artifact_without_a_table_has_no_rows() -> None:
    artifact = committed(page_world(), "other", "dataset", {"train.jsonl": b"{}"})
    assert page_runs.tables(artifact) == []


# --- traffic -------------------------------------------------------------------------------------------------------


def exchange(
    status: int = 200, *, operation: str = "Get", write: bool = False, fault: bool = False, signed_in: bool = True
) -> Exchange:
    headers = {"authorization": "Bearer secret-token"} if signed_in else {}
    caller = Caller("id", "", "User", "you@contoso.example", "")
    call = Call(
        "GET", "kv-ml.vault.azure.net", "/secrets/x", {}, headers, caller=caller, url="https://kv/secrets/x?a=1"
    )
    return Exchange(
        service="keyvault",
        operation=operation,
        write=write,
        caller=caller.name,
        at="2026-03-02T08:00:00+00:00",
        seconds=0.004,
        request=masked_request(call, keep=True),
        response=masked_response(status, {}, b'{"value": "hidden-value"}', "kv.vault.azure.net", keep=True),
        fault=fault,
    )


def test_traffic_is_counted_by_operation_with_writes_that_were_accepted_and_errors() -> None:
    found = [exchange(), exchange(404), exchange(0), exchange(201, operation="Set", write=True)]
    found += [exchange(403, operation="Set", write=True)]
    got, written = page_traffic.by_operation(found)
    assert (got.operation, got.requests, got.writes, got.errors) == ("Get", 3, 0, 2)
    assert (written.operation, written.requests, written.writes, written.errors) == ("Set", 2, 1, 1)
    assert got.mean_ms == pytest.approx(4)
    (service,) = page_traffic.by_service(found)
    assert (service.requests, service.writes, service.errors) == (5, 1, 3)


def test_a_challenge_is_part_of_the_protocol_and_a_refused_token_is_not() -> None:
    (challenged,) = page_traffic.by_service([exchange(401, signed_in=False)])
    (refused,) = page_traffic.by_service([exchange(401), exchange(401, signed_in=False, fault=True)])
    assert (challenged.errors, refused.errors) == (0, 2)


def test_the_polls_of_a_long_operation_count_as_its_requests() -> None:
    long = exchange(202, operation="Update", write=True)
    long.polls.append(exchange().as_json())
    (tally,) = page_traffic.by_operation([long])
    assert (tally.requests, tally.writes) == (2, 1)


def test_moments_are_in_utc() -> None:
    assert moment(0) == "1970-01-01 00:00:00 UTC"
