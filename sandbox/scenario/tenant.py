"""A scenario's tenant: principals, grants, vaults, accounts, function apps. Data only, as in the YAML file."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, IPvAnyNetwork, model_validator

from sandbox.azure.openai.service import OpenAIAccount
from sandbox.runtime.clock import Duration


class Script(BaseModel):
    """A part of a scenario. Unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PrincipalScript(Script):
    """A principal of the tenant. The rest of the scenario refers to it by `name`."""

    name: str
    kind: Literal["user", "group", "application", "managed identity", "app registration"]
    id: str = ""
    display_name: str = ""  # of a user: the user principal name
    client_secret: str | None = None
    app_id: str = ""  # of an application whose id is known everywhere
    members: list[str] = []
    deleted: bool = False  # deleted from the directory, but still named in policies and assignments


class DelegationScript(Script):
    """The roles and types of principals that a condition on the right to assign roles allows. None means any."""

    roles: list[str] | None = None
    principal_types: list[Literal["User", "Group", "ServicePrincipal"]] | None = None


class AssignmentScript(Script):
    """A role that somebody holds from the start, effective already.

    `scope`: subscription, the name of a resource group, subscription or management group, or an ARM id. `condition_met`:
    whether a condition, where there is one, lets the calls through, and
    `condition_refuses` which actions it refuses all the same. `may_assign`: a condition on which roles may be
    assigned. `expires_in`: when an activation (PIM), or another time-bound assignment, ends.
    """

    principal: str
    role: str
    scope: str = "subscription"
    condition: str | None = None
    condition_met: bool = True
    condition_refuses: list[str] = []
    description: str | None = None
    name: str | None = None
    may_assign: DelegationScript | None = None
    expires_in: Duration | None = None


class RoleScript(Script):
    """A custom role, which can be assigned at and below `assignable`."""

    name: str
    actions: list[str] = []
    not_actions: list[str] = []
    data_actions: list[str] = []
    not_data_actions: list[str] = []
    assignable: list[str] = ["subscription"]


class PolicyScript(Script):
    """An entry of a vault's access policies."""

    principal: str
    secrets: list[str] = []
    keys: list[str] = []
    certificates: list[str] = []
    storage: list[str] = []
    application_id: str | None = None
    tenant_id: str | None = None  # of another tenant


class VersionScript(Script):
    """One version of a secret. Days count from the start; a version that expires in -1 days has expired yesterday."""

    value: str
    enabled: bool = True
    expires_in_days: float | None = None
    created_days_ago: float = 0
    content_type: str | None = None
    tags: dict[str, str] | None = None


class SecretScript(VersionScript):
    """A secret that is there from the start: its `versions`, oldest first, or one version in short."""

    name: str
    value: str = ""
    versions: list[VersionScript] = []
    deleted: bool = False

    @model_validator(mode="after")
    def _value_or_versions(self) -> Self:
        in_short = self.model_fields_set - {"name", "versions", "deleted"}
        if bool(in_short) == bool(self.versions) or (in_short and "value" not in in_short):
            raise ValueError("a secret has a value, or a list of versions")
        return self

    def history(self) -> list[VersionScript]:
        """Its versions, oldest first."""
        return self.versions or [self]


class VaultScript(Script):
    """A Key Vault. `deleted`: in the deleted state; `elsewhere`: another tenant holds the name, all else is ignored.

    `firewall`: only `ip_rules` get in. `public_network: false`: only private links do. `soft_delete: false`: a vault from
    before 2020, which deletes secrets permanently. `changed_by`: who changed it last, a person or an application, such as a
    pipeline. `deployment`: the name of the deployment, in its group, whose template has it.
    """

    name: str
    group: str
    location: str = "swedencentral"
    rbac: bool | None = None
    policies: list[PolicyScript] = []
    secrets: list[SecretScript] = []
    tags: dict[str, str] = {}
    purge_protection: bool = False
    soft_delete: bool = True
    retention_days: int = Field(90, ge=7, le=90)
    firewall: bool = False
    ip_rules: list[IPvAnyNetwork] = []
    public_network: bool = True
    deleted: bool = False
    elsewhere: bool = False
    tenant_id: str | None = None  # of another tenant than the subscription's
    changed_by: Literal["User", "Application"] = "User"
    deployment: str = ""


class FunctionAppScript(Script):
    """A function app. `identity`: principals that are its user-assigned identities, or "system" for a system-assigned one.

    Its own identity is a principal of the app's name.
    """

    name: str
    group: str
    location: str = "swedencentral"
    identity: str | list[str] = []
    functions: list[str] = []
    settings: dict[str, str] = {}
    state: Literal["Running", "Stopped"] = "Running"
    tags: dict[str, str] = {}
    python: str = "3.13"
    package_version: str = ""
    alerts: list[str] = ["no-tick", "poison"]
    alert_emails: list[str] | None = ["oncall@contoso.example"]
    import_errors: list[str] = []


class AccountScript(OpenAIAccount):
    """An Azure OpenAI account: its control plane here, its jobs and files as OpenAIAccount says."""

    group: str
    system_identity: bool = False
    user_identities: list[str] = Field(default_factory=list)
    tags: dict[str, str] = Field(default_factory=dict)
