"""Which Azure cloud, which credential, and who that is."""

import base64
import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from azure.core import AzureClouds
from azure.core.credentials import TokenCredential
from azure.core.settings import settings
from azure.identity import AzureAuthorityHosts, DefaultAzureCredential
from azure.mgmt.core.tools import get_arm_endpoints

from provisioning.azure.tokens import KeptTokens
from provisioning.errors import UsageError
from provisioning.models import Caller

CLOUDS = {
    "AzureCloud": AzureClouds.AZURE_PUBLIC_CLOUD,
    "AzureUSGovernment": AzureClouds.AZURE_US_GOVERNMENT,
    "AzureChinaCloud": AzureClouds.AZURE_CHINA_CLOUD,
}
"""The names that `az cloud list` shows."""

_AUTHORITIES = {
    AzureClouds.AZURE_PUBLIC_CLOUD: AzureAuthorityHosts.AZURE_PUBLIC_CLOUD,
    AzureClouds.AZURE_US_GOVERNMENT: AzureAuthorityHosts.AZURE_GOVERNMENT,
    AzureClouds.AZURE_CHINA_CLOUD: AzureAuthorityHosts.AZURE_CHINA,
}
_GRAPH = {  # Microsoft, "national cloud deployments" of Microsoft Graph
    AzureClouds.AZURE_PUBLIC_CLOUD: "https://graph.microsoft.com",
    AzureClouds.AZURE_US_GOVERNMENT: "https://graph.microsoft.us",
    AzureClouds.AZURE_CHINA_CLOUD: "https://microsoftgraph.chinacloudapi.cn",
}
_OPENAI = {  # Microsoft, "Azure OpenAI in Azure Government"; Azure China's is UNVERIFIED, named as its other services
    AzureClouds.AZURE_PUBLIC_CLOUD: "https://cognitiveservices.azure.com/.default",
    AzureClouds.AZURE_US_GOVERNMENT: "https://cognitiveservices.azure.us/.default",
    AzureClouds.AZURE_CHINA_CLOUD: "https://cognitiveservices.azure.cn/.default",
}
_VIA = {
    "AzureCliCredential": "az login",
    "AzureDeveloperCliCredential": "azd auth login",
    "AzurePowerShellCredential": "Connect-AzAccount",
    "EnvironmentCredential": "AZURE_* environment variables",
    "ManagedIdentityCredential": "a managed identity",
    "VisualStudioCodeCredential": "Visual Studio Code",
    "WorkloadIdentityCredential": "a workload identity",
}


@dataclass(frozen=True)
class Cloud:
    """Where one Azure cloud's own services are. Hosts of resources are read from the resources."""

    resource_manager: str
    scope: str
    authority: str
    graph: str
    openai_scope: str


def cloud(name: str | None) -> Cloud:
    """The cloud of this name, or the one azure-core is set to.

    Raises:
        UsageError: azure-core is set to none that there is.
    """
    try:
        default = settings.azure_cloud()  # also where another is named: the SDK's clients read it, too
    except ValueError as error:
        raise UsageError(
            f"AZURE_SDK_CLOUD_CONF: {error}.", hint="Unset it, and name the cloud with --cloud."
        ) from error
    chosen = CLOUDS[name] if name else default
    endpoints = get_arm_endpoints(chosen)
    return Cloud(
        endpoints["resource_manager"].rstrip("/"),
        endpoints["credential_scopes"][0],
        os.environ.get("AZURE_AUTHORITY_HOST") or _AUTHORITIES[chosen],
        _GRAPH[chosen],
        _OPENAI[chosen],
    )


def credential(chosen: Cloud) -> TokenCredential:
    """What DefaultAzureCredential finds. `az` may take a while to start, so it gets half a minute."""
    return KeptTokens(DefaultAzureCredential(authority=chosen.authority, process_timeout=30))


def who(credential: TokenCredential, scope: str) -> Caller:
    """Who the credential speaks for, from the claims of its token (Microsoft, access token claims).

    Every token here is asked for with Continuous Access Evaluation, as Key Vault's client does by itself: tokens of the
    two kinds come from separate caches, and each would sign in for itself.

    Raises:
        azure.core.exceptions.ClientAuthenticationError: no credential gave a token.
    """
    with _noting_credential() as noted:
        token = credential.get_token(scope, enable_cae=True).token
    claims = _claims(token)
    user = claims.get("idtyp") == "user" or ("idtyp" not in claims and "scp" in claims)
    identity = str(claims.get("xms_mirid", "")).rsplit("/", 1)[-1]
    names = (claims.get(c) for c in ("upn", "unique_name", "preferred_username", "app_displayname"))
    return Caller(
        object_id=claims["oid"],
        kind="User" if user else "ServicePrincipal",
        name=next((n for n in names if n), None) or identity or claims.get("appid") or claims["oid"],
        tenant_id=claims["tid"],
        via=_VIA.get(noted[-1], noted[-1]) if noted else "the given credential",
    )


def _claims(token: str) -> Mapping[str, Any]:
    """The claims of a token that was just issued to us. Nothing is decided by them, so nothing is verified."""
    payload = token.split(".")[1]
    claims: Mapping[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims


@contextmanager
def _noting_credential() -> Iterator[list[str]]:
    """Collect the names of the credentials that give tokens: azure-identity says so in its log and nowhere else."""
    noted: list[str] = []

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if isinstance(record.args, tuple) and "acquired a token from" in str(record.msg):
                noted.append(str(record.args[-1]))

    logger = logging.getLogger("azure.identity._credentials.chained")
    ear, level = Ear(), logger.level
    logger.addHandler(ear)
    logger.setLevel(logging.INFO)
    try:
        yield noted
    finally:
        logger.removeHandler(ear)
        logger.setLevel(level)
