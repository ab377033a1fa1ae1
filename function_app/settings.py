"""Settings: app settings in Azure, or environment variables on a laptop, with the same names (docs/settings.md)."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import (
    AliasChoices,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from function_app.data.addresses import (
    VAULT_HOSTS,
    Endpoint,
    Scope,
    azure_origin,
    parse_address,
    split_endpoints,
)
from function_app.data.jobs.description import artifact_name
from function_app.data.jobs.prices import Price, parse_prices
from function_app.data.routes import Destination, Registry, Routes, Rule, checked_name, parse_registry, parse_routes
from function_app.data.wandb_server import check_wandb_key, wandb_server
from function_app.errors import SettingsError
from function_app.models import Conventions, DatasetPolicy
from function_app.shared_rules import (
    EVERY_TWO_MINUTES,
    SECRET_NAME,
    check_schedule,
)

AUTO = "auto"
V1 = "v1"
PREVIEW, _STABLE = "2025-04-01-preview", "2024-10-21"


class Settings(BaseSettings):
    """All settings.

    Raises:
        SettingsError: from `Settings.load`. A direct call raises pydantic's ValidationError.
    """

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", frozen=True, populate_by_name=True)

    azure_trusted_hosts: Annotated[tuple[str, ...], NoDecode] = ()  # declared before the fields that need it
    azure_openai_endpoints: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), validation_alias=AliasChoices("AZURE_OPENAI_ENDPOINTS", "AZURE_OPENAI_ENDPOINT")
    )
    azure_openai_api_version: str = AUTO
    azure_openai_api_key: SecretStr | None = Field(
        default=None, validation_alias=AliasChoices("AZURE_OPENAI_API_KEY", "AZURE_OPENAI_KEY")
    )
    openai_api_key: SecretStr | None = None
    key_vault_url: str | None = None
    wandb_secret_name: str = SECRET_NAME
    wandb_api_key: SecretStr | None = None
    wandb_entity: str | None = None
    wandb_project: str = "OpenAI-Fine-Tune"
    wandb_routes: Annotated[tuple[Rule, ...], NoDecode] = ()
    wandb_registry: Annotated[Registry | None, NoDecode] = None
    wandb_base_url: str | None = None
    wandb_model_artifact_name: str | None = None
    wandb_model_artifact_type: str = "model"
    fine_tuning_prices: Annotated[tuple[Price, ...], NoDecode] = ()
    alert_overdue_minutes: int = Field(default=24 * 60, ge=0)
    sync_schedule: str = EVERY_TWO_MINUTES
    sync_datasets: DatasetPolicy = DatasetPolicy.FULL
    sync_concurrency: int = Field(default=32, ge=1, le=64)  # a job mostly waits for W&B
    azure_client_id: str | None = None

    @classmethod
    def load(cls, **given: Any) -> Self:
        """Read the environment. Values in `given`, by field name, take precedence.

        Raises:
            SettingsError: names every wrong or missing setting and the correction; it quotes no secret.
        """
        try:
            return cls(**given)
        except ValidationError as error:
            raise SettingsError(
                _problems(error),
                "Correct the option or the environment variable; for the function app, its app settings.",
            ) from None

    @classmethod
    def take(cls, **given: Any) -> Self:
        """Load the settings and remove the keys from the environment, so that child processes (wandb-core, az) do not get them.

        Raises:
            SettingsError: see `load`.
        """
        try:
            return cls.load(**given)
        finally:
            for name in ("WANDB_API_KEY", "AZURE_OPENAI_API_KEY", "AZURE_OPENAI_KEY", "OPENAI_API_KEY"):
                os.environ.pop(name, None)

    @property
    def datasets_chosen(self) -> bool:
        """Whether SYNC_DATASETS is set."""
        return "sync_datasets" in self.model_fields_set

    def deployed(self) -> Self:
        """Return the settings of the app in Azure: unless a data policy is chosen, only references to training files
        are sent.
        """
        return self if self.datasets_chosen else self.model_copy(update={"sync_datasets": DatasetPolicy.REFERENCE})

    @property
    def api_versions(self) -> tuple[str, ...]:
        """The API versions to try on Azure. Each is a fallback for an account that does not support the previous ones.

        The stable classic version shows neither a job's method nor its W&B integration, and only v1
        shows metadata (Microsoft, the API descriptions). If routes use metadata, an account without v1 is an error:
        in an older version its jobs would match other rules.
        """
        if self.azure_openai_api_version != AUTO:
            return (self.azure_openai_api_version,)
        return (V1,) if any(rule.needs_metadata for rule in self.wandb_routes) else (PREVIEW, _STABLE)

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """The addresses of accounts and projects in AZURE_OPENAI_ENDPOINTS."""
        return tuple(each for each in self._addresses() if isinstance(each, Endpoint))

    @property
    def scopes(self) -> tuple[Scope, ...]:
        """The subscriptions and resource groups in AZURE_OPENAI_ENDPOINTS."""
        return tuple(each for each in self._addresses() if isinstance(each, Scope))

    @property
    def cloud(self) -> str:
        """The Azure cloud, as the last label of an Azure OpenAI host names it: com, us or cn."""
        hosts = [urlsplit(url).hostname or "" for url in (self.key_vault_url or "", *self.azure_openai_endpoints)]
        known = {".usgovcloudapi.net": "us", ".azure.us": "us", ".azure.cn": "cn"}
        return next((cloud for host in hosts for suffix, cloud in known.items() if host.endswith(suffix)), "com")

    def _addresses(self) -> Iterator[Endpoint | Scope]:
        return (parse_address(each, self.azure_trusted_hosts) for each in self.azure_openai_endpoints)

    @property
    def overdue_after(self) -> float | None:
        """The seconds without news after which a job is overdue; None for never."""
        return self.alert_overdue_minutes * 60 or None

    @property
    def conventions(self) -> Conventions:
        """The names of new models."""
        return Conventions(model_artifact=self.wandb_model_artifact_name, model_type=self.wandb_model_artifact_type)

    @property
    def routes(self) -> Routes:
        """The routes of the jobs."""
        return Routes(Destination(self.wandb_entity, self.wandb_project, self.sync_datasets), self.wandb_routes)

    @field_validator("azure_openai_endpoints", "azure_trusted_hosts", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return split_endpoints(value) if isinstance(value, str) else value

    @field_validator("azure_trusted_hosts")
    @classmethod
    def _hosts(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(host.lower() for host in hosts)

    @field_validator("azure_openai_endpoints")
    @classmethod
    def _endpoints(cls, endpoints: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        found: dict[object, str] = {}
        names: dict[str, str] = {}
        for address in (parse_address(each, info.data.get("azure_trusted_hosts", ())) for each in endpoints):
            if isinstance(address, Scope):
                found.setdefault(address, address.text)
                continue
            if names.setdefault(address.name, address.account) != address.account:
                raise ValueError(
                    f"two accounts would have the name {address.name}, which identifies an account in W&B and in the queue"
                )
            found.setdefault((address.account, address.project), address.url)
        return tuple(found.values())

    @field_validator("key_vault_url")
    @classmethod
    def _vault(cls, url: str | None, info: ValidationInfo) -> str | None:
        trusted = info.data.get("azure_trusted_hosts", ())
        return url and azure_origin(url, "https://<vault>.vault.azure.net/", VAULT_HOSTS, trusted)

    @field_validator("wandb_base_url")
    @classmethod
    def _wandb(cls, url: str | None) -> str | None:
        return url and wandb_server(url)

    @field_validator("wandb_api_key")
    @classmethod
    def _key(cls, key: SecretStr | None) -> SecretStr | None:
        return key and SecretStr(check_wandb_key(key.get_secret_value()))

    @field_validator("azure_openai_api_key", "openai_api_key")
    @classmethod
    def _service_key(cls, key: SecretStr | None) -> SecretStr | None:
        """Check a key that goes into a header. HTTP clients quote a header that they refuse to send."""
        stripped = key.get_secret_value().strip() if key else ""
        if not stripped.isascii() or not stripped.isprintable() or " " in stripped:
            raise ValueError("the key has a space, a line break or a character that no key has: copy it again")
        return key and SecretStr(stripped)

    @field_validator("azure_openai_api_version")
    @classmethod
    def _api_version(cls, version: str) -> str:
        if version not in (AUTO, V1) and not re.fullmatch(r"\d{4}-\d{2}-\d{2}(-preview)?", version):
            raise ValueError(f"{version!r} is not {V1}, {AUTO} or a date such as {_STABLE} (or {PREVIEW})")
        return version

    @field_validator("wandb_routes", mode="before")
    @classmethod
    def _routes(cls, value: object) -> object:
        return parse_routes(value) if isinstance(value, str) else value

    @field_validator("wandb_registry", mode="before")
    @classmethod
    def _registry(cls, value: object) -> object:
        return parse_registry(value) if isinstance(value, str) else value

    @field_validator("wandb_model_artifact_name")
    @classmethod
    def _artifact(cls, name: str | None) -> str | None:
        if name is not None and artifact_name(name) != name:
            raise ValueError(f"{name!r} is not a valid artifact name: use at most 128 letters, digits and _.-")
        return name

    @field_validator("fine_tuning_prices", mode="before")
    @classmethod
    def _prices(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        if "=" in value or value.lstrip().startswith("["):
            return parse_prices(value)
        try:
            return parse_prices(Path(value).read_text(encoding="utf-8"))
        except OSError as error:
            raise ValueError(f"the price table {value!r} cannot be read: {error.strerror}") from None

    @field_validator("wandb_entity", "wandb_project")
    @classmethod
    def _name(cls, name: str | None) -> str | None:
        return None if name is None else checked_name(name)

    @field_validator("sync_schedule")
    @classmethod
    def _schedule(cls, schedule: str) -> str:
        check_schedule(schedule)
        return schedule

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if not self.azure_openai_endpoints and not self.openai_api_key:
            raise ValueError(
                "AZURE_OPENAI_ENDPOINTS is not set. Set it to the endpoint of the Azure OpenAI account, or several with commas"
                " (or set OPENAI_API_KEY, for OpenAI's own platform)"
            )
        self._require_entra_hosts()
        if not self.key_vault_url and not self.wandb_api_key:
            raise ValueError(
                "KEY_VAULT_URL is not set. Set it to the vault with the W&B API key, or set WANDB_API_KEY to the key"
            )
        versions = set(self.api_versions)
        if self.azure_openai_endpoints and versions != {V1} and any(rule.needs_metadata for rule in self.wandb_routes):
            raise ValueError(
                f"WANDB_ROUTES has a rule on metadata, which Azure does not show in AZURE_OPENAI_API_VERSION"
                f" {self.azure_openai_api_version}: set it to {V1}, or omit it"
            )
        return self

    def _require_entra_hosts(self) -> None:
        regional = [each.url for each in self.endpoints if each.regional]
        if regional and not self.azure_openai_api_key:
            raise ValueError(
                f"{regional[0]} in AZURE_OPENAI_ENDPOINTS is the address of a region, which accepts API keys only. Give the"
                " account a subdomain with `az cognitiveservices account update --custom-domain NAME -n ACCOUNT -g GROUP`;"
                " its address is then https://NAME.openai.azure.com/"
            )


def _problems(error: ValidationError) -> str:
    """Describe the problems, one line for each setting. pydantic's text would quote the values, including secrets."""
    lines = []
    for problem in error.errors(include_input=False, include_url=False):
        where = "_".join(str(part) for part in problem["loc"][:1]).upper()
        what = problem["msg"].removeprefix("Value error, ")
        lines.append(f"{where}: {what}" if where else what)
    return "\n".join(lines)
