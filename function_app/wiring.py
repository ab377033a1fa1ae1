"""Build clients from the settings, and the engine from the clients. No other module knows all of them.

Everything that is opened here is closed with the returned context manager. The wandb SDK is imported late: it
takes half a second, which other commands can save.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from azure.core.credentials import TokenCredential

from function_app.azure.accounts import accounts_from, merged
from function_app.azure.key_vault import VaultKey, identity_of
from function_app.azure.leases import Leases, no_lease
from function_app.azure.openai import Account
from function_app.engine.deleted_runs import DeletedRuns, InMemory
from function_app.engine.engine import Engine
from function_app.engine.reporting import Reporting
from function_app.errors import SettingsError
from function_app.models import USUAL, Conventions
from function_app.settings import Settings
from function_app.tracking import GivenKey, KeySource

if TYPE_CHECKING:
    from function_app.tracking.wandb.api import WandbApi


def engine_from(
    settings: Settings,
    *,
    managed_identity: bool = False,
    guest: bool = False,
    accounts: Sequence[Account] | None = None,
    conventions: Conventions = USUAL,
    leases: Leases = no_lease,
    deleted: DeletedRuns | None = None,
) -> Engine:
    """Build the engine that the settings describe.

    Args:
        settings: the settings to build it from.
        managed_identity: sign in as the app, as in Functions.
        guest: the process belongs to the caller, so the W&B SDK's process-wide state must not change.
        accounts: use these instead of the accounts in the settings.
        conventions: names, tags and config for new runs.
        leases: prevents two workers from writing the same job.
        deleted: the record of deleted runs; in memory by default.

    Raises:
        SettingsError: the settings contradict each other.
    """
    from function_app.tracking.wandb.tracker import WandbTracker

    with ExitStack() as resources:
        identity = identity_of(settings, resources, managed_identity=managed_identity)
        if accounts is None:
            accounts = accounts_from(settings, identity)
        for account in accounts:
            resources.callback(account.close)
        tracker = WandbTracker(_wandb_api(settings, _keys(settings, identity), resources, guest=guest))
        return Engine(
            merged(accounts),
            tracker,
            datasets=settings.sync_datasets,
            concurrency=settings.sync_concurrency,
            rules=settings.wandb_routes,
            registry=settings.wandb_registry,
            resources=resources.pop_all(),
            conventions=_conventions(settings) if conventions is USUAL else conventions,
            reporting=Reporting(settings.fine_tuning_prices, settings.alert_overdue_minutes * 60 or None),
            leases=leases,
            deleted=deleted or InMemory(),
        )


def _conventions(settings: Settings) -> Conventions:
    return Conventions(model_artifact=settings.wandb_model_artifact_name, model_type=settings.wandb_model_artifact_type)


@contextmanager
def open_accounts(settings: Settings) -> Iterator[list[Account]]:
    """Open the accounts of the settings, for a command that does not use W&B."""
    with ExitStack() as resources:
        accounts = accounts_from(settings, identity_of(settings, resources))
        for account in accounts:
            resources.callback(account.close)
        yield accounts


@contextmanager
def open_wandb(settings: Settings) -> Iterator["WandbApi"]:
    """Open the W&B project of the settings, for a command that does not use the accounts."""
    with ExitStack() as resources:
        yield _wandb_api(settings, _keys(settings, identity_of(settings, resources)), resources, guest=False)


def _wandb_api(settings: Settings, keys: KeySource, resources: ExitStack, *, guest: bool) -> "WandbApi":
    from function_app.tracking.wandb.api import WandbApi
    from function_app.tracking.wandb.client import DEFAULT_SERVER, WandbClient
    from function_app.tracking.wandb.sdk import prepare

    if not guest:
        prepare()
    resources.callback(keys.close)
    client = WandbClient(settings.wandb_base_url or DEFAULT_SERVER)
    resources.callback(client.close)
    return WandbApi(settings.wandb_project, keys, client, entity=settings.wandb_entity)


def _keys(settings: Settings, identity: Callable[[], TokenCredential]) -> KeySource:
    """Return the vault as key source if one is set, else the key from the environment.

    Raises:
        SettingsError: the settings name neither.
    """
    if settings.key_vault_url:
        return VaultKey(settings.key_vault_url, settings.wandb_secret_name, identity())
    if settings.wandb_api_key:
        return GivenKey(settings.wandb_api_key)
    raise SettingsError("Neither KEY_VAULT_URL nor WANDB_API_KEY is set.")
