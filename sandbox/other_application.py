"""An application that uses the vault and knows nothing of us: reads one secret by its managed identity, says whether."""

import sys

from azure.core.exceptions import HttpResponseError
from azure.identity import ManagedIdentityCredential
from azure.keyvault.secrets import SecretClient


def main(vault: str, name: str) -> int:
    """0 when the vault let it read."""
    try:
        SecretClient(vault, ManagedIdentityCredential()).get_secret(name)
    except HttpResponseError as refused:
        sys.stderr.write(f"   {name} cannot be read: {refused.message}\n")
        return 1
    sys.stdout.write(f"   read {name}: yes\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
