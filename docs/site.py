"""A hook of MkDocs: the README is the home page, and links to files outside docs/ lead to the repository."""

import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent
_LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)\s]+)\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the README as index.md, with its links as they are inside docs/."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")

    def inside(link: re.Match[str]) -> str:
        target = link[1]
        return f"]({target.removeprefix('docs/')})" if target.startswith("docs/") else f"](../{target})"

    files.append(File.generated(config, "index.md", content=_LINK.sub(inside, readme)))
    return files


def on_page_markdown(markdown: str, config: MkDocsConfig, **_: Any) -> str:
    """Replace relative links out of docs/ by links to the repository."""
    return re.sub(r"\]\(\.\./([^)\s]+)\)", rf"]({config.repo_url}/blob/main/\1)", markdown)
