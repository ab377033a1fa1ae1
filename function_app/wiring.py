"""Build clients from the settings, and the engine from the clients. No other module knows all of them.

Everything that is opened here is closed with the returned context manager. The wandb SDK is imported late: it
takes half a second, which other commands can save.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING
from urllib.request import getproxies

import httpx2
from azure.core.credentials import TokenCredential

from function_app.azure.account_finder import AccountFinder
from function_app.azure.accounts import accounts_from, azure_account, merged
from function_app.azure.identity import identity_of
from function_app.azure.leases import Leases, no_lease
from function_app.azure.openai import Account
from function_app.azure.subscriptions import Subscriptions
from function_app.data.addresses import Endpoint
from function_app.engine.engine import Engine
from function_app.engine.run_records import InMemory, RunRecord
from function_app.errors import SettingsError
from function_app.models import Conventions
from function_app.settings import Settings
from function_app.tracking import FixedKey, KeySource

if TYPE_CHECKING:
    from function_app.tracking.wandb.api import WandbApi
    from function_app.tracking.wandb.client import Limits


def engine_from(
    settings: Settings,
    *,
    managed_identity: bool = False,
    guest: bool = False,
    accounts: Sequence[Account] | None = None,
    conventions: Conventions | None = None,
    leases: Leases = no_lease,
    deleted: RunRecord | None = None,
    finished: RunRecord | None = None,
    limits: "Limits | None" = None,
) -> Engine:
    """Build the engine that the settings describe.

    Args:
        settings: the settings to build it from.
        managed_identity: sign in as the app, as in Functions.
        guest: the process belongs to the caller, so the W&B SDK's process-wide state must not change.
        accounts: use these instead of the accounts in the settings.
        conventions: names, tags and config for new runs; those of the settings by default.
        leases: prevents two workers from writing the same job.
        deleted: the record of deleted runs; in memory by default.
        finished: the record of complete runs; in memory by default.
        limits: how long each wait for W&B may take.

    Raises:
        SettingsError: the settings contradict each other.
    """
    from function_app.tracking.wandb.tracker import WandbTracker

    _check_proxies()
    with ExitStack() as resources:
        identity = identity_of(settings, resources, managed_identity=managed_identity)
        finder = None
        if accounts is None:
            accounts = accounts_from(settings, identity)
            finder = _finder(settings, accounts, identity, resources)
        for account in accounts:
            resources.callback(account.close)
        api = _wandb_api(settings, _keys(settings, identity), resources, limits=limits)
        return Engine(
            merged(accounts),
            WandbTracker(api, guest=guest),
            settings,
            resources=resources.pop_all(),
            conventions=conventions,
            leases=leases,
            deleted=deleted or InMemory(),
            finished=finished or InMemory(),
            finder=finder,
        )


def _finder(
    settings: Settings, named: Sequence[Account], identity: Callable[[], TokenCredential], resources: ExitStack
) -> AccountFinder | None:
    """Return what finds the accounts of the settings' subscriptions; None if the settings name none."""
    if not settings.scopes:
        return None
    trust = httpx2.create_ssl_context()

    def open_account(endpoint: Endpoint) -> Account:
        return azure_account(endpoint, settings.api_versions, identity(), trust, discovered=True)

    keys = frozenset(endpoint.account for endpoint in settings.endpoints)
    finder = AccountFinder(named, keys, settings.scopes, Subscriptions(identity(), settings.cloud), open_account)
    resources.callback(finder.close)
    return finder


@contextmanager
def open_accounts(settings: Settings) -> Iterator[list[Account]]:
    """Open the accounts of the settings, for a command that does not use W&B."""
    _check_proxies()
    with ExitStack() as resources:
        identity = identity_of(settings, resources)
        accounts = accounts_from(settings, identity)
        for account in accounts:
            resources.callback(account.close)
        if finder := _finder(settings, accounts, identity, resources):
            finder.accounts()
            accounts += finder.discovered
        yield accounts


@contextmanager
def open_wandb(settings: Settings) -> Iterator["WandbApi"]:
    """Open the W&B project of the settings, for a command that does not use the accounts."""
    from function_app.tracking.wandb.core.sdk import prepare

    _check_proxies()
    prepare()
    with ExitStack() as resources:
        yield _wandb_api(settings, _keys(settings, identity_of(settings, resources)), resources)


def _check_proxies() -> None:
    """Check the proxies in the variables that httpx reads.

    Raises:
        SettingsError: httpx cannot use one of them. The message does not quote it, because it may have a password.
    """
    proxies = getproxies()
    if "*" in proxies.get("no", "").replace(" ", "").split(","):  # NO_PROXY: none is used
        return
    for name in ("http", "https", "all"):
        address = proxies.get(name)
        if not address:
            continue
        try:
            # This transport sends nothing. Without verification it loads no certificates, which takes a while.
            httpx2.HTTPTransport(proxy=address if "://" in address else f"http://{address}", verify=False)
        except ImportError:
            raise SettingsError(
                f"{name.upper()}_PROXY names a SOCKS proxy, for which a package is missing.",
                "Install it with `pip install socksio`, or set the variable to an address such as http://proxy.example:8080.",
            ) from None
        except (ValueError, httpx2.InvalidURL):
            raise SettingsError(
                f"{name.upper()}_PROXY is not the address of a proxy.", "Write it as http://proxy.example:8080."
            ) from None


def _wandb_api(
    settings: Settings, keys: KeySource, resources: ExitStack, *, limits: "Limits | None" = None
) -> "WandbApi":
    from function_app.tracking.wandb.api import WandbApi
    from function_app.tracking.wandb.client import DEFAULT_SERVER, LIMITS, WandbClient

    resources.callback(keys.close)
    client = WandbClient(settings.wandb_base_url or DEFAULT_SERVER, limits=limits or LIMITS)
    resources.callback(client.close)
    return WandbApi(settings.wandb_project, keys, client, entity=settings.wandb_entity)


def _keys(settings: Settings, identity: Callable[[], TokenCredential]) -> KeySource:
    """Return the vault as key source if one is set, else the key from the environment.

    Raises:
        SettingsError: the settings name neither.
    """
    if settings.key_vault_url:
        from function_app.azure.key_vault import VaultKey

        return VaultKey(settings.key_vault_url, settings.wandb_secret_name, identity())
    if settings.wandb_api_key:
        return FixedKey(settings.wandb_api_key)
    raise SettingsError("Neither KEY_VAULT_URL nor WANDB_API_KEY is set.")
