"""Fetches the official API descriptions: `make contracts`.

A sparse checkout of Azure/azure-rest-api-specs at a pinned commit, whose hash is the checksum of every file in it, into the
ignored folder `.contracts/`. AZURE_SPECS_REPOSITORY names a mirror or a local clone.
"""

import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = os.environ.get("AZURE_SPECS_REPOSITORY", "https://github.com/Azure/azure-rest-api-specs")
COMMIT = "cbbe228fd422db02b65e2748f83df5f2bcad7581"
FOLDER = Path(__file__).parents[2] / ".contracts" / "azure-rest-api-specs"
FOLDERS = (
    "specification/authorization/resource-manager/Microsoft.Authorization/stable/2022-04-01",
    "specification/cognitiveservices/data-plane/AzureOpenAI/authoring/stable/2024-06-01",
    "specification/cognitiveservices/resource-manager/Microsoft.CognitiveServices/stable/2023-05-01",
    "specification/common-types/resource-management",
    "specification/keyvault/data-plane/Microsoft.KeyVault/stable/7.5",
    "specification/keyvault/resource-manager/Microsoft.KeyVault/stable/2023-07-01",
    "specification/resources/resource-manager/Microsoft.Resources/stable/2022-12-01",
)


def main(repository: str = REPOSITORY, commit: str = COMMIT, folder: Path = FOLDER) -> int:
    """Check out the folders, or say what failed; returns git's exit status."""
    if Path(repository).is_dir():
        repository = str(Path(repository).resolve())  # git runs in another folder
    folder.mkdir(parents=True, exist_ok=True)
    for arguments in (
        ["init", "--quiet"],
        ["sparse-checkout", "set", *FOLDERS],
        ["config", "remote.origin.url", repository],
        ["fetch", "--quiet", "--depth", "1", "--filter", "blob:none", "origin", commit],
        ["checkout", "--quiet", commit],
    ):
        status, why = _git(arguments, folder)
        if status:
            sys.stderr.write(
                f"git {arguments[0]} failed: {why}\n"
                f"The descriptions are those of commit {commit} of {repository}.\n"
                "AZURE_SPECS_REPOSITORY names another source: a mirror or a local clone that has this commit.\n"
            )
            return status
    sys.stdout.write(f"{commit[:10]} of {repository} is in {folder}\n")
    return 0


def _git(arguments: list[str], folder: Path) -> tuple[int, str]:
    """Return the exit status and what git says. It asks for no password, and gives up when nothing arrives for a minute."""
    limits = ("-c", "http.lowSpeedLimit=1", "-c", "http.lowSpeedTime=60")
    environment = os.environ | {"GIT_TERMINAL_PROMPT": "0"}
    try:
        done = subprocess.run(["git", *limits, *arguments], cwd=folder, env=environment, capture_output=True, text=True)
    except FileNotFoundError:
        return 1, "git is not installed"
    return done.returncode, done.stderr.strip()


if __name__ == "__main__":
    sys.exit(main())
