"""Errors of signing in, each with the command that helps, or a statement that none does."""

import os
import re

from provisioning import shell
from provisioning.errors import NotSignedInError

_SESSION = "The session has ended. Sign in again: "
_DEVICE = (
    "Signing in again on this machine does not help: Conditional Access requires a managed device, another network "
    "or another app. Give the code and the correlation id in the message to your identity team."
)
_PIPELINE = (
    "No federated credential of the application matches this pipeline: compare its issuer, subject and audience with those in "
    "the message (az ad app federated-credential list --id APP_ID)."
)
_HINTS = {
    **dict.fromkeys(
        (50072, 50074, 50076, 50079, 50158), "Multi-factor authentication is required. Sign in for this service: "
    ),
    **dict.fromkeys((50078, 50133, 50173, 70008, 70043, 70044, 700082), _SESSION),
    **dict.fromkeys(
        (50020, 500011, 50034, 90002, 90072), "The tenant or the cloud is wrong. Sign in to the right one: "
    ),
}
"""AADSTS codes that a new sign-in solves (Microsoft, "Microsoft Entra authentication error codes")."""
_FINAL = {
    700024: "The pipeline's federated token has expired. Sign in directly before this step (GitHub: azure/login; "
    "Azure Pipelines: keepAzSessionActive: true).",
    7000215: "The client secret of the application is wrong: check AZURE_CLIENT_SECRET.",
    7000222: "The client secret of the application has expired: create a new one (az ad app credential reset) and set "
    "AZURE_CLIENT_SECRET.",
    700016: "The application is not in this tenant: check AZURE_CLIENT_ID and AZURE_TENANT_ID.",
    500200: "This is a personal Microsoft account. Sign in with a work or school account.",
    7000229: "The application has no service principal in this tenant: check AZURE_CLIENT_ID and AZURE_TENANT_ID.",
    50055: "The password has expired. Change it, then sign in again.",
    50057: "The account is disabled. Ask your identity team.",
    **dict.fromkeys((70021, 700211, 700212, 700213), _PIPELINE),
    **dict.fromkeys((50097, 50131, 53003, 135011), _DEVICE),
}


def sign_in_error(message: str) -> NotSignedInError:
    """Return the error for a credential that returned no token, by Entra's code, which only the message contains."""
    if claims := re.search(r"--claims-challenge (\S+)|-ClaimsChallenge (\S+)", message):
        return NotSignedInError(
            "The service needs a stronger sign-in, such as multi-factor authentication.",
            hint=claims_command(claims[1] or claims[2], _option(message, "--tenant"), _option(message, "--scope")),
        )
    numbers = [int(n) for n in re.findall(r"AADSTS(\d+)", message)]
    for number in numbers:
        what = f"Signing in to Azure failed (AADSTS{number}): {_sentence(message, number)}"
        if number in _FINAL or 53000 <= number < 53100 or 530000 <= number < 531100:
            return NotSignedInError(what, hint=_FINAL.get(number, _DEVICE))
        if number in _HINTS:
            return NotSignedInError(what, hint=_HINTS[number] + _login(message))
    if numbers:
        what = f"Signing in to Azure failed (AADSTS{numbers[0]}): {_sentence(message, numbers[0])}"
        return NotSignedInError(what, hint="Run `az login` and try again; -v shows the message of each credential.")
    return NotSignedInError(
        "Not signed in to Azure: no credential returned a token.",
        hint=f"Run `az login` and try again; -v shows the message of each credential.{_pinned()}",
    )


def in_cloud_shell() -> bool:
    """Whether this runs in Azure Cloud Shell."""
    return os.environ.get("AZUREPS_HOST_ENVIRONMENT", "").startswith("cloud-shell")


def _pinned() -> str:
    """Return a note about the credentials that were tried."""
    if in_cloud_shell():
        return " Azure Cloud Shell needs Azure CLI 2.77 or later for this (az version)."
    if chosen := os.environ.get("AZURE_TOKEN_CREDENTIALS"):
        return f" AZURE_TOKEN_CREDENTIALS limits the credentials to {chosen}."
    return " To act as this machine's managed identity, set AZURE_TOKEN_CREDENTIALS=ManagedIdentityCredential."


def claims_command(claims: str, tenant: str = "", scope: str = "") -> str:
    """The command that signs in with a claims challenge. `az login` without it repeats the same sign-in."""
    more = [*(("--tenant", tenant) if tenant else ()), *(("--scope", scope) if scope else ())]
    login = shell.command("az", "login", *more, "--claims-challenge", claims)
    return f"{login} (Azure CLI 2.76 or later), then run the same command again."


def wrong_tenant(message: str, authorization_uri: str) -> NotSignedInError:
    """Return the error for a token of another tenant. The service's challenge names the right one."""
    tenant = authorization_uri.rstrip("/").rpartition("/")[2] or "TENANT"
    return NotSignedInError(
        f"You are signed in to another tenant than the subscription's, {tenant}. {message}",
        hint=f"{shell.command('az', 'login', '--tenant', tenant)}, then run the same command again.",
    )


def _login(message: str) -> str:
    tenant, scope = _option(message, "--tenant"), _option(message, "--scope")
    more = [*(("--tenant", tenant) if tenant else ()), *(("--scope", scope) if scope else ())]
    return shell.command("az", "login", *more)


def _option(message: str, name: str) -> str:
    """The value of an option in a command that a message recommends; empty if there is none."""
    found = re.search(rf"{name}[ =]\"?([\w.:/-]+)", message)
    return found[1] if found else ""


def _sentence(message: str, number: int) -> str:
    """Return Entra's sentence after its code, up to the trace ids."""
    found = re.search(rf"AADSTS{number}: *(.+?)(?= Trace ID| Correlation ID| Timestamp|$)", message)
    return found[1][:400] if found else "no reason given"
