"""Write the files that a deployment needs (the function app, azure.yaml and infra/), for users without a clone."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import click

_PACKAGED = Path(__file__).parent.parent / "deployable"
"""The folder of the wheel with the files from the root of the repository."""
_PAGE = "https://github.com/azure-openai-wandb/azure-openai-wandb/blob/main/docs/deploy.md"
_ROOT_FILES = (".funcignore", "azure.yaml")


@click.command()
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
def init(directory: Path) -> None:
    """Write the files to deploy into DIRECTORY, which must be new or empty.

    They are the function app, its requirements, azure.yaml and infra/. Run `python3 -m infra.from_setup` and `azd up` there.
    """
    if directory.exists() and any(directory.iterdir()):
        raise click.UsageError(f"{directory} is not empty. Name a new directory: init overwrites nothing.")
    count = 0
    try:
        for source, name in _files():
            target = directory / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
            count += 1
    except OSError as error:
        raise click.ClickException(f"{directory} cannot be written: {error.strerror}.") from None
    click.echo(f"Wrote {count} files to {directory}.")
    click.echo(f"next     cd {click.format_filename(directory)}; see {_PAGE} for the deployment", err=True)


def _files() -> Iterator[tuple[Path, str]]:
    """Yield the files with their names in the directory. .funcignore lists the app's files."""
    code = Path(__file__).parent.parent.parent  # one distribution contains both packages
    root = _PACKAGED if _PACKAGED.is_dir() else code
    for line in (root / ".funcignore").read_text(encoding="utf-8").splitlines():
        if line.startswith("!/") and not line.endswith("/"):
            where = code if line.startswith("!/function_app/") else root
            yield from ((path, path.relative_to(where).as_posix()) for path in where.glob(line[2:]))
    yield from ((root / name, name) for name in _ROOT_FILES)
    for path in (root / "infra").rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path, path.relative_to(root).as_posix()
