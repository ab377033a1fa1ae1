"""Executes W&B's GraphQL over node objects, and refuses loudly what the schema does not have.

A field `displayName` of a type is the attribute or method `display_name` of its node; arguments arrive in snake case,
an input object as the dataclass that carries its name.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from graphql import (
    DocumentNode,
    ExecutionResult,
    GraphQLError,
    GraphQLInputObjectType,
    GraphQLObjectType,
    GraphQLResolveInfo,
    GraphQLSchema,
    GraphQLSyntaxError,
    OperationDefinitionNode,
    OperationType,
    build_schema,
    execute_sync,
    parse,
    validate,
)
from pydantic import BaseModel, ConfigDict

from sandbox.wandb.rules import RefusedError

SCHEMA = Path(__file__).with_name("schema.graphql")
# Arguments with names that Python has taken.
RENAMED = {"input": "given", "id": "node_id"}


class GraphQLPost(BaseModel):
    """What is posted to /graphql."""

    model_config = ConfigDict(strict=True)

    query: str
    variables: dict[str, Any] | None = None


@dataclass(frozen=True)
class Answer:
    """The reply's status and body; `unsupported` says what the stand-in did not know."""

    status: int
    body: dict[str, Any]
    unsupported: tuple[str, ...] = ()


@dataclass(frozen=True)
class Statement:
    """A GraphQL document's one operation."""

    name: str
    writes: bool


def statement(query: str) -> Statement:
    """The name of a query's operation and whether it is a mutation.

    Raises:
        GraphQLSyntaxError: not GraphQL.
    """
    for definition in _parsed(query).definitions:
        if isinstance(definition, OperationDefinitionNode):
            name = definition.name.value if definition.name else "anonymous"
            return Statement(name, writes=definition.operation is OperationType.MUTATION)
    return Statement("anonymous", writes=False)


class Executor:
    """Runs documents against the schema; `inputs` are the dataclasses that input objects become."""

    def __init__(self, inputs: Sequence[type]) -> None:
        self._schema = _schema(tuple(inputs))

    def execute(self, query: str, variables: Mapping[str, Any], roots: Mapping[str, object]) -> Answer:
        """Run a document; `roots` has the node of `query` and of `mutation`."""
        try:
            document = _parsed(query)
        except GraphQLSyntaxError as error:
            return Answer(400, {"errors": [error.formatted]})
        faults = _faults(self._schema, query)
        if faults:
            return Answer(400, {"errors": [{"message": fault} for fault in faults]}, unsupported=faults)
        result = execute_sync(
            self._schema,
            document,
            root_value=roots["mutation" if statement(query).writes else "query"],
            variable_values=dict(variables),
            field_resolver=_resolve,
            type_resolver=_type_name,
        )
        return _answer(result)


def _answer(result: ExecutionResult) -> Answer:
    """W&B answers a refused field with the refusal's status and the data around it (wandb#8800)."""
    body: dict[str, Any] = {"data": result.data}
    if not result.errors:
        return Answer(200, body)
    body = {"errors": [_error(error) for error in result.errors], **body}
    refusals = [error.original_error for error in result.errors if isinstance(error.original_error, RefusedError)]
    if len(refusals) == len(result.errors):
        return Answer(refusals[0].status, body)
    # A variable of another shape than the schema's is the client's mistake; else a resolver broke. Neither is retried.
    status = 400 if all(_of_a_variable(error) for error in result.errors) else 501
    return Answer(status, body, unsupported=tuple(str(error) for error in result.errors))


def _of_a_variable(error: GraphQLError) -> bool:
    """Errors of a field have its path."""
    return error.path is None


def _error(error: GraphQLError) -> dict[str, Any]:
    """As W&B writes it: message, path and the code."""
    written: dict[str, Any] = {"message": error.message, "path": error.path or []}
    if error.extensions:
        written["extensions"] = error.extensions
    return written


@lru_cache(maxsize=512)
def _parsed(query: str) -> DocumentNode:
    return parse(query, no_location=False)


@lru_cache(maxsize=512)
def _faults(schema: GraphQLSchema, query: str) -> tuple[str, ...]:
    name = statement(query).name
    return tuple(f"{name}: {error.message}" for error in validate(schema, _parsed(query)))


@cache
def _schema(inputs: tuple[type, ...]) -> GraphQLSchema:
    schema = build_schema(SCHEMA.read_text())
    dataclasses = {each.__name__: each for each in inputs}
    schema.type_map["JSONString"].coerce_input_value = _json_text  # type: ignore[attr-defined] # a scalar, and graphql-core's way
    for named in schema.type_map.values():
        if isinstance(named, GraphQLInputObjectType):
            named.out_type = _constructor(dataclasses[named.name])  # type: ignore[method-assign,assignment] # graphql-core's way
            for name, field in named.fields.items():
                field.out_name = snake_case(name)
        elif isinstance(named, GraphQLObjectType) and not named.name.startswith("__"):
            for declared in named.fields.values():
                for name, argument in declared.args.items():
                    argument.out_name = RENAMED.get(name, snake_case(name))
    return schema


def _json_text(value: Any) -> str:
    """A JSONString as a variable.

    Raises:
        GraphQLError: it is no text, or what it says is not JSON.
    """
    try:
        json.loads(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise GraphQLError(f"JSONString cannot represent {str(value)[:40]!r}: {error}") from None
    return str(value)


def _constructor(dataclass_type: type) -> Callable[[dict[str, Any]], Any]:
    return lambda values: dataclass_type(**values)


def _resolve(source: Any, info: GraphQLResolveInfo[None], **arguments: Any) -> Any:
    value = getattr(source, snake_case(info.field_name))
    return value(**arguments) if callable(value) else value


def _type_name(value: Any, _info: GraphQLResolveInfo[None], _abstract: Any) -> str:
    name: str = value.type_name
    return name


@cache
def snake_case(name: str) -> str:
    """artifactID → artifact_id, clientIDMapping → client_id_mapping."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
