"""Child processes of our commands do not inherit the user's keys."""

import os

import pytest
from pydantic import SecretStr

from function_app.errors import SettingsError
from function_app.settings import Settings

KEYS = {"WANDB_API_KEY": "a" * 40, "AZURE_OPENAI_API_KEY": "b" * 32, "OPENAI_API_KEY": "sk-c"}


@pytest.fixture(autouse=True)
def _given(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINTS", "https://aoai-ml.openai.azure.com/")


def test_keys_are_removed_from_the_environment_once_they_are_read() -> None:
    assert Settings.take().wandb_api_key == SecretStr(KEYS["WANDB_API_KEY"])
    assert not KEYS.keys() & os.environ.keys()


def test_keys_are_removed_even_if_another_setting_is_invalid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNC_CONCURRENCY", "many")
    with pytest.raises(SettingsError):
        Settings.take()
    assert not KEYS.keys() & os.environ.keys()


def test_keys_stay_in_the_environment_of_a_users_process() -> None:
    Settings.load()
    assert KEYS.items() <= os.environ.items()
