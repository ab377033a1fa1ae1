"""Takes the README's pictures from a real run in the sandbox: `make pictures`. Needs Chromium.

`terminal.svg` is what `setup` and `sync` print; `page.png` is the sandbox's page afterwards, beside a job that still trains.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

from sandbox.cloud import Cloud
from sandbox.demo import SETTINGS
from sandbox.pages.site import page
from sandbox.scenario.reader import Scenario

IMAGES = Path(__file__).parent / "images"
COLUMNS = 118
STILL = {"extends": "demo", "clock": {"rate": 0}, "transitions": {"rbac_propagation": 0}}
"""The demo's world, where time passes only when it is told to: the pictures do not depend on how fast this machine is."""
TARGET = ["-g", "rg-ml", "--openai-account", "aoai-ml", "--key-vault", "kv-ml"]


def main() -> None:
    """Set up, sync while a job trains, sync again later; one picture of the output, one of the page."""
    with Cloud(Scenario.parse(STILL), page=page) as cloud:
        key = cloud.world.scenario.wandb.users[0].keys[0]
        setup = ["provisioning", "setup", *TARGET, "--yes", "--propagation-wait", "3s"]
        said = [_said(cloud, setup, "operator", {"WANDB_API_KEY": key})]
        cloud.clock.advance(15 * 60)
        said.append(_said(cloud, ["function_app", "sync"], "function-app", {}))
        cloud.clock.advance(20 * 60)
        _said(cloud, ["function_app", "sync"], "function-app", {})
        _terminal("\n\n".join(said))
        _picture(f"{cloud.url}/", IMAGES / "page.png")


def _said(cloud: Cloud, argv: list[str], principal: str, env: dict[str, str]) -> str:
    whole = cloud.environment(principal) | SETTINGS | {"COLUMNS": str(COLUMNS)} | env
    done = subprocess.run(
        [sys.executable, "-m", *argv],
        env=whole,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    )
    return f"$ python -m {' '.join(argv)}\n{done.stdout.rstrip()}"


def _picture(url: str, path: Path) -> None:
    """Let headless Chromium draw a page; the proxies of this environment do not apply, since the page is on loopback."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        sys.exit("`make pictures` needs Chromium: apt-get install chromium")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={home}"]
        flags += ["--window-size=1280,885", f"--screenshot={path}"]
        env = {"PATH": os.environ["PATH"], "HOME": home}
        subprocess.run([program, *flags, url], env=env, check=True, timeout=60, stderr=subprocess.DEVNULL)


def _terminal(text: str) -> None:
    with Path("/dev/null").open("w") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere, highlight=False)
        for line in text.splitlines():
            console.print(Text(line, style="bold" if line.startswith("$ ") else ""))
        console.save_svg(str(IMAGES / "terminal.svg"), title="azure-openai-wandb", unique_id="terminal")


if __name__ == "__main__":
    main()
