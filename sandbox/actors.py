"""Programs that act in the sandbox besides the product: the operator's `az`, and another application of the vault.

`az` stands for a person's earlier `az login`, as AzureCliCredential asks for it, so that nobody has to install 700 MB.
The real azure-cli works in the sandbox too, called by its path and signed in by itself.
"""

import json
import os
import sys
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import ProxyHandler, Request, build_opener


def az(argv: list[str]) -> int:
    """Answer `az account get-access-token --resource URL`; refuse every other command."""
    if argv[:2] != ["account", "get-access-token"]:
        sys.stderr.write("This az only stands for a signed-in person: it knows `account get-access-token`.\n")
        sys.stderr.write("A real one works here as well, by its path, after `az login`.\n")
        return 2
    wanted = [argv[i + 1] for i, word in enumerate(argv[:-1]) if word in ("--resource", "--scope")]
    tenant = next((argv[i + 1] for i, word in enumerate(argv[:-1]) if word == "--tenant"), "")
    url = f"{os.environ['SANDBOX_CONTROL']}/token?resource={quote(wanted[0].removesuffix('/.default'), safe='')}&tenant={tenant}"
    request = Request(url, headers={"x-session": os.environ.get("SANDBOX_SESSION", "")})  # noqa: S310 - loopback
    try:
        with build_opener(ProxyHandler({})).open(request) as answer:
            sys.stdout.write(answer.read().decode())
    except HTTPError as refused:
        sys.stderr.write("ERROR: " + json.loads(refused.read())["error"] + "\n")
        return 1
    return 0


def read_secret(vault: str, name: str) -> int:
    """Read one secret as this process's managed identity; 0 if the vault allows it."""
    # Imported here, so that az starts without the SDKs.
    from azure.core.exceptions import HttpResponseError
    from azure.identity import ManagedIdentityCredential
    from azure.keyvault.secrets import SecretClient

    try:
        SecretClient(vault, ManagedIdentityCredential()).get_secret(name)
    except HttpResponseError as refused:
        sys.stderr.write(f"   {name} cannot be read: {refused.message}\n")
        return 1
    sys.stdout.write(f"   {name} can be read\n")
    return 0


if __name__ == "__main__":
    role, *arguments = sys.argv[1:]
    sys.exit(az(arguments) if role == "az" else read_secret(*arguments))
