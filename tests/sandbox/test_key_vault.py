"""Secrets as clients see them: versions, what blocks a read, what is refused and with which inner code."""

from typing import Any

import pytest
from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError

from tests.conftest import Load
from tests.sandbox.azure import inner_code, secrets, tenant_of

KEY = {"name": "key", "value": "k" * 40}


def officer(*vaults: dict[str, Any], **rest: Any) -> dict[str, Any]:
    return tenant_of(*vaults, role="Key Vault Secrets Officer", **rest)


def vault(*kept: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": "kv-ml", "rbac": True, "secrets": list(kept), **more}


def test_a_name_is_occupied_while_deleted_while_being_deleted_and_while_being_recovered(load: Load) -> None:
    load(officer(vault({**KEY, "deleted": True}, {"name": "other", "value": "v"}), transitions={"recover_reads": 3}))

    def refusal(name: str) -> str:
        with pytest.raises(ResourceExistsError) as refused:
            secrets().set_secret(name, "n" * 40)
        return inner_code(refused.value)

    assert refusal("key") == "ObjectIsDeletedButRecoverable"
    with pytest.raises(ResourceNotFoundError):
        secrets().get_secret("key")
    secrets().begin_delete_secret("other")
    assert refusal("other") == "ObjectIsBeingDeleted"
    poller = secrets().begin_recover_deleted_secret("key", _polling_interval=0.01)
    assert refusal("key") == "ObjectIsBeingRecovered"
    poller.wait()
    assert secrets().get_secret("key").value == "k" * 40
    assert secrets().set_secret("key", "n" * 40).value == "n" * 40
