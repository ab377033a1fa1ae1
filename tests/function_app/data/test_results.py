"""Results files and metrics events become metric rows: nothing invented, nothing lost that could be a step."""

import base64
import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from function_app.data.jobs.results import ResultsError, parse_results, rows_from_events, with_event_times
from function_app.models import Event, MetricRow

HEADER = "step,train_loss,train_mean_token_accuracy,valid_loss,validation_mean_token_accuracy"


def parse(text: str | bytes, *, complete: bool = True) -> list[MetricRow]:
    data = text.encode() if isinstance(text, str) else text
    return list(parse_results([data], complete=complete))


def metrics(step: int, at: int, **data: float) -> Event:
    return Event(f"e{step}", at, f"Step {step}: training loss=0.5", type="metrics", data={"step": step, **data})


def message(text: str, at: int) -> Event:
    return Event(text, at, text)


# --- the results file


def test_every_numeric_column_is_a_metric_under_its_own_name() -> None:
    [row] = parse(f"{HEADER}\n1,3.814697265625E-06,1,0.5,0.75\n")
    train = {"train_loss": 3.814697265625e-06, "train_mean_token_accuracy": 1.0}
    assert row == MetricRow(1, train | {"valid_loss": 0.5, "valid_mean_token_accuracy": 0.75})


@pytest.mark.parametrize(
    ("column", "metric"),
    [
        ("valid_loss", "valid_loss"),
        ("validation_loss", "valid_loss"),
        ("validation_mean_token_accuracy", "valid_mean_token_accuracy"),
        ("full_validation_loss", "full_valid_loss"),
        ("invalidation_rate", "invalidation_rate"),
        ("validation", "validation"),
    ],
)
def test_validation_metrics_have_one_name_in_file_and_events(column: str, metric: str) -> None:
    """A run must not have two half curves because its file says `validation_` where its events say `valid_`."""
    assert parse(f"step,{column}\n10,0.5\n") == [MetricRow(10, {metric: 0.5})]
    assert [row.values for row in rows_from_events([metrics(10, 5, **{column: 0.5})])] == [{metric: 0.5}]


def test_unknown_numeric_columns_at_any_position_are_metrics_and_text_columns_are_not() -> None:
    (row,) = parse("phase,rewards/margins,step,,note\ntrain,-0.5,7,3,1_000\n")
    assert row == MetricRow(7, {"rewards/margins": -0.5})


@pytest.mark.parametrize("nothing", ["", " ", "-1", "-1.0", "nan", "NaN", "inf", "-Infinity", "None", "n/a"])
def test_a_cell_that_means_no_value_is_absent(nothing: str) -> None:
    assert parse(f"step,train_loss,valid_loss\n1,0.5,{nothing}\n") == [MetricRow(1, {"train_loss": 0.5})]


@pytest.mark.parametrize(
    ("column", "there"),
    [
        *((name, False) for name in ("train_loss", "full_valid_loss", "train_mean_token_accuracy")),
        *((name, False) for name in ("valid_reasoning_tokens_mean", "validation_perplexity")),
        *((name, True) for name in ("train_reward_mean", "valid_reward_mean", "rewards/margins", "logps/chosen", "kl")),
    ],
)
def test_minus_one_is_a_value_where_a_value_can_be_negative(column: str, there: bool) -> None:
    """A reward of exactly -1 is a reward; a loss of -1 is Azure's way to say that there is none."""
    [row] = parse(f"step,other,{column}\n1,0.5,-1\n")
    assert row == MetricRow(1, {"other": 0.5} | ({column: -1.0} if there else {}))
    [row] = rows_from_events([metrics(1, 5, other=0.5, **{column: -1})])
    assert (column in row.values) == there


def test_a_reward_without_an_evaluation_is_not_a_value_in_any_order_of_columns() -> None:
    """A count of -1 tokens shows that. Training happens at every step, and each evaluation is treated separately."""
    columns = ["valid_reward_mean", "valid_reasoning_tokens_mean", "full_validation_reward_mean", "train_reward_mean"]
    always = {"full_valid_reward_mean": -1, "train_reward_mean": -1}
    made = always | {"valid_reward_mean": -1, "valid_reasoning_tokens_mean": 7}
    for names in (columns, columns[::-1]):
        lines = [",".join("7" if n == evaluated else "-1" for n in names) for evaluated in ("", columns[1])]
        rows = parse(f"step,{','.join(names)}\n1,{lines[0]}\n2,{lines[1]}\n")
        assert [dict(row.values) for row in rows] == [always, made]


@pytest.mark.parametrize(
    "line",
    ["", "   ", "x,0.5", ",0.5", "-1,0.5", "-5,0.5", "4.5,0.5", "nan,0.5", "4,", "4", "4,-1", "step,a", "1e19,1"],
)
def test_a_line_without_a_step_or_without_a_value_is_not_a_row(line: str) -> None:
    assert [row.step for row in parse(f"step,loss\n1,0.5\n{line}\n9,0.5\n")] == [1, 9]


@pytest.mark.parametrize("text", ["", "\n\n", "step,a", "ste"])
def test_a_file_without_a_complete_line_has_no_rows(text: str) -> None:
    assert parse(text, complete=False) == []


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
def test_bom_and_any_newline_are_read(newline: str, bom: bytes) -> None:
    text = newline.join([" step , a", "1,0.5", '"2","0.25"', ""])
    assert parse(bom + text.encode()) == [MetricRow(1, {"a": 0.5}), MetricRow(2, {"a": 0.25})]


def test_a_stray_quote_only_invalidates_its_own_line() -> None:
    assert [row.step for row in parse('step,a\n1,0.5\n2,"0.4\n3,0.3\n')] == [1, 2, 3]


def test_lines_of_the_same_step_are_merged_and_an_earlier_step_is_ignored() -> None:
    text = "step,a,b\n1,0.5,\n1,0.6,7\n2,0.4,\n1,9,9\n2,0.1,3\n3,0.3,\n"
    merged = [{"a": 0.5, "b": 7.0}, {"a": 0.4, "b": 3.0}, {"a": 0.3}]
    assert parse(text) == [MetricRow(step, values) for step, values in enumerate(merged, 1)]


@pytest.mark.parametrize("text", ["epoch,loss\n1,2\n", '{"messages": []}\n', "just words\n", "c3RlcA\n"])
def test_a_file_without_step_is_refused_without_quoting_it(text: str) -> None:
    with pytest.raises(ResultsError, match="no 'step' column") as refusal:
        parse(text)
    assert text.strip() not in str(refusal.value)


def test_an_endless_line_is_refused_before_it_fills_the_memory() -> None:
    endless = itertools.chain([b"step,a\n"], itertools.repeat(b"1," * 5_000, 1_000))
    with pytest.raises(ResultsError, match="it is not CSV"):
        list(parse_results(endless, complete=True))


def test_base64_of_the_file_as_openai_serves_it_reads_like_the_file() -> None:
    data = (f"{HEADER}\n" + "".join(f"{step},{1 / step},1,,\n" for step in range(1, 200))).encode()
    assert parse(base64.b64encode(data)) == parse(base64.encodebytes(b"\xef\xbb\xbf" + data)) == parse(data)


@pytest.mark.parametrize("end", [b"<html>", b"a="])
def test_base64_that_becomes_invalid_is_an_error_and_not_a_shorter_run(end: bytes) -> None:
    encoded = base64.b64encode(f"{HEADER}\n1,0.5,1,,0\n".encode())
    with pytest.raises(ResultsError, match="begins as base64"):
        parse(encoded + end)


def csv_of(rows: list[MetricRow]) -> bytes:
    names = sorted({name for row in rows for name in row.values})
    lines: list[list[object]] = [["step", *names]]
    lines += [[row.step, *(row.values.get(name, "") for name in names)] for row in rows]
    return "".join(",".join(map(str, line)) + "\n" for line in lines).encode()


def chunked(data: bytes, cuts: list[int]) -> Iterator[bytes]:
    places = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    return (data[a:b] for a, b in itertools.pairwise(places))


numbers = st.floats(min_value=-0.5, allow_nan=False, allow_infinity=False)
row_lists = st.lists(
    st.dictionaries(st.sampled_from(["train_loss", "valid_loss", "reward"]), numbers, min_size=1),
    min_size=1,
    max_size=8,
).map(lambda all_values: [MetricRow(step, values) for step, values in enumerate(all_values, 1)])


@given(row_lists, st.lists(st.integers(0, 10_000)), st.booleans())
def test_rows_do_not_depend_on_how_the_bytes_are_split(rows: list[MetricRow], cuts: list[int], encoded: bool) -> None:
    data = csv_of(rows)
    wire = base64.b64encode(data) if encoded else data
    assert list(parse_results(chunked(wire, cuts), complete=True)) == rows


@given(row_lists, st.data())
def test_a_growing_file_only_ever_adds_rows(rows: list[MetricRow], data: st.DataObject) -> None:
    """What a tick wrote to W&B stays right, wherever its read of the file ended."""
    text = csv_of(rows)
    seen = parse(text[: data.draw(st.integers(0, len(text)))], complete=False)
    assert seen == rows[: len(seen)]


@given(st.lists(st.binary(max_size=80), max_size=6), st.booleans())
@example([b"step,a\n", b"9" * 400 + b",1\n", b"1," + b"9" * 400], True)
def test_any_bytes_are_refused_or_give_ascending_steps_and_finite_values(chunks: list[bytes], complete: bool) -> None:
    for data in (chunks, [b"step,a,b\n", *chunks]):
        try:
            rows = list(parse_results(data, complete=complete))
        except ResultsError:
            continue
        assert all(a.step < b.step for a, b in itertools.pairwise(rows))
        assert all(row.values and all(map(math.isfinite, row.values.values())) for row in rows)


# --- events


def test_events_newest_first_give_rows_by_step_with_their_times() -> None:
    """The last events of a real 100-step job (Microsoft's fine-tuning tutorial)."""
    last = metrics(100, 1715825614, train_loss=0.001647822093218565, valid_loss=1.5170825719833374)
    before = metrics(90, 1715825604, train_loss=0.00971441250294447, valid_loss=1.3702410459518433)
    rows = list(rows_from_events([message("Job succeeded.", 1715826303), last, before]))
    assert [(row.step, row.at) for row in rows] == [(90, 1715825604.0), (100, 1715825614.0)]
    assert rows[1].values == {"train_loss": 0.001647822093218565, "valid_loss": 1.5170825719833374}


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("Step 8250: training loss=3.814697265625E-06", {"train_loss": 3.814697265625e-06}),
        ("Step 8250/9000: training loss=0.25, validation loss=0.5", {"train_loss": 0.25, "valid_loss": 0.5}),
    ],
)
def test_the_losses_of_an_event_without_data_are_read_from_its_message(text: str, values: dict[str, float]) -> None:
    assert list(rows_from_events([message(text, 5)])) == [MetricRow(8250, values, 5.0)]


def test_events_without_a_step_give_no_row() -> None:
    odd = Event("x", 1, "?", type="metrics", data={"step": "many", "train_loss": 0.5})
    flags = Event("y", 1, "?", type="metrics", data={"step": 3, "done": True})
    assert list(rows_from_events([message("Job succeeded.", 1), message("Step by step", 2), odd, flags])) == []


# --- times


def times(steps: Iterable[int], events: list[Event], now: float = math.inf) -> list[float | None]:
    return [row.at for row in with_event_times((MetricRow(step, {"a": 1.0}) for step in steps), events, now=now)]


@pytest.mark.parametrize(
    ("steps", "events", "expected"),
    [
        ([10, 15, 20], [metrics(20, 1100, a=1.0), metrics(10, 1000, a=1.0)], [1000, 1050, 1100]),
        ([1, 10, 11], [metrics(10, 1000, a=1.0)], [1000, 1000, 1000]),
        ([1, 5, 10, 12], [message("Training started.", 1000), metrics(10, 1100, a=1)], [1010, 1050, 1100, 1120]),
        ([1, 25], [message("x", 995), metrics(10, 1000, a=1), metrics(20, 1100, a=1), message("y", 1130)], [995, 1130]),
        ([1, 2], [message("Training started.", 1000)], [None, None]),
        (
            [4, 10, 42],
            [
                message("x", 500),
                *(metrics(*each, a=1) for each in ((10, 1000), (20, 1020), (40, 1300))),
                message("y", 2000),
            ],
            [940, 1000, 1320],
        ),
    ],
    ids=["between events", "one event", "training started", "not beyond the events", "no metrics", "average pace"],
)
def test_rows_are_dated_between_the_events(steps: list[int], events: list[Event], expected: list[float | None]) -> None:
    assert times(steps, events) == expected


def test_no_step_happens_in_the_future() -> None:
    """The file is read up to `now`; a pace that slows down must not date a step after that."""
    events = [metrics(10, 1000, a=1), metrics(20, 1100, a=1)]
    assert times([20, 21, 25], events, now=1015) == [1100, 1100, 1100]
    assert times([20, 21, 25], events, now=1115) == [1100, 1110, 1115]


def test_an_event_without_a_time_dates_no_step() -> None:
    events = [metrics(10, 0, a=1), metrics(20, 1100, a=1), metrics(30, 1200, a=1)]
    assert [row.at for row in rows_from_events(events)] == [None, 1100, 1200]
    assert times([10, 25], events, now=1300) == [1100, 1150]


def test_without_metrics_events_rows_are_spread_over_the_training_or_the_job() -> None:
    events = [Event("a", 100, "Training started."), Event("b", 500, "Job succeeded."), Event("c", 900, "Completed")]
    rows = [MetricRow(step, {"train_loss": 1.0}) for step in (1, 2, 4)]
    assert [row.at for row in with_event_times(rows, events, span=(0, 1000))] == [200, 300, 500]
    assert [row.at for row in with_event_times(rows, [], span=(0, 1000))] == [250, 500, 1000]
    assert [row.at for row in with_event_times([replace(rows[0], at=7.0)], [], span=(0, 1000))] == [7.0]
    assert list(with_event_times([], [], span=(0, 1000))) == []


METRICS = st.builds(metrics, st.integers(0, 60), st.integers(1_700_000_000, 1_700_000_500), a=st.just(1.0))
MESSAGES = st.sampled_from(["Training started.", "Job succeeded."])


@given(st.lists(METRICS | st.builds(message, MESSAGES, st.integers(1_699_999_900, 1_700_000_900)), max_size=12))
def test_times_never_decrease_and_agree_with_the_events(events: list[Event]) -> None:
    found = times(range(80), events)
    dated = [at for at in found if at is not None]
    assert dated == sorted(dated)
    assert len(dated) == (80 if any(e.type == "metrics" for e in events) else 0)
    if dated:
        assert min(dated) >= min(event.created_at for event in events)


# --- where something just begins or ends

HELD_AT_MOST = 10_000


def a_row(step: int) -> MetricRow:
    return MetricRow(step, {"train_loss": 1.0})


def test_the_first_of_two_values_for_one_metric_counts() -> None:
    text = "step,valid_loss,validation_loss\n1,0.25,0.5\n2,,0.5\n"
    assert [row.values for row in parse(text)] == [{"valid_loss": 0.25}, {"valid_loss": 0.5}]
    events = [metrics(1, 5, loss=1), metrics(1, 5, loss=2, a=3), metrics(2, 4, loss=4, total_steps=20)]
    expected = [MetricRow(1, {"loss": 1.0, "a": 3.0}, 5.0), MetricRow(2, {"loss": 4.0}, 4.0)]
    assert list(rows_from_events(events)) == expected


def test_only_a_limited_number_of_rows_is_held_before_they_are_dated() -> None:
    taken = 0

    def rows() -> Iterator[MetricRow]:
        nonlocal taken
        for taken in range(1, HELD_AT_MOST + 500):
            yield a_row(taken)

    spread = with_event_times(rows(), [], span=(0, 1000))
    first = next(spread)
    assert (first.at, taken) == (None, HELD_AT_MOST + 1)
    assert sum(1 for _ in spread) == HELD_AT_MOST + 498


@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"])
def test_a_line_is_complete_once_its_newline_of_any_kind_is_read(newline: bytes) -> None:
    growing = newline.join([b"step,train_loss", b"10,1", b"20,1", b""])
    assert parse(growing, complete=False) == [a_row(10), a_row(20)]
    assert parse(growing.removesuffix(newline), complete=False) == [a_row(10)]


def test_a_line_may_have_a_hundred_thousand_characters_and_no_more() -> None:
    line = b"10,1," + b"x" * (100_000 - 5)
    assert parse(b"step,train_loss\n" + line) == [a_row(10)]
    with pytest.raises(ResultsError, match="more than 100,000 characters"):
        parse(b"step,train_loss\n" + line + b"x")


@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
@pytest.mark.parametrize("width", [3, 20, 60])
def test_base64_in_short_lines_reads_like_the_file(width: int, newline: bytes) -> None:
    encoded = base64.b64encode(newline.join([b"step,train_loss", b"10,1", b"20,1", b"30,1", b""]))
    lines = b"\r\n".join(encoded[at : at + width] for at in range(0, len(encoded), width))
    assert parse(lines) == [a_row(10), a_row(20), a_row(30)]
