"""A backfill under W&B's rate limits, and how its cost grows with the number of jobs: `python -m benchmarks.limits`.

First it mirrors 100, 200 and 400 finished jobs with three checkpoints, one `python -m function_app sync` each in a fresh
sandbox, without a latency, and shows time, requests and memory for each job. Then it mirrors jobs while W&B refuses all
requests of the key over a limit (429 with Retry-After, in fixed windows), and compares the rate of accepted requests with it.

Exit status 1 when a job failed, a figure grows faster than the number of jobs, or the rate is below 90 % of the limit.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.checks import SyncedWorld
from benchmarks.measure import Measurement, measure
from benchmarks.workload import environment, scenario
from sandbox.cloud import Cloud
from sandbox.wandb.options import RateLimit

EXAMPLES = 50, 10
"""Examples in each job's training and validation file: files are not the subject."""
GROWTH = 1.2
"""How much more one job may take among the largest number of jobs than among the smallest."""
AT_LEAST = 0.9
"""The lowest rate of accepted requests, as a share of the limit."""
_STORAGE = ("UploadFile", "Telemetry")


@dataclass(frozen=True)
class BackfillResult:
    """A sync of some jobs: its process, the times of the accepted requests to W&B's API in seconds after the first, the
    number of refused ones, and what is wrong.
    """

    jobs: int
    process: Measurement
    accepted: Sequence[float]
    refused: int
    wrong: Sequence[str]


def backfill(cloud: Cloud, jobs: int, limit: RateLimit | None = None) -> BackfillResult:
    """Mirror this number of jobs in a fresh world."""
    world = cloud.load(scenario(jobs, latency=0, training=EXAMPLES[0], validation=EXAMPLES[1]))
    world.wandb.store.options.rate_limit = limit
    process = measure([sys.executable, "-m", "function_app", "sync"], environment(cloud))
    asked = [each for each in world.trace.exchanges if each.service == "wandb" and each.operation not in _STORAGE]
    accepted = sorted(each.ended for each in asked if each.status != 429)
    wrong = [*SyncedWorld(world).faithful()] + ([f"exit status {process.status}"] if process.status else [])
    times = [each - accepted[0] for each in accepted]
    return BackfillResult(jobs, process, times, len(asked) - len(accepted), wrong)


def rate(found: BackfillResult, limit: RateLimit) -> float:
    """Return the share of the limit that the accepted requests use, in all windows but the last."""
    windows = int(found.accepted[-1] // limit.seconds)
    accepted = sum(each < windows * limit.seconds for each in found.accepted)
    return accepted / (windows * limit.requests) if windows else 1.0


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.limits", description=__doc__.partition("\n")[0])
    parser.add_argument("--jobs", type=int, nargs="+", default=[100, 200, 400], help="sizes of the backfill")
    parser.add_argument("--limited", type=int, default=100, metavar="JOBS", help="jobs under the rate limit")
    parser.add_argument("--requests", type=int, default=600, help="of a key in a window")
    parser.add_argument("--window", type=float, default=60.0, metavar="SECONDS")
    given = parser.parse_args()
    limit = RateLimit(requests=given.requests, seconds=given.window)
    with Cloud(scenario(1, latency=0)) as cloud:
        found = [backfill(cloud, jobs) for jobs in given.jobs]
        limited = backfill(cloud, given.limited, limit)
    print(
        f"{'jobs':>6}{'seconds':>9}{'a job':>8}{'CPU a job':>11}{'W&B requests a job':>20}{'process':>10}{'wandb-core':>12}"
    )
    for each in found:
        cpu = (each.process.process.cpu_seconds + each.process.wandb_core.cpu_seconds) / each.jobs
        print(
            f"{each.jobs:6}{each.process.seconds:9.1f}{each.process.seconds / each.jobs:8.3f}{cpu:9.3f} s"
            f"{len(each.accepted) / each.jobs:20.1f}{each.process.process.mib:6.0f} MiB{each.process.wandb_core.mib:8.0f} MiB"
        )
    least, most = found[0], found[-1]
    growth = max(
        most.process.seconds / most.jobs / (least.process.seconds / least.jobs),
        len(most.accepted) / most.jobs / (len(least.accepted) / least.jobs),
    )
    reached = rate(limited, limit)
    wrong = [what for each in (*found, limited) for what in each.wrong]
    print(
        f"{given.limited} jobs at {limit.requests} requests in {limit.seconds:g} s: {len(limited.accepted)} accepted and "
        f"{limited.refused} refused in {limited.accepted[-1]:.0f} s"
    )
    print(
        f"one job among {most.jobs} takes {growth:.2f} of one among {least.jobs}, at most {GROWTH}; "
        f"{reached:.0%} of the rate limit, at least {AT_LEAST:.0%}; " + ("; ".join(wrong[:3]) or "no job failed")
    )
    return int(growth > GROWTH or reached < AT_LEAST or bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
