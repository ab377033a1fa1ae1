"""Entra ID: discovery, tokens for secrets and managed identities, Microsoft Graph's names of principals."""

import secrets
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt

from .http import Call, Caller, Operation, Reply, ServiceError
from .tenant import Principal, Tenant

TOKEN_SECONDS = 3600


class Tokens:
    """Issues and checks access tokens. The signing key lives as long as the sandbox and leaves it never."""

    def __init__(self, tenant: Tenant) -> None:
        self._tenant = tenant
        self._key = secrets.token_bytes(32)

    def issue(self, principal: Principal, audience: str) -> str:
        """An access token for this principal with the claims that clients read (Microsoft, access token claims)."""
        now = int(time.time())
        claims: dict[str, Any] = {
            "aud": audience,
            "iss": f"https://sts.windows.net/{self._tenant.tenant_id}/",
            "tid": self._tenant.tenant_id,
            "oid": principal.object_id,
            "sub": principal.object_id,
            "appid": principal.app_id or "04b07795-8ddb-461a-bbee-02f9e1bf7b46",  # the Azure CLI's, for a person
            "idtyp": "user" if principal.kind == "User" else "app",
            "iat": now,
            "nbf": now,
            "exp": now + TOKEN_SECONDS,
            "ver": "1.0",
        }
        if principal.kind == "User":
            claims |= {"upn": principal.name, "unique_name": principal.name, "name": principal.name.split("@")[0]}
        return jwt.encode(claims, self._key, algorithm="HS256")

    def verify(self, call: Call, audiences: Sequence[str]) -> Caller:
        """Who the bearer token of this call speaks for.

        Raises:
            ServiceError: 401 in ARM's shape when there is no token, or it is not ours, or meant for another plane.
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


class Entra:
    """login.microsoftonline.com and graph.microsoft.com, as far as the SDKs and `az` ask."""

    name = "entra"

    def __init__(self, tenant: Tenant, tokens: Tokens) -> None:
        self._tenant = tenant
        self._tokens = tokens
        self.operations: Sequence[Operation] = (
            Operation("InstanceDiscovery", "GET", "/common/discovery/instance", self._instance),
            Operation("OpenIdConfiguration", "GET", "/{tenant}/v2.0/.well-known/openid-configuration", self._openid),
            Operation("Token", "POST", "/{tenant}/oauth2/v2.0/token", self._token),
            Operation("DirectoryObjects_GetByIds", "POST", "/v1.0/directoryObjects/getByIds", self._by_ids),
        )

    def serves(self, host: str) -> bool:
        """The login and Graph hosts of this cloud."""
        return host in (self._tenant.names.login, self._tenant.names.graph, "login.windows.net")

    def identify(self, operation: Operation, call: Call) -> tuple[str, bool]:
        """See Service."""
        return operation.id, operation.writes

    def authenticate(self, call: Call) -> Caller | None:
        """Graph wants a token for Graph; the login host is open."""
        if call.host != self._tenant.names.graph:
            return None
        return self._tokens.verify(call, (f"https://{self._tenant.names.graph}",))

    def unknown(self, call: Call) -> Reply:
        """See Service."""
        return Reply(501, {"error": "not_implemented", "error_description": f"{call.method} {call.host}{call.path}"})

    def malformed(self, call: Call, why: str) -> Reply:
        """See Service."""
        return Reply(400, {"error": "invalid_request", "error_description": why})

    def _instance(self, call: Call) -> Reply:
        login = self._tenant.names.login
        base = f"https://{login}/{self._tenant.tenant_id}"
        metadata = [{"preferred_network": login, "preferred_cache": login, "aliases": [login]}]
        del call
        return Reply(
            200,
            {
                "tenant_discovery_endpoint": f"{base}/v2.0/.well-known/openid-configuration",
                "api-version": "1.1",
                "metadata": metadata,
            },
        )

    def _openid(self, call: Call) -> Reply:
        base = f"https://{call.host}/{self._tenant.tenant_id}"
        return Reply(
            200,
            {
                "token_endpoint": f"{base}/oauth2/v2.0/token",
                "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
                "device_authorization_endpoint": f"{base}/oauth2/v2.0/devicecode",
                "issuer": f"{base}/v2.0",
                "jwks_uri": f"{base}/discovery/v2.0/keys",
                "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"],
                "response_types_supported": ["code", "id_token"],
                "tenant_region_scope": None,
            },
        )

    def _token(self, call: Call) -> Reply:
        form = {k: v[0] for k, v in parse_qs(call.body.decode()).items()}
        for principal in self._tenant.principals.values():
            if principal.app_id == form.get("client_id") and principal.client_secret is not None:
                if form.get("client_secret") != principal.client_secret:
                    break
                audience = form.get("scope", "").split()[0].removesuffix("/.default")
                token = self._tokens.issue(principal, audience)
                body = {"token_type": "Bearer", "expires_in": TOKEN_SECONDS, "ext_expires_in": TOKEN_SECONDS}
                return Reply(200, {**body, "access_token": token})
        message = "AADSTS7000215: Invalid client secret provided, or the application is not in this tenant."
        return Reply(401, {"error": "invalid_client", "error_description": message, "error_codes": [7000215]})

    def _by_ids(self, call: Call) -> Reply:
        found = [self._tenant.principals.get(i.lower()) for i in call.json.get("ids", [])]
        return Reply(200, {"value": [_graph(p) for p in found if p]})


def _graph(principal: Principal) -> dict[str, Any]:
    if principal.kind == "User":
        shape = {"@odata.type": "#microsoft.graph.user", "userPrincipalName": principal.name}
    elif principal.kind == "Group":
        shape = {"@odata.type": "#microsoft.graph.group"}
    else:
        shape = {
            "@odata.type": "#microsoft.graph.servicePrincipal",
            "appId": principal.app_id,
            "servicePrincipalType": "ManagedIdentity" if principal.managed_identity else "Application",
        }
    return {"id": principal.object_id, "displayName": principal.name.split("@")[0], **shape}


class Desk:
    """The machine the operator sits at, and the host the function runs on: where tokens come from without a secret.

    Each child process is one principal; a session word in its environment says which. `sessions` (word -> alias)
    outlives a world, so that a program stays signed in when another one is loaded.
    """

    def __init__(self, tenant: Tenant, tokens: Tokens, sessions: dict[str, str]) -> None:
        self._tenant = tenant
        self._tokens = tokens
        self._sessions = sessions

    def session(self, principal: Principal) -> str:
        """A word that stands for this principal until the sandbox ends."""
        for word, alias in self._sessions.items():
            if alias == principal.alias:
                return word
        word = secrets.token_urlsafe(16)
        self._sessions[word] = principal.alias
        return word

    def _speaker(self, word: str | None) -> Principal | None:
        alias = self._sessions.get(word or "")
        return next((p for p in self._tenant.principals.values() if alias and p.alias == alias), None)

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
        """What `az account get-access-token` prints; asked by the az on the operator's PATH."""
        principal = self._speaker(call.headers.get("x-session"))
        if principal is None:
            return Reply(401, {"error": "Please run 'az login' to setup account."})
        expires = int(time.time()) + TOKEN_SECONDS
        body = {
            "accessToken": self._tokens.issue(principal, _audience(call.query.get("resource", ""))),
            "expiresOn": time.strftime("%Y-%m-%d %H:%M:%S.000000", time.localtime(expires)),
            "expires_on": expires,
            "subscription": self._tenant.subscription_id,
            "tenant": self._tenant.tenant_id,
            "tokenType": "Bearer",
        }
        return Reply(200, body)


def _audience(resource: str) -> str:
    parts = urlsplit(resource)
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else resource
