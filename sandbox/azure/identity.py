"""Identities: access tokens and their claims, and machines with a sign-in that needs no secret."""

import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import jwt

from sandbox.azure.tenant import Account, FunctionApp, Principal, Tenant
from sandbox.runtime.http import Call, Caller, Reply, ServiceError

TOKEN_SECONDS = 3600
_RENEWED_BEFORE = 300  # `az` requests a new token when a cached one has fewer seconds left (msal)
AZURE_CLI = "04b07795-8ddb-461a-bbee-02f9e1bf7b46"
"""The application id of the Azure CLI, through which a person asks for tokens."""


class Tokens:
    """Issues and checks access tokens. The signing key lives as long as the sandbox and never leaves it."""

    def __init__(self, tenant: Tenant) -> None:
        self._tenant = tenant
        self._key = secrets.token_bytes(32)

    def issue(self, principal: Principal, audience: str, tenant_id: str = "") -> str:
        """An access token for this principal with the claims that clients read (Microsoft, access token claims).

        `tenant_id`: another tenant, where the principal is a guest. A guest keeps its object id here, for short.
        """
        home = tenant_id or self._tenant.tenant_id
        claims: dict[str, Any] = {
            "tid": home,
            "appid": principal.app_id or AZURE_CLI,
            "idtyp": "user" if principal.kind == "User" else "app",
            "nbf": int(time.time()),
            "ver": "1.0",
        }
        if principal.kind == "User":
            claims |= {"upn": principal.name, "unique_name": principal.name, "name": principal.name.split("@")[0]}
            claims |= {"scp": "user_impersonation", "amr": ["pwd", "mfa"] if self._tenant.sign_in.mfa else ["pwd"]}
            if self._tenant.sign_in.guest:
                guest = f"{principal.name.replace('@', '_')}#EXT#@contoso.onmicrosoft.com"
                claims |= {"upn": guest, "unique_name": f"live.com#{principal.name}", "idp": "live.com"}
        if principal.managed_identity:
            claims |= {"xms_mirid": self._identity_resource(principal)}
        return self._signed(principal, audience, f"https://sts.windows.net/{home}/", claims)

    def identify(self, principal: Principal, client_id: str) -> str:
        """An ID token: who signed in, for the program that asked (OpenID Connect Core, "ID Token")."""
        claims = {"tid": self._tenant.tenant_id, "preferred_username": principal.name}
        claims |= {"name": principal.name.split("@")[0]}
        issuer = f"https://{self._tenant.names.login}/{self._tenant.tenant_id}/v2.0"
        return self._signed(principal, client_id, issuer, claims)

    def _signed(self, principal: Principal, audience: str, issuer: str, claims: Mapping[str, Any]) -> str:
        who = {"oid": principal.object_id, "sub": principal.object_id}
        now = int(time.time())
        whole = {"aud": audience, "iss": issuer, **who, "iat": now, "exp": now + TOKEN_SECONDS, **claims}
        return jwt.encode(whole, self._key, algorithm="HS256")

    def _identity_resource(self, principal: Principal) -> str:
        """The ARM id of the resource that this identity is, or is of."""
        resources: list[Account | FunctionApp] = [*self._tenant.accounts.values(), *self._tenant.function_apps.values()]
        for resource in resources:
            if resource.system_identity == principal.object_id:
                return resource.id
        group = next(iter(self._tenant.groups.values()))
        return self._tenant.resource_id(group, "Microsoft.ManagedIdentity/userAssignedIdentities", principal.name)

    def verify(self, call: Call, audiences: Sequence[str]) -> Caller:
        """Return the identity behind the bearer token of this call.

        Raises:
            ServiceError: 401 in ARM's shape if there is no token, or it is not ours or is for another service.
        """
        scheme, _, token = call.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise _refused("AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing.")
        try:
            claims = jwt.decode(token, self._key, algorithms=["HS256"], options={"verify_aud": False})
        except jwt.ExpiredSignatureError:
            raise _refused(
                "ExpiredAuthenticationToken", "The access token expiry UTC time is earlier than now."
            ) from None
        except jwt.InvalidTokenError:
            raise _refused("InvalidAuthenticationToken", "The access token is invalid.") from None
        if claims["aud"].rstrip("/") not in [a.rstrip("/") for a in audiences]:
            raise _refused(
                "InvalidAuthenticationTokenAudience",
                f"The access token has been obtained for wrong audience or resource '{claims['aud']}'.",
            )
        kind = "User" if claims["idtyp"] == "user" else "ServicePrincipal"
        name = claims.get("upn", claims["appid"])
        return Caller(claims["oid"], claims["tid"], kind, name, claims["appid"])


def _refused(code: str, message: str) -> ServiceError:
    body = {"error": {"code": code, "message": message}}
    return ServiceError(401, body, {"www-authenticate": f'Bearer error="invalid_token", error_description="{message}"'})


class SignedInMachines:
    """The operator's machine and the function's host, which issue tokens without a secret.

    Each child process acts as one principal, which a session word in its environment determines. `sessions` (word -> alias)
    outlives a world, so that a program stays signed in when another one is loaded.
    """

    def __init__(self, tenant: Tenant, tokens: Tokens, sessions: dict[str, str]) -> None:
        self._tenant = tenant
        self._tokens = tokens
        self._sessions = sessions
        self._begun = tenant.clock.time()
        self._expiry: dict[tuple[str, str, str], float] = {}  # of the tokens that `az` caches

    def session(self, principal: Principal) -> str:
        """Return a word that identifies this principal until the sandbox ends."""
        for word, alias in self._sessions.items():
            if alias == principal.alias:
                return word
        word = secrets.token_urlsafe(16)
        self._sessions[word] = principal.alias
        return word

    def _speaker(self, word: str | None) -> Principal | None:
        try:
            return self._tenant.named(self._sessions[word or ""])
        except KeyError:  # an unknown word, or a principal that is not in this world
            return None

    def managed_identity(self, call: Call) -> Reply:
        """App Service's local token endpoint (Microsoft, "managed identities for App Service", api 2019-08-01)."""
        principal = self._speaker(call.headers.get("x-identity-header"))
        if principal is None or "resource" not in call.query:
            return Reply(400, {"statusCode": 400, "message": "bad x-identity-header or resource"})
        wanted = call.query.get("client_id")
        if wanted and wanted.lower() != principal.app_id.lower():
            return Reply(400, {"statusCode": 400, "message": "No User Assigned or Delegated Managed Identity found"})
        resource = call.query["resource"]
        body = {
            "access_token": self._tokens.issue(principal, resource),
            "expires_on": str(int(time.time()) + TOKEN_SECONDS),
            "resource": resource,
            "token_type": "Bearer",
            "client_id": principal.app_id,
        }
        return Reply(200, body)

    def cli_token(self, call: Call) -> Reply:
        """Return the output of `az account get-access-token`, for the az on the operator's PATH."""
        principal = self._speaker(call.headers.get("x-session"))
        if principal is None:
            return Reply(401, {"error": "Please run 'az login' to setup account."})
        wanted = call.query.get("tenant", "").lower() or self._tenant.tenant_id
        if wanted not in self._tenant.tenants:
            return Reply(401, {"error": f"AADSTS90002: Tenant '{wanted}' not found."})
        expires = self._expires(principal, call.query.get("resource", "").rstrip("/"), wanted)
        if expires is None:
            message = "AADSTS700024: Client assertion is not within its valid time range. Correlation ID: 0"
            return Reply(401, {"error": message})
        body = {
            "accessToken": self._tokens.issue(principal, _audience(call.query.get("resource", "")), wanted),
            "expiresOn": time.strftime("%Y-%m-%d %H:%M:%S.000000", time.localtime(expires)),
            "expires_on": expires,
            "subscription": self._tenant.subscription_id,
            "tenant": wanted,
            "tokenType": "Bearer",
        }
        return Reply(200, body)

    def _expires(self, principal: Principal, resource: str, tenant_id: str) -> int | None:
        """When the token that `az` returns expires, which it caches until five minutes before; None if it gets no new one."""
        sign_in, now = self._tenant.sign_in, self._tenant.clock.time()
        if sign_in.token_life is None and sign_in.federated_for is None:
            return int(time.time()) + TOKEN_SECONDS
        kind = (principal.object_id, resource, tenant_id)
        if self._expiry.get(kind, now) <= now + _RENEWED_BEFORE:
            if sign_in.federated_for is not None and now - self._begun >= sign_in.federated_for:
                return None
            self._expiry[kind] = now + (sign_in.token_life or TOKEN_SECONDS)
        return int(self._expiry[kind])


def _audience(resource: str) -> str:
    parts = urlsplit(resource)
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else resource
