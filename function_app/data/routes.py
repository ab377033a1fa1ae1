"""Where a job goes: to which W&B project and with how much of its files, or nowhere; and its models' registry. Pure.

`WANDB_ROUTES` is read by `parse_routes`: rules with `;` or a line break between, of which the first that fits counts:

    account=aoai-eu, model=gpt-4.1* -> acme-eu/finetune; metadata.team=search -> search datasets=off; account=aoai-test -> off

Before the arrow stand conditions, which must all hold; after it `project`, `entity/project`, or `off` for jobs that are not
mirrored, and perhaps `datasets=` with a policy of its own. Patterns are those of file names (`*`, `?`, `[abc]`), whatever
the case; what a job does not have fits no pattern, so `suffix=*` means: has a suffix.

Conditions are only on what never changes in a job: otherwise it would move, and have a run in two projects. Rules are no access
control: the author of a job chooses its model, suffix and metadata. Only rules with nothing but `account=` leave jobs out or
loosen the data policy.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from function_app.data.description import artifact_name, base_model
from function_app.models import DatasetPolicy, Job

OFF = "off"
EXAMPLE = "account=aoai-eu, model=gpt-4.1* -> acme-eu/finetune"

_METADATA = "metadata."
_FIELDS = ("account", "model", "suffix", f"{_METADATA}KEY")
_ARROW = "->"
_NAME = re.compile(r"[^/\\#?%:]{1,128}")  # (wandb.Settings.project)
_REGISTRY = "wandb-registry-"


@dataclass(frozen=True)
class Destination:
    """A W&B project, and how much of the jobs' files goes there. Without `entity`: the API key's default."""

    entity: str | None
    project: str
    datasets: DatasetPolicy = DatasetPolicy.FULL


@dataclass(frozen=True)
class LeftOut:
    """A job that goes nowhere; `message` says why."""

    message: str


@dataclass(frozen=True)
class Condition:
    """One field of a job and the pattern that it has to fit."""

    field: str
    pattern: str

    def holds(self, job: Job) -> bool:
        """Whether a job fits; the model under its own name or, when it was fine-tuned before, its base model's."""
        return any(fnmatchcase(value.lower(), self.pattern.lower()) for value in self._values(job))

    def _values(self, job: Job) -> Iterator[str]:
        if self.field == "model":
            yield job.model
            yield base_model(job)
        elif self.field == "account":
            yield job.account
        elif self.field == "suffix":
            yield from filter(None, [job.suffix])
        else:
            key = self.field.removeprefix(_METADATA)
            yield from (str(value) for name, value in job.metadata.items() if name == key)


@dataclass(frozen=True)
class Rule:
    """One rule of WANDB_ROUTES. Without `project` the jobs are left out; without `entity` or `datasets` the default's."""

    number: int
    text: str
    conditions: tuple[Condition, ...]
    project: str | None
    entity: str | None = None
    datasets: DatasetPolicy | None = None

    @property
    def by_account_only(self) -> bool:
        """Whether no condition is on something that the author of a job chooses."""
        return all(condition.field == "account" for condition in self.conditions)

    @property
    def needs_metadata(self) -> bool:
        """Whether it asks for a job's metadata, which Azure shows on the v1 surface only."""
        return any(condition.field.startswith(_METADATA) for condition in self.conditions)


_FROM_LOOSE_TO_STRICT = (DatasetPolicy.FULL, DatasetPolicy.SAMPLE, DatasetPolicy.REFERENCE, DatasetPolicy.OFF)


def _is_looser(one: DatasetPolicy, other: DatasetPolicy) -> bool:
    return _FROM_LOOSE_TO_STRICT.index(one) < _FROM_LOOSE_TO_STRICT.index(other)


@dataclass(frozen=True)
class Routes:
    """The rules, and where everything else goes."""

    default: Destination
    rules: tuple[Rule, ...] = ()

    def of(self, job: Job) -> Destination | LeftOut:
        """Return where a job goes, by the first rule that fits.

        A rule with a condition that the job's author chooses may send a job elsewhere. It neither drops the job nor loosens
        the data policy that it has by its account.
        """
        by_account = self._first(job, [rule for rule in self.rules if rule.by_account_only])
        if isinstance(by_account, LeftOut):
            return by_account
        return self._first(
            job, [rule for rule in self.rules if rule.by_account_only or rule.project], by_account.datasets
        )

    def _first(self, job: Job, rules: Sequence[Rule], most: DatasetPolicy | None = None) -> Destination | LeftOut:
        """Apply the first of these rules that fits; `most` bounds the policy of rules with conditions of the job's author."""
        for rule in rules:
            if all(condition.holds(job) for condition in rule.conditions):
                if rule.project is None:
                    return LeftOut(f"rule {rule.number} of WANDB_ROUTES leaves it out ({rule.text})")
                datasets = rule.datasets or self.default.datasets
                if most and not rule.by_account_only:
                    datasets = max(datasets, most, key=_FROM_LOOSE_TO_STRICT.index)
                return Destination(rule.entity or self.default.entity, rule.project, datasets)
        return self.default

    def ignored(self) -> tuple[str, ...]:
        """Return a sentence for each part of a rule that is ignored, for every tick and for `doctor`."""
        found = []
        for rule in self.rules:
            if rule.by_account_only:
                continue
            if rule.project is None:
                what = "does not leave jobs out"
            elif rule.datasets and _is_looser(rule.datasets, self.default.datasets):
                what = f"does not loosen the data policy to {rule.datasets}"
            else:
                continue
            found.append(
                f"Rule {rule.number} of WANDB_ROUTES ({rule.text}) {what}: the author of a job chooses its model, suffix and"
                " metadata. Use a rule with only account= for that."
            )
        return tuple(found)


@dataclass(frozen=True)
class Registry:
    """A registry of the organization; without `collection` each family of models has its own there."""

    name: str
    collection: str | None = None

    @property
    def project(self) -> str:
        """What W&B calls the registry's project (W&B, "Link a version to a registry")."""
        return _REGISTRY + self.name

    def collection_of(self, family: str) -> str:
        """The collection that models of this family are linked to."""
        return self.collection or family


def parse_routes(text: str) -> tuple[Rule, ...]:
    """Read WANDB_ROUTES.

    Raises:
        ValueError: a line for every rule that is wrong: its number and text, what is wrong, and what would be right.
    """
    rules, problems = [], []
    for number, said in enumerate(filter(None, (" ".join(part.split()) for part in re.split(r"[;\n]", text))), start=1):
        try:
            rules.append(_rule(number, said))
        except ValueError as error:
            problems.append(f"rule {number} ({said!r}): {error}")
    if problems:
        raise ValueError("\n".join([*problems, f"A rule looks like {EXAMPLE!r}; several have ';' between them."]))
    return tuple(rules)


def parse_registry(text: str) -> Registry:
    """Read WANDB_REGISTRY, `registry` or `registry/collection`.

    Raises:
        ValueError: it is neither.
    """
    name, slash, collection = text.strip().removeprefix(_REGISTRY).partition("/")
    if slash and (not collection or artifact_name(collection) != collection):
        raise ValueError(
            f"{text!r}: a collection's name has 1 to 128 letters, digits, '_', '-' and '.', as in 'model/support-bot'"
        )
    checked_name(_REGISTRY + name if name else "")
    return Registry(name, collection or None)


def checked_name(name: str) -> str:
    """The name of an entity or a project, if it can be one.

    Raises:
        ValueError: it cannot.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is empty, has more than 128 characters, or one of / \\ # ? % :")
    return name


def _rule(number: int, text: str) -> Rule:
    conditions, arrow, rest = text.partition(_ARROW)
    if not arrow:
        raise ValueError("there is no '->' between the conditions and where the jobs go")
    *words, datasets = _destination(rest)
    target = " ".join(words)
    if not target:
        raise ValueError("nothing stands behind '->': 'project', 'entity/project' or 'off'")
    fields = tuple(_conditions(conditions))
    if target.lower() == OFF:
        if datasets:
            raise ValueError("'off' mirrors nothing, so it takes no 'datasets='")
        return Rule(number, text, fields, None)
    entity, slash, project = target.rpartition("/")
    return Rule(
        number,
        text,
        fields,
        checked_name(project),
        checked_name(entity) if slash else None,
        DatasetPolicy(datasets) if datasets else None,
    )


def _conditions(text: str) -> Iterator[Condition]:
    if not text.strip():
        raise ValueError("it has no condition; 'account=*' fits every job")
    seen = set()
    for part in text.split(","):
        field, equals, pattern = (each.strip() for each in part.partition("="))
        name = field.lower() if not field.lower().startswith(_METADATA) else _METADATA + field[len(_METADATA) :]
        if not equals or not pattern:
            raise ValueError(f"{part.strip()!r} is not FIELD=PATTERN, as 'suffix=scratch*' is")
        if name not in _FIELDS[:-1] and not (name.startswith(_METADATA) and name != _METADATA):
            raise ValueError(f"{field!r} is none of {', '.join(_FIELDS)}")
        if name in seen:
            raise ValueError(f"{field!r} stands there twice, and all conditions have to hold: write two rules")
        seen.add(name)
        yield Condition(name, pattern)


def _destination(text: str) -> list[str]:
    """The words of the destination, then the policy of `datasets=`, empty without one."""
    words, policy = [], ""
    for word in text.split():
        name, equals, value = word.partition("=")
        if not equals:
            words.append(word)
        elif name.lower() != "datasets":
            raise ValueError(f"{word!r} is no option; the only one is 'datasets='")
        elif value.lower() not in {each.value for each in DatasetPolicy}:
            raise ValueError(f"{word!r}: datasets is one of {', '.join(DatasetPolicy)}")
        else:
            policy = value.lower()
    return [*words, policy]
