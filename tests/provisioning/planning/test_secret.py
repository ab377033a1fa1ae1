"""When setup writes the secret, and what plans say of the key and of its expiry."""

from datetime import timedelta

import pytest
from pydantic import SecretStr

from provisioning.models import KeyState, Secret, SecretState
from provisioning.planning.secret import SOON, expiry_warning, key_state

from .states import NOW, found, in_place, lines, planned

UNSEEN = "unless the vault already holds it, which you cannot see yet"
LIVES = "expires 2026-08-29"
NEW = f"change: a new version with the W&B key; {LIVES}"
RECOVERED = f"change: recover it, and write a new version if it holds another key; {LIVES}"


@pytest.mark.parametrize(
    ("state", "key", "line"),
    [
        (SecretState.PRESENT, KeyState.SAME, "ok: holds this key; does not expire"),
        (SecretState.PRESENT, KeyState.NONE, "ok: present (no key given to compare with); does not expire"),
        (SecretState.PRESENT, KeyState.OTHER, f"{NEW} ! the vault holds another value; its version stays readable"),
        (SecretState.DISABLED, KeyState.OTHER, f"{NEW} ! the current version is disabled; the new one can be read"),
        (SecretState.DELETED, KeyState.OTHER, RECOVERED),
        (SecretState.MISSING, KeyState.OTHER, f"add: the W&B key; {LIVES}"),
        (SecretState.MISSING, KeyState.NONE, f"add: the W&B key; {LIVES} (setup asks for the key)"),
        (SecretState.UNKNOWN, KeyState.OTHER, f"add: the W&B key; {LIVES} ({UNSEEN})"),
    ],
)
def test_the_secret_is_written_only_if_it_differs(state: SecretState, key: KeyState, line: str) -> None:
    assert lines(planned(found(secret=state), key))[-1].replace(" secret wandb-api-key", "") == line


def test_a_lifetime_of_none_means_no_expiry() -> None:
    assert planned(found(), secret_lifetime=None).steps[-1].detail == "the W&B key; does not expire"


@pytest.mark.parametrize(
    ("left", "expected"),
    [
        (None, ""),
        (SOON + timedelta(seconds=1), ""),
        (SOON, "it expires in 30 days; it can be read after that, too. "),
        (timedelta(days=1.6), "it expires in 2 days; it can be read after that, too. "),
        (timedelta(hours=1), "it expires in 1 day; it can be read after that, too. "),
        (timedelta(0), "it expired on 2026-03-02; it can still be read. "),
        (timedelta(days=-3), "it expired on 2026-02-27; it can still be read. "),
    ],
)
def test_an_expiry_within_thirty_days_is_a_warning(left: timedelta | None, expected: str) -> None:
    assert expiry_warning(None if left is None else NOW + left, NOW) == expected + (
        "`rotate-key` stores a new key; `setup --secret-lifetime TIME` gives this one longer" * bool(expected)
    )


def test_a_key_is_compared_with_what_could_be_read() -> None:
    key = SecretStr("k")
    assert key_state(Secret(SecretState.PRESENT, SecretStr("k")), key) is KeyState.SAME
    assert key_state(Secret(SecretState.PRESENT, SecretStr("x")), key) is KeyState.OTHER
    assert key_state(Secret(SecretState.UNKNOWN), key) is KeyState.OTHER
    assert key_state(Secret(SecretState.PRESENT, key), None) is KeyState.NONE


def test_no_plan_holds_the_key() -> None:
    observed = in_place(secret=Secret(SecretState.PRESENT, SecretStr("very-secret")))
    assert "very-secret" not in repr(planned(observed)) + repr(observed)
