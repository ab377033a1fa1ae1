"""Addresses in AZURE_OPENAI_ENDPOINTS: accounts, Foundry projects, and subscriptions to search for accounts. Pure."""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

VAULT_HOSTS = (".vault.azure.net", ".vault.usgovcloudapi.net", ".vault.azure.cn")
"""The domains of Key Vault's hosts in each cloud. A token for Key Vault is sent to no other host."""

_REGIONAL_HOSTS = (".api.cognitive.microsoft.com", ".api.cognitive.azure.us", ".api.cognitive.azure.cn")
OPENAI_HOSTS = (
    *(
        f".{service}.azure.{cloud}"
        for service in ("openai", "cognitiveservices", "services.ai")
        for cloud in ("com", "us", "cn")
    ),
    *_REGIONAL_HOSTS,
)
"""The domains of Azure OpenAI's and Foundry's hosts in each cloud. A token for Cognitive Services is sent to no other host."""

EXAMPLE = "https://<account>.openai.azure.com/"
SUBSCRIPTION = "subscription:"

_NETLOC = re.compile(r"(?:[A-Za-z0-9-]{1,63}\.)*[A-Za-z0-9-]{1,63}(?::\d{1,5})?")
_API = re.compile(r"/?(?:openai(?:/v1)?)?/?")
_PROJECT = re.compile(r"/api/projects/(?P<project>[A-Za-z0-9_][A-Za-z0-9_.-]{0,63})(?:/openai(?:/v1)?)?/?")
_PATH = re.compile(r"(?:/[A-Za-z0-9][A-Za-z0-9_.-]*)*/?")
_SCOPE = re.compile(
    r"subscription:(?P<id>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?:/(?P<group>[\w.()-]{1,90}))?", re.I
)


@dataclass(frozen=True)
class Endpoint:
    """An address of an Azure OpenAI account, or of a Foundry project in it.

    Attributes:
        host: with a port, if it has one.
        path: of a project or a gateway, with a slash at its end; empty at an account's own address.
        project: the project's name.
    """

    host: str
    path: str = ""
    project: str | None = None

    @property
    def url(self) -> str:
        """The address, with a slash at its end."""
        return f"https://{self.host}/{self.path}"

    @property
    def name(self) -> str:
        """The account's name in W&B and in messages: its subdomain; for a gateway also the path."""
        return "-".join([self.host.partition(".")[0], *self._gateway_path.split("/")]).rstrip("-")

    @property
    def account(self) -> str:
        """The common part of all addresses of one account: subdomain and cloud, or a gateway's address."""
        name, _, rest = self.host.partition(".")
        known = self.host.endswith(OPENAI_HOSTS) and not self.regional
        return f"{name}.{rest.rpartition('.')[2]}" if known else f"{self.host}/{self._gateway_path}"

    @property
    def regional(self) -> bool:
        """Whether it is the address of a region, where only API keys are accepted."""
        return self.host.endswith(_REGIONAL_HOSTS)

    @property
    def scopes(self) -> tuple[str, ...]:
        """The scopes of Entra tokens to try, the documented one first.

        Microsoft's descriptions name one scope for accounts and another for projects, and its clients use both for projects. The
        scopes for projects outside the public cloud are UNVERIFIED.
        """
        cloud = next((suffix for suffix in (".azure.us", ".azure.cn") if self.host.endswith(suffix)), ".azure.com")
        account = f"https://cognitiveservices{cloud}/.default"
        return (f"https://ai{cloud}/.default", account) if self.project else (account,)

    @property
    def _gateway_path(self) -> str:
        return "" if self.project else self.path


@dataclass(frozen=True)
class Scope:
    """A subscription, or a resource group of it, in which all accounts are mirrored."""

    subscription: str
    group: str | None = None

    @property
    def text(self) -> str:
        """As it is written in AZURE_OPENAI_ENDPOINTS."""
        return f"{SUBSCRIPTION}{self.subscription}" + (f"/{self.group}" if self.group else "")

    @property
    def path(self) -> str:
        """Its resource id."""
        return f"/subscriptions/{self.subscription}" + (f"/resourceGroups/{self.group}" if self.group else "")


def split_endpoints(text: str) -> list[str]:
    """Split a list of endpoints at commas, semicolons and white space."""
    return re.split(r"[\s,;]+", text.strip(" \t\r\n,;"))


def azure_origin(url: str, example: str, hosts: Iterable[str], trusted: Collection[str] = ()) -> str:
    """Return the origin of an https address that may be sent an Azure token, with a slash at its end.

    Args:
        url: the address.
        example: an address of this kind, for messages.
        hosts: the domains of the Azure service's hosts.
        trusted: further hosts, as AZURE_TRUSTED_HOSTS names them.

    Raises:
        ValueError: it is not an https address, or its host is neither Azure's nor trusted.
    """
    return f"https://{_azure_address(url, example, hosts, trusted).netloc}/"


def parse_endpoint(url: str, trusted: Collection[str] = ()) -> Endpoint:
    """Read the address of an account or a project.

    Raises:
        ValueError: it is neither; the message contains the right address if it can be derived.
    """
    parts = _azure_address(url, EXAMPLE, OPENAI_HOSTS, trusted)
    host = parts.netloc.lower().removesuffix(":443")
    if _API.fullmatch(parts.path):
        return Endpoint(host)
    if not (parts.hostname or "").endswith(OPENAI_HOSTS):
        if not _PATH.fullmatch(parts.path):
            raise ValueError(f"{url!r} is not an address such as {EXAMPLE}")
        return Endpoint(host, re.sub(r"/openai(/v1)?$", "", parts.path.rstrip("/")).strip("/") + "/")
    if found := _PROJECT.fullmatch(parts.path):
        if ".openai." in host or host.endswith(_REGIONAL_HOSTS):
            name = host.partition(".")[0]
            raise ValueError(
                f"{url!r}: a project's address is on another host, such as https://{name}.services.ai.azure.com{parts.path}"
            )
        return Endpoint(host, f"api/projects/{found['project']}/", found["project"])
    raise ValueError(f"{url!r} names something below the account. The account's address is https://{host}/")


def parse_scope(text: str) -> Scope:
    """Read `subscription:ID[/resourceGroup]`.

    Raises:
        ValueError: it is something else.
    """
    found = _SCOPE.fullmatch(text)
    if not found:
        raise ValueError(
            f"{text!r} is not {SUBSCRIPTION}<subscription id> or {SUBSCRIPTION}<subscription id>/<resource group>"
        )
    return Scope(found["id"].lower(), found["group"])


def parse_address(text: str, trusted: Collection[str] = ()) -> Endpoint | Scope:
    """Read one entry of AZURE_OPENAI_ENDPOINTS.

    Raises:
        ValueError: it cannot be used.
    """
    return parse_scope(text) if text.lower().startswith(SUBSCRIPTION) else parse_endpoint(text, trusted)


def _azure_address(url: str, example: str, hosts: Iterable[str], trusted: Collection[str]) -> SplitResult:
    parts = urlsplit(url)
    host = parts.hostname or ""
    plain = _NETLOC.fullmatch(parts.netloc) and not parts.query and not parts.fragment
    if parts.scheme != "https" or "." not in host or not plain:
        raise ValueError(f"{_shown(url)!r} is not an address such as {example}")
    if not host.endswith(tuple(hosts)) and host not in trusted:
        raise ValueError(
            f"{host} is not a host of Azure such as {urlsplit(example).hostname}, so it gets no Azure token. If it is a"
            " gateway of yours, name it in AZURE_TRUSTED_HOSTS"
        )
    return parts


def _shown(url: str) -> str:
    """Return an address for a message, without user info, query and fragment, which can hold a key."""
    address, mark, rest = re.split(r"([?#]|$)", url, maxsplit=1)
    if mark and "@" in rest:  # the password may contain a question mark
        return "https://…"
    _, at, host = address.rpartition("@")
    return f"https://{host}" if at else address
