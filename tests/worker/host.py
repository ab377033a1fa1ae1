"""Stands in for the Functions host: loads the app with Microsoft's worker library and sends it what the host would send.

    python host.py LIBRARY APP ORDERS ANSWERS

LIBRARY is the folder that holds `azure_functions_runtime` and `tests/protos` (Microsoft's compiled protocol, which its v1
wheel carries); APP the app's root; ORDERS and ANSWERS are JSON files. It runs as a separate process, because the
library keeps its registry for as long as the process lives: started, or forked as `python -m tests.worker.host`.

What a host does beside sending is not covered: schedules, leases, retries, the poison queue, resolving %SETTING%.
"""

import asyncio
import importlib
import importlib.util
import json
import logging
import os
import sys
from collections.abc import Mapping
from contextvars import ContextVar
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any


class Captured(logging.Handler):
    """What the worker would forward to Application Insights. On Python 3.13 the host drops a line of a thread without the
    invocation's context (Azure/azure-functions-python-worker#1860), and so does this.
    """

    def __init__(self, invocation: ContextVar[str | None]) -> None:
        super().__init__()
        self.invocation = invocation
        self.lines: list[dict[str, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        if self.invocation.get() is None:
            return
        self.lines.append({"logger": record.name, "level": record.levelname, "message": record.getMessage()})

    def taken(self) -> list[dict[str, str]]:
        lines, self.lines = self.lines, []
        return lines


def protocol(library: Path) -> Any:
    """Microsoft's compiled FunctionRpc.proto, loaded by its path: its package is called `tests`, as ours may be."""
    place = library / "tests" / "protos"
    file, inside = place / "__init__.py", [str(place)]
    spec = importlib.util.spec_from_file_location("functions_protocol", file, submodule_search_locations=inside)
    assert spec
    assert spec.loader
    module: ModuleType = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def message(protos: Any, **request: Any) -> Any:
    """A message as the worker's dispatcher hands it to the library."""
    return SimpleNamespace(
        request=protos.StreamingMessage(**request), properties={"host": "127.0.0.1", "protos": protos}
    )


def result(status: Any) -> dict[str, Any]:
    """Success, or what the host would log."""
    return {"ok": status.status == 1, "error": status.exception.message, "trace": status.exception.stack_trace}


async def start(runtime: Any, protos: Any, app: str, specialised: Mapping[str, str] | None) -> Any:
    """Start the worker on the app; or, as Azure does with a worker that waits for one, give it app and settings later."""
    init = protos.WorkerInitRequest(function_app_directory=app if specialised is None else "/nowhere")
    response = await runtime.worker_init_request(message(protos, worker_init_request=init))
    if specialised is None:
        return response
    reload = protos.FunctionEnvironmentReloadRequest(function_app_directory=app, environment_variables=specialised)
    return await runtime.function_environment_reload_request(
        message(protos, function_environment_reload_request=reload)
    )


async def invoke(runtime: Any, protos: Any, function_id: str, order: Mapping[str, Any]) -> dict[str, Any]:
    """One invocation: {"function", "parameter", "data": {"json" or "string": …}, "metadata": {…}}."""
    request = protos.InvocationRequest(
        invocation_id=order.get("id", "00000000-0000-0000-0000-000000000001"),
        function_id=function_id,
        input_data=[protos.ParameterBinding(name=order["parameter"], data=protos.TypedData(**order["data"]))],
        trigger_metadata={k: protos.TypedData(string=v) for k, v in order.get("metadata", {}).items()},
    )
    response = await runtime.invocation_request(message(protos, invocation_request=request))
    outputs = {each.name: getattr(each.data, each.data.WhichOneof("data")) for each in response.output_data}
    return {**result(response.result), "outputs": outputs}


async def serve(runtime: Any, protos: Any, app: str, orders: Mapping[str, Any]) -> dict[str, Any]:
    """Start, list the functions, invoke in order."""
    captured = Captured(runtime.invocation_id_cv)
    logging.getLogger().addHandler(captured)
    logging.getLogger().setLevel(logging.INFO)  # as the worker does
    started = await start(runtime, protos, app, orders.get("specialised"))
    answer: dict[str, Any] = {"start": result(started.result), "python": sys.version.split()[0]}
    listed = await runtime.functions_metadata_request(message(protos))
    functions = {each.name: each for each in listed.function_metadata_results}
    answer["functions"] = {
        name: {"bindings": [json.loads(raw) for raw in each.raw_bindings], "retry": each.retry_options.max_retry_count}
        for name, each in functions.items()
    }
    answer["package"] = getattr(sys.modules.get("function_app"), "__file__", None)
    answer["invocations"] = []
    if not answer["start"]["ok"]:
        return answer  # a host would not invoke either
    for order in orders.get("invocations", []):
        done = await invoke(runtime, protos, functions[order["function"]].function_id, order)
        answer["invocations"].append({**done, "logs": captured.taken()})
    return answer


def main() -> None:
    library, app, orders, answers = (str(Path(each).absolute()) for each in sys.argv[1:])  # the folder changes below
    # Neither this file's folder nor an editable installation of this project is on a worker's path.
    project = str(Path(__file__).resolve().parents[2])
    sys.path[:] = [entry for entry in sys.path[1:] if entry != project]
    sys.path += [library, app]  # the app comes last (Azure/azure-functions-python-worker, utils/dependency.py)
    for name in [each for each in sys.modules if each.partition(".")[0] == "function_app"]:
        del sys.modules[name]  # forked from a process that has imported it: the worker has to find the app by itself
    os.chdir(app)
    runtime = importlib.import_module("azure_functions_runtime")
    protos = protocol(Path(library))
    runtime.start_threadpool_executor()
    try:
        answer = asyncio.run(serve(runtime, protos, app, json.loads(Path(orders).read_text())))
    finally:
        runtime.stop_threadpool_executor()
    Path(answers).write_text(json.dumps(answer))


if __name__ == "__main__":
    main()
