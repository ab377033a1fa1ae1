"""How much memory one sync takes, small and large: `python -m benchmarks.memory`.

Each row is a whole `python -m function_app sync` in the sandbox, a process of its own. What is told is the peak of the
process and of wandb-core, the W&B SDK's own, as the kernel keeps it (VmHWM; Linux only). Wants 3 GB for the sandbox, which
keeps in memory what is uploaded to it.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sandbox.cloud import Cloud
from sandbox.scenario.reader import Scenario

ROOT = Path(__file__).parent.parent
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


@dataclass(frozen=True)
class Taken:
    """What a process has taken so far: its peak in MiB, and seconds of the processor."""

    mib: float = 0.0
    cpu_seconds: float = 0.0


@dataclass(frozen=True)
class Watched:
    """How a command ran: what it and its wandb-core took, when it began and ended (time.monotonic), its exit status."""

    process: Taken
    wandb_core: Taken
    began: float
    ended: float
    status: int

    @property
    def seconds(self) -> float:
        """From start to exit."""
        return self.ended - self.began


def watched(argv: list[str], environment: Mapping[str, str]) -> Watched:
    """Run a command to its end."""
    own = core = Taken()
    began = time.monotonic()
    process = subprocess.Popen(argv, env=dict(environment), cwd=ROOT, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        own = _more(own, process.pid)
        for child in _children(process.pid):
            core = _more(core, child)
        time.sleep(0.02)
    return Watched(own, core, began, time.monotonic(), process.returncode)


def _more(before: Taken, pid: int) -> Taken:
    return Taken(max(before.mib, _peak(pid)), max(before.cpu_seconds, _cpu(pid)))


def _children(pid: int) -> list[int]:
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except OSError:  # it ended just now
        return []


def _peak(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:  # it ended just now
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:")), 0.0)


def _cpu(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # it ended just now
        return 0.0
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")  # utime and stime (proc_pid_stat(5))


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
