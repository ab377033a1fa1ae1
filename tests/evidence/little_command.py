"""A command that stores a secret, well or badly, which the matrices must tell apart: `… -m tests.evidence.little_command HOW`."""

import json
import os
import sys
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

SECRET = "https://kv-ml.vault.azure.net/secrets/wandb-api-key"
VALUE = "the key"


def token() -> str:
    address = f"{os.environ['IDENTITY_ENDPOINT']}?api-version=2019-08-01&resource=https://vault.azure.net"
    with urlopen(Request(address, headers={"X-IDENTITY-HEADER": os.environ["IDENTITY_HEADER"]})) as answer:
        return str(json.load(answer)["access_token"])


def ask(method: str, bearer: str) -> str:
    """The secret's value after a GET or a PUT."""
    body = json.dumps({"value": VALUE}).encode() if method == "PUT" else None
    headers = {"Authorization": f"Bearer {bearer}", "Content-Type": "application/json"}
    which = SECRET if method == "PUT" else f"{SECRET}/"  # the latest version
    with urlopen(Request(f"{which}?api-version=7.5", data=body, headers=headers, method=method)) as answer:
        return str(json.load(answer)["value"])


def there(bearer: str) -> bool:
    try:
        return ask("GET", bearer) == VALUE
    except HTTPError as error:
        if error.code != 404:
            raise
        return False


def main(how: str) -> None:
    bearer = token()
    try:
        if how == "careless" or not there(bearer):
            ask("PUT", bearer)
    except (URLError, OSError, ValueError):
        if how == "silent":
            return
        if how == "noisy":
            raise
        error = {"code": "service-error", "message": "The vault failed.", "hint": "Run it again."}
        sys.stdout.write(json.dumps({"ok": False, "error": error}))
        sys.exit(1)


if __name__ == "__main__":
    main(sys.argv[1])
