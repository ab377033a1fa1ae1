"""The functions that the app declares, as the worker's library indexes them."""

from functools import cache

from azure.functions import Function

from function_app.functions import app


@cache
def declared() -> dict[str, Function]:
    """By name. A FunctionApp can be asked only once in a process: the second time it finds every name taken."""
    return {str(function.get_function_name()): function for function in app.get_functions()}
