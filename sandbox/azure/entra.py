"""login.microsoftonline.com, as far as the SDKs and the Azure CLI ask: discovery, device codes, tokens.

An application signs in with its secret, a person with a device code that is approved elsewhere (Microsoft, "OAuth 2.0
device authorization grant flow"). Refusals have Entra's shape and AADSTS codes.
"""

import base64
import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from sandbox.azure.identity import TOKEN_SECONDS, Tokens
from sandbox.azure.tenant import Principal, Tenant
from sandbox.runtime.http import Call, Caller, Operation, Reply, Service, ServiceError

_OAUTH = "/{tenant}/oauth2/v2.0"
_SHARED_TENANTS = ("organizations", "common")  # for sign-ins that do not name a tenant
_OPENID_SCOPES = {"openid", "profile", "offline_access", "email"}  # scopes about the user, which name no service
_DEVICE_CODE_SECONDS = 900
_POLL_SECONDS = 1  # Entra says 5; a person at a keyboard is slower than a test


@dataclass
class _Device:
    """A sign-in that waits for a person's approval, with its scope. `approved_by` is that person's object id."""

    user_code: str
    scope: str
    approved_by: str | None = None


class Entra(Service):
    """The login host of this cloud."""

    name = "entra"

    def __init__(self, tenant: Tenant, tokens: Tokens) -> None:
        self._tenant = tenant
        self._tokens = tokens
        self.hosts = [tenant.names.login]
        self._devices: dict[str, _Device] = {}  # by device code
        self._refresh: dict[str, str] = {}  # refresh token -> object id
        self.operations: Sequence[Operation] = (
            Operation("InstanceDiscovery", "GET", "/common/discovery/instance", self._instance),
            Operation("OpenIdConfiguration", "GET", "/{tenant}/v2.0/.well-known/openid-configuration", self._openid),
            Operation("DeviceAuthorization", "POST", _OAUTH + "/devicecode", self._device_code),
            Operation("Token", "POST", _OAUTH + "/token", self._token),
        )

    def authenticate(self, call: Call) -> Caller | None:
        """Accept every caller, because the credentials are in the forms."""
        del call
        return None

    def unknown(self, call: Call) -> Reply:
        """See Service."""
        return Reply(501, {"error": "not_implemented", "error_description": f"{call.method} {call.host}{call.path}"})

    def malformed(self, call: Call, why: str) -> Reply:
        """See Service."""
        del call
        return _refused(400, "invalid_request", 90014, why).reply

    # --- discovery -----------------------------------------------------------------------------------------------

    def _base(self, call: Call) -> str:
        """The authority of this call.

        Raises:
            ServiceError: the tenant is not one of this world.
        """
        tenant = call.params["tenant"].lower()
        if tenant not in (self._tenant.tenant_id, *_SHARED_TENANTS):
            message = f"Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID."
            raise _refused(400, "invalid_tenant", 90002, message)
        return f"https://{call.host}/{tenant}"

    def _instance(self, call: Call) -> Reply:
        del call
        login = self._tenant.names.login
        body = {
            "tenant_discovery_endpoint": f"https://{login}/{self._tenant.tenant_id}/v2.0/.well-known/openid-configuration",
            "api-version": "1.1",
            "metadata": [{"preferred_network": login, "preferred_cache": login, "aliases": [login]}],
        }
        return Reply(200, body)

    def _openid(self, call: Call) -> Reply:
        base = self._base(call)
        body = {
            "token_endpoint": f"{base}/oauth2/v2.0/token",
            "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
            "device_authorization_endpoint": f"{base}/oauth2/v2.0/devicecode",
            "issuer": f"https://{call.host}/{self._tenant.tenant_id}/v2.0",
            "jwks_uri": f"{base}/discovery/v2.0/keys",
            "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"],
            "response_types_supported": ["code", "id_token"],
            "tenant_region_scope": None,
        }
        return Reply(200, body)

    # --- a person's sign-in ----------------------------------------------------------------------------------------

    def _device_code(self, call: Call) -> Reply:
        self._base(call)
        code = secrets.token_urlsafe(32)
        device = self._devices[code] = _Device(secrets.token_hex(5).upper()[:9], _form(call).get("scope", ""))
        where = "https://login.microsoft.com/device"
        message = (
            f"To sign in, use a web browser to open the page {where} and enter the code {device.user_code} to "
            "authenticate."
        )
        body = {
            "user_code": device.user_code,
            "device_code": code,
            "verification_uri": where,
            "expires_in": _DEVICE_CODE_SECONDS,
            "interval": _POLL_SECONDS,
            "message": message,
        }
        return Reply(200, body)

    def approve(self, call: Call) -> Reply:
        """A person enters the code in a browser: `{"user_code": …, "principal": …}` to the sandbox's control."""
        wanted = call.json
        for device in self._devices.values():
            if device.user_code == wanted["user_code"]:
                device.approved_by = self._tenant.named(wanted["principal"]).object_id
                return Reply(204)
        return Reply(404, {"error": f"nobody waits with the code {wanted['user_code']}"})

    # --- tokens ----------------------------------------------------------------------------------------------------

    def _token(self, call: Call) -> Reply:
        self._base(call)
        form = _form(call)
        grant, scope, client = (form.get(k, "") for k in ("grant_type", "scope", "client_id"))
        if grant == "client_credentials":
            return Reply(200, self._access(self._application(form), scope))
        if grant == "urn:ietf:params:oauth:grant-type:device_code":
            person, wanted = self._at_device(form)
            return Reply(200, self._signed_in(person, scope or wanted, client))
        if grant == "refresh_token":
            return Reply(200, self._signed_in(self._refreshed(form), scope, client))
        raise _refused(400, "unsupported_grant_type", 70003, f"The app requested an unsupported grant type '{grant}'.")

    def _application(self, form: Mapping[str, str]) -> Principal:
        for principal in self._tenant.principals.values():
            if principal.app_id == form.get("client_id") and principal.client_secret is not None:
                if form.get("client_secret") == principal.client_secret:
                    return principal
                raise _refused(401, "invalid_client", 7000215, "Invalid client secret provided.")
        message = f"Application with identifier '{form.get('client_id')}' was not found in the directory."
        raise _refused(400, "unauthorized_client", 700016, message)

    def _at_device(self, form: Mapping[str, str]) -> tuple[Principal, str]:
        """Return who entered the code, and the scope that was requested with it."""
        device = self._devices.get(form.get("device_code", ""))
        if device is None:
            raise _refused(400, "bad_verification_code", 70018, "Invalid verification code provided.")
        if device.approved_by is None:
            message = "OAuth 2.0 device flow error. Authorization is pending. Continue polling."
            raise _refused(400, "authorization_pending", 70016, message)
        return self._tenant.principals[device.approved_by], device.scope

    def _refreshed(self, form: Mapping[str, str]) -> Principal:
        principal = self._tenant.principals.get(self._refresh.get(form.get("refresh_token", ""), ""))
        if principal is None:
            message = "The provided authorization code or refresh token has expired. Send a new interactive request."
            raise _refused(400, "invalid_grant", 70008, message)
        return principal

    def _access(self, principal: Principal, scope: str) -> dict[str, Any]:
        token = self._tokens.issue(principal, _audience(scope))
        body = {"token_type": "Bearer", "expires_in": TOKEN_SECONDS, "ext_expires_in": TOKEN_SECONDS}
        return {**body, "access_token": token}

    def _signed_in(self, principal: Principal, scope: str, client_id: str) -> dict[str, Any]:
        """Return a person's tokens, including a refresh token and the client info from which MSAL makes its account."""
        refresh = secrets.token_urlsafe(32)
        self._refresh[refresh] = principal.object_id
        whose = {"uid": principal.object_id, "utid": self._tenant.tenant_id}
        return {
            **self._access(principal, scope),
            "scope": scope,
            "refresh_token": refresh,
            "id_token": self._tokens.identify(principal, client_id),
            "client_info": base64.urlsafe_b64encode(json.dumps(whose).encode()).decode().rstrip("="),
        }


def _form(call: Call) -> dict[str, str]:
    return {k: v[0] for k, v in parse_qs(call.body.decode(errors="replace")).items()}


def _audience(scope: str) -> str:
    """Return the service that a token is requested for: from the only scope that names one, without its permission."""
    resources = [s for s in scope.split() if s not in _OPENID_SCOPES]
    if not resources:
        raise _refused(
            400, "invalid_request", 900144, "The request body must contain the following parameter: 'scope'."
        )
    return re.sub(r"/(\.default|user_impersonation)$", "", resources[0])


def _refused(status: int, error: str, code: int, message: str) -> ServiceError:
    description = f"AADSTS{code}: {message}"
    return ServiceError(status, {"error": error, "error_description": description, "error_codes": [code]})
