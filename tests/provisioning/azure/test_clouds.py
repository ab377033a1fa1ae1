"""All clouds work with one setting; the hosts of resources come from the resources."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import pytest

from sandbox.azure.tenant import CLOUDS, CloudNames
from sandbox.cloud import Cloud
from tests.provisioning import chain
from tests.provisioning.bench import GOOD_KEY, OPERATOR_ENV
from tests.provisioning.conftest import Call

NAMES = {"us government": "AzureUSGovernment", "china": "AzureChinaCloud"}
each_cloud = pytest.mark.parametrize("name", list(NAMES))


def inside(name: str) -> Mapping[str, str]:
    return OPERATOR_ENV | {"AZURE_CLOUD": NAMES[name], "WANDB_API_KEY": GOOD_KEY, "AZURE_FUNCTION_APP": "func-ml"}


def document(call: Call, *argv: str, env: Mapping[str, str]) -> dict[str, Any]:
    result = call(*argv, "-o", "json", env=env)
    assert result.returncode == 0, result.stdout + result.stderr
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


def hosts(cloud: Cloud) -> set[str]:
    """The hosts of all requests except those to W&B."""
    return {urlsplit(e.request["url"]).hostname or "" for e in cloud.world.trace.exchanges if e.service != "wandb"}


def of(names: CloudNames) -> set[str]:
    return {
        names.login,
        names.arm,
        names.graph,
        names.logs,
        f"kv-ml.{names.vault_suffix}",
        f"aoai-ml.{names.openai_suffix}",
    }


@each_cloud
def test_printed_commands_name_the_cloud(cloud: Cloud, call: Call, name: str) -> None:
    chain.put(cloud, cloud=name, secret=None)
    env = {key: value for key, value in inside(name).items() if key != "AZURE_CLOUD"}
    result = call("doctor", "--cloud", NAMES[name], env=env)
    assert f"-m provisioning setup --cloud {NAMES[name]} --subscription" in result.stdout + result.stderr


@each_cloud
def test_setup_works_in_every_cloud(cloud: Cloud, call: Call, name: str) -> None:
    names = CLOUDS[name]
    fresh: Any = {"vault": {"rbac": None}, "account": {"system_identity": False}, "secret": None, "app": None}
    chain.put(cloud, cloud=name, **fresh, without=(("operator", "Key Vault Secrets Officer"),))
    done = document(call, "setup", "--yes", "--propagation-wait", "0", env=inside(name))
    assert done["settings"] == {
        "AZURE_OPENAI_ENDPOINTS": f"https://aoai-ml.{names.openai_suffix}/",
        "KEY_VAULT_URL": f"https://kv-ml.{names.vault_suffix}/",
        "WANDB_SECRET_NAME": "wandb-api-key",
        "WANDB_ENTITY": "acme",
    }
    assert document(call, "status", env=inside(name))["in_place"] is True
    assert hosts(cloud) <= of(names)


@each_cloud
def test_doctor_works_in_every_cloud(cloud: Cloud, call: Call, name: str) -> None:
    names = CLOUDS[name]
    chain.put(cloud, cloud=name)
    checks = document(call, "doctor", env=inside(name))["checks"]
    assert {each["state"] for each in checks} == {"ok"}, checks
    assert hosts(cloud) <= of(names)
    assert f"aoai-ml.{names.openai_suffix}" in hosts(cloud)


def test_the_cloud_of_the_sdks_is_the_default(cloud: Cloud, call: Call) -> None:
    chain.put(cloud, cloud="us government")
    env = OPERATOR_ENV | {"AZURE_SDK_CLOUD_CONF": "AZURE_US_GOVERNMENT"}
    assert document(call, "status", env=env)["in_place"] is True
