"""Where jobs go: the rules, as people write them and as they are applied."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from function_app.data.routes import Destination, NotMirrored, Registry, Routes, parse_registry, parse_routes
from function_app.models import DatasetPolicy, Job

HOME = Destination("acme", "OpenAI-Fine-Tune", DatasetPolicy.SAMPLE)


def a_job(**values: object) -> Job:
    return replace(Job("ftjob-1", "aoai-us", "running", "gpt-4o-2024-08-06", 1, "file-1"), **values)  # type: ignore[arg-type]


def goes(text: str, **values: object) -> Destination | NotMirrored:
    return Routes(HOME, parse_routes(text)).of(a_job(**values))


RULES = """
    account=aoai-eu, model=gpt-4.1* -> acme-eu/finetune
    metadata.team=search -> search datasets=off; account=scratch* -> off
    account=aoai-eu -> acme-eu/other things DATASETS=full;
"""


@pytest.mark.parametrize(
    ("values", "where"),
    [
        ({}, HOME),
        ({"account": "aoai-eu", "model": "gpt-4.1-2025"}, Destination("acme-eu", "finetune", DatasetPolicy.SAMPLE)),
        ({"account": "AOAI-EU", "model": "GPT-4.1"}, Destination("acme-eu", "finetune", DatasetPolicy.SAMPLE)),
        ({"account": "aoai-eu"}, Destination("acme-eu", "other things", DatasetPolicy.FULL)),
        ({"account": "aoai-eu-2"}, HOME),
        ({"metadata": {"team": "search"}}, Destination("acme", "search", DatasetPolicy.OFF)),
        ({"metadata": {"Team": "search"}}, HOME),
        ({"metadata": {"team": "search"}, "suffix": "any"}, Destination("acme", "search", DatasetPolicy.OFF)),
    ],
)
def test_the_first_rule_that_fits_counts_and_then_the_default(values: dict[str, object], where: Destination) -> None:
    assert goes(RULES, **values) == where


def test_the_rule_that_drops_a_job_is_named() -> None:
    left_out = goes(RULES, account="Scratch-7")
    assert isinstance(left_out, NotMirrored)
    assert left_out.message == "rule 3 of WANDB_ROUTES drops it (account=scratch* -> off)"


def test_a_condition_on_a_missing_property_is_false() -> None:
    assert goes("suffix=* -> other") == goes("metadata.team=* -> other") == HOME
    assert goes("suffix=* -> other", suffix="s") == replace(HOME, project="other")


@pytest.mark.parametrize("chosen", ["suffix=s*", "metadata.team=a", "model=gpt*", "account=aoai-us, suffix=s*"])
def test_values_chosen_by_a_jobs_author_neither_drop_the_job_nor_loosen_its_policy(chosen: str) -> None:
    job = {"suffix": "s", "metadata": {"team": "a"}}
    assert goes(f"{chosen} -> off", **job) == HOME
    assert goes(f"{chosen} -> x datasets=full", **job) == replace(HOME, project="x")
    assert goes(f"{chosen} -> x datasets=off", **job) == Destination("acme", "x", DatasetPolicy.OFF)
    strict = "account=aoai-us -> mine datasets=reference"
    assert goes(f"{chosen} -> x; {strict}", **job) == Destination("acme", "x", DatasetPolicy.REFERENCE)
    assert isinstance(goes(f"{chosen} -> x; account=aoai-us -> off", **job), NotMirrored)
    ignored = Routes(HOME, parse_routes(f"{chosen} -> off; {chosen} -> x datasets=full; {strict}")).ignored()
    assert [text.split(" (")[0] for text in ignored] == ["Rule 1 of WANDB_ROUTES", "Rule 2 of WANDB_ROUTES"]


@pytest.mark.parametrize("model", ["gpt-4.1-2025-04-14.ft-70ee3e-chart", "ft:gpt-4.1-2025-04-14:acme:chart:9aBc"])
def test_a_rule_matches_a_fine_tuned_model_by_its_base_model_and_by_its_name(model: str) -> None:
    assert goes("model=gpt-4.1-2025-04-14 -> x", model=model) == replace(HOME, project="x")
    assert goes("model=*chart* -> x", model=model) == replace(HOME, project="x")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("suffix=a* off", "rule 1 ('suffix=a* off'): there is no '->'"),
        ("account=a -> x; suffix s* -> off", "rule 2 ('suffix s* -> off'): 'suffix s*' is not FIELD="),
        ("suffix= -> off", "'suffix=' is not FIELD=PATTERN"),
        ("account=a, -> off", "'' is not FIELD=PATTERN"),
        ("-> off", "no condition; 'account=*' matches every job"),
        ("region=eu -> x", "'region' is not one of account, model, suffix, metadata.KEY"),
        ("metadata.=x -> x", "'metadata.' is not one of"),
        ("account=a, Account=b -> x", "'Account' appears twice"),
        ("account=a ->", "nothing follows '->'"),
        ("account=a -> datasets=off", "nothing follows '->'"),
        ("account=a -> x dataset=off", "'dataset=off' is not an option"),
        ("account=a -> x datasets=some", "datasets must be one of full, sample, reference, off"),
        ("account=a -> off datasets=full", "'datasets=' has no effect"),
        ("account=a -> a/b/c", "'a/b' is empty, has more than 128"),
        ("account=a -> a/", "'' is empty"),
        ("account=a -> /b", "'' is empty"),
        ("account=a -> what?", "'what?' is empty, has more than 128 characters, or contains one of"),
    ],
)
def test_an_invalid_rule_is_quoted_with_the_mistake_and_an_example(text: str, words: str) -> None:
    with pytest.raises(ValueError, match="A rule looks like 'account=aoai-eu") as caught:
        parse_routes(text)
    assert words in str(caught.value)


@given(st.text("acount=*->, ;/\n.odfmel", max_size=40))
def test_any_text_gives_rules_or_a_clear_error(text: str) -> None:
    try:
        rules = parse_routes(text)
    except ValueError:
        return
    assert [rule.number for rule in rules] == list(range(1, len(rules) + 1))
    Routes(HOME, rules).of(a_job(suffix="s", metadata={"a": "b"}))


@pytest.mark.parametrize(
    ("text", "registry"),
    [
        ("model", Registry("model")),
        (" model/support-bot ", Registry("model", "support-bot")),
        ("wandb-registry-model/support-bot", Registry("model", "support-bot")),
    ],
)
def test_a_registry_may_have_a_collection(text: str, registry: Registry) -> None:
    assert parse_registry(text) == registry
    assert registry.project == "wandb-registry-model"
    assert registry.collection_of("family") == (registry.collection or "family")


@pytest.mark.parametrize("text", ["", "/a", "model/", "model/a/b", "model/a b", "mod:el"])
def test_an_invalid_registry_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is empty|letters, digits"):
        parse_registry(text)
