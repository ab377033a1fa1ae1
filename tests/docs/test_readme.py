"""The terminal output in the README and in docs/sync.md is what the demo's world prints."""

import re
from collections.abc import Iterator

import pytest

from docs.pictures import STILL
from sandbox.cloud import Cloud
from sandbox.demo import SETTINGS
from sandbox.scenario.reader import Scenario
from tests.conftest import ROOT, Run
from tests.docs.test_runbook import missing
from tests.provisioning.bench import GOOD_KEY

README = (ROOT / "README.md").read_text()
SYNC = (ROOT / "docs" / "sync.md").read_text()
TARGET = ["-g", "rg-ml", "--openai-account", "aoai-ml", "--key-vault", "kv-ml"]
KEY = {"WANDB_API_KEY": GOOD_KEY}


def shown(first_word: str, page: str = README) -> list[str]:
    """The lines of the block that begins with this word, without lines of dots."""
    (block,) = re.findall(rf"^```\n({first_word} .*?)^```", page, re.MULTILINE | re.DOTALL)
    return [line for line in block.splitlines() if line.strip() != "…"]


@pytest.fixture
def demo(cloud: Cloud) -> Iterator[Cloud]:
    cloud.load(Scenario.parse(STILL))
    yield cloud
    assert cloud.world.unmodelled == []


def test_setup_and_sync_print_the_output_on_the_pages(demo: Cloud, run: Run) -> None:
    plan = run("provisioning", "setup", *TARGET, "--dry-run", env=KEY)
    question = "Apply these 10 changes? [y/N]"  # on a terminal
    assert missing([line for line in shown("Signed") if line != question], plan.stdout + plan.stderr) == []
    assert "Plan for aoai-ml → kv-ml: 10 to change" in plan.stdout
    done = run("provisioning", "setup", *TARGET, "--yes", "--propagation-wait", "3s", env=KEY)
    assert done.returncode == 0, done.stderr
    demo.clock.advance(15 * 60)
    synced = run("function_app", "sync", principal="function-app", env=SETTINGS | {"COLUMNS": "160"})
    for page in (README, SYNC):
        assert missing(shown("RESULT", page), synced.stdout + synced.stderr) == []


def test_every_picture_is_on_a_page() -> None:
    pages = README + "".join(path.read_text() for path in (ROOT / "docs").glob("*.md"))
    assert [path.name for path in (ROOT / "docs" / "images").iterdir() if path.name not in pages] == []
