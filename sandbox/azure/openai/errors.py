"""The refusals of Azure OpenAI's fine-tuning API, in its shapes. Codes are strings, gateway codes digits in a string."""

from sandbox.runtime.http import Call, Caller, ServiceError, refused


def not_found() -> ServiceError:
    """No such job or file (recorded)."""
    return refused(404, "notFound", "The specified entity cannot be found.")


def no_route(call: Call) -> ServiceError:
    """The gateway's 404 (recorded: "Resource not found"), which names the request."""
    return refused(404, "404", f"Resource not found: {call.method} {call.path}")


def invalid(message: str) -> ServiceError:
    """An invalid request. UNVERIFIED wording; the code is the official description's."""
    return refused(400, "invalidPayload", message)


def wrong_state(verb: str, status: str) -> ServiceError:
    """An operation that does not fit the job's status. UNVERIFIED status; the code is the official description's."""
    return refused(400, "unexpectedEntityState", f"Cannot {verb} a job that is {status}.")


def unauthorized(audience: str = "https://cognitiveservices.azure.com") -> ServiceError:
    """A missing or invalid token. This is the only refusal without an `error` envelope."""
    message = f"Unauthorized. Access token is missing, invalid, audience is incorrect ({audience}), or have expired."
    return ServiceError(401, {"statusCode": 401, "message": message})


def denied(caller: Caller, data_action: str, call: Call) -> ServiceError:
    """A missing role, which is a 401 here and not a 403."""
    return refused(
        401,
        "PermissionDenied",
        f"The principal `{caller.object_id}` lacks the required data action `{data_action}` "
        f"to perform `{call.method} {call.path}` operation.",
    )


def no_subdomain() -> ServiceError:
    """A token for an account that only has its region's host name."""
    return refused(
        400, "BadRequest", "Please provide a custom subdomain for token authentication, otherwise API key is required."
    )


def firewalled() -> ServiceError:
    """A client that the account's network rules do not allow (azure-sql-db-chatbot issue 3)."""
    return refused(403, "403", "Access denied due to Virtual Network/Firewall rules.")


def private_only() -> ServiceError:
    """An account that only private endpoints reach (message: TabularEditor3 issue 1557; code UNVERIFIED)."""
    return refused(403, "403", "Public access is disabled. Please configure private endpoint.")


def wrong_key() -> ServiceError:
    """A wrong api-key. UNVERIFIED wording."""
    return refused(401, "401", "Access denied due to invalid subscription key or wrong API endpoint.")


def keys_disabled() -> ServiceError:
    """An api-key for an account with local authentication switched off. UNVERIFIED wording."""
    return refused(403, "AuthenticationTypeDisabled", "Key based authentication is disabled for this resource.")


def platform_key() -> ServiceError:
    """OpenAI's own platform refuses a key."""
    return refused(401, "invalid_api_key", "Incorrect API key provided.", type="invalid_request_error", param=None)
