"""The `az` on the operator's PATH inside the sandbox: who is signed in, as AzureCliCredential asks for it.

The real azure-cli works in the sandbox too, called by its path and signed in by itself; this one only stands for a
person's earlier `az login`, so that nobody has to install 700 MB.
"""

import json
import os
import sys
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import ProxyHandler, Request, build_opener


def main(argv: list[str]) -> int:
    """Answer `az account get-access-token --resource URL`; refuse the rest."""
    if argv[:2] != ["account", "get-access-token"]:
        sys.stderr.write("This az only stands for a signed-in person: it knows `account get-access-token`.\n")
        sys.stderr.write("A real one works here as well, by its path, after `az login`.\n")
        return 2
    wanted = [argv[i + 1] for i, word in enumerate(argv[:-1]) if word in ("--resource", "--scope")]
    url = f"{os.environ['SANDBOX_CONTROL']}/token?resource={quote(wanted[0].removesuffix('/.default'), safe='')}"
    request = Request(url, headers={"x-session": os.environ.get("SANDBOX_SESSION", "")})  # noqa: S310 - the sandbox's own loopback address
    try:
        with build_opener(ProxyHandler({})).open(request) as answer:
            sys.stdout.write(answer.read().decode())
    except HTTPError as refused:
        sys.stderr.write("ERROR: " + json.loads(refused.read())["error"] + "\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
