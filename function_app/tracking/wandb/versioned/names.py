"""Names of artifacts. W&B gives each name one type, and any member of the project may use a name first for something else."""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Any

from function_app.data.fields import Fields, text
from function_app.errors import WandbError
from function_app.tracking.wandb.api import Question, WandbApi

LOGGED, LINKED = "ArtifactSequence", "ArtifactPortfolio"
"""Collections that versions are logged to, and those that they are linked to, as in a registry."""

_NUMBERED = range(2, 10)
_SECRET = range(3)
_LONGEST = 126  # characters of a name, with room for the number of a substitute
_DIGEST = 12


def collection_types(names: Sequence[str], prefix: str) -> Question:
    """Return the question for the types of the collections with these names; `usable_names` reads the answer. Two such questions
    in one request need different prefixes.
    """
    keys = {f"{prefix}{number}": name for number, name in enumerate(names)}
    fields = (
        f"{key}: artifactCollection(name: ${key}) {{ __typename defaultArtifactType {{ name }} }}" for key in keys
    )
    return Question("\n".join(fields), {key: ("String!", name) for key, name in keys.items()})


def usable_names(
    api: WandbApi, project: Mapping[str, Any], names: Sequence[str], prefix: str, kind: str, sort: str = LOGGED
) -> tuple[dict[str, str], list[str]]:
    """Return for each name the one to use, and a warning for each name that others use for another type.

    The substitutes of NAME are NAME.2 to NAME.9, so that the next session finds the same one, then names that only holders of
    the W&B key can compute, so that nobody else can take all of them. Those change with the key.

    Args:
        api: the project.
        project: the answers, to `collection_types` among others.
        names: as in the question.
        prefix: as in the question.
        kind: our type of artifact.
        sort: `LOGGED` or `LINKED`.

    Raises:
        WandbError: all substitutes are taken, too.
    """
    chosen = {name: name for name in names}
    warnings = []
    for number, name in enumerate(names):
        found = Fields(project.get(f"{prefix}{number}"))
        if _is_free(found, kind, sort):
            continue
        others = [f"{name[:_LONGEST]}.{each}" for each in _NUMBERED]
        others += api.with_key(lambda key, name=name: _secret_names(key, name))  # type: ignore[misc] # called at once
        answers = api.ask("ProjectArtifactCollection", collection_types(others, "s"))
        free = (each for at, each in enumerate(others) if _is_free(Fields(answers.get(f"s{at}")), kind, sort))
        chosen[name] = next(free, "")
        where = f"{api.entity}/{api.project}"
        if not chosen[name]:
            raise WandbError(
                f"{where} uses the artifact name {name!r}, and its substitutes, for a type other than {kind!r}.",
                "Somebody made these artifacts. Delete them in W&B.",
            )
        warnings.append(
            f"The {kind} is in the artifact {chosen[name]!r} instead of {name!r}, because {where} uses that name for"
            f" the type {_type(found) or 'unknown'!r}."
        )
    return chosen, warnings


def _secret_names(key: str, name: str) -> list[str]:
    digests = (hmac.new(key.encode(), f"{name}.{each}".encode(), hashlib.sha256).hexdigest() for each in _SECRET)
    return [f"{name[: _LONGEST - _DIGEST]}.{digest[:_DIGEST]}" for digest in digests]


def _is_free(found: Fields, kind: str, sort: str) -> bool:
    return not found or (found.read("__typename", text), _type(found)) == (sort, kind)


def _type(found: Fields) -> str:
    return found.fields("defaultArtifactType").read("name", text) or ""
