"""The service's code decides which error an operator gets: shapes from public reports, not seen on the live service."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from azure.core.exceptions import ClientAuthenticationError

from provisioning import errors
from provisioning.azure.transport import pipeline
from provisioning.azure.transport.errors import translated
from tests.conftest import Load
from tests.provisioning.bench import Bench

GROUP = "/subscriptions/5b1f6d1c-0000-4000-8000-0000000000aa/resourceGroups/rg-ml"
CLAIMS = base64.b64encode(b'{"access_token":{"acrs":{"essential":true,"values":["p1"]}}}').decode()
LOCKED = f"The scope 'x' cannot perform write operation because following scope(s) are locked: '{GROUP}'. Please remove the lock."
POLICY_INFO = {
    "type": "PolicyViolation",
    "info": {"policyAssignmentName": "require-tag", "policyDefinitionDisplayName": "Require a tag"},
}
OFFICER = [
    {"principal": "operator", "role": "Owner", "scope": "rg-ml"},
    {"principal": "operator", "role": "Key Vault Secrets Officer", "scope": "rg-ml"},
]
RBAC = {"vaults": [{"name": "kv-ml", "group": "rg-ml", "rbac": True}], "assignments": OFFICER}


@dataclass
class Refusal:
    """An answer of an operation, and the error that it must become."""

    op: str
    status: int
    code: str
    message: str
    error: type[errors.ProvisioningError]
    hint: str
    words: str = ""
    body: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    world: Mapping[str, Any] = field(default_factory=dict)


REFUSALS = {
    "lock": Refusal(
        "RoleAssignments_Create", 409, "ScopeLocked", LOCKED, errors.LockedError, "az lock list -g rg-ml -o table"
    ),
    "disabled subscription": Refusal(
        "Accounts_Update",
        409,
        "ReadOnlyDisabledSubscription",
        "is disabled",
        errors.SubscriptionDisabledError,
        "enable the subscription again",
    ),
    "policy": Refusal(
        "Vaults_Update",
        403,
        "RequestDisallowedByPolicy",
        "Resource 'kv-ml' was disallowed by policy. See error details.",
        errors.PolicyError,
        "exemption",
        "Policy: require-tag",
        {"additionalInfo": [POLICY_INFO]},
    ),
    "policy named in the message": Refusal(
        "Vaults_Update",
        403,
        "RequestDisallowedByPolicy",
        'disallowed by policy. Policy identifiers: \'[{"policyAssignment":{"name":"require-cost-center"}}]\'.',
        errors.PolicyError,
        "exemption",
        "require-cost-center",
    ),
    "multi-factor authentication": Refusal(
        "Accounts_Update",
        401,
        "RequestDisallowedByAzure",
        "Users must use MFA for Create operation.",
        errors.NotSignedInError,
        f"--claims-challenge {CLAIMS}",
        headers={"www-authenticate": f'Bearer realm="", error="insufficient_claims", claims="{CLAIMS}"'},
    ),
    "another tenant": Refusal(
        "Accounts_Update",
        401,
        "InvalidAuthenticationTokenTenant",
        "The access token is from the wrong issuer.",
        errors.NotSignedInError,
        "az login --tenant 72f988bf-0000-4000-8000-0000000000cc",
        "another tenant",
        headers={
            "www-authenticate": "Bearer authorization_uri="
            '"https://login.windows.net/72f988bf-0000-4000-8000-0000000000cc", error="invalid_token"'
        },
    ),
    "limit of role assignments": Refusal(
        "RoleAssignments_Create",
        400,
        "RoleAssignmentLimitExceeded",
        "has reached its limit of 4000",
        errors.LimitReachedError,
        "az role assignment list",
    ),
    "deny assignment": Refusal(
        "Accounts_Update",
        403,
        "DenyAssignmentAuthorizationFailed",
        "denied because of the deny assignment with name 'managed-app'",
        errors.DenyAssignmentError,
        "deny assignment",
        "managed-app",
    ),
    "permission model": Refusal(
        "Vaults_Update",
        400,
        "InsufficientPermissions",
        "Caller is not allowed to change permission model.",
        errors.MissingRightsError,
        "without a condition",
    ),
    "an application's object id": Refusal(
        "RoleAssignments_Create",
        400,
        "PrincipalTypeNotSupported",
        "Principals of type Application cannot validly be used in role assignments.",
        errors.PrincipalUnsupportedError,
        "az keyvault delete-policy",
        "service principal",
    ),
    "unregistered provider": Refusal(
        "Accounts_Update",
        409,
        "MissingSubscriptionRegistration",
        "The subscription is not registered to use namespace 'Microsoft.CognitiveServices'",
        errors.ProviderNotRegisteredError,
        "az provider register -n Microsoft.CognitiveServices --wait",
    ),
    "account in a change": Refusal(
        "Accounts_Update", 400, "AccountProvisioningStateInvalid", "in state Accepted", errors.BusyError, "in a minute"
    ),
    "policy on secrets": Refusal(
        "SetSecret",
        403,
        "Forbidden",
        "the secret's validity period is longer than 90 days.",
        errors.PolicyError,
        "--secret-lifetime 90d",
        body={"innererror": {"code": "ForbiddenByGovernancePolicy"}},
        world=RBAC,
    ),
    "failed operation": Refusal(
        "Accounts_OperationResult",
        200,
        "InternalServerError",
        "Identity service is down.",
        errors.OperationFailedError,
        "activity log",
        "failed in Azure after it was accepted. InternalServerError: Identity service is down.",
    ),
    "throttled for an hour": Refusal(
        "Vaults_Get", 429, "TooManyRequests", "slow down", errors.ThrottledError, "1 h", headers={"retry-after": "3600"}
    ),
    "conflict for half an hour": Refusal(
        "Accounts_Update",
        409,
        "Conflict",
        "another change",
        errors.ThrottledError,
        "30 min",
        "pause of 30 min (HTTP 409)",
        headers={"retry-after": "1800"},
    ),
}


@pytest.mark.parametrize("case", REFUSALS.values(), ids=list(REFUSALS))
def test_the_remedy_fits_the_cause(load: Load, bench: Bench, case: Refusal) -> None:
    error = {"code": case.code, "message": case.message, **case.body}
    body = {"error": error} if case.status != 200 else {"id": "x", "name": "x", "status": "Failed", "error": error}
    fault = {"op": case.op, "do": {"status": case.status, "headers": dict(case.headers), "body": body}}
    load({"extends": "contoso", "transitions": {"rbac_propagation": 0}, "faults": [fault], **case.world})
    with pytest.raises(errors.ProvisioningError) as refused:
        bench.setup(propagation_wait=timedelta(0))
    assert type(refused.value) is case.error, refused.value.message
    assert case.hint in refused.value.hint
    assert case.words in refused.value.message
    assert case.message in refused.value.message or case.error is errors.ThrottledError, "the service's own sentence"
    assert bench.clock.slept < 60, "waiting does not help"


@pytest.mark.parametrize(
    ("message", "hint"),
    [
        ("AADSTS7000222: The provided client secret keys for app 'x' are expired.", "az ad app credential reset"),
        ("AADSTS50076: Due to a configuration change you must use multi-factor authentication", "az login"),
        ("AADSTS50074: Strong Authentication is required.", "Multi-factor authentication is required"),
        ("AADSTS70008: The refresh token has expired due to inactivity.", "The session has ended"),
        ("AADSTS90072: User account from identity provider does not exist in tenant", "The tenant or the cloud is wrong"),
        ("AADSTS700213: No matching federated identity record found", "compare its issuer, subject and audience"),
        ("AADSTS50131: Device is not in required device state", "Signing in again on this machine does"),
        ("AADSTS53003: Access has been blocked by Conditional Access policies.", "Signing in again on this machine does"),
        ("AADSTS530034: blocked", "Signing in again on this machine does"),
        ("AADSTS700024: Client assertion is not within its valid time range.", "azure/login"),
        ("AADSTS700082: The refresh token has expired. az login --tenant abc --scope https://vault.azure.net/.default",
         "az login --tenant abc --scope https://vault.azure.net/.default"),
        (f"claims challenges. please run: az login --claims-challenge {CLAIMS} --tenant abc --scope https://x/.default",
         f"az login --tenant abc --scope https://x/.default --claims-challenge {CLAIMS}"),
        ("Please run 'az login' to set up an account", "az login"),
    ],
)  # fmt: skip
def test_entras_code_decides_what_helps(message: str, hint: str) -> None:
    with pytest.raises(errors.NotSignedInError) as refused, translated("Signing in"):
        raise ClientAuthenticationError(message=message)
    assert hint in refused.value.hint


def test_an_operation_that_never_ends_is_reported_and_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    reported: list[str] = []

    class Poller:
        def done(self) -> bool:
            return False

        def wait(self, timeout: float) -> None:
            del timeout

    ticks = iter(range(0, 10**6, 2))
    monkeypatch.setattr("time.monotonic", lambda: float(next(ticks)))
    poller: Any = Poller()
    with pytest.raises(errors.TimedOutError, match="did not end within 10 min"):
        pipeline.result(poller, "Enabling the identity", lambda what, elapsed, limit: reported.append(what))
    assert set(reported) == {"Azure: enabling the identity"}


def test_verbose_shows_the_request_id(load: Load, bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    body = {"error": {"code": "Odd", "message": "Something odd."}}
    fault = {"op": "Accounts_Update", "do": {"status": 400, "headers": {"x-ms-request-id": "id-4711"}, "body": body}}
    load({"extends": "contoso", "transitions": {"rbac_propagation": 0}, "faults": [fault]})
    with caplog.at_level("INFO", logger="provisioning"), pytest.raises(errors.ServiceError, match="Something odd"):
        bench.setup()
    assert "id-4711" in caplog.text
    assert json.dumps(body) not in caplog.text
