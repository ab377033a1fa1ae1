"""What this project claims of itself, each with the command that shows it. Data only: `python -m evidence.report` runs them."""

from dataclasses import dataclass

PROVISIONING = ("provisioning", "sandbox")
SYNC = ("function_app", "sandbox")
EVERYTHING = ("provisioning", "function_app", "sandbox", "infra", "tests")
_PASSED = "passed"


@dataclass(frozen=True)
class Claim:
    """One claim. It holds when its command ends with exit status 0; the last line on stdout is its figure.

    Attributes:
        id: what `--only` takes: the whole of it, or its first words.
        says: the claim, in one sentence.
        command: what a reader types in the repository's folder, and exactly what is run.
        of: the folders that it speaks of. A figure is older than these when they have later commits.
        shows: what the figure must have in it besides, as a run of which every test was skipped ends with 0 and shows nothing.
        missed: why it is known not to hold; told where it does not.
    """

    id: str
    says: str
    command: str
    of: tuple[str, ...]
    shows: str = ""
    missed: str = ""


def _crash(command: str, of: tuple[str, ...], what: str) -> Claim:
    says = f"{what}, killed (SIGKILL) before and after every HTTP request that it makes and run again, ends as if undisturbed."
    return Claim(f"crash-{command}", says, f"python -m evidence.crash --command {command}", of)


def _faults(command: str, of: tuple[str, ...], what: str) -> Claim:
    says = f"{what}, with every operation failing in every way, ends right, or says clearly why not and heals on the next run."
    command_line = f"python -m evidence.faults --command {command} --jobs 6"  # most of it is waiting
    return Claim(f"faults-{command}", says, command_line, of)


_COMMANDS = (
    ("setup", PROVISIONING, "`setup`, from every state of a vault"),
    ("rotate-key", PROVISIONING, "`rotate-key`"),
    ("teardown", PROVISIONING, "`teardown`, from every state of a vault"),
    ("sync", SYNC, "A sync, of every kind of job"),
)

CLAIMS: tuple[Claim, ...] = (
    *(_crash(*each) for each in _COMMANDS),
    *(_faults(*each) for each in _COMMANDS),
    Claim(
        "machines",
        "Whatever happens between runs, to jobs, to runs and in the portal, W&B says what Azure says, each step once; "
        "after `setup` nothing is left to plan, and nobody has lost access.",
        "python -m pytest tests/machines --hypothesis-profile deep -n 6 --show-capture=no",
        EVERYTHING,
    ),
    Claim(
        "secrets",
        "The W&B key and Azure's tokens are in no output, log, file, argument, environment of a child, or request but "
        "those that carry them, in any command, also when it fails.",
        "python -m evidence.canary",
        EVERYTHING,
    ),
    Claim(
        "contracts",
        "The sandbox says nothing that the official descriptions and recordings lack, and no request makes it answer 500.",
        "python -m pytest tests/contracts -q",
        ("sandbox",),
        _PASSED,
    ),
    Claim(
        "mutation",
        "Of the mistakes put into what plans, decides and reads, the tests notice at least 90 %; the others are explained.",
        "python -m evidence.mutation",
        ("provisioning", "function_app", "tests"),
    ),
    Claim(
        "speed",
        "50 finished jobs at least 12 times as fast as WandbLogger.sync, with at most 30 W&B requests each; a tick with "
        "nothing to do at least 20 times as fast; less memory.",
        "python -m benchmarks.speed",
        SYNC,
        missed="Only the number of requests is missed. Of the 31 that a job takes, 30 are the least that the SDK's protocol "
        "has for such a job (benchmarks/speed.py counts them). The other one asks, once the run is open, whether another "
        "process has written into it meanwhile, and which of its files W&B has: without it two syncs at once can write a step "
        "twice, and files go up again. The fraction above 31 comes of jobs of one family that end at the same moment: who "
        "sees another's model in the wrong order says once more which is the latest, and looks again. A model without its "
        "model_metadata.json would save two requests; it is kept, as WandbLogger's users load that file.",
    ),
    Claim(
        "incumbent",
        "What a sync leaves in W&B is what the job is, in every scenario that WandbLogger.sync is compared in.",
        "python -m benchmarks.incumbent",
        SYNC,
    ),
    Claim(
        "memory",
        "A sync's process takes less than 200 MiB, whatever it mirrors.",
        "python -m benchmarks.memory",
        SYNC,
    ),
    Claim(
        "scale",
        "A tick over 10,000 settled jobs in 100 accounts asks nothing per job, and 200 pending ones all arrive, each once.",
        "python -m benchmarks.scale",
        SYNC,
    ),
    Claim(
        "package",
        "The deployed package is imported cold in less than 2 s.",
        "python -m benchmarks.package",
        ("function_app",),
    ),
    Claim(
        "requests",
        "`setup` that finds everything in place makes at most 12 requests, signing in included, and writes nothing.",
        "python -m pytest tests/provisioning/test_request_counts.py -q",
        PROVISIONING,
        _PASSED,
    ),
    Claim(
        "azcli",
        "The real Azure CLI, signed in as a person, an application and a managed identity, sees what `setup` says it made.",
        "make test-azcli",
        PROVISIONING,
        _PASSED,
    ),
    Claim(
        "suite",
        "The whole suite passes; every exchange in it is checked against the official API descriptions.",
        "make test-all",
        EVERYTHING,
        _PASSED,
    ),
)
