"""From `provisioning setup` to a deployment: what it printed becomes azd's environment, or Bicep's parameters.

    python -m provisioning setup … --output json > setup.json
    python -m infra.from_setup setup.json > setup.env              then: azd env set --file setup.env
    python -m infra.from_setup --bicep setup.json > setup.parameters.json

Several accounts are several documents, one for each run of setup, with the same vault. Nothing in them is secret.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

PARAMETERS = Path(__file__).parent / "main.parameters.json"
"""Says which variable of azd's environment is which parameter of main.bicep."""
_LISTED = ("AZURE_OPENAI_ENDPOINTS", "AZURE_OPENAI_ACCOUNT_IDS")
_OF_THE_FIRST = "AZURE_SUBSCRIPTION_ID"
_AGAIN = (
    "Run setup again, which changes nothing that is in place: python -m provisioning setup … --output json > setup.json"
)


class DocumentError(Exception):
    """A document is not what setup prints, or two do not belong together; the text says what to do."""


def variables(text: str | bytes) -> dict[str, str]:
    """The variables that one document of setup gives; bytes may be UTF-16 too, as Windows PowerShell redirects.

    Raises:
        DocumentError: it is none, or one of a setup that failed.
    """
    try:
        document: dict[str, Any] = json.loads(text)
        if document["ok"] is not True:
            raise DocumentError(f"setup did not succeed: {document['error']['message']}\n{document['error']['hint']}")
        return {
            "AZURE_SUBSCRIPTION_ID": document["subscription"]["id"],
            "AZURE_OPENAI_ACCOUNT_IDS": document["account"]["id"],
            "KEY_VAULT_ID": document["vault"]["id"],
            **document["settings"],
        }
    except (ValueError, KeyError, TypeError) as error:
        raise DocumentError(f"This is not what setup prints with --output json. {_AGAIN}") from error


def merged(documents: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """One deployment for all accounts, in the first one's subscription; its resource group is for its owner to choose.

    Raises:
        DocumentError: they name different vaults, secrets or W&B entities, of which an app has one.
    """
    whole: dict[str, str] = {}
    for document in documents:
        for name, value in document.items():
            known = whole.setdefault(name, value)
            if name in _LISTED and value not in known.split(","):
                whole[name] = f"{known},{value}"
            elif known != value and name not in (*_LISTED, _OF_THE_FIRST):
                raise DocumentError(
                    f"{name} is {known} in one document and {value} in another, and a function app has one. Run setup for"
                    " each account with the same --key-vault, --secret-name and --wandb-entity, or deploy an app for each."
                )
    return whole


def dotenv(values: Mapping[str, str]) -> str:
    """As `azd env set --file` reads them; a shell does, too."""
    for name, value in values.items():
        if re.search(r"['\n]", value):
            raise DocumentError(f"{name} has a quote or a line break in it, which no name or address has: {value!r}")
    return "".join(f"{name}='{value}'\n" for name, value in values.items())


def parameters(values: Mapping[str, str], template: str) -> str:
    """As `az deployment group create --parameters` reads them: what is known; everything else has a default in main.bicep."""
    known = {}
    for name, entry in json.loads(template)["parameters"].items():
        variable = re.match(r"\$\{(\w+)", entry["value"])
        if variable and variable[1] in values:
            known[name] = {"value": values[variable[1]]}
    head = {key: json.loads(template)[key] for key in ("$schema", "contentVersion")}
    return json.dumps({**head, "parameters": known}, indent=2) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Read the documents, print what comes of them."""
    parser = argparse.ArgumentParser(
        prog="python -m infra.from_setup",
        description="Turn what `python -m provisioning setup --output json` printed into azd's environment.",
    )
    parser.add_argument("--bicep", action="store_true", help="print Bicep parameters instead, for `az deployment`")
    parser.add_argument(
        "documents", nargs="+", metavar="FILE", help="what setup printed, one for each account; - is stdin"
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
        sys.stderr.write(f"{error.filename or 'The output'}: {error.strerror}. {_AGAIN}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
