"""Measure processes with Linux's /proc: peak memory and CPU seconds."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Usage:
    """The usage of a process so far: its peak memory in MiB, and CPU seconds."""

    mib: float = 0.0
    cpu_seconds: float = 0.0

    def more(self, pid: int) -> "Usage":
        """Return the larger of this usage and the process's current usage."""
        return Usage(max(self.mib, peak_of(pid)), max(self.cpu_seconds, _cpu_of(pid)))


@dataclass(frozen=True)
class Measurement:
    """The run of a command: its usage and that of its wandb-core, seconds from start to exit, and its exit status."""

    process: Usage
    wandb_core: Usage
    seconds: float
    status: int


def measure(argv: list[str], environment: Mapping[str, str]) -> Measurement:
    """Run a command to its end. On other systems than Linux, end the benchmark with the reason."""
    if sys.platform != "linux":
        sys.exit(
            "This benchmark reads memory and CPU time from /proc. Run it on Linux, in WSL, or in the dev container."
        )
    own = core = Usage()
    began = time.monotonic()
    process = subprocess.Popen(argv, env=dict(environment), cwd=ROOT, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        own = own.more(process.pid)
        for child in children_of(process.pid):
            core = core.more(child)
        time.sleep(0.02)
    return Measurement(own, core, time.monotonic() - began, process.returncode)


def children_of(pid: int | str) -> list[int]:
    """Return the processes that a process started, such as wandb-core."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except OSError:  # it has just ended
        return []


def peak_of(pid: int | str) -> float:
    """Return the most memory that a process has had, in MiB (VmHWM)."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:  # it has just ended
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:")), 0.0)


def _cpu_of(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # it has just ended
        return 0.0
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")  # utime and stime (proc_pid_stat(5))
