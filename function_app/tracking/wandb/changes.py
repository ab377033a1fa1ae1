"""Small writes to W&B that are combined in one request, whose answer confirms them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from function_app.data.fields import within
from function_app.errors import WandbBusyError
from function_app.tracking.wandb.api import Question, StoredRun, WandbApi


@dataclass(frozen=True)
class Change:
    """A small, idempotent write that can be combined with others in one request.

    Attributes:
        mutation: the GraphQL mutation; `given` is its input.
        answer: the fields to return, because GraphQL requires at least one.
        variables: the variables in `answer`: name → type and value.
    """

    mutation: str
    given: Mapping[str, Any]
    answer: str
    variables: Mapping[str, tuple[str, Any]] = field(default_factory=dict)

    @property
    def operation(self) -> str:
        """The SDK's name of the operation."""
        return self.mutation[0].upper() + self.mutation[1:]


def edit_run(run: StoredRun, values: Mapping[str, Any], *questions: Question) -> Change:
    """Return the change that sets config values of a run. It uses the storage id, as W&B would open or create a run by name.

    The whole config is sent, as the SDK does, because W&B may replace the old one. An entry that is not an object (only a script
    creates such entries) is converted, because the SDK could not open the run otherwise (wandb, processresponse.go).

    Args:
        run: the current state of the run.
        values: the config values by name.
        questions: further questions about the project, answered after this change and the changes before it.

    Raises:
        WandbBusyError: the config lacks the SDK's own entry, without which the SDK would start the run over.
    """
    if "_wandb" not in run.config:
        raise WandbBusyError("W&B returned a run without its complete config.", "Nothing was written.")
    config = {name: entry if isinstance(entry, Mapping) else {"value": entry} for name, entry in run.config.items()}
    config |= {name: {"value": value} for name, value in values.items()}
    fields = f" project {{ {' '.join(each.fields for each in questions)} }}" if questions else ""
    variables = {name: value for each in questions for name, value in each.variables.items()}
    return Change("upsertBucket", {"id": run.id, "config": json.dumps(config)}, f"bucket {{ id{fields} }}", variables)


def write(api: WandbApi, changes: Sequence[Change]) -> list[Mapping[str, Any]]:
    """Make these changes in order, in one request (GraphQL executes the fields of a mutation one by one). Return the
    answers.

    Raises:
        KeyRefusedError, WandbBusyError, WandbError: W&B did not make all of them.
    """
    if not changes:
        return []
    variables = {name: value for change in changes for name, value in change.variables.items()}
    variables |= {f"w{number}": (f"{each.operation}Input!", each.given) for number, each in enumerate(changes)}
    declared = ", ".join(f"${name}: {kind}" for name, (kind, _) in variables.items())
    fields = "".join(
        f"  w{number}: {change.mutation}(input: $w{number}) {{ {change.answer} }}\n"
        for number, change in enumerate(changes)
    )
    query = f"mutation {changes[0].operation}({declared}) {{\n{fields}}}\n"
    answers = api.query(query, {name: value for name, (_, value) in variables.items()})
    made: list[Mapping[str, Any]] = [within(answers, f"w{number}") for number in range(len(changes))]
    if not all(map(_confirmed, made)):
        raise WandbBusyError("W&B did not confirm a change of the run.", "The next sync repeats it.")
    return made


def _confirmed(answer: Mapping[str, Any]) -> bool:
    """Return whether W&B made a change: it answers null, or `success: false`, for one that it did not make."""
    return bool(answer) and all(answer.values()) and answer.get("success", True) is True
