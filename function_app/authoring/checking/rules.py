"""The parts of a rule for training data: what each service does with a file that breaks it, the evidence, and the severity.

The rules themselves are the rows of `rule_table`.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from function_app.data.training.formats import Format
from function_app.models import Method

_ITEM = re.compile(r"\{\{\s*item\.(?P<field>\w+)")
_SPACED_ITEM = re.compile(r"\{\{\s+\w|\{\{\s*\w[^}]*\s\}\}")


class Service(StrEnum):
    """The two services for fine-tuning."""

    OPENAI = "openai"
    AZURE = "azure"


class Severity(StrEnum):
    """How serious a finding is: an error makes the service refuse the file; a warning is something to know."""

    ERROR = "error"
    WARNING = "warning"


class Verdict(StrEnum):
    """The reaction of a service to a file that breaks a rule."""

    REFUSES = "refuses it"
    IGNORES = "trains without that part"
    ACCEPTS = "accepts it"
    UNKNOWN = "does not document this"


class Grade(StrEnum):
    """How a verdict is known."""

    ERROR = "the service's own error, or a job that succeeded"
    PROSE = "its documentation"
    SCHEMA = "its API description"
    SAMPLE = "a validator or sample of the vendor"
    REPORT = "a third party's report"
    INFERRED = "inferred"


@dataclass(frozen=True)
class Evidence:
    """The reaction of one service, and its source."""

    verdict: Verdict
    grade: Grade | None = None
    source: str = ""

    def __str__(self) -> str:
        """Return the evidence as a clause, such as "refuses it (its documentation: Vision fine-tuning)"."""
        why = f"{self.grade}: {self.source}" if self.grade and self.source else self.grade
        return f"{self.verdict} ({why})" if why else str(self.verdict)


@dataclass(frozen=True)
class Rule:
    """One rule.

    Attributes:
        name: for programs, such as "last-message".
        text: the rule as a sentence.
        openai, azure: what each service does with a file that breaks it.
        always: a fixed severity, for rules of this project.
    """

    name: str
    text: str
    openai: Evidence
    azure: Evidence
    always: Severity | None = None

    def severity(self, service: Service | None) -> Severity | None:
        """Return the severity of a violation for a service, or for a file that may go to either; None if it is allowed.

        For both together it is an error if one service refuses the file and the other is not known to accept it. It is a
        warning if they disagree or nothing is known.
        """
        if self.always:
            return self.always
        evidence = [getattr(self, service)] if service else [self.openai, self.azure]
        verdicts = {each.verdict for each in evidence}
        if verdicts == {Verdict.ACCEPTS}:
            return None
        if Verdict.REFUSES in verdicts and not verdicts & {Verdict.ACCEPTS, Verdict.IGNORES}:
            return Severity.ERROR
        return Severity.WARNING


@dataclass(frozen=True)
class Finding:
    """One violation of a rule.

    Attributes:
        rule: the rule's name.
        message: the problem, for people. It does not quote the line, because training data is private.
        line: the line's number, from 1; None for a finding about the whole file.
    """

    severity: Severity
    rule: str
    message: str
    line: int | None = None


FORMATS: Mapping[Method, tuple[Format, ...]] = {
    Method.SUPERVISED: (Format.CHAT, Format.COMPLETION),
    Method.DPO: (Format.PREFERENCE,),
    Method.REINFORCEMENT: (Format.CHAT,),
}
"""The formats that each method supports."""


def method_of(file_format: Format, example: Mapping[str, Any]) -> Method:
    """Guess the method that an example is meant for: preferences are for DPO, a chat that ends with the user's turn is for
    reinforcement (Microsoft, Reinforcement fine-tuning), everything else is supervised.
    """
    if file_format is Format.PREFERENCE:
        return Method.DPO
    if file_format is Format.CHAT and example["messages"][-1].get("role") == "user":
        return Method.REINFORCEMENT
    return Method.SUPERVISED


def fields_of_grader(grader: object) -> frozenset[str]:
    """Return the fields of an example that a grader's templates use: `{{ item.NAME }}` (Microsoft, Reinforcement
    fine-tuning). Fields that a grader's Python code reads from its `item` cannot be recognized.
    """
    return frozenset(found["field"] for found in _ITEM.finditer(json.dumps(grader)))


def has_spaced_templates(grader: object) -> bool:
    """Return whether a grader's templates have spaces inside their braces."""
    return _SPACED_ITEM.search(json.dumps(grader)) is not None
