"""Signing in: the Azure cloud, the credential, and the identity behind it."""

import base64
import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from azure.core import AzureClouds
from azure.core.credentials import TokenCredential
from azure.core.settings import settings
from azure.identity import (
    AzureAuthorityHosts,
    AzureCliCredential,
    AzureDeveloperCliCredential,
    AzurePowerShellCredential,
    ChainedTokenCredential,
    DefaultAzureCredential,
    EnvironmentCredential,
    ManagedIdentityCredential,
    WorkloadIdentityCredential,
)
from azure.mgmt.core.tools import get_arm_endpoints

from provisioning.azure.identity.sign_in_errors import in_cloud_shell
from provisioning.errors import UsageError
from provisioning.models import CLOUDS, Caller

_CLOUDS = dict(
    zip(
        CLOUDS,
        (AzureClouds.AZURE_PUBLIC_CLOUD, AzureClouds.AZURE_US_GOVERNMENT, AzureClouds.AZURE_CHINA_CLOUD),
        strict=True,
    )
)
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
_VAULT = {  # Microsoft, "Key Vault: base URLs and DNS suffixes of the clouds"
    AzureClouds.AZURE_PUBLIC_CLOUD: "https://vault.azure.net/.default",
    AzureClouds.AZURE_US_GOVERNMENT: "https://vault.usgovcloudapi.net/.default",
    AzureClouds.AZURE_CHINA_CLOUD: "https://vault.azure.cn/.default",
}
_OPENAI = {  # Microsoft, "Azure OpenAI in Azure Government"; the name for Azure China is a guess from other services, UNVERIFIED
    AzureClouds.AZURE_PUBLIC_CLOUD: "https://cognitiveservices.azure.com/.default",
    AzureClouds.AZURE_US_GOVERNMENT: "https://cognitiveservices.azure.us/.default",
    AzureClouds.AZURE_CHINA_CLOUD: "https://cognitiveservices.azure.cn/.default",
}
_LOGS = {  # azure-monitor-query, "Configure client for Azure sovereign cloud"
    AzureClouds.AZURE_PUBLIC_CLOUD: "https://api.loganalytics.io",
    AzureClouds.AZURE_US_GOVERNMENT: "https://api.loganalytics.us",
    AzureClouds.AZURE_CHINA_CLOUD: "https://api.loganalytics.azure.cn",
}
_PROCESS_TIMEOUT = 30  # seconds for `az`, `azd` or PowerShell to return a token
_WORKLOAD_IDENTITY = ("AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_FEDERATED_TOKEN_FILE")
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
    """The endpoints of an Azure cloud. Hosts of resources are read from the resources."""

    resource_manager: str
    scope: str
    authority: str
    graph: str
    openai_scope: str
    vault_scope: str
    logs: str


def cloud(name: str | None) -> Cloud:
    """Return the cloud with this name; the default is the one that azure-core is configured for.

    Raises:
        UsageError: azure-core is configured for a cloud that does not exist.
    """
    try:
        default = settings.azure_cloud()  # checked even if a name is given, because the SDK's clients read it
    except ValueError as error:
        raise UsageError(f"AZURE_SDK_CLOUD_CONF: {error}.", hint="Unset it and pass --cloud.") from error
    chosen = _CLOUDS[name] if name else default
    endpoints = get_arm_endpoints(chosen)
    return Cloud(
        endpoints["resource_manager"].rstrip("/"),
        endpoints["credential_scopes"][0],
        os.environ.get("AZURE_AUTHORITY_HOST") or _AUTHORITIES[chosen],
        _GRAPH[chosen],
        _OPENAI[chosen],
        _VAULT[chosen],
        _LOGS[chosen],
    )


def credential(chosen: Cloud) -> TokenCredential:
    """The credential of the operator.

    AZURE_TOKEN_CREDENTIALS is respected. Without it, no managed identity is used: on a jump host DefaultAzureCredential would
    sign in as the machine before it asks `az`, and the machine would get the operator's role. `az` may be slow to
    start, so its timeout is half a minute.

    Raises:
        UsageError: AZURE_TOKEN_CREDENTIALS or AZURE_AUTHORITY_HOST has an invalid value.
    """
    try:
        return _chain(chosen)
    except ValueError as error:
        raise UsageError(
            f"The credential cannot be created: {error}.",
            hint="Check the environment variables AZURE_TOKEN_CREDENTIALS and AZURE_AUTHORITY_HOST.",
        ) from error


def _chain(chosen: Cloud) -> TokenCredential:
    if os.environ.get("AZURE_TOKEN_CREDENTIALS"):
        named = DefaultAzureCredential(authority=chosen.authority, process_timeout=_PROCESS_TIMEOUT)
        named.credentials = tuple(
            ManagedIdentityCredential(
                client_id=os.environ.get("AZURE_CLIENT_ID"), use_env_settings=False
            )  # past a proxy
            if isinstance(each, ManagedIdentityCredential)
            else each
            for each in named.credentials
        )
        return named
    chain: list[TokenCredential] = [EnvironmentCredential(authority=chosen.authority)]
    if all(os.environ.get(name) for name in _WORKLOAD_IDENTITY):
        chain.append(WorkloadIdentityCredential(authority=chosen.authority))
    chain += [
        AzureCliCredential(process_timeout=_PROCESS_TIMEOUT),
        AzurePowerShellCredential(process_timeout=_PROCESS_TIMEOUT),
        AzureDeveloperCliCredential(process_timeout=_PROCESS_TIMEOUT),
    ]
    return ChainedTokenCredential(*chain)


def identify(credential: TokenCredential, scope: str) -> Caller:
    """The identity behind the credential, from the claims of its token (Microsoft, access token claims).

    All tokens are requested with Continuous Access Evaluation, as Key Vault's client does, because tokens with and without it
    are cached separately, and each kind would need its own sign-in.

    Raises:
        azure.core.exceptions.ClientAuthenticationError: no credential returned a token.
    """
    with _record_credential() as names:
        token = credential.get_token(scope, enable_cae=True).token
    claims = _claims(token)
    user = claims.get("idtyp") == "user" or ("idtyp" not in claims and "scp" in claims)
    identity = str(claims.get("xms_mirid", "")).rsplit("/", 1)[-1]
    known = [claims.get(c) for c in ("upn", "unique_name", "preferred_username", "app_displayname")]
    return Caller(
        object_id=claims["oid"],
        kind="User" if user else "ServicePrincipal",
        name=next((n for n in known if n), None) or identity or claims.get("appid") or claims["oid"],
        tenant_id=claims["tid"],
        via=_via(names[-1] if names else ""),
        guest=user and _is_guest(claims),
        mfa=_used_mfa(claims) if user else None,
    )


def _via(credential_name: str) -> str:
    """Name the credential that returned the token."""
    if not credential_name:
        return "the given credential"
    if not in_cloud_shell():
        return _VIA.get(credential_name, credential_name)
    if credential_name == "ManagedIdentityCredential":  # its endpoint there returns the person's token
        return "Azure Cloud Shell"
    return f"{_VIA.get(credential_name, credential_name)} in Azure Cloud Shell"


def _is_guest(claims: Mapping[str, Any]) -> bool:
    """Whether the user is of another tenant (Microsoft, "Properties of a B2B guest user" and "Access token claims")."""
    names = [str(claims.get(claim, "")) for claim in ("upn", "unique_name", "preferred_username")]
    home = str(claims.get("idp") or claims.get("iss") or "")
    return any("#ext#" in name.lower() for name in names) or home.rstrip("/") != str(claims.get("iss", "")).rstrip("/")


def _used_mfa(claims: Mapping[str, Any]) -> bool | None:
    """Whether the token satisfies Azure's policy for mandatory MFA (Azure/azure-policy, MFA_Deny); None if it does not say."""
    if "amr" not in claims:
        return None
    return "mfa" in claims["amr"] or "p1" in (claims.get("acrs") or ())


def default_subscription(via: str) -> str | None:
    """The id of the subscription that `az account set` chose; None if `az` did not sign in or its profile is unreadable."""
    if not via.startswith(_VIA["AzureCliCredential"]):
        return None
    directory = os.environ.get("AZURE_CONFIG_DIR") or Path.home() / ".azure"
    try:
        profile = json.loads((Path(directory) / "azureProfile.json").read_text(encoding="utf-8-sig"))
        return next((str(s["id"]) for s in profile["subscriptions"] if s.get("isDefault")), None)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _claims(token: str) -> Mapping[str, Any]:
    """The claims of our own token. They are not verified, because they only describe the caller."""
    payload = token.split(".")[1]
    claims: Mapping[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims


@contextmanager
def _record_credential() -> Iterator[list[str]]:
    """Collect the names of the credentials that return tokens. Only azure-identity's log contains them."""
    names: list[str] = []

    class Recorder(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if isinstance(record.args, tuple) and "acquired a token from" in str(record.msg):
                names.append(str(record.args[-1]))

    logger = logging.getLogger("azure.identity._credentials.chained")
    recorder, level = Recorder(), logger.level
    logger.addHandler(recorder)
    logger.setLevel(logging.INFO)
    try:
        yield names
    finally:
        logger.removeHandler(recorder)
        logger.setLevel(level)
