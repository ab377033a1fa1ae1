"""What a rule for training data is: what each service does with a file that breaks it, how that is known, how serious it is.

The rules themselves are the rows of `rule_table`.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from function_app.data.formats import Format
from function_app.models import Method

_ITEM = re.compile(r"\{\{\s*item\.(?P<field>\w+)")
_SPACED_ITEM = re.compile(r"\{\{\s+\w|\{\{\s*\w[^}]*\s\}\}")


class Service(StrEnum):
    """The two services that train."""

    OPENAI = "openai"
    AZURE = "azure"


class Severity(StrEnum):
    """Whether the service refuses the file for it, or people should know of it."""

    ERROR = "error"
    WARNING = "warning"


class Verdict(StrEnum):
    """What a service does with a file that breaks a rule."""

    REFUSES = "refuses it"
    IGNORES = "trains without that part"
    ACCEPTS = "accepts it"
    UNKNOWN = "does not document it"


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
    """What one service does, and how that is known."""

    verdict: Verdict
    grade: Grade | None = None
    source: str = ""

    def __str__(self) -> str:
        """Return it as a clause, such as "refuses it (its documentation: Vision fine-tuning)"."""
        why = f"{self.grade}: {self.source}" if self.grade and self.source else self.grade
        return f"{self.verdict} ({why})" if why else str(self.verdict)


@dataclass(frozen=True)
class Rule:
    """One rule.

    Attributes:
        name: for programs, such as "last-message".
        text: what the rule asks for, as a sentence.
        openai, azure: what becomes of a file that breaks it.
        always: the severity whatever the services do, for rules of this project's own.
    """

    name: str
    text: str
    openai: Evidence
    azure: Evidence
    always: Severity | None = None

    def severity(self, service: Service | None) -> Severity | None:
        """Return how serious a breach is for a service, or for a file that may go to either; None when it is allowed.

        For both together it is an error where one service refuses the file and the other is not known to take it, and a
        warning where they disagree or nobody knows.
        """
        if self.always:
            return self.always
        asked = [getattr(self, service)] if service else [self.openai, self.azure]
        verdicts = {each.verdict for each in asked}
        if verdicts == {Verdict.ACCEPTS}:
            return None
        if Verdict.REFUSES in verdicts and not verdicts & {Verdict.ACCEPTS, Verdict.IGNORES}:
            return Severity.ERROR
        return Severity.WARNING


@dataclass(frozen=True)
class Finding:
    """One breach of a rule.

    Attributes:
        rule: the rule's name.
        message: what is wrong, for people; it quotes nothing of the line, as training data is private.
        line: the line's number, from 1; None when it is about the file as a whole.
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
"""The formats that a method takes."""


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
    fine-tuning). Fields that Python code takes from its `item` cannot be recognised.
    """
    return frozenset(found["field"] for found in _ITEM.finditer(json.dumps(grader)))


def has_spaced_templates(grader: object) -> bool:
    """Return whether a grader's templates have spaces inside their braces."""
    return _SPACED_ITEM.search(json.dumps(grader)) is not None
