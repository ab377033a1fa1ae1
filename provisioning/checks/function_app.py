"""doctor's checks of the function app: is it there, as whom does it run, may that identity, is it configured for this."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from provisioning.azure.client import Azure
from provisioning.checks.access import tell_access, to_jobs, to_secret
from provisioning.checks.diagnosis import FunctionApp
from provisioning.checks.walk import Walk
from provisioning.cli.session import Session
from provisioning.models import Account, Vault, WandbAccount

FUNCTIONS = ("find_jobs", "report_poison", "sync_job")
"""What the function app consists of; a test holds this to function_app/."""
SETTINGS = (
    "AZURE_CLIENT_ID",
    "AZURE_OPENAI_ENDPOINT",
    "AZURE_OPENAI_ENDPOINTS",
    "KEY_VAULT_URL",
    "WANDB_ENTITY",
    "WANDB_SECRET_NAME",
)
"""The app settings that doctor looks at (docs, the contract of app settings)."""
CHECKS = ("function app", "app settings", "app identity", "app secret access", "app job access", "app functions")


@dataclass(frozen=True)
class AppName:
    """Which function app."""

    group: str
    name: str

    @property
    def az(self) -> str:
        """The options by which `az functionapp` knows it."""
        return f"-g {self.group} -n {self.name}"


@dataclass(frozen=True)
class Chain:
    """What of the chain the app depends on, as far as it is known."""

    account: Account | None
    vault: Vault | None
    wandb: WandbAccount | None


def function_app(walk: Walk, azure: Azure, session: Session, app: AppName, chain: Chain) -> None:
    """All checks of the app."""
    site: FunctionApp | None = None
    with walk.checking("function app"):
        site = azure.function_apps.get(app.group, app.name)
        if site.state.lower() == "running":
            walk.ok("function app", f"{site.name} is running")
        else:
            walk.fail("function app", f"{site.name} is {site.state.lower()}", f"az functionapp start {app.az}")
    if site is None:
        walk.skip("the function app is not known", *CHECKS[1:])
        return
    settings = _settings(walk, azure, session, app, chain)
    principal_id = _identity(walk, app, site, settings)
    _access(walk, azure, session, principal_id, chain)
    _functions(walk, azure, app)


def _settings(walk: Walk, azure: Azure, session: Session, app: AppName, chain: Chain) -> Mapping[str, str] | None:
    """What the app is configured for; reading that takes a right that not everybody has who may look at it."""
    settings: Mapping[str, str] | None = None
    with walk.checking("app settings", hidden=True):
        settings = azure.function_apps.settings(app.group, app.name, SETTINGS)
        wrong = _wrong(settings, session.target.secret, chain)
        entity = settings.get("WANDB_ENTITY")
        if wrong:
            words = "; ".join(
                f"{name} is {settings.get(name) or 'not set'}, not {want}" for name, want in wrong.items()
            )
            given = " ".join(f"{name}={want}" for name, want in wrong.items())
            walk.fail("app settings", words, f"az functionapp config appsettings set {app.az} --settings {given}")
        elif entity and chain.wandb and entity != chain.wandb.entity:
            walk.warn(
                "app settings",
                f"the app writes to W&B entity {entity}, and the key was checked for {chain.wandb.entity}",
                f"Run doctor again with --wandb-entity {entity}.",
            )
        else:
            walk.ok("app settings", "they name this vault, this secret and this account")
    return settings


def _wrong(settings: Mapping[str, str], secret: str, chain: Chain) -> Mapping[str, str]:
    """The settings that should be others, with what they should be."""
    wrong: dict[str, str] = {}
    if chain.vault and not _same_url(settings.get("KEY_VAULT_URL", ""), chain.vault.uri):
        wrong["KEY_VAULT_URL"] = chain.vault.uri
    if (settings.get("WANDB_SECRET_NAME") or "wandb-api-key").lower() != secret.lower():
        wrong["WANDB_SECRET_NAME"] = secret
    given = settings.get("AZURE_OPENAI_ENDPOINTS") or settings.get("AZURE_OPENAI_ENDPOINT") or ""
    endpoints = [e for e in re.split(r"[\s,;]+", given) if e]
    if chain.account and not any(_same_url(e, chain.account.endpoint) for e in endpoints):
        wrong["AZURE_OPENAI_ENDPOINTS"] = ",".join([*endpoints, chain.account.endpoint])
    return wrong


def _same_url(one: str, other: str) -> bool:
    return one.strip().rstrip("/").lower() == other.rstrip("/").lower()


def _identity(walk: Walk, app: AppName, site: FunctionApp, settings: Mapping[str, str] | None) -> str | None:
    """The object id of the identity that the app uses: the one that AZURE_CLIENT_ID names, else its own."""
    name, users = "app identity", site.user_identities
    if settings is None and len(users) + bool(site.system_identity) > 1:
        walk.skip("its settings cannot be read, and they say which of its identities it uses", name)
        return None
    wanted = (settings or {}).get("AZURE_CLIENT_ID", "").lower()
    chosen = next((u for u in users if u.client_id.lower() == wanted), None)
    if chosen is None and settings is None and users:
        chosen = users[0]
    if chosen:
        walk.ok(name, f"user-assigned {chosen.name}, principal {chosen.principal_id}")
        return chosen.principal_id
    if not wanted and site.system_identity:
        walk.ok(name, f"system-assigned, principal {site.system_identity}")
        return site.system_identity
    if users:
        seen = f"AZURE_CLIENT_ID is {wanted or 'not set'}, which is none of its user-assigned identities"
        known = " or ".join(f"AZURE_CLIENT_ID={u.client_id}" for u in users)
        walk.fail(name, seen, f"az functionapp config appsettings set {app.az} --settings {known}")
    elif site.system_identity:
        seen = f"AZURE_CLIENT_ID is {wanted}, and it has no user-assigned identity but only its own"
        walk.fail(name, seen, f"az functionapp config appsettings delete {app.az} --setting-names AZURE_CLIENT_ID")
    else:
        walk.fail(name, "it has no managed identity", f"az functionapp identity assign {app.az}")
    return None


def _access(walk: Walk, azure: Azure, session: Session, principal_id: str | None, chain: Chain) -> None:
    """Whether the app's identity may read the secret and the jobs."""
    reads_secret, reads_jobs = "app secret access", "app job access"
    if principal_id is None:
        walk.skip("the app's identity is not known", reads_secret, reads_jobs)
        return
    if chain.vault is None:
        walk.skip("the vault is not known", reads_secret)
    else:
        with walk.checking(reads_secret, hidden=True):
            access = to_secret(azure, chain.vault, session.target.secret, principal_id)
            lacking = f"the app's identity may not read secret {session.target.secret}"
            tell_access(
                walk, reads_secret, session, access, lacking, _secret_remedy(chain.vault, session, principal_id)
            )
    if chain.account is None:
        walk.skip("the account is not known", reads_jobs)
    else:
        with walk.checking(reads_jobs, hidden=True):
            access = to_jobs(azure, chain.account, principal_id)
            lacking = f"the app's identity may not read fine-tuning jobs and their files in {chain.account.name}"
            remedy = _assign(principal_id, "Cognitive Services OpenAI User", chain.account.id)
            tell_access(walk, reads_jobs, session, access, lacking, remedy)


def _secret_remedy(held: Vault, session: Session, principal_id: str) -> str:
    if held.rbac:
        return _assign(principal_id, "Key Vault Secrets User", f"{held.id}/secrets/{session.target.secret}")
    return f"az keyvault set-policy -n {held.name} --object-id {principal_id} --secret-permissions get"


def _assign(principal_id: str, role: str, scope: str) -> str:
    return (
        f"az role assignment create --assignee-object-id {principal_id} --assignee-principal-type ServicePrincipal "
        f'--role "{role}" --scope {scope}'
    )


def _functions(walk: Walk, azure: Azure, app: AppName) -> None:
    """What the host has indexed: a deployment that went wrong leaves fewer functions, or none, and no error anywhere."""
    name = "app functions"
    with walk.checking(name, hidden=True):
        found = azure.function_apps.functions(app.group, app.name)
        missing = [f for f in FUNCTIONS if f not in {each.name for each in found}]
        disabled = [each.name for each in found if each.disabled and each.name in FUNCTIONS]
        if missing:
            indexed = ", ".join(sorted(each.name for each in found)) or "none"
            walk.fail(
                name,
                f"the host has indexed {len(FUNCTIONS) - len(missing)} of {len(FUNCTIONS)} functions ({indexed}); "
                f"missing: {', '.join(missing)}",
                f"Deploy again (func azure functionapp publish {app.name}) and look at the host's log for an error "
                "while it indexes.",
            )
        elif disabled:
            off = " ".join(f"AzureWebJobs.{each}.Disabled=false" for each in disabled)
            walk.fail(
                name,
                f"disabled: {', '.join(disabled)}",
                f"az functionapp config appsettings set {app.az} --settings {off}",
            )
        else:
            walk.ok(name, ", ".join(FUNCTIONS))
