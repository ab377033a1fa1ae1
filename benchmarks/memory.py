"""How much memory one sync takes, small and large: `python -m benchmarks.memory`.

Each row is a whole `python -m function_app sync` in the sandbox, a process of its own. What is told is the peak of the
process and of wandb-core, the W&B SDK's own, as the kernel keeps it (VmHWM; Linux only). Wants 3 GB for the sandbox, which
keeps in memory what is uploaded to it.
"""

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.measure import watched
from sandbox.cloud import Cloud
from sandbox.scenario.reader import Scenario

LIMIT = 200.0
"""MiB that the process may take, whatever it mirrors."""

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


@dataclass(frozen=True)
class Peak:
    """What one sync took. Memory in MiB, time in seconds; `status` is its exit status."""

    what: str
    process: float
    wandb_core: float
    seconds: float
    status: int


def measured(what: str, *, file_mib: float = 0.1, steps: int = 100) -> Peak:
    """Sync one finished job of so many steps, trained on a file of about this size, and see what it takes."""
    job = {"id": _JOB, "model": "gpt-4o-mini-2024-07-18", "created": "-9d", "training_file": _FILE}
    timeline = {"steps": steps, "seconds_per_step": 1}
    count = max(1, int(file_mib * _MIB / _LINE))
    file = {"id": _FILE, "filename": "train.jsonl", "created": "-9d", "count": count, "padding": _PADDING}
    account = {"name": "aoai-ml", "group": "rg-ml", "jobs": [job | {"timeline": timeline}], "files": [file]}
    role = {"principal": "operator", "role": "Cognitive Services OpenAI User", "scope": _ACCOUNT}
    scenario = Scenario.parse({"extends": "contoso", "accounts": [account], "assignments": [role]})
    with Cloud(scenario) as cloud:
        ran = watched([sys.executable, "-m", "function_app", "sync"], cloud.environment() | _ENVIRONMENT)
    return Peak(what, ran.process.mib, ran.wandb_core.mib, ran.seconds, ran.status)


def main() -> int:
    """Measure, print, and say whether the process stays below the limit."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--quick", action="store_true", help="without the 512 MB file")
    said = parser.parse_args()
    cases: dict[str, dict[str, Any]] = {
        "100 steps, 8 MB training file": {"file_mib": 8},
        "100 steps, 512 MB training file": {"file_mib": 512},
        "100,000 steps, small training file": {"steps": 100_000},
    }
    peaks = []
    if not said.json:
        print(f"{'':36}  {'process':>9}  {'wandb-core':>10}  {'time':>7}")
    for what, case in cases.items():
        if said.quick and case.get("file_mib", 0) > 100:
            continue
        peak = measured(what, **case)
        peaks.append(peak)
        if not said.json:
            print(f"{what:36}  {peak.process:5.0f} MiB  {peak.wandb_core:6.0f} MiB  {peak.seconds:5.1f} s")
    good = all(peak.process < LIMIT and peak.status == 0 for peak in peaks)
    if said.json:
        print(json.dumps({"ok": good, "limit_mib": LIMIT, "peaks": [asdict(peak) for peak in peaks]}, indent=2))
    else:
        failed = [peak.what for peak in peaks if peak.status]
        most = max(peak.process for peak in peaks)
        print(f"{most:.0f} MiB at most, asked less than {LIMIT:.0f}" + f"; failed: {'; '.join(failed)}" * bool(failed))
    return int(not good)


if __name__ == "__main__":
    sys.exit(main())
