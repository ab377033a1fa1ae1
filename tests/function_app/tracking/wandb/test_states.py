"""What W&B shows of a run, whatever people have put there."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from function_app.data.fields import bounded, object_in
from function_app.engine.planner import Action, decide
from function_app.models import Job, RunState
from function_app.tracking.wandb.api import _state, last_step_of
from function_app.tracking.wandb.models import _age
from function_app.tracking.wandb.versions import Version

JOB = Job("ftjob-1", "a", "succeeded", "gpt-4o", 1, "file-1")
ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(10**400) | st.just("1e400"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
KEYS = st.sampled_from(["_step", "sync", "status", "fine_tuned_model", "superseded_by", "best"])
OURS = st.sampled_from(["status", "account", "rule", "last_step", "source", "results_file", "datasets", "alerted"])


def check(node: dict[str, Any]) -> RunState:
    state = _state({"name": "ftjob-1"} | node, "ftjob-1", 1, "")
    assert state.last_step >= -1
    assert isinstance(decide(JOB, state).action, Action)
    return state


@given(st.dictionaries(KEYS, ODD), st.dictionaries(OURS, ODD), ODD)
def test_an_edited_summary_is_that_runs_alone(summary: dict[str, Any], ours: dict[str, Any], tags: Any) -> None:
    check({"summaryMetrics": json.dumps({"sync": ours} | summary), "tags": tags, "state": "finished"})


@given(ODD | st.sampled_from(["[1]", '"a"', "null", "{", "[" * 5000, "NaN"]))
def test_a_summary_of_any_shape_is_a_run(summary: Any) -> None:
    check({"summaryMetrics": summary, "tags": None, "state": None})


def test_what_can_be_used_of_a_partly_edited_summary_is_used() -> None:
    kept = {"status": "succeeded", "account": ["x"], "last_step": "7", "rule": 1}
    state = check({"summaryMetrics": json.dumps({"sync": kept, "_step": 5}), "state": "finished"})
    assert (state.status, state.account, state.last_step, state.rule) == ("succeeded", None, 5, 1)


@given(ODD)
def test_the_last_step_is_a_number_whatever_the_tail_holds(tail: Any) -> None:
    assert last_step_of({"run": {"historyTail": json.dumps([json.dumps({"_step": tail})])}}) >= -1
    assert last_step_of({"run": {"historyTail": json.dumps(tail)}}) >= -1


@given(st.dictionaries(st.sampled_from(["step", "created_at", "job_created_at"]), ODD))
def test_versions_with_any_metadata_have_an_order(metadata: dict[str, Any]) -> None:
    assert sorted([Version("1", (), metadata), Version("2")], key=_age)


@given(ODD)
def test_what_is_kept_of_any_value_is_json(value: Any) -> None:
    json.dumps(bounded(value), allow_nan=False)
    assert isinstance(object_in(value), dict)
