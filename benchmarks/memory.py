"""How much memory one sync takes, small and large: `python -m benchmarks.memory`.

Each row is a complete `python -m function_app sync` in the sandbox, in a separate process. The table shows the peak memory of
this process and of wandb-core, the W&B SDK's process, as the kernel records it (VmHWM; Linux only). The sandbox needs 3 GB,
because it keeps uploads in memory.
"""

import argparse
import sys
from typing import Any

from benchmarks.measure import Measurement, measure
from sandbox.cloud import Cloud
from sandbox.scenario.reader import Scenario

LIMIT = 200.0
"""MiB that the process may take, for any job."""

_FILE, _JOB = "file-" + "a" * 32, "ftjob-" + "1" * 32
_PADDING = 2_000  # characters in each answer: examples of about 2 KB
_LINE = 2_200  # bytes of such an example, about
_MIB = 1024**2
_ACCOUNT = "rg-ml/Microsoft.CognitiveServices/accounts/aoai-ml"
_ENVIRONMENT = {
    "AZURE_OPENAI_ENDPOINTS": "https://aoai-ml.openai.azure.com/",
    "WANDB_API_KEY": "5a4db0c5a4db0c5a4db0c5a4db0c5a4db0c00001",
    "WANDB_ENTITY": "acme",
    "WANDB_PROJECT": "fine-tuning",
}


_HOSTILE = {
    "a 16 MiB line of empty objects": '{"messages": [' + "{}," * (16 * _MIB // 3 - 50) + "{}]}",
    "15 MiB of nested arrays": '{"messages": ' + "[" * (7 * _MIB) + "]" * (7 * _MIB) + "}",
    "a line with 190,000 keys": "{" + ",".join(f'"k{number}":1' for number in range(190_000)) + "}",
    "a line with a million keys": "{" + ",".join(f'"k{number}":1' for number in range(1_000_000)) + "}",
    "a line of one 15 MiB string": '{"prompt": "' + "x" * (15 * _MIB) + '", "completion": "y"}',
}
"""Lines of a training file that take many times their size when they are parsed without care."""


def measured(*, file_mib: float = 0.1, steps: int = 100, line: str = "", checkpoints: int = 1) -> Measurement:
    """Sync a finished job with this number of steps and checkpoints, trained on a file of about this size or with this line.
    Measure it.
    """
    job = {"id": _JOB, "model": "gpt-4o-mini-2024-07-18", "created": "-9d", "training_file": _FILE}
    timeline = {"steps": steps, "seconds_per_step": 1, "epochs": checkpoints, "checkpoints": checkpoints}
    count = max(1, int(file_mib * _MIB / _LINE))
    file = {"id": _FILE, "filename": "train.jsonl", "created": "-9d", "count": count, "padding": _PADDING}
    if line:
        file = {"id": _FILE, "filename": "train.jsonl", "created": "-9d", "lines": [line]}
    account = {"name": "aoai-ml", "group": "rg-ml", "jobs": [job | {"timeline": timeline}], "files": [file]}
    role = {"principal": "operator", "role": "Cognitive Services OpenAI User", "scope": _ACCOUNT}
    scenario = Scenario.parse({"extends": "contoso", "accounts": [account], "assignments": [role]})
    with Cloud(scenario) as cloud:
        return measure([sys.executable, "-m", "function_app", "sync"], cloud.environment() | _ENVIRONMENT)


def main() -> int:
    """Measure and print. The exit status is 0 if the process stays below the limit."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="without the 512 MB file")
    cases: dict[str, dict[str, Any]] = {
        "100 steps, 8 MB training file": {"file_mib": 8},
        "100,000 steps, small training file": {"steps": 100_000},
        "640 steps, 64 checkpoints": {"steps": 640, "checkpoints": 64},
        **{what: {"line": line} for what, line in _HOSTILE.items()},
    }
    if not parser.parse_args().quick:
        cases["all: 100,000 steps, 64, 512 MB"] = {"file_mib": 512, "steps": 100_000, "checkpoints": 64}
    print(f"{'':36}  {'process':>9}  {'wandb-core':>10}  {'time':>7}")
    ran = {}
    for what, case in cases.items():
        each = ran[what] = measured(**case)
        print(f"{what:36}  {each.process.mib:5.0f} MiB  {each.wandb_core.mib:6.0f} MiB  {each.seconds:5.1f} s")
    failed = [what for what, each in ran.items() if each.status]
    most = max(each.process.mib for each in ran.values())
    print(f"{most:.0f} MiB at most, target less than {LIMIT:.0f}" + f"; failed: {'; '.join(failed)}" * bool(failed))
    return int(most >= LIMIT or bool(failed))


if __name__ == "__main__":
    sys.exit(main())
