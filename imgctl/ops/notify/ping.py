"""A dead man's switch: pings a monitor when a command begins and when it ends, in the protocol of healthchecks.io.

`URL/start` when it begins, `URL` when it ended well, `URL/CODE` with the exit code when it did not; each with the same
`?rid=`, the end with a summary. A separate thread sends the pings: neither a slow nor a dead monitor fails a command.
"""

import base64
import logging
import socket
import time
import urllib.error
import urllib.request
from http.client import HTTPException
from queue import SimpleQueue
from threading import Thread
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit
from uuid import uuid4

from imgctl.ops.notify.webhook import no_redirects
from imgctl.run.logs import redact

TIMEOUT_SECONDS, PAUSE_SECONDS, TRIES = 4.0, 0.5, 2
# How long the end of a command waits for unsent pings; a DNS look-up has no time limit of its own.
LONGEST_SECONDS = 10.0
# Bytes of a body that healthchecks.io keeps.
LARGEST_BODY = 100_000
STARTED = "start"

log = logging.getLogger(__name__)


class Ping:
    """Pings the monitor at `url` for one run of a command; `{command}` in the URL is the command's name: `cost-actual`."""

    def __init__(self, url: str, command: str) -> None:
        self._url = urlsplit(url.replace("{command}", quote(command.replace(" ", "-"))))
        self._command = command
        self._run = str(uuid4())
        self._began = time.monotonic()
        self._waiting: SimpleQueue[tuple[str, str] | None] = SimpleQueue()
        self._thread = Thread(target=self._send, name="ping", daemon=True)

    def start(self) -> None:
        """Queue the ping that the command begins; returns at once."""
        self._thread.start()
        self._waiting.put((STARTED, ""))

    def end(self, code: int, summary: str) -> None:
        """Send the exit code and the `summary`; returns after ten seconds at the latest."""
        taken = time.monotonic() - self._began
        first = f"imgctl {self._command} on {socket.gethostname()}: exit code {code} after {taken:.1f} s"
        self._waiting.put(("" if code == 0 else str(code), redact(f"{first}\n{summary}")))
        self._waiting.put(None)
        self._thread.join(LONGEST_SECONDS)
        if self._thread.is_alive():
            log.warning("the monitor at %s was not pinged within %.0f s", self._url.hostname, LONGEST_SECONDS)

    def _send(self) -> None:
        while (one := self._waiting.get()) is not None:
            suffix, body = one
            why = again = ""
            for _ in range(TRIES):
                why, again = self._post(suffix, body)
                if not again:
                    break
                time.sleep(PAUSE_SECONDS)
            if why:
                log.warning("the monitor was not pinged when imgctl %s %s: %s", self._command, _verb(suffix), why)

    def _post(self, suffix: str, body: str) -> tuple[str, str]:
        """Post once; return the error, twice if a retry may help. It names only the host: the path is a secret."""
        try:
            request = urllib.request.Request(  # noqa: S310
                address(self._url, suffix, run=self._run),
                data=body.encode(errors="replace")[:LARGEST_BODY],
                headers={
                    "Content-Type": "text/plain; charset=utf-8",
                    "User-Agent": "imgctl",
                    **_credentials(self._url),
                },
                method="POST",
            )
            with no_redirects.open(request, timeout=TIMEOUT_SECONDS):
                return "", ""
        except urllib.error.HTTPError as error:
            error.close()
            why = f"{self._url.hostname} responded with {error.code}"
            return why, why if error.code >= 500 or error.code == 429 else ""
        except (OSError, HTTPException, ValueError) as error:
            reason = getattr(error, "reason", None)
            why = f"{self._url.hostname} is unreachable: {reason or type(error).__name__}"
            return why, why


def address(url: SplitResult, suffix: str, *, run: str) -> str:
    """Return the URL to post to: without credentials, `suffix` after its path, the run's id in its query."""
    host = url.netloc.rpartition("@")[2]
    path = "/".join([url.path.rstrip("/"), suffix] if suffix else [url.path])
    query = urlencode([*parse_qsl(url.query, keep_blank_values=True), ("rid", run)])
    return url._replace(netloc=host, path=path, query=query, fragment="").geturl()


def _credentials(url: SplitResult) -> dict[str, str]:
    if url.username is None:
        return {}
    pair = f"{unquote(url.username)}:{unquote(url.password or '')}"
    return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


def _verb(suffix: str) -> str:
    return "began" if suffix == STARTED else "ended"
