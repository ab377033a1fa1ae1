"""Recorded answers of fine-tuning services go the whole way: listing, mirror, `sync -o json`, and what W&B then shows, by value.

The recordings are in ../shared and not on users' machines. What matters of each is also tested on short equivalents.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from function_app.models import Result
from sandbox.wandb.runs import Run
from tests.conftest import Run as Command
from tests.contracts import RECORDINGS
from tests.function_app.conftest import FILE, JOB, OTHER_JOB, SETTINGS, Bench

PLACE = RECORDINGS / "finetune-2026-11"
NEEDS_RECORDINGS = pytest.mark.skipif(not PLACE.is_dir(), reason=f"the recordings are not in {PLACE}")

BODY: dict[str, Any] = {
    "object": "fine_tuning.job",
    "id": JOB,
    "model": "gpt-4o-mini-2024-07-18",
    "status": "succeeded",
    "created_at": 1_790_988_348,
    "training_file": FILE,
}
MESSAGES = [
    (1_790_989_763, "Training started."),
    (1_790_993_133, "Job succeeded."),
    (1_790_993_165, "Completed results file: file-r"),
    (1_790_993_165, "Training tokens billed: 46000"),
]


def recorded(body: Mapping[str, Any], **answers: Any) -> dict[str, Any]:
    """A job of a scenario that serves these answers."""
    created = datetime.fromtimestamp(body.get("created_at", BODY["created_at"]), UTC)
    own = {"id": body["id"], "model": body.get("model", "m"), "training_file": body.get("training_file", FILE)}
    return {**own, "created": created, "recorded": {"body": dict(body), **answers}}


def events(messages: list[tuple[int, str]]) -> list[dict[str, Any]]:
    """A log as the service lists it, newest first."""
    common = {"object": "fine_tuning.job.event", "level": "info", "type": "message"}
    logged = [common | {"id": f"e{n}", "created_at": at, "message": text} for n, (at, text) in enumerate(messages)]
    return logged[::-1]


def metrics(row: Mapping[str, Any]) -> dict[str, float]:
    """The figures of a row, without W&B's own."""
    return {name: value for name, value in row.items() if name[0] != "_"}


def shown(run: Run) -> dict[str, Any]:
    """What a run's summary says."""
    return {name: value for name, value in run.summary.items() if value is not None}


# --- short equivalents of what was recorded

RFT_RESULTS = """\
step,train_mean_reward,full_valid_mean_reward,train_tool_calls_to_do,scores/graders/python/grader 1/train_reward_mean,timestamp
1,0.09331640625,0.21832000000000004,14,0.11509561752988048,2026-10-03T01:20:00.2520000Z
2,-0.0130208,,22,0.3247172701949861,2026-10-03T01:25:00.0130000Z
"""
RFT_EVENT = {
    "object": "fine_tuning.job.event",
    "id": "m2",
    "created_at": 1_790_990_701,
    "level": "info",
    "type": "metrics",
    "message": "Step 2/2 , train mean reward=-0.01",
    "data": {
        "step": 2,
        "total_steps": 2,
        "train_mean_reward": 9.0,
        "errors": {"graders": [{"name": "grader 1", "type": "python", "train_other_error_mean": 0.25}]},
    },
}


def test_a_reinforcement_job_has_the_columns_of_its_file_and_the_figures_of_its_events(bench: Bench) -> None:
    body = {**BODY, "method": {"type": "reinforcement"}, "result_files": ["file-r"], "trained_tokens": 3267}
    log = [*events([*MESSAGES[:-1], (1_790_993_165, "Training hours billed: 1.5")]), RFT_EVENT]
    outcome = bench.mirrored(recorded(body, events=log, results=RFT_RESULTS))[JOB]
    assert (outcome.result, outcome.final, outcome.warnings) == (Result.SYNCED, True, ())
    first, second = bench.run().history
    grader = "graders/python/grader 1"
    assert metrics(second) == {
        "train_mean_reward": -0.0130208,
        "train_tool_calls_to_do": 22,
        f"scores/{grader}/train_reward_mean": 0.3247172701949861,
        f"errors/{grader}/errors/train_other_error_mean": 0.25,
    }
    assert (first["full_valid_mean_reward"], first["_timestamp"]) == (0.21832000000000004, 1_790_990_400.252)
    summary = shown(bench.run())
    assert (summary["billed_hours"], summary["total_steps"], summary["queue_s"]) == (1.5, 2, 1415)
    assert "estimated_cost" not in summary
    assert "1.5 hours billed" in outcome.actions


def test_a_job_without_a_method_with_a_text_as_error_and_a_negative_count_is_mirrored(bench: Bench) -> None:
    odd = {"hyperparameters": {"n_epochs": -1, "batch_size": -1}, "trained_tokens": -672}
    error = {"code": "400", "message": "File preprocessing failed.", "param": "training file"}
    failed = {**BODY, **odd, "id": OTHER_JOB, "status": "failed", "error": error, "result_files": ["file-gone"]}
    outcomes = bench.mirrored(recorded({**BODY, **odd}), recorded(failed))
    assert [outcomes[job].result for job in (JOB, OTHER_JOB)] == [Result.SYNCED, Result.SYNCED]
    assert bench.run().config["hyperparameters"] == {"n_epochs": "auto", "batch_size": "auto"}
    assert "trained_tokens" not in {**bench.run().config, **shown(bench.run())}
    assert shown(bench.run(OTHER_JOB))["error_code"] == "400"
    assert outcomes[JOB].warnings == ()


def test_finished_at_that_moves_by_weeks_changes_neither_duration_nor_settling_nor_alerts(bench: Bench) -> None:
    moved = {**BODY, "finished_at": 1_790_993_133 + 11 * 7 * 86_400}
    failed = {**moved, "id": OTHER_JOB, "status": "failed"}
    outcomes = bench.mirrored(recorded(moved, events=events(MESSAGES)), recorded(failed, events=events(MESSAGES[:1])))
    assert outcomes[JOB].final
    assert shown(bench.run())["duration_s"] == 4785
    assert shown(bench.run(OTHER_JOB))["duration_s"] == 1415
    assert bench.store.alerts == []  # it failed eight weeks ago, although `finished_at` is later


def test_four_checkpoints_are_four_versions_and_without_validation_none_is_the_best(bench: Bench) -> None:
    model = f"{BODY['model']}.ft-{'1' * 32}"
    kept = [
        {
            "id": f"ftchkpt-{step}",
            "created_at": 1_790_990_000 + step,
            "fine_tuned_model_checkpoint": model if step == 100 else f"{model}:ckpt-step-{step}",
            "step_number": step,
            "fine_tuning_job_id": JOB,
            "metrics": {"step": step, "train_loss": 0.35697707533836365},
            "object": "fine_tuning.job.checkpoint",
        }
        for step in (100, 90, 80, 1)
    ]
    bench.world(recorded({**BODY, "fine_tuned_model": model}, events=events(MESSAGES), checkpoints=kept))
    assert "4 models" in bench.tick()[JOB].actions
    assert [len(names) for names in bench.aliases(BODY["model"]).values()] == [1, 1, 1, 3]
    assert "best_model" not in shown(bench.run())


NEIGHBOURS = {
    "quoted": (
        '\ufeffstep,train_mean_reward,"scores/a, b/mean"\r\n1,-0.5,"0.25"\r\n2,nan,"null"\r\n3,,N/A\r\n\r\n6,1e-3,"1,5"\r\n',
        {1: {"train_mean_reward": -0.5, "scores/a, b/mean": 0.25}, 6: {"train_mean_reward": 0.001}},
    ),
    "tools": (
        "step,scores/a/b/train_reward_mean,train_tool_calls_to_get-order v2,timing/step/sampling\n1,-1,-1,-1\n2,0.5,3,2\n",
        {
            1: {"scores/a/b/train_reward_mean": -1},
            2: {
                "scores/a/b/train_reward_mean": 0.5,
                "train_tool_calls_to_get-order v2": 3,
                "timing/step/sampling": 2,
            },
        },
    ),
    "own-names": (
        "step,status,train_data,cost,_step,best\n1,1,2,3,4,5\n",
        {1: {"metric_status": 1, "metric_train_data": 2, "metric_cost": 3, "metric_best": 5}},
    ),
    "twice": (
        "\ufeff\ufeffstep,,train_loss,step,train_loss,\r\n1,7,-0.0,99,0.6,\r\n2,,,98,0.4,\r\nstep,,train_loss,step,train_loss,\r\n",
        {1: {"train_loss": 0.0}, 2: {"train_loss": 0.4}},
    ),
    "thousands": (
        'step,train_loss,completion_tokens_mean\n999,0.5,"1,234,567.5"\n"1,000",0.4,"1,5"\n"1,001","0,3",\n',
        {999: {"train_loss": 0.5, "completion_tokens_mean": 1234567.5}, 1000: {"train_loss": 0.4}},
    ),
}
"""Results files near the recorded ones, with the values that they should have."""


def test_results_files_near_the_recorded_ones_have_the_right_values(bench: Bench) -> None:
    bodies = {name: {**BODY, "id": f"ftjob-{name}", "result_files": [f"file-{name}"]} for name in NEIGHBOURS}
    jobs = [recorded(body, events=events(MESSAGES), results=NEIGHBOURS[name][0]) for name, body in bodies.items()]
    assert all(outcome.final for outcome in bench.mirrored(*jobs).values())
    for name, (_, expected) in NEIGHBOURS.items():
        found = {row["_step"]: metrics(row) for row in bench.run(f"ftjob-{name}").history}
        assert found == expected, name
        assert "-0.0}" not in str(found)


# --- the recordings themselves


def jobs_in(value: Any) -> Iterator[dict[str, Any]]:
    """The jobs anywhere in a recording; what is none of the kind but has an error is made one."""
    if isinstance(value, list):
        for each in value:
            yield from jobs_in(each)
    elif isinstance(value, Mapping):
        if value.get("object") == "fine_tuning.job" or ("status" in value and "training_file" in value):
            yield dict(value)
        elif "error" in value and "source" in value and "body" not in value:
            job = f"ftjob-error-{hash(json.dumps(value)) % 10**8}"
            yield BODY | {"id": job, "status": "failed", "error": value["error"]}
        else:
            for each in value.values():
                yield from jobs_in(each)


def of(name: str, *keys: str) -> Any:
    """What is in a recording under these keys."""
    value = json.loads((PLACE / name).read_text(encoding="utf-8"))
    for key in keys:
        value = value[key]
    return value


def everything() -> dict[str, dict[str, Any]]:
    """Every recorded job once, in its last state; then the logs, checkpoints and results files, each with its own job."""
    jobs = {
        job["id"]: recorded(job)
        for path in (*sorted(PLACE.glob("*.json")), *sorted(RECORDINGS.glob("aoai_job_*.json")))
        for job in jobs_in(json.loads(path.read_text()))
    }
    for path in sorted(PLACE.glob("*.csv")):
        body = {**BODY, "id": f"ftjob-{path.stem}", "result_files": [f"file-{path.stem}"]}
        jobs[body["id"]] = recorded(body, events=events(MESSAGES), results=path.read_text(encoding="utf-8"))
    whole = [line.split(maxsplit=2) for line in of("azure_sft_event_messages_2026_10_oldest_first.json", "body")]
    dpo = (RECORDINGS / "aoai_dpo_event_messages_newest_first.txt").read_text(encoding="utf-8").splitlines()
    logs = {
        "openai_rft": of("openai_rft_metrics_event_score_model.json", "items"),
        "unsafe": of("openai_rft_events_unsafe_file.json", "body")[::-1],
        "openai_sft": of("openai_sft_events_and_checkpoints.json", "body", "data"),
        "warning": of("azure_event_level_warning_and_file_delete_conflict_wire.json", "items")[0]["body"]["data"],
        "whole": events([(int(at), text) for at, _, text in whole]),
        "dpo": events([(1_790_989_000 + number, text) for number, text in enumerate(reversed(dpo))]),
        "2024": of("../aoai_events_real_newest_first.json", "body", "data"),
    }
    for name, log in logs.items():
        jobs[f"ftjob-{name}"] = recorded({**BODY, "id": f"ftjob-{name}"}, events=log)
    checkpoints = {
        "four": "azure_checkpoints_four_with_pause_no_validation_wire.json",
        "three": "../aoai_checkpoints_real_newest_first.json",
    }
    for name, file in checkpoints.items():
        kept = of(file, "body", "data")
        body = {**BODY, "id": f"ftjob-{name}", "fine_tuned_model": kept[0]["fine_tuned_model_checkpoint"]}
        jobs[f"ftjob-{name}"] = recorded(body, events=events(MESSAGES), checkpoints=kept)
    return jobs


@NEEDS_RECORDINGS
def test_every_recording_goes_through_listing_mirror_and_sync(bench: Bench, run: Command) -> None:
    jobs = everything()
    bench.world(*jobs.values())
    done = run("function_app", "sync", "-o", "json", env=SETTINGS | {"AZURE_OPENAI_API_VERSION": "v1"})
    outcomes = {each["job"]: each for each in json.loads(done.stdout)["jobs"]}
    integrated = {name for name, job in jobs.items() if job["recorded"]["body"].get("integrations")}
    others = {name: each["message"] for name, each in outcomes.items() if each["result"] != "synced"}
    assert others == dict.fromkeys(integrated, "it logs to W&B by itself (the job's own integration)")
    assert outcomes.keys() == jobs.keys()
    assert {name: each["warnings"] for name, each in outcomes.items() if each["warnings"]} == {}

    def rows(name: str) -> dict[int, Mapping[str, Any]]:
        return {row["_step"]: row for row in bench.run(f"ftjob-{name}").history}

    rft = rows("azure_rft_results_python_grader_tool_v5")
    assert list(rft) == [1, 2, 3, 4, 5, 6, 10, 29, 30]
    assert (rft[30]["full_valid_mean_reward"], rft[30]["train_token_usage_mean_get_order"]) == (0.7609866666666666, 387)
    assert rft[1]["eval_duration"] == 9.131431579589844e-05
    assert "usage/samples/valid_reasoning_tokens_count" not in rft[30]
    graders = "scores/graders/python/grader-0123456789ab"
    assert rft[29][f"{graders}/train_reward_mean"] == 0.957245856353591
    assert f"{graders}/valid_reward_mean" not in rft[29]
    assert rows("azure_rft_results_qwen_fixture_after_real_run")[3]["full_valid_mean_reward"] == 0.2
    sft = rows("azure_sft_results_gpt35_2025")
    assert (sft[474]["full_valid_loss"], sft[474]["_timestamp"]) == (0.9973263216018676, 1761411971.901)
    assert not any("error_rate" in name for row in sft.values() for name in row)
    assert rows("openai_sft_step_metrics_no_validation")[62]["train_loss"] == 1e-05
    assert rows("openai_sft_step_metrics_validation_every_step")[59]["valid_loss"] == 1.33329
    nested = rows("openai_rft")[10]
    assert nested["scores/graders/score_model/basic_model_grader/train_reward_mean"] == 0.4471057884231537
    assert nested["model_graders_token_usage/gpt-4o-2024-08-06/train_prompt_tokens"] == 120741
    assert "total_steps" not in nested
    assert shown(bench.run("ftjob-openai_rft"))["total_steps"] == 20
    assert rows("openai_sft")[300]["full_valid_loss"] == 0.05314807081111815
    assert shown(bench.run("ftjob-whole"))["billed_tokens"] == 46000
    assert rows("dpo")[8250]["train_loss"] == 3.814697265625e-06
    assert shown(bench.run("ftjob-dpo"))["billed_tokens"] == 7223000
    assert rows("2024")[50]["full_valid_loss"] == 1.2814022257358213
    assert shown(bench.run("ftjob-2024"))["billed_hours"] == 0.5
    assert len(bench.run("ftjob-four").logged) == 4
    best = {name: shown(bench.run("ftjob-three"))[name] for name in ("best_step", "best_metric", "best_value")}
    assert best == {"best_step": 80, "best_metric": "full_valid_loss", "best_value": 1.6909511662736725}
    negative = [job for job in jobs.values() if job["recorded"]["body"].get("trained_tokens") == -672]
    assert negative
    assert not any("trained_tokens" in shown(bench.run(job["id"])) for job in negative)
    failed = [job["recorded"]["body"] for job in jobs.values() if job["recorded"]["body"].get("status") == "failed"]
    codes = {body["id"]: body["error"]["code"] for body in failed if (body.get("error") or {}).get("code")}
    assert {name: shown(bench.run(name))["error_code"] for name in codes} == codes
    assert run("function_app", "dashboard", env=SETTINGS).returncode == 0
