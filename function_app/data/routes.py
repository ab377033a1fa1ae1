"""The destination of a job: its W&B project, data policy and registry. Pure.

`parse_routes` reads `WANDB_ROUTES`: rules separated by `;` or line breaks. The first rule that matches a job applies:

    account=aoai-eu, model=gpt-4.1* -> acme-eu/finetune; metadata.team=search -> search datasets=off; account=aoai-test -> off

Before the arrow are conditions, which must all hold. After it is `project`, `entity/project`, or `off` for jobs that are not
mirrored, and optionally `datasets=` with a data policy. Patterns are those of file names (`*`, `?`, `[abc]`), in any
letter case. An absent value matches no pattern, so `suffix=*` matches all jobs with a suffix.

Conditions only use fields that never change in a job. Otherwise a job could have runs in two projects. Rules are not access
control: the author of a job chooses its model, suffix and metadata. Only rules with just `account=` may drop jobs or
loosen the data policy.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from function_app.data.jobs.description import artifact_name, base_model
from function_app.models import DatasetPolicy, Job

OFF = "off"
EXAMPLE = "account=aoai-eu, model=gpt-4.1* -> acme-eu/finetune"

_METADATA = "metadata."
_FIELDS = ("account", "model", "suffix", f"{_METADATA}KEY")
_ARROW = "->"
_NAME = re.compile(r"(?!\.{1,2}\Z)[^/\\#?%:]{1,128}")
"""A project of W&B (wandb.Settings.project), but not "." or "..", which would be another address."""
_REGISTRY = "wandb-registry-"


@dataclass(frozen=True)
class Destination:
    """A W&B project and the data policy for it. Without `entity`, it is the default entity of the API key."""

    entity: str | None
    project: str
    datasets: DatasetPolicy = DatasetPolicy.FULL


@dataclass(frozen=True)
class NotMirrored:
    """A job that is not mirrored; `message` gives the reason."""

    message: str


@dataclass(frozen=True)
class Condition:
    """One field of a job, and the pattern that it must match."""

    field: str
    pattern: str

    def holds(self, job: Job) -> bool:
        """Return whether a job matches. The model matches by its own name or, if it is fine-tuned, by its base model's."""
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
    """One rule of WANDB_ROUTES. Without `project` it drops the jobs; without `entity` or `datasets` the defaults apply."""

    number: int
    text: str
    conditions: tuple[Condition, ...]
    project: str | None
    entity: str | None = None
    datasets: DatasetPolicy | None = None

    @property
    def by_account_only(self) -> bool:
        """Whether the rule uses no field that the author of a job chooses."""
        return all(condition.field == "account" for condition in self.conditions)

    @property
    def needs_metadata(self) -> bool:
        """Whether the rule uses a job's metadata, which Azure only shows on the v1 surface."""
        return any(condition.field.startswith(_METADATA) for condition in self.conditions)


_FROM_LOOSE_TO_STRICT = (DatasetPolicy.FULL, DatasetPolicy.SAMPLE, DatasetPolicy.REFERENCE, DatasetPolicy.OFF)


def stricter(one: DatasetPolicy, other: DatasetPolicy) -> DatasetPolicy:
    """Return the stricter of two policies, which sends less."""
    return max(one, other, key=_FROM_LOOSE_TO_STRICT.index)


def _is_looser(one: DatasetPolicy, other: DatasetPolicy) -> bool:
    return _FROM_LOOSE_TO_STRICT.index(one) < _FROM_LOOSE_TO_STRICT.index(other)


@dataclass(frozen=True)
class Routes:
    """The rules, and the destination of all other jobs."""

    default: Destination
    rules: tuple[Rule, ...] = ()

    def of(self, job: Job) -> Destination | NotMirrored:
        """Return the destination of a job, by the first rule that matches.

        A rule with a condition on a field that the job's author chooses may change the project. It may not drop the job or loosen
        the data policy of the job's account.
        """
        by_account = self._first(job, [rule for rule in self.rules if rule.by_account_only])
        if isinstance(by_account, NotMirrored):
            return by_account
        return self._first(
            job, [rule for rule in self.rules if rule.by_account_only or rule.project], by_account.datasets
        )

    def _first(self, job: Job, rules: Sequence[Rule], most: DatasetPolicy | None = None) -> Destination | NotMirrored:
        """Apply the first rule that matches. `most` limits the policy of rules on fields that the job's author chooses."""
        for rule in rules:
            if all(condition.holds(job) for condition in rule.conditions):
                if rule.project is None:
                    return NotMirrored(f"rule {rule.number} of WANDB_ROUTES drops it ({rule.text})")
                datasets = rule.datasets or self.default.datasets
                if most and not rule.by_account_only:
                    datasets = stricter(datasets, most)
                return Destination(rule.entity or self.default.entity, rule.project, datasets)
        return self.default

    def ignored(self) -> tuple[str, ...]:
        """Return a sentence for each ignored part of a rule, for every tick and for `doctor`."""
        found = []
        for rule in self.rules:
            if rule.by_account_only:
                continue
            if rule.project is None:
                what = "does not drop jobs"
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
    """A registry of the organization. Without `collection`, each family of models has its own collection."""

    name: str
    collection: str | None = None

    @property
    def project(self) -> str:
        """W&B's project name of the registry (W&B, "Link a version to a registry")."""
        return _REGISTRY + self.name

    def collection_of(self, family: str) -> str:
        """The collection that models of this family are linked to."""
        return self.collection or family


def parse_routes(text: str) -> tuple[Rule, ...]:
    """Parse WANDB_ROUTES.

    Raises:
        ValueError: one line for each wrong rule, with its number, its text, the problem and the correction.
    """
    rules, problems = [], []
    for number, rule in enumerate(filter(None, (" ".join(part.split()) for part in re.split(r"[;\n]", text))), start=1):
        try:
            rules.append(_rule(number, rule))
        except ValueError as error:
            problems.append(f"rule {number} ({rule!r}): {error}")
    if problems:
        raise ValueError("\n".join([*problems, f"A rule looks like {EXAMPLE!r}. Separate several rules by ';'."]))
    return tuple(rules)


def parse_registry(text: str) -> Registry:
    """Parse WANDB_REGISTRY: `registry` or `registry/collection`.

    Raises:
        ValueError: it is neither.
    """
    name, slash, collection = text.strip().removeprefix(_REGISTRY).partition("/")
    if slash and (not collection or artifact_name(collection) != collection):
        raise ValueError(
            f"{text!r} is invalid: a collection's name has 1 to 128 letters, digits, '_', '-' and '.', as in 'model/support-bot'"
        )
    checked_name(_REGISTRY + name if name else "")
    return Registry(name, collection or None)


def checked_name(name: str) -> str:
    """Return the name of an entity or a project if it is valid.

    Raises:
        ValueError: the name is not valid.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} is empty, has more than 128 characters, or contains one of / \\ # ? % :, or is . or .."
        )
    return name


def _rule(number: int, text: str) -> Rule:
    conditions, arrow, rest = text.partition(_ARROW)
    if not arrow:
        raise ValueError("there is no '->' between the conditions and the destination")
    *words, datasets = _destination(rest)
    target = " ".join(words)
    if not target:
        raise ValueError("nothing follows '->': add 'project', 'entity/project' or 'off'")
    fields = tuple(_conditions(conditions))
    if target.lower() == OFF:
        if datasets:
            raise ValueError("'off' mirrors nothing, so 'datasets=' has no effect there")
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
        raise ValueError("it has no condition; 'account=*' matches every job")
    seen = set()
    for part in text.split(","):
        field, equals, pattern = (each.strip() for each in part.partition("="))
        name = field.lower() if not field.lower().startswith(_METADATA) else _METADATA + field[len(_METADATA) :]
        if not equals or not pattern:
            raise ValueError(f"{part.strip()!r} is not FIELD=PATTERN, such as 'suffix=scratch*'")
        if name not in _FIELDS[:-1] and not (name.startswith(_METADATA) and name != _METADATA):
            raise ValueError(f"{field!r} is not one of {', '.join(_FIELDS)}")
        if name in seen:
            raise ValueError(f"{field!r} appears twice, but all conditions must hold: write two rules")
        seen.add(name)
        yield Condition(name, pattern)


def _destination(text: str) -> list[str]:
    """Return the words of the destination, then the policy of `datasets=`, which may be empty."""
    words, policy = [], ""
    for word in text.split():
        name, equals, value = word.partition("=")
        if not equals:
            words.append(word)
        elif name.lower() != "datasets":
            raise ValueError(f"{word!r} is not an option; the only one is 'datasets='")
        elif value.lower() not in {each.value for each in DatasetPolicy}:
            raise ValueError(f"{word!r} is invalid: datasets must be one of {', '.join(DatasetPolicy)}")
        else:
            policy = value.lower()
    return [*words, policy]
