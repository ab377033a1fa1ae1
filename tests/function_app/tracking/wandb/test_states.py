"""What W&B shows of a run, no matter what people have put there."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from function_app.data.fields import bounded, object_in
from function_app.engine.planner import Action, decide
from function_app.models import Job, RunState
from function_app.tracking.wandb.api import _stored
from function_app.tracking.wandb.marks import KEY, Marks, Position, marks_in
from function_app.tracking.wandb.versioned.latest import age
from function_app.tracking.wandb.versioned.versions import Version

JOB = Job("ftjob-1", "a", "succeeded", "gpt-4o", 1, "file-1")
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([10**400, "1e400"])
ODD = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
KEYS = st.sampled_from(["_step", "sync", "status", "fine_tuned_model", "superseded_by", "best"])
OURS = st.sampled_from([*Marks.__dataclass_fields__, "account", "last_step"])
BEST, TABLES = {"loss": {"value": 1.0, "step": 2}}, {"training": "QXJ0aWZhY3Q6MQ=="}
PLAIN: dict[str, Any] = {"status": "succeeded", "rule": 1, "source": "file", "alerted": "paused", "ended": 9}
MARKS = Marks(**PLAIN, datasets=True, best=BEST, tables=TABLES, position=Position("file", 1))


def check(node: dict[str, Any]) -> RunState:
    stored = _stored({"name": "ftjob-1"} | node, "ftjob-1", "", 100.0)
    assert stored.known.last_step >= -1
    assert isinstance(decide(JOB, stored.known).action, Action)
    return stored.known


@given(st.dictionaries(KEYS, ODD), st.dictionaries(OURS, ODD), ODD)
def test_unusable_edits_of_a_run_do_not_affect_others(summary: dict[str, Any], ours: dict[str, Any], tags: Any) -> None:
    check({"summaryMetrics": json.dumps({"sync": ours} | summary), "tags": tags, "state": "finished"})
    check({"config": json.dumps({KEY: {"value": json.dumps(ours)}}), "historyTail": json.dumps([json.dumps(summary)])})
    check({"config": json.dumps({KEY: {"value": ours}, "account": tags}), "heartbeatAt": tags, "project": summary})


@given(ODD | st.sampled_from(["[1]", '"a"', "null", "{", "[" * 5000, "NaN"]))
def test_a_run_with_any_content_can_be_parsed(value: Any) -> None:
    check({"summaryMetrics": value, "config": value, "historyTail": value, "historyLineCount": value, "state": None})


def test_marks_round_trip_and_usable_parts_of_edited_marks_are_used() -> None:
    assert marks_in({KEY: {"value": MARKS.text()}}) == MARKS
    edited = json.loads(MARKS.text()) | {"status": ["x"], "position": {"end": "7"}}
    found = marks_in({KEY: {"value": json.dumps(edited)}})
    assert found
    assert (found.status, found.rule, found.position.end) == (None, 1, -1)


def test_the_state_of_version_0_1_in_the_summary_is_read_if_there_are_no_marks() -> None:
    kept = {"status": "succeeded", "account": ["x"], "last_step": "7", "rule": 1}
    state = check({"summaryMetrics": json.dumps({"sync": kept, "_step": 5}), "state": "finished"})
    assert (state.status, state.account, state.last_step, state.rule) == ("succeeded", None, 5, 1)


@given(st.dictionaries(st.sampled_from(["step", "created_at", "job_created_at"]), ODD))
def test_versions_with_any_metadata_have_an_order(metadata: dict[str, Any]) -> None:
    assert sorted([Version("1", (), metadata), Version("2")], key=age)


@given(ODD)
def test_any_value_is_reduced_to_json(value: Any) -> None:
    json.dumps(bounded(value), allow_nan=False)
    assert isinstance(object_in(value), dict)
