"""The report of a proof, which anybody may attach to an issue: it contains no ids, names, addresses or keys."""

import platform
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path

from provisioning.cli.proof.actions import Measured
from provisioning.cli.proof.steps import Step
from provisioning.errors import UsageError


class Result(StrEnum):
    """How a step ended."""

    HOLDS = "holds"
    FAILS = "does not hold"
    NOT_POSSIBLE = "not possible"
    NOT_TRIED = "not tried"


@dataclass(frozen=True)
class TriedStep:
    """A step with its result.

    Attributes:
        code: our code of the error.
        reason: why it does not hold. It may name resources, and so is not in the report.
    """

    step: Step
    result: Result
    measured: Measured = field(default_factory=dict)
    code: str = ""
    reason: str = ""

    @property
    def figures(self) -> str:
        """The measurements, in one line."""
        failed = [f"error {self.code}"] if self.code else []
        return "; ".join([*failed, *(f"{name}: {value}" for name, value in self.measured.items())])

    @property
    def seen(self) -> str:
        """The text for the operator."""
        return self.reason or self.figures

    def document(self) -> dict[str, object]:
        """The step in the JSON document."""
        shown = {"name": self.step.name, "evidence": self.step.evidence, "result": self.result.value}
        return shown | {"measured": dict(self.measured), "error_code": self.code, "reason": self.reason}


@dataclass(frozen=True)
class Report:
    """The steps that were tried, and where. No text from a service gets into the file."""

    when: datetime
    cloud: str
    region: str
    tried: list[TriedStep] = field(default_factory=list)

    @property
    def counts(self) -> str:
        """How many steps ended how."""
        results = [each.result for each in self.tried]
        return ", ".join(f"{results.count(each)} {each}" for each in Result if each in results)

    def write(self, file: Path | None) -> Path:
        """Write the report, and return its path.

        Raises:
            UsageError: the file cannot be written.
        """
        name = f"proof-{version('azure-openai-wandb')}-{self.when:%Y-%m-%dT%H%M%SZ}.md"
        path = file or Path(name)
        try:
            path.write_text(self._markdown(), encoding="utf-8")
        except OSError as error:
            raise UsageError(
                f"The report cannot be written to {path}: {error.strerror}.", hint="Pass another file as --report."
            ) from error
        return path

    def _markdown(self) -> str:
        unattended = [each for each in self.tried if each.step.run]
        by_hand = [each for each in self.tried if not each.step.run]
        python = f"Python {platform.python_version()} on {platform.system()}"
        lines = [
            f"# Proof of {version('azure-openai-wandb')}, {self.when:%Y-%m-%d}",
            "",
            f"`python -m provisioning prove`, cloud {self.cloud}, region {self.region}, {python}: {self.counts}.",
            "",
            "| step | shows | result | measured |",
            "|---|---|---|---|",
            *(f"| {x.step.name} | {x.step.evidence} | {x.result} | {x.figures} |" for x in unattended),
            "",
            "| tried by hand | result |",
            "|---|---|",
            *(f"| {x.step.evidence} | {x.result} |" for x in by_hand),
        ]
        return "\n".join(lines) + "\n"
