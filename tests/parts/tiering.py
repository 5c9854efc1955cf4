"""A middlebox that shows a plain S3 server's originals in an archive tier of Intelligent-Tiering, with AWS's responses."""

import http.client
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tests.parts.loopback import Handler, serving

ORIGINAL = "-original."
_HOP_BY_HOP = ("connection", "content-length", "transfer-encoding", "date", "server")


@dataclass(slots=True, kw_only=True)
class Tiering:
    """The middlebox's URL, the tier of its originals, and the requested restores, which `finish` completes."""

    url: str = ""
    tier: str = "ARCHIVE_ACCESS"
    requested: list[str] = field(default_factory=list)
    restored: set[str] = field(default_factory=set)

    def finish(self) -> None:
        """Complete the requested restores: to frequent access."""
        self.restored |= set(self.requested)

    def aws_error(self, method: str, path: str, query: str, body: bytes) -> tuple[int, str] | None:
        """Return the status and error code of AWS if they differ from a plain server's; 202 without code for a restore."""
        if ORIGINAL not in path:
            return None
        if method == "GET" and not query and path not in self.restored:
            return 403, "InvalidObjectState"
        if method == "POST" and "restore" in query:
            if b"Days" in body:
                return 400, "InvalidArgument"
            self.requested.append(path)
            return 202, ""
        return None

    def described(self, path: str) -> dict[str, str]:
        """Return the headers of HEAD for an original."""
        if ORIGINAL not in path:
            return {}
        headers = {"x-amz-storage-class": "INTELLIGENT_TIERING"}
        if path in self.restored:
            return headers
        restoring = {"x-amz-restore": 'ongoing-request="true"'} if path in self.requested else {}
        return headers | {"x-amz-archive-status": self.tier} | restoring


@contextmanager
def intelligent_tiering(upstream_url: str, *, tier: str = "ARCHIVE_ACCESS") -> Iterator[Tiering]:
    """Run such a middlebox in front of a server."""
    state, upstream = Tiering(tier=tier), urlsplit(upstream_url).netloc

    class Middlebox(Handler):
        protocol_version = "HTTP/1.1"

        def _relay(self) -> None:
            path, _, query = self.path.partition("?")
            body = self.body()
            if error := state.aws_error(self.command, path, query, body):
                status, code = error
                self.respond(status, f"<Error><Code>{code}</Code></Error>".encode() if code else b"")
                return
            connection = http.client.HTTPConnection(upstream, timeout=60)
            sent = {name: value for name, value in self.headers.items() if name.lower() not in _HOP_BY_HOP}
            connection.request(self.command, self.path, body or None, sent)
            response = connection.getresponse()
            data = response.read()
            if "list-type" in query:
                listed = rb"(-original\.\w+</Key>.*?<StorageClass>)STANDARD"
                data = re.sub(listed, rb"\1INTELLIGENT_TIERING", data, flags=re.DOTALL)
            headers = {name: value for name, value in response.getheaders() if name.lower() not in _HOP_BY_HOP}
            if self.command == "HEAD":
                headers |= {"Content-Length": response.getheader("Content-Length") or "0"}
                headers |= state.described(path) if response.status == 200 else {}
            self.respond(response.status, data, headers)
            connection.close()

        do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _relay

    with serving(Middlebox) as state.url:
        yield state
