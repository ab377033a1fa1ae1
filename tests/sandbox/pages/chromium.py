"""Headless Chromium, driven through its own debugging protocol over a pipe: no driver, no package, no open port."""

import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

EXECUTABLE = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


# Puts the pipes' ends where Chromium looks for them, whatever numbers they have here, and becomes Chromium.
_PLUMBING = """
import fcntl, os, sys
high = [fcntl.fcntl(int(end), fcntl.F_DUPFD, 10) for end in sys.argv[1:3]]
os.dup2(high[0], 3)
os.dup2(high[1], 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


class BrowserError(Exception):
    """The browser refused a command, or a script in the page threw."""


@dataclass
class Chromium:
    """One browser with one tab. `complaints` are console errors, exceptions and refused loads since the last `open`."""

    complaints: list[str] = field(default_factory=list)
    _answers: dict[int, dict[str, Any]] = field(default_factory=dict)
    _events: list[dict[str, Any]] = field(default_factory=list)
    _sent: int = 0
    _session: str = ""

    def __enter__(self) -> Self:
        """Start it; the commands go in by descriptor 3 and come out by 4 (Chromium, --remote-debugging-pipe)."""
        assert EXECUTABLE is not None
        self._profile = tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True)
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PLUMBING, str(theirs_in), str(theirs_out), EXECUTABLE, *_flags(self._profile.name)],
            pass_fds=(theirs_in, theirs_out),
            stderr=subprocess.DEVNULL,
            env={"PATH": os.environ["PATH"], "HOME": self._profile.name},  # no proxy: the page is on loopback
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._buffer = b""
        try:
            self._attach()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def _attach(self) -> None:
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(timeout=30)
        os.close(self._in)
        os.close(self._out)
        self._profile.cleanup()

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """One command; what it answers.

        Raises:
            BrowserError: it was refused.
        """
        self._sent += 1
        message: dict[str, Any] = {"id": self._sent, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while self._sent not in self._answers:
            self._receive()
        answer = self._answers.pop(self._sent)
        if "error" in answer:
            raise BrowserError(f"{method}: {answer['error']['message']}")
        result: dict[str, Any] = answer["result"]
        return result

    def open(self, url: str, *, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        """Load a page and wait until it is there."""
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])
        self.complaints.clear()
        self._events.clear()
        self.send("Page.navigate", url=url)
        while not any(event["method"] == "Page.loadEventFired" for event in self._events):
            self._receive()

    def evaluate(self, expression: str) -> Any:
        """What a JavaScript expression is in the page; a promise is awaited.

        Raises:
            BrowserError: it threw.
        """
        answer = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise BrowserError(json.dumps(answer["exceptionDetails"]))
        return answer["result"].get("value")

    def screenshot(self, path: Path, *, whole: bool = True) -> None:
        """A picture of the page, down to its end when `whole`."""
        answer = self.send("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(answer["data"]))

    def _receive(self) -> None:
        while b"\0" not in self._buffer:
            chunk = os.read(self._in, 1 << 16)
            if not chunk:
                raise BrowserError("Chromium ended")
            self._buffer += chunk
        text, _, self._buffer = self._buffer.partition(b"\0")
        message = json.loads(text)
        if "id" in message:
            self._answers[message["id"]] = message
        else:
            self._events.append(message)
            self.complaints += _complaint(message["method"], message["params"])


def _complaint(method: str, params: Mapping[str, Any]) -> list[str]:
    match method:
        case "Runtime.exceptionThrown":
            return [json.dumps(params["exceptionDetails"])]
        case "Runtime.consoleAPICalled" if params["type"] in ("error", "warning"):
            return [json.dumps(params["args"])]
        case "Log.entryAdded" if params["entry"]["level"] in ("error", "warning"):
            return [params["entry"]["text"]]
        case "Network.loadingFailed":
            return [params["errorText"]]
    return []


def _flags(profile: str) -> list[str]:
    return [
        "--headless=new",
        "--remote-debugging-pipe",
        "--no-sandbox",  # containers run as root; what is opened is our own page
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--disable-background-networking",
        "--hide-scrollbars",
        f"--user-data-dir={profile}",
    ]
