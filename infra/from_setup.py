"""Turn what `provisioning setup` printed into azd's environment, or into Bicep parameters.

    python -m provisioning setup … --output json > setup.json
    python -m infra.from_setup setup.json > setup.env              then: azd env set --file setup.env
    python -m infra.from_setup --bicep setup.json > setup.parameters.json

For several accounts, pass several documents: one of each run of setup, with the same vault. They contain no secrets.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

PARAMETERS = Path(__file__).parent / "main.parameters.json"
"""Maps parameters of main.bicep to variables of azd's environment."""
_SETTINGS = frozenset(
    {"AZURE_OPENAI_ENDPOINTS", "KEY_VAULT_URL", "WANDB_SECRET_NAME", "WANDB_ENTITY", "WANDB_BASE_URL"}
)
"""The settings that setup prints. A shell may read them, so no other name is passed on."""
_LISTED = ("AZURE_OPENAI_ENDPOINTS", "AZURE_OPENAI_ACCOUNT_IDS")
_PLAIN = re.compile(r"[\w./:,@+~()-]*")
"""Every name, id and address. A value with other characters could end its quotes in a shell, or azd's JSON."""
_FIRST_ONLY = "AZURE_SUBSCRIPTION_ID"
_RUN_SETUP = (
    "Run setup again. It changes nothing that is in place: python -m provisioning setup … --output json > setup.json"
)


class DocumentError(Exception):
    """A document is not what setup prints, or two documents contradict each other. The message says what to do."""


def variables(text: str | bytes) -> dict[str, str]:
    """Read the variables from one document of setup. Windows PowerShell redirects output as UTF-16, which is read too.

    Raises:
        DocumentError: the text is not a document of setup, or setup failed.
    """
    try:
        document: dict[str, Any] = json.loads(text)
        if document["ok"] is not True:
            raise DocumentError(f"setup did not succeed: {document['error']['message']}\n{document['error']['hint']}")
        found = {
            "AZURE_SUBSCRIPTION_ID": document["subscription"]["id"],
            "AZURE_OPENAI_ACCOUNT_IDS": document["account"]["id"],
            "KEY_VAULT_ID": document["vault"]["id"],
            **document["settings"],
            **({"VAULT_ACCESS": document["vault_access"]} if "vault_access" in document else {}),
        }
        unknown = document["settings"].keys() - _SETTINGS
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DocumentError(f"This is not what setup prints with --output json. {_RUN_SETUP}") from error
    if unknown:
        raise DocumentError(
            f"setup does not print these settings: {', '.join(map(repr, sorted(unknown)))}. {_RUN_SETUP}"
        )
    for name, value in found.items():
        if not isinstance(value, str) or not _PLAIN.fullmatch(value):
            raise DocumentError(f"{name} is not a name, an id or an address: {value!r}. {_RUN_SETUP}")
    return found


def merged(documents: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Merge the documents of several accounts into one deployment, in the subscription of the first account.

    The resource group is not set: `azd down` deletes it whole, so the operator chooses one for the app alone.

    Raises:
        DocumentError: the documents name different vaults, secrets or W&B entities. A function app has one of each.
    """
    whole: dict[str, str] = {}
    for document in documents:
        for name, value in document.items():
            known = whole.setdefault(name, value)
            if name in _LISTED and value not in known.split(","):
                whole[name] = f"{known},{value}"
            elif known != value and name not in (*_LISTED, _FIRST_ONLY):
                raise DocumentError(
                    f"{name} is {known} in one document and {value} in another, but a function app has only one. Run setup"
                    " for each account with the same --key-vault, --secret-name and --wandb-entity, or deploy an app for each."
                )
    return whole


def dotenv(values: Mapping[str, str]) -> str:
    """Write the variables in the format of `azd env set --file`, which a POSIX shell can read, too."""
    return "".join(f"{name}='{value}'\n" for name, value in values.items())


def parameters(values: Mapping[str, str], template: str) -> str:
    """Write the known values in the format of `az deployment group create --parameters`."""
    known = {}
    for name, entry in json.loads(template)["parameters"].items():
        variable = re.match(r"\$\{(\w+)", str(entry["value"]))
        if variable and variable[1] in values:
            known[name] = {"value": values[variable[1]]}
    head = {key: json.loads(template)[key] for key in ("$schema", "contentVersion")}
    return json.dumps({**head, "parameters": known}, indent=2) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Read the documents and print azd's environment, or Bicep parameters."""
    parser = argparse.ArgumentParser(
        prog="python -m infra.from_setup",
        description="Turn what `python -m provisioning setup --output json` printed into azd's environment.",
    )
    parser.add_argument("--bicep", action="store_true", help="print Bicep parameters instead, for `az deployment`")
    parser.add_argument(
        "documents", nargs="+", metavar="FILE", help="a document that setup printed, one per account; - is stdin"
    )
    given = parser.parse_args(argv)
    try:
        texts = (sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes() for name in given.documents)
        values = merged(map(variables, texts))
        template = PARAMETERS.read_text(encoding="utf-8")
        sys.stdout.write(parameters(values, template) if given.bicep else dotenv(values))
    except DocumentError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"{error.filename or 'The output'}: {error.strerror}. {_RUN_SETUP}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
