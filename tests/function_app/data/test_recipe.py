"""The recipe of docs/architecture.md for a dataset format covers every place that needs a change."""

import json
from typing import Any

import pytest

from function_app.authoring.checking.examples import CHECKS, broken_rules
from function_app.authoring.checking.rules import FORMATS
from function_app.authoring.checking.tokens import estimating_tokenizer, tokens_of
from function_app.data.training.formats import SPECS, Format, format_of
from function_app.data.training.jsonl import read_rows
from function_app.data.training.sampling import Tally
from function_app.models import TableRow

ASKED, ANSWER = {"role": "user", "content": "Where is parcel 7?"}, {"role": "assistant", "content": "In Lund."}
EXAMPLES: dict[Format, dict[str, Any]] = {
    Format.CHAT: {"messages": [ASKED, ANSWER]},
    Format.PREFERENCE: {
        "input": {"messages": [ASKED]},
        "preferred_output": [ANSWER],
        "non_preferred_output": [{"role": "assistant", "content": "No."}],
    },
    Format.COMPLETION: {"prompt": "Where is parcel 7?", "completion": " In Lund."},
}


@pytest.mark.parametrize("known", Format)
def test_every_format_is_recognised_and_has_cells_rules_a_method_and_tokens(known: Format) -> None:
    example = EXAMPLES[known]
    assert format_of(example) == known
    (row,) = read_rows([json.dumps(example).encode()])
    assert isinstance(row, TableRow)
    assert sorted(row.cells) == sorted(SPECS[known].columns)
    tally = Tally()
    assert list(tally.rows([row])) == [row]
    assert tally.metadata()["format"] == known
    methods = [method for method, formats in FORMATS.items() if known in formats]
    assert methods
    assert known in CHECKS
    for method in methods:
        list(broken_rules(example, known, method))
    assert tokens_of(example, known, estimating_tokenizer()) > 0


def test_the_mappings_have_no_other_formats() -> None:
    assert set(SPECS) == set(CHECKS) == set(EXAMPLES) == set(Format)
