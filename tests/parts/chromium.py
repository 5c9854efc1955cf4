"""A headless Chromium, driven through its debugging pipe: opens pages, evaluates scripts, records requests."""

import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from fcntl import F_DUPFD_CLOEXEC, fcntl
from pathlib import Path
from select import select
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "headless_shell")
PLACES = ("~/.cache/ms-playwright/chromium*/chrome-linux*/*", "/opt/google/chrome/chrome", "/usr/lib/chromium/chromium")
ANSWER_SECONDS = 60.0
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
    "--disable-background-networking", "--disable-extensions", "--hide-scrollbars", "--remote-debugging-pipe",
)  # fmt: skip


def chromium_binary() -> str | None:
    """Return `$CHROMIUM`, or a Chromium on PATH or in an installer's directory; None if there is none."""
    named = [os.environ.get("CHROMIUM") or "", *(shutil.which(name) or "" for name in NAMES)]
    placed = [str(path) for place in PLACES for path in Path("/").glob(str(Path(place).expanduser())[1:])]
    usable = (path for path in (*named, *placed) if path and os.access(path, os.X_OK) and Path(path).is_file())
    return next((path for path in usable if Path(path).name in {*NAMES, Path(named[0]).name}), None)


@dataclass(slots=True, kw_only=True)
class Tab:
    """One page, with its requests and its console errors."""

    pipe: "Pipe"
    session: str
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def send(self, method: str, **parameters: object) -> dict[str, Any]:
        return self.pipe.send(method, parameters, tab=self)

    def open(self, url: str) -> None:
        """Go to a URL and wait until it is loaded."""
        self.send("Page.navigate", url=url)
        self.until("document.readyState === 'complete'")

    def evaluate(self, script: str) -> Any:
        """Return the value of a script in the page."""
        response = self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in response, response["exceptionDetails"]
        return response["result"].get("value")

    def until(self, script: str) -> None:
        """Wait until a script returns true."""
        deadline = time.monotonic() + ANSWER_SECONDS
        while not self.evaluate(script):
            assert time.monotonic() < deadline, f"never came true: {script}"

    def type(self, text: str) -> None:
        """Type into the focused element."""
        self.send("Input.insertText", text=text)

    def press(self, key: str) -> None:
        """Press and release a key."""
        text = {"text": key} if len(key) == 1 else {"text": "\r"} if key == "Enter" else {}
        self.send("Input.dispatchKeyEvent", type="keyDown", key=key, **text)
        self.send("Input.dispatchKeyEvent", type="keyUp", key=key)

    def size(self, width: int, height: int, *, dark: bool = False) -> None:
        """Set the size of the page, and a light or dark scheme."""
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.send("Emulation.setEmulatedMedia", features=scheme)

    def screenshot(self, file: Path) -> None:
        """Save the visible part of the page as a PNG."""
        file.write_bytes(base64.b64decode(self.send("Page.captureScreenshot", format="png")["data"]))

    def record(self, event: Mapping[str, Any]) -> None:
        parameters = event["params"]
        match event["method"]:
            case "Network.requestWillBeSent":
                self.requests.append(parameters["request"]["url"])
            case "Log.entryAdded":
                self.complaints.append(f"{parameters['entry']['text']} {parameters['entry'].get('url', '')}")
            case "Runtime.exceptionThrown":
                self.complaints.append(str(parameters["exceptionDetails"]))
            case "Runtime.consoleAPICalled" if parameters["type"] in ("error", "warning", "assert"):
                self.complaints.append(str(parameters["args"]))


class Pipe:
    """The debugging pipe: messages are JSON, each ended by a zero byte."""

    def __init__(self, write: int, read: int) -> None:
        self._write = write
        self._read = read
        self._rest = b""
        self._number = 0

    def send(self, method: str, parameters: Mapping[str, object], *, tab: Tab | None = None) -> dict[str, Any]:
        """Send a command and return its result; events that arrive meanwhile are recorded."""
        self._number += 1
        message: dict[str, object] = {"id": self._number, "method": method, "params": parameters}
        if tab is not None:
            message["sessionId"] = tab.session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            received = self._next()
            if received.get("id") == self._number:
                assert "error" not in received, received["error"]
                result: dict[str, Any] = received["result"]
                return result
            if tab is not None and received.get("sessionId") == tab.session and "method" in received:
                tab.record(received)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            assert select([self._read], [], [], ANSWER_SECONDS)[0], "Chromium does not respond"
            chunk = os.read(self._read, 1 << 20)
            assert chunk, "Chromium is gone"
            self._rest += chunk
        message, _, self._rest = self._rest.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        return found


@contextmanager
def open_tab(binary: str) -> Iterator[Tab]:
    """A new Chromium with one page; all its processes are ended."""
    to_read, to_write = os.pipe()
    from_read, from_write = os.pipe()

    def wire() -> None:
        # Chromium reads descriptor 3 and writes 4: both are copied to higher numbers first, before either is overwritten.
        commands, events = (fcntl(end, F_DUPFD_CLOEXEC, 5) for end in (to_read, from_write))
        os.dup2(commands, 3)
        os.dup2(events, 4)

    with tempfile.TemporaryDirectory(prefix="imgctl-chromium-", ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [binary, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            preexec_fn=wire,  # noqa: PLW1509 - the descriptors have fixed numbers
            close_fds=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_read)
        os.close(from_write)
        try:
            pipe = Pipe(to_write, from_read)
            target = pipe.send("Target.createTarget", {"url": "about:blank"})["targetId"]
            session = pipe.send("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
            tab = Tab(pipe=pipe, session=session)
            for domain in ("Page", "Runtime", "Network", "Log"):
                tab.send(f"{domain}.enable")
            yield tab
            with suppress(AssertionError, OSError):
                pipe.send("Browser.close", {})
        finally:
            os.close(to_write)
            os.close(from_read)
            process.terminate()
            process.wait(20)


@pytest.fixture
def tab() -> Iterator[Tab]:
    """A page of a headless Chromium; skipped if there is none."""
    binary = chromium_binary()
    if binary is None:
        pytest.skip("there is no Chromium on PATH; $CHROMIUM may name one")
    with open_tab(binary) as found:
        yield found
