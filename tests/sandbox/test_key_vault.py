"""Secrets as clients see them: versions, what blocks a read, what is refused and with which inner code."""

from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError

from tests.sandbox.azure import Load, inner_code, secrets, tenant_of

KEY = {"name": "key", "value": "k" * 40}


def officer(*vaults: dict[str, Any], **rest: Any) -> dict[str, Any]:
    return tenant_of(*vaults, role="Key Vault Secrets Officer", **rest)


def vault(*kept: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": "kv-ml", "rbac": True, "secrets": list(kept), **more}


def test_versions_are_listed_in_pages_by_name_and_not_by_age(load: Load) -> None:
    load(officer(vault({"name": "key", "versions": [{"value": str(n)} for n in range(30)]})))
    listed = [p.version or "" for p in secrets().list_properties_of_secret_versions("key", max_page_size=7)]
    assert len(listed) == 30
    assert listed == sorted(listed)
    assert secrets().get_secret("key").value == "29"


def test_an_older_version_can_be_disabled_while_the_latest_goes_on(load: Load) -> None:
    load(officer(vault(KEY)))
    old = secrets().get_secret("key").properties.version
    secrets().set_secret("key", "n" * 40, tags={"rotated": "yes"})
    updated = secrets().update_secret_properties("key", old, enabled=False, tags={"retired": "yes"})
    assert (updated.enabled, updated.tags) == (False, {"retired": "yes"})
    with pytest.raises(HttpResponseError, match="disabled secret") as refused:
        secrets().get_secret("key", old)
    assert (refused.value.status_code, inner_code(refused.value)) == (403, "SecretDisabled")
    latest = secrets().get_secret("key")
    assert (latest.value, latest.properties.tags) == ("n" * 40, {"rotated": "yes"})


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


def test_a_purge_is_refused_in_a_protected_vault_and_otherwise_frees_the_name(load: Load) -> None:
    gone = {**KEY, "deleted": True}
    role = {"role": "Key Vault Administrator"}
    load(tenant_of(vault(gone, purge_protection=True), {**vault(gone), "name": "kv-2"}, **role))
    with pytest.raises(HttpResponseError, match="purge protection is enabled"):
        secrets().purge_deleted_secret("key")
    secrets("kv-2").purge_deleted_secret("key")
    assert secrets("kv-2").set_secret("key", "n").value == "n"


@pytest.mark.parametrize(
    ("rules", "code", "says"),
    [
        ({"firewall": True}, "ForbiddenByFirewall", "Client address is not authorized"),
        ({"firewall": True, "ip_rules": ["198.51.100.0/24"]}, "ForbiddenByFirewall", "Client address: 203.0.113.7"),
        (
            {"public_network": False, "ip_rules": ["203.0.113.7"]},
            "ForbiddenByConnection",
            "Public network access is disabled",
        ),
    ],
)
def test_network_rules_are_checked_before_any_right(load: Load, rules: dict[str, Any], code: str, says: str) -> None:
    load(officer(vault(KEY, **rules)))
    with pytest.raises(HttpResponseError, match=says) as refused:
        secrets().get_secret("key")
    assert (refused.value.status_code, inner_code(refused.value)) == (403, code)
