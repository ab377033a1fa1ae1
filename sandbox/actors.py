"""Programs that act in the sandbox besides the product: the operator's `az`, and another application of the vault."""

import sys

from sandbox import az


def read_secret(vault: str, name: str) -> int:
    """Read one secret as this process's managed identity. Return 0 if the vault allows it."""
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
    sys.exit(az.main(arguments) if role == "az" else read_secret(*arguments))
