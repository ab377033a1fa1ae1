"""A command that stores a secret, in one of several ways, for the tests of the matrices: `python -m tests.evidence.example HOW`.

`careful` reads before it writes and reports failures; `careless` always writes; `silent` hides failures; `noisy` crashes.
"""

import json
import os
import sys
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

SECRET = "https://kv-ml.vault.azure.net/secrets/wandb-api-key"
VALUE = "the key"


def request(method: str, bearer: str) -> str:
    """Return the secret's value after a GET of its latest version, or after a PUT."""
    body = json.dumps({"value": VALUE}).encode() if method == "PUT" else None
    headers = {"Authorization": f"Bearer {bearer}", "Content-Type": "application/json"}
    url = f"{SECRET if body else SECRET + '/'}?api-version=7.5"
    with urlopen(Request(url, data=body, headers=headers, method=method)) as answer:
        return str(json.load(answer)["value"])


def stored(bearer: str) -> bool:
    try:
        return request("GET", bearer) == VALUE
    except HTTPError as error:
        if error.code != 404:
            raise
        return False


def main(how: str) -> None:
    address = f"{os.environ['IDENTITY_ENDPOINT']}?api-version=2019-08-01&resource=https://vault.azure.net"
    with urlopen(Request(address, headers={"X-IDENTITY-HEADER": os.environ["IDENTITY_HEADER"]})) as answer:
        bearer = str(json.load(answer)["access_token"])
    try:
        if how == "careless" or not stored(bearer):
            request("PUT", bearer)
    except (OSError, ValueError, URLError):
        if how == "silent":
            return
        if how == "noisy":
            raise
        error = {"code": "service-error", "message": "The vault failed.", "hint": "Run it again."}
        sys.stdout.write(json.dumps({"ok": False, "error": error}))
        sys.exit(1)


if __name__ == "__main__":
    main(sys.argv[1])
