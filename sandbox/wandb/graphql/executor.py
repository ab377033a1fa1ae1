"""Executes W&B's GraphQL on the objects of the store, and refuses what the schema does not have.

The field `displayName` of an object is, in this order: the resolver of that name in the table of its type, called with
(object, context, **arguments); a constant of that name in the table; a key of the object if it is a dict; its attribute
`display_name`. Resolvers of Query and Mutation are called with (context, **arguments). Arguments arrive in snake case,
input objects as `Input`.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from graphql import (
    DocumentNode,
    ExecutionResult,
    GraphQLAbstractType,
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

from sandbox.wandb.graphql.context import Context, when
from sandbox.wandb.graphql.filters import as_json
from sandbox.wandb.rules import RefusedError
from sandbox.wandb.users import User

CONNECTION = """
type {0}Connection {{ edges: [{0}Edge!]! pageInfo: PageInfo! }}
type {0}Edge {{ node: {0} cursor: String! }}
"""
# Arguments whose names are reserved in Python.
RENAMED = {"input": "given", "id": "node_id"}
ROOTS = ("Query", "Mutation")

Types = Mapping[str, Mapping[str, Any]]  # for each object type its resolvers and constants by field


class Input(SimpleNamespace):
    """An input object of a mutation: every field of the schema in snake case, None where the client sent nothing."""


class GraphQLPost(BaseModel):
    """The body of a request to /graphql."""

    model_config = ConfigDict(strict=True)

    query: str
    variables: dict[str, Any] | None = None


@dataclass(frozen=True)
class Answer:
    """The status and body of the response; `unsupported` lists what the sandbox does not model."""

    status: int
    body: dict[str, Any]
    unsupported: tuple[str, ...] = ()


@dataclass(frozen=True)
class Statement:
    """The one operation of a GraphQL document."""

    name: str
    writes: bool


def statement(query: str) -> Statement:
    """Parse the name of a document's operation and whether it is a mutation.

    Raises:
        GraphQLSyntaxError: not GraphQL.
    """
    for definition in _parsed(query).definitions:
        if isinstance(definition, OperationDefinitionNode):
            name = definition.name.value if definition.name else "anonymous"
            return Statement(name, writes=definition.operation is OperationType.MUTATION)
    return Statement("anonymous", writes=False)


def schema() -> GraphQLSchema:
    """Return the schema: types with @listed get a connection with edges, and both kinds of collections the common fields."""
    text = Path(__file__).with_name("schema.graphql").read_text()
    _, _, common = text.partition("interface ArtifactCollection {")
    both = "implements ArtifactCollection {"
    text = text.replace(both, both + common.partition("}")[0])
    listed = re.findall(r"^(?:type|interface|union) (\w+).* @listed", text, re.MULTILINE)
    return build_schema(text + "".join(map(CONNECTION.format, listed)))


class Executor:
    """Runs documents against the schema with the resolvers of `types`."""

    def __init__(self, types: Types) -> None:
        self._schema = schema()
        scalars: dict[str, Any] = self._schema.type_map
        scalars["JSONString"].coerce_input_value = _json_text
        scalars["JSONString"].coerce_output_value = lambda value: value if isinstance(value, str) else as_json(value)
        scalars["DateTime"].coerce_output_value = when
        for named in self._schema.type_map.values():
            if isinstance(named, GraphQLInputObjectType):
                _name_fields(named)
            elif isinstance(named, GraphQLObjectType) and not named.name.startswith("__"):
                _name_arguments(named)
                for name, field in named.fields.items():
                    field.resolve = _resolver(name, types.get(named.name, {}), root=named.name in ROOTS)

    def execute(self, query: str, variables: Mapping[str, Any], context: Context) -> Answer:
        """Run a document."""
        try:
            document = _parsed(query)
        except GraphQLSyntaxError as error:
            return Answer(400, {"errors": [error.formatted]})
        faults = _faults(self._schema, query)
        if faults:
            return Answer(400, {"errors": [{"message": fault} for fault in faults]}, unsupported=faults)
        return _answer(
            execute_sync(
                self._schema,
                document,
                root_value=context,
                context_value=context,
                variable_values=dict(variables),
                type_resolver=_type_name,
            )
        )


def _resolver(field: str, table: Mapping[str, Any], *, root: bool) -> Callable[..., Any]:
    attribute = snake_case(field)

    def resolve(source: Any, info: GraphQLResolveInfo[Context], **arguments: Any) -> Any:
        if field in table:
            value = table[field]
            if not callable(value):
                return value
            return value(source, **arguments) if root else value(source, info.context, **arguments)
        if isinstance(source, Mapping):
            return source.get(field)
        return getattr(source, attribute)

    return resolve


def _answer(result: ExecutionResult) -> Answer:
    """Answer refused fields with the refusal's status and the data around them, as W&B does (wandb#8800)."""
    body: dict[str, Any] = {"data": result.data}
    if not result.errors:
        return Answer(200, body)
    body = {"errors": [_error(error) for error in result.errors], **body}
    refusals = [error.original_error for error in result.errors if isinstance(error.original_error, RefusedError)]
    if len(refusals) == len(result.errors):
        return Answer(refusals[0].status, body)
    # If a variable does not match the schema (only an error of a field has a path), the client is wrong; otherwise a
    # resolver failed. The SDK retries neither.
    status = 400 if all(error.path is None for error in result.errors) else 501
    return Answer(status, body, unsupported=tuple(str(error) for error in result.errors))


def _error(error: GraphQLError) -> dict[str, Any]:
    """An error as W&B writes it: message, path and code."""
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


def _name_fields(named: GraphQLInputObjectType) -> None:
    nothing = {snake_case(name): None for name in named.fields}
    for name, field in named.fields.items():
        field.out_name = snake_case(name)
    named.out_type = lambda values: Input(**nothing | values)  # type: ignore[method-assign,assignment] # graphql-core's way


def _name_arguments(named: GraphQLObjectType) -> None:
    for field in named.fields.values():
        for name, argument in field.args.items():
            argument.out_name = RENAMED.get(name, snake_case(name))


def _json_text(value: Any) -> str:
    """Accept a JSONString variable.

    Raises:
        GraphQLError: it is not a string, or the string is not JSON.
    """
    try:
        json.loads(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise GraphQLError(f"JSONString cannot represent {str(value)[:40]!r}: {error}") from None
    return str(value)


def _type_name(value: Any, _info: GraphQLResolveInfo[Context], abstract: GraphQLAbstractType) -> str:
    """The type of an object where the schema has an interface."""
    if abstract.name == "Creator":
        return "User" if isinstance(value, User) else "Run"
    if abstract.name == "Integration":
        return "SlackIntegration"
    return "ArtifactPortfolio" if value.portfolio else "ArtifactSequence"


@cache
def snake_case(name: str) -> str:
    """artifactID → artifact_id, clientIDMapping → client_id_mapping."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
