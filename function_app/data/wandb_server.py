"""The address of a W&B server and the form of its API keys. Pure."""

import ipaddress
from urllib.parse import urlsplit

DEFAULT_SERVER = "https://api.forge.coreweave.com"
"""The default server: W&B's multi-tenant cloud, with the name from wandb 0.31. The older name, api.wandb.ai, is the
same server."""

_WANDB_PAGES = {
    "wandb.ai": "https://api.wandb.ai",
    "www.wandb.ai": "https://api.wandb.ai",
    "app.wandb.ai": "https://api.wandb.ai",
    "forge.coreweave.com": "https://api.forge.coreweave.com",
}
"""Hosts of W&B's pages, and the API that belongs to them."""

_FORGE = {
    name: forge
    for forge, api in (("forge.coreweave.com", "api.wandb.ai"), ("qa.forge.coreweave.com", "api.qa.wandb.ai"))
    for name in (forge, f"api.{forge}", api)
}
"""Hosts of W&B's API on CoreWeave Forge, and the host of their pages."""


def wandb_server(url: str) -> str:
    """Return the address of a W&B server's API in one spelling. The API key goes to this address, so it must be https, or
    http on this machine.

    Raises:
        ValueError: it is not the address of a server; the message contains the right one if it can be derived.
    """
    parts = urlsplit(url.strip())
    try:
        host, port = (parts.hostname or "").rstrip("."), parts.port
        host.encode("idna")  # as Python does it to connect, where "a..b" would be a UnicodeError
    except ValueError:
        host, port = "", None
    if parts.scheme not in ("https", "http") or not host:
        raise ValueError(f"{shown_url(url)!r} is not an address such as https://api.wandb.ai")
    if host in _WANDB_PAGES:
        return _WANDB_PAGES[host]
    named = f"[{host}]" if ":" in host else host
    server = f"{parts.scheme}://{named}" + (f":{port}" if port else "")
    if parts.username is not None or parts.password is not None:
        raise ValueError(f"the address has a user name or password in it; it is {server}")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError(f"{shown_url(url)!r} is more than a server's address, which is {server}")
    if parts.scheme == "http" and not _is_loopback(host):
        raise ValueError(f"{server} would send the key unencrypted: use https")
    return server


def pages_of(server: str) -> str:
    """Return the address of the server's pages, as `util.api_to_app_url` of wandb 0.31 derives it from that of its API."""
    host = urlsplit(server).hostname or ""
    if host in _FORGE:
        return f"https://{_FORGE[host]}/wandb"
    for api, pages in (
        ("://api.wandb.test", "://app.wandb.test"),
        ("://api.wandb.", "://wandb."),
        ("://api.", "://app."),
    ):
        if api in server:
            return server.replace(api, pages).rstrip("/")
    return server.rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def shown_url(url: str) -> str:
    """Return a URL for a message, without user name, password and query."""
    parts = urlsplit(url.strip())
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def check_wandb_key(key: str) -> str:
    """Return an API key without white space around it.

    Raises:
        ValueError: it has white space in it; the message does not quote it.
    """
    stripped = key.strip()
    if any(char.isspace() or not char.isprintable() for char in stripped):
        raise ValueError("the key has white space or a line break in it: copy it again from https://wandb.ai/authorize")
    return stripped
