"""The training methods of each base model, as the services list them on 2026-11-30. Models that are not listed are not judged.

OpenAI: fine-tuning guides (the platform accepts no new jobs after 2027-01-06). Azure: Models that support fine-tuning. A
fine-tuned model can be trained further by the methods of its base model.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from function_app.authoring.checking.rules import Service
from function_app.models import Method

_SFT, _DPO, _RFT = Method.SUPERVISED, Method.DPO, Method.REINFORCEMENT


@dataclass(frozen=True)
class BaseModel:
    """The methods of one model on one service, and whether it can be trained with images."""

    methods: frozenset[Method]
    images: bool = False


def _model(*methods: Method, images: bool = False) -> BaseModel:
    return BaseModel(frozenset(methods), images)


BASE_MODELS: Mapping[Service, Mapping[str, BaseModel]] = {
    Service.OPENAI: {
        "gpt-4.1": _model(_SFT, _DPO),
        "gpt-4.1-mini": _model(_SFT, _DPO),
        "gpt-4.1-nano": _model(_SFT, _DPO),
        "gpt-4o": _model(_SFT, images=True),
        "gpt-4o-mini": _model(_SFT),
        "o4-mini": _model(_RFT),
    },
    Service.AZURE: {
        "gpt-4.1": _model(_SFT, _DPO, images=True),
        "gpt-4.1-mini": _model(_SFT, _DPO),
        "gpt-4.1-nano": _model(_SFT, _DPO),
        "gpt-4o": _model(_SFT, _DPO, images=True),
        "gpt-4o-mini": _model(_SFT),
        "o4-mini": _model(_RFT),
        "gpt-5": _model(_RFT),
        "ministral-3b": _model(_SFT),
        "qwen-32b": _model(_SFT),
        "llama-3.3-70b-instruct": _model(_SFT),
        "gpt-oss-20b": _model(_SFT),
        "qwen3-32b": _model(_SFT),
    },
}


_OPEN_WEIGHT = ("ministral-", "qwen", "llama-", "gpt-oss-", "muse-")
"""Prefixes of the names of open-weight models that Foundry trains. No page lists which methods the newer ones support.
"""


def is_open_weight(name: str) -> bool:
    """Return whether a model is an open-weight one. Microsoft documents these with Global and data zone training only."""
    return name.rpartition("/")[2].lower().startswith(_OPEN_WEIGHT)


def base_models_of(name: str, service: Service | None) -> list[BaseModel]:
    """Return the entries for a model on one service, or on both; empty for an unknown model.

    Args:
        name: a base model with or without its date, or a fine-tuned one (`ft:BASE:…`, `BASE.ft-…`).
        service: None for a model that may be on either.
    """
    base = name.split(":")[1] if name.startswith("ft:") and name.count(":") > 1 else name.partition(".ft-")[0]
    found = []
    for models in [BASE_MODELS[service]] if service else BASE_MODELS.values():
        names = [known for known in models if base.lower() == known or base.lower().startswith(f"{known}-20")]
        found += [models[known] for known in names]
    return found
