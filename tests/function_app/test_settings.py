"""Settings: what is accepted, and one clear error for what is not."""

import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from function_app.data.jobs.prices import Price
from function_app.data.routes import Destination, Registry, Routes
from function_app.data.wandb_server import pages_of
from function_app.errors import SettingsError
from function_app.models import DatasetPolicy
from function_app.settings import Settings
from function_app.shared_rules import check_schedule, wandb_server

GOOD = {"AZURE_OPENAI_ENDPOINTS": "https://a.openai.azure.com/", "WANDB_API_KEY": "k" * 40}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("AZURE_OPENAI_ENDPOINT", *map(str.upper, Settings.model_fields)):
        monkeypatch.delenv(name, raising=False)
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_the_defaults_are_those_of_the_design(environment: pytest.MonkeyPatch) -> None:
    settings = Settings.load()
    assert settings.api_versions == ("2025-04-01-preview", "2024-10-21")
    assert settings.routes == Routes(Destination(None, "OpenAI-Fine-Tune", DatasetPolicy.FULL))
    assert (settings.wandb_registry, settings.wandb_secret_name) == (None, "wandb-api-key")
    assert settings.sync_schedule == "0 */2 * * * *"


@pytest.mark.parametrize(
    ("name", "wrong", "words"),
    [
        *(
            ("AZURE_OPENAI_API_KEY", wrong, "a character that no key has")
            for wrong in ("kk\nkk", "kk kk", "kkkk\u00e9")
        ),
        ("OPENAI_API_KEY", "kk kk", "a character that no key has"),
        ("WANDB_API_KEY", "k" * 20 + "\n" + "k" * 20, "white space"),
    ],
)
def test_a_wrong_key_is_never_quoted(environment: pytest.MonkeyPatch, name: str, wrong: str, words: str) -> None:
    """HTTP clients quote a header that they refuse to send. White space around a key is ignored."""
    environment.setenv(name, " " + "k" * 40 + "\r\n")
    assert getattr(Settings.load(), name.lower()).get_secret_value() == "k" * 40
    environment.setenv(name, wrong)
    with pytest.raises(SettingsError, match=words) as caught:
        Settings.load()
    assert "kk" not in str(caught.value)


def test_the_deployed_app_sends_references_by_default(environment: pytest.MonkeyPatch) -> None:
    assert not Settings.load().datasets_chosen
    assert Settings.load().deployed().routes.default.datasets is DatasetPolicy.REFERENCE
    environment.setenv("SYNC_DATASETS", "full")
    assert Settings.load().datasets_chosen
    assert Settings.load().deployed().sync_datasets is DatasetPolicy.FULL


def test_the_variable_name_of_the_guides_for_azures_key_is_accepted(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("AZURE_OPENAI_KEY", "of-the-guide")
    assert Settings.take().azure_openai_api_key == SecretStr("of-the-guide")
    assert "AZURE_OPENAI_KEY" not in os.environ  # as what the process starts would inherit it


def test_prices_are_a_table_or_the_path_of_one(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    table = '[{"model": "gpt-4.1*", "per_million_tokens": 3}]'
    (tmp_path / "prices.json").write_text(table)
    for value in (table, str(tmp_path / "prices.json")):
        environment.setenv("FINE_TUNING_PRICES", value)
        assert Settings.load().fine_tuning_prices == (Price("gpt-4.1*", per_million_tokens=3),)


@pytest.mark.parametrize("separator", [",", " ", "\n", " , ", ";"])
def test_one_setting_may_contain_several_endpoints(environment: pytest.MonkeyPatch, separator: str) -> None:
    endpoints = ("https://a.openai.azure.com/", "https://b.openai.azure.us/")
    environment.setenv("AZURE_OPENAI_ENDPOINTS", separator.join(endpoints))
    assert Settings.load().azure_openai_endpoints == endpoints


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("AZURE_OPENAI_ENDPOINTS", "a.openai.azure", "AZURE_OPENAI_ENDPOINTS: 'a.openai.azure' is not an address"),
        ("AZURE_OPENAI_ENDPOINTS", "", "AZURE_OPENAI_ENDPOINTS is not set"),
        ("AZURE_OPENAI_ENDPOINTS", "https://evil.example/", "evil.example is not a host of Azure"),
        ("AZURE_OPENAI_ENDPOINTS", "https://eastus.api.cognitive.microsoft.com", "accepts API keys only"),
        ("AZURE_OPENAI_ENDPOINTS", "https://a.openai.azure.com https://a.openai.azure.us", "would have the name a"),
        ("KEY_VAULT_URL", "kv-ml", "KEY_VAULT_URL: 'kv-ml' is not an address"),
        ("KEY_VAULT_URL", "https://kv.evil.example/", "AZURE_TRUSTED_HOSTS"),
        ("KEY_VAULT_URL", "https://evilvault.azure.net/", "is not a host of Azure"),
        ("WANDB_API_KEY", "", "KEY_VAULT_URL is not set"),
        ("SYNC_DATASETS", "some", "SYNC_DATASETS"),
        ("SYNC_CONCURRENCY", "0", "SYNC_CONCURRENCY"),
        ("SYNC_CONCURRENCY", "many", "SYNC_CONCURRENCY"),
        ("ALERT_OVERDUE_MINUTES", "-1", "ALERT_OVERDUE_MINUTES"),
        ("FINE_TUNING_PRICES", "no such file", "FINE_TUNING_PRICES: the price table 'no such file' cannot be read"),
        ("WANDB_MODEL_ARTIFACT_NAME", "a/b", "WANDB_MODEL_ARTIFACT_NAME: 'a/b' is not a valid artifact name"),
        ("AZURE_OPENAI_API_VERSION", "latest", "AZURE_OPENAI_API_VERSION: 'latest' is not v1, auto or a date"),
        ("WANDB_PROJECT", "a/b", "WANDB_PROJECT"),
        ("WANDB_PROJECT", "..", "WANDB_PROJECT"),
        ("WANDB_ROUTES", "account=a -> x; suffix -> off", "WANDB_ROUTES: rule 2 ('suffix -> off'): 'suffix' is not"),
        ("WANDB_REGISTRY", "model/a b", "WANDB_REGISTRY: 'model/a b' is invalid: a collection's name has"),
        ("WANDB_BASE_URL", "wandb.acme.example", "WANDB_BASE_URL: 'wandb.acme.example' is not an address"),
        ("WANDB_BASE_URL", "https://wandb..acme.example", "'https://wandb..acme.example' is not an address"),
    ],
)
def test_an_invalid_setting_is_explained(environment: pytest.MonkeyPatch, name: str, value: str, words: str) -> None:
    environment.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        Settings.load()
    assert words in caught.value.message
    assert caught.value.hint


def test_a_gateway_gets_tokens_if_it_is_named(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("AZURE_OPENAI_ENDPOINTS", "https://apim.acme.example/ https://a.openai.azure.us")
    environment.setenv("AZURE_TRUSTED_HOSTS", "APIM.acme.example")
    assert Settings.load().azure_openai_endpoints == ("https://apim.acme.example/", "https://a.openai.azure.us/")


def test_routes_and_registry_are_read(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("WANDB_ENTITY", "acme")
    environment.setenv("WANDB_ROUTES", "account=aoai-eu -> acme-eu/finetune datasets=off")
    environment.setenv("WANDB_REGISTRY", "model/support-bot")
    settings = Settings.load()
    assert settings.routes.default == Destination("acme", "OpenAI-Fine-Tune", DatasetPolicy.FULL)
    [rule] = settings.routes.rules
    assert (rule.entity, rule.project, rule.datasets) == ("acme-eu", "finetune", DatasetPolicy.OFF)
    assert settings.wandb_registry == Registry("model", "support-bot")


def test_rules_on_metadata_need_the_surface_that_shows_it(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("WANDB_ROUTES", "metadata.team=search -> search")
    assert Settings.load().api_versions == ("v1",)
    environment.setenv("AZURE_OPENAI_API_VERSION", "2025-04-01-preview")
    with pytest.raises(SettingsError, match="does not show in AZURE_OPENAI_API_VERSION 2025-04-01-preview: set it"):
        Settings.load()


def _judged(schedule: str) -> str:
    """Return the host's verdict as we foresee it; "misleading" for what it accepts and we refuse."""
    try:
        check_schedule(schedule)
    except ValueError as error:
        if "never comes" in str(error):
            return "never"
        return "misleading" if re.search("counts down|has no effect", str(error)) else "NO"
    return "cron"


def test_schedules_are_accepted_and_refused_as_by_the_host() -> None:
    """Time spans are refused, and so is what the host accepts and reads as something else."""
    wrong = {}
    for line in (Path(__file__).parent / "ncrontab.tsv").read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        schedule, verdict, times = line.split("\t")
        expected = "never" if times == "never" else "cron" if verdict == "cron" else "NO"
        judged = _judged(schedule)
        if judged != expected and (judged, expected) not in {("misleading", "cron"), ("misleading", "NO")}:
            wrong[schedule] = judged
    assert wrong == {}


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ("0 0 22-6 * * *", "Write 22-23,0-6 for the hour"),
        ("0 0 22-6/2 * * *", "Write 22,0,2,4,6 for the hour"),
        ("0 0 0 * * sat-sun", "Write 6,0 for the weekday"),
        ("0 */90 * * * *", "Write 0 for the minute"),
        ("0 */0 * * * *", r"Write \* for the minute"),
        ("0 0 0 * * 7", "Sunday is 0"),
        ("0 0 0 30 feb *", "day 30 of month feb"),
        ("0\t*/2 * * * *", "tab or line break"),
        ("00:02:00", r"time span.*'0 \*/2 \* \* \* \*'"),
        ("24:00:00", "time span"),
        ("00:60:00", "time span"),
        ("*/2 * * * *", "has 5 fields"),
    ],
)
def test_the_error_for_a_schedule_suggests_the_right_spelling(schedule: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_schedule(schedule)


def test_a_schedule_for_the_29th_of_february_has_a_next_time() -> None:
    check_schedule("0 0 0 29 2 Monday")


@given(st.text(max_size=30))
def test_any_text_gives_a_schedule_or_a_clear_error(schedule: str) -> None:
    endpoints, key = ("https://a.openai.azure.com",), SecretStr("k")
    try:
        Settings(azure_openai_endpoints=endpoints, wandb_api_key=key, sync_schedule=schedule)
    except ValidationError as error:
        problems = error.errors()
        assert [problem["loc"] for problem in problems] == [("sync_schedule",)]


@pytest.mark.parametrize(
    "server",
    [
        "https://api.wandb.ai",
        "https://api.forge.coreweave.com",
        "https://api.qa.wandb.ai",
        "https://api.acme.com",
        "https://acme.wandb.io:8443",
        "http://localhost:8080",
    ],
)
def test_the_pages_of_a_server_are_where_the_sdk_says(server: str) -> None:
    from wandb.util import api_to_app_url

    assert pages_of(server) == api_to_app_url(server)


@pytest.mark.parametrize(
    ("given", "server"),
    [
        ("https://wandb.ai", "https://api.wandb.ai"),
        ("https://wandb.ai/acme/fine-tuning", "https://api.wandb.ai"),
        (" https://api.wandb.ai/\n", "https://api.wandb.ai"),
        ("https://forge.coreweave.com/wandb", "https://api.forge.coreweave.com"),
        ("https://API.Forge.CoreWeave.com", "https://api.forge.coreweave.com"),
        ("https://acme.wandb.io:8443/", "https://acme.wandb.io:8443"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("http://localhost:8080", "http://localhost:8080"),
    ],
)
def test_a_wandb_server_has_one_spelling(given: str, server: str) -> None:
    assert wandb_server(given) == server


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("https://acme.wandb.io/wandb", "which is https://acme.wandb.io"),
        ("https://acme.wandb.io?x=hidden", "which is https://acme.wandb.io"),
        ("https://me:hidden@acme.wandb.io", "it is https://acme.wandb.io"),
        ("acme.wandb.io", "not an address"),
        ("https://acme.wandb.io:port", "not an address"),
        ("ftp://acme.wandb.io", "not an address"),
        ("http://acme.wandb.io", "use https"),
        ("http://127.0.0.1.acme.example:8080", "use https"),
        ("http://acme.localhost:8080", "use https"),
        ("http://169.254.169.254", "use https"),
    ],
)
def test_a_wrong_server_is_refused_with_the_right_one(environment: pytest.MonkeyPatch, given: str, words: str) -> None:
    environment.setenv("WANDB_BASE_URL", given)
    with pytest.raises(SettingsError, match=words) as caught:
        Settings.load()
    assert "hidden" not in str(caught.value)
