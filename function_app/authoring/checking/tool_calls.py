"""Find the rules that an example's tools and tool calls break; see `examples`. Pure."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_Broken = Iterator[tuple[str, str]]
_Message = Mapping[str, Any]

_MOST_TOOLS = 128
_TOOL_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def broken_tools(example: Mapping[str, Any]) -> _Broken:
    """Check the tools that an example declares, and functions, their older form."""
    tools, functions = example.get("tools"), example.get("functions")
    for name in ("tools", "functions"):
        if name in example and example[name] is None:
            yield "null-key", f"has {name} that are null"
    if tools is not None:
        if not isinstance(tools, list):
            yield "tools", "has tools that are not a list"
        else:
            yield from _declarations([_function_of(tool) for tool in tools])
    if functions is not None:
        if not isinstance(functions, list):
            yield "tools", "has functions that are not a list"
        elif not functions:
            yield "empty-functions", "has an empty list of functions"
        else:
            yield from _declarations(functions)
    if not isinstance(example.get("parallel_tool_calls", True), bool):
        yield "parallel-tool-calls", "has parallel_tool_calls that are neither true nor false"


def _declarations(functions: Sequence[object]) -> _Broken:
    if len(functions) > _MOST_TOOLS:
        yield "many-tools", f"has {len(functions)} tools; at most {_MOST_TOOLS} are allowed"
    names = [function.get("name") if isinstance(function, dict) else None for function in functions]
    if not all(isinstance(name, str) for name in names):
        yield "tools", "has a tool without the type function, or without a function that has a name"
    elif not all(_TOOL_NAME.fullmatch(str(name)) for name in names):
        yield "tool-name", "has a tool whose name is not 1 to 64 of A-Z, a-z, 0-9, _ and -"


def _function_of(tool: object) -> object:
    return tool.get("function") if isinstance(tool, dict) and tool.get("type") == "function" else None


def broken_calls(message: _Message, role: str, example: Mapping[str, Any], here: str) -> _Broken:
    """Check the calls that a message makes, in `tool_calls` or in the older `function_call`."""
    calls = message.get("tool_calls")
    if calls and role != "assistant":
        yield "tool-calls", f"{here} calls tools, but only the assistant can do that"
    if calls is not None and not isinstance(calls, list):
        yield "tool-calls", f"{here} has tool_calls that are not a list"
    for call in calls if isinstance(calls, list) else ():
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict) or not text_or_empty(function.get("name")):
            yield "tool-calls", f"{here} has a tool call without a function that has a name"
            continue
        if not text_or_empty(call.get("id")) or call.get("type") != "function":
            yield "tool-call-shape", f"{here} has a tool call without an id or without the type function"
        yield from _call(function, example, "tools", here)
    function = message.get("function_call")
    if function is not None:
        if role != "assistant" or not isinstance(function, dict) or not text_or_empty(function.get("name")):
            yield "function-call", f"{here} has a function_call without a name, or from another role than the assistant"
        else:
            yield from _call(function, example, "functions", here)


def _call(function: Mapping[str, Any], example: Mapping[str, Any], where: str, here: str) -> _Broken:
    arguments = function.get("arguments")
    if not isinstance(arguments, str):
        yield "arguments-text", f"{here} makes a call whose arguments are not a string"
    elif not _is_json_object(arguments):
        yield "tool-arguments", f"{here} makes a call whose arguments are not a JSON object in a string"
    declared = example.get(where)
    if where == "functions" and declared is None:
        yield "undeclared-function", f"{here} has a function_call, but the example has no functions"
    elif not declared:
        yield "no-tools", f"{here} calls a tool, but the example declares none"
    elif text_or_empty(function.get("name")) not in _names(declared, where):
        yield "undeclared-tool", f"{here} calls a tool that the example does not declare"


def _names(declared: object, where: str) -> frozenset[str]:
    items = declared if isinstance(declared, list) else []
    functions = [_function_of(item) if where == "tools" else item for item in items]
    return frozenset(text_or_empty(function.get("name")) for function in functions if isinstance(function, dict))


def calls_of(message: _Message) -> list[Mapping[str, Any]]:
    """Return the tool calls of a message that are objects."""
    calls = message.get("tool_calls")
    return [call for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []


def _is_json_object(text: str) -> bool:
    constants: list[str] = []  # NaN and Infinity, which Python reads although they are not JSON
    try:
        return isinstance(json.loads(text, parse_constant=constants.append), dict) and not constants
    except (ValueError, RecursionError):
        return False


def text_or_empty(value: object) -> str:
    """Return a string, or an empty one for any other JSON value."""
    return value if isinstance(value, str) else ""
