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
TENANT = "72f988bf-0000-4000-8000-0000000000cc"
CLAIMS = base64.b64encode(b'{"access_token":{"acrs":{"essential":true,"values":["p1"]}}}').decode()
LOCKED = f"The scope 'x' cannot perform write operation because following scope(s) are locked: '{GROUP}'. Please remove the lock."
POLICY = {"policyAssignmentName": "require-tag", "policyDefinitionDisplayName": "Require a tag"}
BY_POLICY = {"additionalInfo": [{"type": "PolicyViolation", "info": POLICY}]}
IN_MESSAGE = 'disallowed by policy. Policy identifiers: \'[{"policyAssignment":{"name":"require-cost-center"}}]\'.'
NO_MFA = {"www-authenticate": f'Bearer realm="", error="insufficient_claims", claims="{CLAIMS}"'}
WRONG_TENANT = {
    "www-authenticate": f'Bearer authorization_uri="https://login.windows.net/{TENANT}", error="invalid_token"'
}
APPLICATION = "Principals of type Application cannot validly be used in role assignments."
DENIED = "denied because of the deny assignment with name 'managed-app'"
UNREGISTERED = "The subscription is not registered to use namespace 'Microsoft.CognitiveServices'"
ON_SECRETS = {"innererror": {"code": "ForbiddenByGovernancePolicy"}}


@dataclass
class Answer:
    """The answer of an operation that fails; `more` is also in the error."""

    op: str
    status: int
    code: str
    message: str
    more: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    def fault(self) -> dict[str, Any]:
        error = {"code": self.code, "message": self.message, **self.more}
        body = {"error": error} if self.status != 200 else {"id": "x", "name": "x", "status": "Failed", "error": error}
        return {"op": self.op, "do": {"status": self.status, "headers": dict(self.headers), "body": body}}


@dataclass
class Becomes:
    """The error that an operator gets, and words of its hint and message."""

    kind: type[errors.ProvisioningError]
    hint: str
    words: str = ""


REFUSALS = {
    "lock": (
        Answer("RoleAssignments_Create", 409, "ScopeLocked", LOCKED),
        Becomes(errors.LockedError, "az lock list -g rg-ml -o table"),
    ),
    "disabled subscription": (
        Answer("Accounts_Update", 409, "ReadOnlyDisabledSubscription", "is disabled"),
        Becomes(errors.SubscriptionDisabledError, "enable the subscription again"),
    ),
    "policy": (
        Answer("Vaults_Update", 403, "RequestDisallowedByPolicy", "was disallowed by policy.", BY_POLICY),
        Becomes(errors.PolicyError, "exemption", "Policy: require-tag"),
    ),
    "policy named in the message": (
        Answer("Vaults_Update", 403, "RequestDisallowedByPolicy", IN_MESSAGE),
        Becomes(errors.PolicyError, "exemption", "require-cost-center"),
    ),
    "multi-factor authentication": (
        Answer("Accounts_Update", 401, "RequestDisallowedByAzure", "Users must use MFA.", headers=NO_MFA),
        Becomes(errors.NotSignedInError, f"--claims-challenge {CLAIMS}"),
    ),
    "another tenant": (
        Answer("Accounts_Update", 401, "InvalidAuthenticationTokenTenant", "wrong issuer.", headers=WRONG_TENANT),
        Becomes(errors.NotSignedInError, f"az login --tenant {TENANT}", "another tenant"),
    ),
    "limit of role assignments": (
        Answer("RoleAssignments_Create", 400, "RoleAssignmentLimitExceeded", "has reached its limit of 4000"),
        Becomes(errors.LimitReachedError, "az role assignment list"),
    ),
    "deny assignment": (
        Answer("Accounts_Update", 403, "DenyAssignmentAuthorizationFailed", DENIED),
        Becomes(errors.DenyAssignmentError, "deny assignment", "managed-app"),
    ),
    "permission model": (
        Answer("Vaults_Update", 400, "InsufficientPermissions", "Caller is not allowed to change permission model."),
        Becomes(errors.MissingRightsError, "without a condition"),
    ),
    "an application's object id": (
        Answer("RoleAssignments_Create", 400, "PrincipalTypeNotSupported", APPLICATION),
        Becomes(errors.PrincipalUnsupportedError, "az keyvault delete-policy", "service principal"),
    ),
    "unregistered provider": (
        Answer("Accounts_Update", 409, "MissingSubscriptionRegistration", UNREGISTERED),
        Becomes(errors.ProviderNotRegisteredError, "az provider register -n Microsoft.CognitiveServices --wait"),
    ),
    "account in a change": (
        Answer("Accounts_Update", 400, "AccountProvisioningStateInvalid", "in state Accepted"),
        Becomes(errors.BusyError, "in a minute"),
    ),
    "policy on secrets": (
        Answer("SetSecret", 403, "Forbidden", "the secret's validity period is longer than 90 days.", ON_SECRETS),
        Becomes(errors.PolicyError, "--secret-lifetime 90d"),
    ),
    "failed operation": (
        Answer("Accounts_OperationResult", 200, "InternalServerError", "Identity service is down."),
        Becomes(
            errors.OperationFailedError, "activity log", "failed in Azure after it was accepted. InternalServerError"
        ),
    ),
    "throttled for an hour": (
        Answer("Vaults_Get", 429, "TooManyRequests", "slow down", headers={"retry-after": "3600"}),
        Becomes(errors.ThrottledError, "1 h"),
    ),
    "conflict for half an hour": (
        Answer("Accounts_Update", 409, "Conflict", "another change", headers={"retry-after": "1800"}),
        Becomes(errors.ThrottledError, "30 min", "pause of 30 min (HTTP 409)"),
    ),
}


@pytest.mark.parametrize(("answer", "error"), REFUSALS.values(), ids=list(REFUSALS))
def test_the_remedy_fits_the_cause(load: Load, bench: Bench, answer: Answer, error: Becomes) -> None:
    load({"extends": "contoso", "transitions": {"rbac_propagation": 0}, "faults": [answer.fault()]})
    refused = bench.setup_fails(errors.ProvisioningError, hint=error.hint, propagation_wait=timedelta(0))
    assert type(refused) is error.kind, refused.message
    assert error.words in refused.message
    assert answer.message in refused.message or error.kind is errors.ThrottledError, "the service's own sentence"
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
