"""doctor's checks of the function app: it runs, its settings match, and its identity has access."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from urllib.parse import urlsplit

from function_app.shared_rules import (
    EVERY_TWO_MINUTES,
    PYTHON,
    Endpoint,
    Scope,
    check_schedule,
    ignored_routes,
    parse_address,
    split_endpoints,
)
from provisioning import shell
from provisioning.app_models import FunctionApp, FunctionAppName
from provisioning.azure.function_apps import EMPTY
from provisioning.checks import access, monitoring
from provisioning.checks.chain import Chain
from provisioning.checks.report import Finding, failed, known, ok, readable, skipped, warning
from provisioning.models import Account, Vault

FUNCTIONS = ("find_jobs", "report_poison", "sync_job")
"""The functions of the app; a test compares them with function_app/."""
SETTINGS = (
    "AZURE_CLIENT_ID",
    "AZURE_OPENAI_ENDPOINT",
    "AZURE_OPENAI_ENDPOINTS",
    "AZURE_TRUSTED_HOSTS",
    "KEY_VAULT_URL",
    "SYNC_DATASETS",
    "SYNC_SCHEDULE",
    "WANDB_ENTITY",
    "WANDB_ROUTES",
    "WANDB_SECRET_NAME",
)
"""The app settings that doctor reads (docs, the contract of app settings)."""
_STORAGE = "AzureWebJobsStorage"
_STORAGE_BY_IDENTITY = tuple(f"{_STORAGE}__{each}" for each in ("accountName", "blobServiceUri", "queueServiceUri"))
_REFERENCE = "@microsoft.keyvault("


def function_app(chain: Chain) -> Finding:
    """The app exists and runs."""
    app = _app(chain)
    site = chain.azure.function_apps.get(app)
    chain.site = site
    if site.state.lower() == "running":
        return ok(f"{site.name} is running")
    return failed(f"{site.name} is {site.state.lower()}", _az(app, "start"))


def app_settings(chain: Chain) -> Finding:
    """The settings name this vault, secret and account. Reading them needs a right that not every reader has."""
    known(chain.site, "the function app")
    app = _app(chain)
    settings = readable(lambda: chain.azure.function_apps.settings(app, SETTINGS, (_STORAGE, *_STORAGE_BY_IDENTITY)))
    chain.app_settings = settings
    wrong = _wrong(settings, chain)
    entity = settings.get("WANDB_ENTITY")
    if wrong:
        return failed(
            "; ".join(f"{name} is {settings.get(name) or 'not set'}, not {want}" for name, want in wrong.items()),
            _set(app, wrong),
        )
    if problem := _schedule_problem(settings.get("SYNC_SCHEDULE", "")):
        return failed(f"SYNC_SCHEDULE: {problem}", _set(app, {"SYNC_SCHEDULE": EVERY_TWO_MINUTES}))
    if problem := _routes_problem(settings):
        return failed(problem, "Change WANDB_ROUTES of the app (docs/routing.md).")
    if references := [name for name in SETTINGS if _is_reference(settings.get(name, ""))]:
        return warning(
            f"{', '.join(references)}: a Key Vault reference, whose value doctor cannot see",
            "The portal shows whether it resolves (Environment variables). These settings are not secret: plain values are "
            "easier to check.",
        )
    if finding := _storage_problem(app, settings):
        return finding
    if entity and chain.wandb and entity != chain.wandb.entity:
        return warning(
            f"the app writes to W&B entity {entity}, but the key was checked for {chain.wandb.entity}",
            "Run doctor again with that entity as --wandb-entity.",
        )
    return ok("they name this vault, this secret and this account")


def _storage_problem(app: FunctionAppName, settings: Mapping[str, str]) -> Finding | None:
    """Describe the problem of the host's storage account. A deployment may add a plain setting again, even an empty one
    (azure-functions-host issues 11796, 11636), and the host prefers it to the identity.
    """
    if _STORAGE not in settings:
        return None
    delete = _az(app, "config", "appsettings", "delete", "--setting-names", _STORAGE)
    if any(name in settings for name in _STORAGE_BY_IDENTITY):
        what = "an empty value" if settings[_STORAGE] == EMPTY else "that connection string"
        return warning(
            f"{_STORAGE} is set beside {_STORAGE}__…: the host uses {what} instead of the app's identity", delete
        )
    if settings[_STORAGE] == EMPTY:
        return failed(
            f"{_STORAGE} is empty: the host has no storage account and does not start",
            "Deploy the template again (docs/deploy.md), which names the account, and delete the setting: " + delete,
        )
    return warning(
        f"{_STORAGE} is a connection string: the host uses a key of the storage account",
        "Deploy the template (docs/deploy.md): with it the host uses the app's identity.",
    )


def _schedule_problem(schedule: str) -> str:
    """Why the host would not run the timer at the times that the schedule appears to name; empty if it does."""
    if _is_reference(schedule):
        return ""
    try:
        check_schedule(schedule or EVERY_TWO_MINUTES)
    except ValueError as error:
        return str(error)
    return ""


def _routes_problem(settings: Mapping[str, str]) -> str:
    """Why the app refuses or ignores a part of WANDB_ROUTES; empty if it follows all of it."""
    routes, datasets = settings.get("WANDB_ROUTES", ""), settings.get("SYNC_DATASETS", "")
    if not routes or _is_reference(routes) or _is_reference(datasets):
        return ""
    try:
        return " ".join(ignored_routes(routes, datasets))
    except ValueError as error:
        return f"WANDB_ROUTES: {error}"


def _wrong(settings: Mapping[str, str], chain: Chain) -> Mapping[str, str]:
    """Return the settings with a wrong value, each with the right one. Only hosts are compared, as the app uses only those."""
    wrong: dict[str, str] = {}
    vault_url = settings.get("KEY_VAULT_URL", "")
    if chain.vault and not _is_reference(vault_url) and _host(vault_url) != _host(chain.vault.uri):
        wrong["KEY_VAULT_URL"] = chain.vault.uri
    name = settings.get("WANDB_SECRET_NAME") or "wandb-api-key"
    if not _is_reference(name) and name.lower() != chain.target.secret.lower():
        wrong["WANDB_SECRET_NAME"] = chain.target.secret
    given = settings.get("AZURE_OPENAI_ENDPOINTS") or settings.get("AZURE_OPENAI_ENDPOINT") or ""
    addresses = list(_addresses(given, settings.get("AZURE_TRUSTED_HOSTS", "")))
    if chain.account and not _is_reference(given) and not any(_names(each, chain.account) for each in addresses):
        kept = [each.url if isinstance(each, Endpoint) else each.text for each in addresses]
        wrong["AZURE_OPENAI_ENDPOINTS"] = ",".join([*kept, chain.account.endpoint])
    return wrong


def _addresses(given: str, trusted: str) -> Iterator[Endpoint | Scope]:
    """Yield the entries of AZURE_OPENAI_ENDPOINTS that the app can use. Others never get into a printed command."""
    hosts = split_endpoints(trusted.lower())
    for entry in split_endpoints(given):
        with suppress(ValueError):
            yield parse_address(entry, hosts)


def _names(address: Endpoint | Scope, account: Account) -> bool:
    """Whether an entry of AZURE_OPENAI_ENDPOINTS is an address of the account, or a scope that contains it."""
    if isinstance(address, Endpoint):
        return address.host in account.hosts
    return f"{account.id}/".lower().startswith(f"{address.path}/".lower())


def _is_reference(value: str) -> bool:
    return value.lower().startswith(_REFERENCE)


def _host(url: str) -> str:
    try:
        return (urlsplit(url.strip()).hostname or "").lower()
    except ValueError:
        return ""


def app_identity(chain: Chain) -> Finding:
    """The app has the identity that it is configured to use."""
    site, settings = known(chain.site, "the function app"), chain.app_settings
    users = site.user_identities
    if settings is None and len(users) + bool(site.system_identity) > 1:
        return skipped("its settings, which choose one of its identities, cannot be read")
    client_id = (settings or {}).get("AZURE_CLIENT_ID", "").lower()
    chosen = next((u for u in users if u.client_id.lower() == client_id), None)
    if chosen is None and settings is None and users:
        chosen = users[0]
    if chosen:
        chain.app_principal = chosen.principal_id
        return ok(f"user-assigned {chosen.name}, principal {chosen.principal_id}")
    if not client_id and site.system_identity:
        chain.app_principal = site.system_identity
        return ok(f"system-assigned, principal {site.system_identity}")
    return _no_identity(_app(chain), site, client_id)


def _no_identity(app: FunctionAppName, site: FunctionApp, client_id: str) -> Finding:
    users = site.user_identities
    if users:
        return failed(
            f"AZURE_CLIENT_ID is {client_id or 'not set'}, and none of its user-assigned identities has that client id",
            " or ".join(_set(app, {"AZURE_CLIENT_ID": u.client_id}) for u in users),
        )
    if site.system_identity:
        return failed(
            f"AZURE_CLIENT_ID is {client_id}, but the app has no user-assigned identity, only its system-assigned one",
            _az(app, "config", "appsettings", "delete", "--setting-names", "AZURE_CLIENT_ID"),
        )
    return failed("it has no managed identity", _az(app, "identity", "assign"))


def app_secret_access(chain: Chain) -> Finding:
    """The app's identity may read the secret."""
    principal_id = known(chain.app_principal, "the app's identity")
    vault, name = known(chain.vault, "the vault"), chain.target.secret
    held = readable(lambda: access.to_secret(chain.azure, vault, name, principal_id))
    lacking = f"the app's identity may not read secret {name}"
    return held.finding(chain.clock.now(), lacking, _grant_secret(vault, name, principal_id))


def _grant_secret(vault: Vault, name: str, principal_id: str) -> str:
    if vault.rbac:
        return shell.assign_role(principal_id, "ServicePrincipal", "Key Vault Secrets User", vault.scope(name))
    return shell.allow_secrets(vault.name, principal_id)


def app_job_access(chain: Chain) -> Finding:
    """The app's identity may read jobs and files."""
    principal_id = known(chain.app_principal, "the app's identity")
    account = known(chain.account, "the account")
    held = readable(lambda: access.to_jobs(chain.azure, account, principal_id))
    lacking = f"the app's identity may not read fine-tuning jobs and their files in {account.name}"
    grant = shell.assign_role(principal_id, "ServicePrincipal", "Cognitive Services OpenAI User", account.id)
    return held.finding(chain.clock.now(), lacking, grant)


def app_functions(chain: Chain) -> Finding:
    """The host has indexed all functions. A failed deployment leaves fewer, or none, and reports no error."""
    known(chain.site, "the function app")
    app = _app(chain)
    found = readable(lambda: chain.azure.function_apps.functions(app))
    missing = [f for f in FUNCTIONS if f not in {each.name for each in found}]
    if missing:
        indexed = ", ".join(sorted(each.name for each in found)) or "none"
        return failed(
            f"the host has indexed {len(FUNCTIONS) - len(missing)} of {len(FUNCTIONS)} functions ({indexed}); "
            f"missing: {', '.join(missing)}",
            "Deploy the complete package, which Azure does not build (docs/deploy.md, The package): a build in Azure may use "
            "another Python than the app. Then read the host's log for errors during indexing.",
        )
    if disabled := [each.name for each in found if each.disabled and each.name in FUNCTIONS]:
        enabled = {f"AzureWebJobs.{each}.Disabled": "false" for each in disabled}
        return failed(f"disabled: {', '.join(disabled)}", _set(app, enabled))
    chain.package_version = next((each.package_version for each in found if each.package_version), "")
    return ok(", ".join(FUNCTIONS))


def app_version(chain: Chain) -> Finding:
    """The app runs on the Python that its packages are built for, and its code and template are of one release."""
    site = known(chain.site, "the function app")
    if site.runtime and site.runtime != f"python {PYTHON}":
        return failed(
            f"it runs on {site.runtime}, but the packages that it needs are built for python {PYTHON}",
            "Deploy the template of this release, which sets the runtime: az deployment group create (docs/deploy.md).",
        )
    package, template = chain.package_version, site.template_version
    if package and template and package != template:
        return warning(
            f"the package is {package}, the template {template}",
            "Deploy the template and the package of one release (docs/deploy.md, Update).",
        )
    seen = (f"package {package}" if package else "", f"template {template}" if template else "", site.runtime)
    return ok(", ".join(filter(None, seen)) or "neither package nor template state a version")


def _app(chain: Chain) -> FunctionAppName:
    return known(chain.app, "the function app")


def _az(app: FunctionAppName, *words: str) -> str:
    """An `az functionapp` command for this app."""
    where = ("--subscription", app.subscription) if app.subscription else ()
    return shell.command("az", "functionapp", *words, "-g", app.resource_group, "-n", app.name, *where)


def _set(app: FunctionAppName, settings: Mapping[str, str]) -> str:
    given = [f"{name}={value}" for name, value in settings.items()]
    return _az(app, "config", "appsettings", "set", "--settings", *given)


CHECKS: Mapping[str, Callable[[Chain], Finding]] = {
    "function app": function_app,
    "app settings": app_settings,
    "app identity": app_identity,
    "app secret access": app_secret_access,
    "app job access": app_job_access,
    "app functions": app_functions,
    "app version": app_version,
    **monitoring.CHECKS,
}
"""The checks of the function app by name, in the order they run."""
