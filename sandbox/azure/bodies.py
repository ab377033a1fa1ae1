"""The request bodies of Azure's services, as far as the stand-ins read them (from the official descriptions).

Other fields of a body are ignored here. The contract check, which uses the complete descriptions, reports them.
"""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

_Moment = Annotated[int, Field(ge=0, le=253_402_300_799)]  # seconds since 1970, until the year 9999


_OF_ALL = "all get list delete backup restore recover purge"
_OF_EACH = {
    "secrets": "set",
    "keys": "encrypt decrypt wrapkey unwrapkey sign verify create update import release rotate getrotationpolicy"
    " setrotationpolicy",
    "certificates": "create import update getissuers listissuers setissuers deleteissuers manageissuers managecontacts",
    "storage": "set update regeneratekey setsas listsas getsas deletesas",
}
PERMISSIONS = {kind: set(f"{_OF_ALL} {names}".split()) for kind, names in _OF_EACH.items()}
"""Permissions of access policies by their kind, in lower case (the official description of Microsoft.KeyVault)."""
_REGIONS = """
australiaeast australiasoutheast brazilsouth canadacentral canadaeast centralindia centralus eastasia eastus eastus2
francecentral germanywestcentral israelcentral italynorth japaneast japanwest koreacentral mexicocentral northcentralus
northeurope norwayeast polandcentral qatarcentral southafricanorth southcentralus southeastasia southindia spaincentral
swedencentral switzerlandnorth switzerlandwest uaenorth uksouth ukwest westcentralus westeurope westus westus2 westus3
usgovarizona usgovtexas usgovvirginia chinaeast2 chinanorth2 chinanorth3
"""


def is_region(location: str) -> bool:
    """Whether there is a region of this name, in short ("swedencentral") or as it is shown ("Sweden Central")."""
    return location.lower().replace(" ", "") in _REGIONS.split()


class _Body(BaseModel):
    model_config = ConfigDict(strict=True, alias_generator=to_camel)


# -- Microsoft.KeyVault


class _Policy(_Body):
    tenant_id: str | None = None
    object_id: str
    application_id: str | None = None
    permissions: dict[str, list[str] | None] = {}


class _Rule(_Body):
    value: str


class _Subnet(_Body):
    id: str


class _NetworkRules(_Body):
    bypass: str | None = None
    default_action: str | None = None
    ip_rules: list[_Rule] | None = None
    virtual_network_rules: list[_Subnet] | None = None


class _Sku(_Body):
    name: str | None = None


class _VaultProperties(_Body):
    create_mode: str | None = None
    sku: _Sku | None = None
    enable_rbac_authorization: bool | None = None
    enable_purge_protection: bool | None = None
    soft_delete_retention_in_days: int | None = None
    access_policies: list[_Policy] | None = None
    public_network_access: str | None = None
    network_acls: _NetworkRules | None = None
    enabled_for_deployment: bool | None = None
    enabled_for_disk_encryption: bool | None = None
    enabled_for_template_deployment: bool | None = None


class VaultBody(_Body):
    """The body of a request that creates, replaces or changes a vault."""

    location: str | None = None
    properties: _VaultProperties | None = None
    tags: dict[str, str] | None = None


class _Policies(_Body):
    access_policies: list[_Policy]


class PoliciesBody(_Body):
    """The body of a request that adds, replaces or removes access policies."""

    properties: _Policies


class NameBody(_Body):
    """The body of a check whether a name is available."""

    name: str


# -- Microsoft.CognitiveServices, Microsoft.Authorization


class _Identity(_Body):
    type: str = "None"
    user_assigned_identities: dict[str, Any] | None = None


class _AccountProperties(_Body):
    public_network_access: str | None = None
    disable_local_auth: bool | None = None


class AccountBody(_Body):
    """The body of a change of an account."""

    properties: _AccountProperties | None = None

    identity: _Identity = _Identity()
    tags: dict[str, str] | None = None


class _NewAccountProperties(_AccountProperties):
    custom_sub_domain_name: str | None = None


class NewAccountBody(AccountBody):
    """The body of a new account."""

    location: str
    kind: str
    properties: _NewAccountProperties = _NewAccountProperties()


class GroupBody(_Body):
    """The body of a resource group."""

    location: str
    tags: dict[str, str] | None = None


class _Parameter(_Body):
    value: Any


class _DeploymentProperties(_Body):
    parameters: dict[str, _Parameter]


class DeploymentBody(_Body):
    """The body of a deployment."""

    properties: _DeploymentProperties


class _Assignment(_Body):
    role_definition_id: str = ""
    principal_id: str = ""
    principal_type: str | None = None
    description: str | None = None
    condition: str | None = None
    condition_version: str | None = None


class AssignmentBody(_Body):
    """The body of a role assignment."""

    properties: _Assignment = _Assignment()


# -- Key Vault, Microsoft Graph


class _Attributes(_Body):
    enabled: bool | None = None
    exp: _Moment | None = None
    nbf: _Moment | None = None


class SecretBody(_Body):
    """The body of a request that sets or changes a secret. The service checks the value with its own messages."""

    attributes: _Attributes | None = None
    content_type: str | None = None
    tags: dict[str, str] | None = None


class IdsBody(_Body):
    """The body of a lookup of principals."""

    ids: list[str] = []
