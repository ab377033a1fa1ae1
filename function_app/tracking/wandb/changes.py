"""Small writes to W&B that go together in one request, and say whether they were done."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from function_app.errors import WandbBusyError
from function_app.tracking.wandb.api import Question, Stored, WandbApi


@dataclass(frozen=True)
class Change:
    """A small write that can go with others in one request; saying it twice is saying it once.

    Attributes:
        mutation: of GraphQL, whose input `given` is.
        answer: what to have back, as GraphQL wants something asked.
        variables: those in `answer`: name → type and value.
    """

    mutation: str
    given: Mapping[str, Any]
    answer: str
    variables: Mapping[str, tuple[str, Any]] = field(default_factory=dict)

    @property
    def operation(self) -> str:
        """The SDK's name for it."""
        return self.mutation[0].upper() + self.mutation[1:]


def edit_run(run: Stored, values: Mapping[str, Any], *asks: Question) -> Change:
    """That a run has these config values. It is edited by its storage id: by its name W&B would open the run, or make it.

    The config is sent whole, as the SDK does: W&B may replace the old one. An entry that is not an object, which only a script
    can have put there, is made one: the SDK could not open the run again (wandb, processresponse.go).

    Args:
        run: as W&B has it now.
        values: by name.
        asks: what else of the project is answered, as it is after this and the changes before it.

    Raises:
        WandbBusyError: the config lacks the SDK's own entry. Without it the SDK would start the run over.
    """
    if "_wandb" not in run.config:
        raise WandbBusyError("W&B answered a run without its whole config.", "Nothing was written.")
    config = {name: entry if isinstance(entry, Mapping) else {"value": entry} for name, entry in run.config.items()}
    config |= {name: {"value": value} for name, value in values.items()}
    fields = f" project {{ {' '.join(ask.fields for ask in asks)} }}" if asks else ""
    variables = {name: said for ask in asks for name, said in ask.variables.items()}
    return Change("upsertBucket", {"id": run.id, "config": json.dumps(config)}, f"bucket {{ id{fields} }}", variables)


def write(api: WandbApi, changes: Sequence[Change]) -> list[Mapping[str, Any]]:
    """Make these changes in their order (GraphQL does the fields of a mutation one after the other), in one request; what
    each answers.

    Raises:
        KeyRefusedError, WandbBusyError, WandbError: W&B did not make all of them.
    """
    if not changes:
        return []
    variables = {name: said for change in changes for name, said in change.variables.items()}
    variables |= {f"w{number}": (f"{each.operation}Input!", each.given) for number, each in enumerate(changes)}
    declared = ", ".join(f"${name}: {kind}" for name, (kind, _) in variables.items())
    asked = "".join(
        f"  w{number}: {change.mutation}(input: $w{number}) {{ {change.answer} }}\n"
        for number, change in enumerate(changes)
    )
    query = f"mutation {changes[0].operation}({declared}) {{\n{asked}}}\n"
    answers = api.query(query, {name: value for name, (_, value) in variables.items()})
    return [answers.get(f"w{number}") or {} for number in range(len(changes))]
