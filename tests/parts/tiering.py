"""A middlebox that makes a plain S3 server's originals lie in an archive tier of Intelligent-Tiering, as AWS answers."""

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
    """Where it listens, the tier its originals lie in, and the restores asked for: done by `finish`."""

    url: str = ""
    tier: str = "ARCHIVE_ACCESS"
    asked: list[str] = field(default_factory=list)
    restored: set[str] = field(default_factory=set)

    def finish(self) -> None:
        """What was asked for is back in frequent access."""
        self.restored |= set(self.asked)

    def refusal(self, method: str, path: str, query: str, body: bytes) -> tuple[int, str] | None:
        """What AWS says instead of what a plain server does, as status and error code; 202 and no code of a restore."""
        if ORIGINAL not in path:
            return None
        if method == "GET" and not query and path not in self.restored:
            return 403, "InvalidObjectState"
        if method == "POST" and "restore" in query:
            if b"Days" in body:
                return 400, "InvalidArgument"
            self.asked.append(path)
            return 202, ""
        return None

    def described(self, path: str) -> dict[str, str]:
        """What HEAD tells of an original."""
        if ORIGINAL not in path:
            return {}
        told = {"x-amz-storage-class": "INTELLIGENT_TIERING"}
        if path in self.restored:
            return told
        restoring = {"x-amz-restore": 'ongoing-request="true"'} if path in self.asked else {}
        return told | {"x-amz-archive-status": self.tier} | restoring


@contextmanager
def intelligent_tiering(upstream_url: str, *, tier: str = "ARCHIVE_ACCESS") -> Iterator[Tiering]:
    """Such a middlebox in front of a server, for as long as the block runs."""
    state, upstream = Tiering(tier=tier), urlsplit(upstream_url).netloc

    class Middlebox(Handler):
        protocol_version = "HTTP/1.1"

        def _relay(self) -> None:
            path, _, query = self.path.partition("?")
            body = self.body()
            if refused := state.refusal(self.command, path, query, body):
                status, code = refused
                self.answer(status, f"<Error><Code>{code}</Code></Error>".encode() if code else b"")
                return
            connection = http.client.HTTPConnection(upstream, timeout=60)
            sent = {name: value for name, value in self.headers.items() if name.lower() not in _HOP_BY_HOP}
            connection.request(self.command, self.path, body or None, sent)
            answer = connection.getresponse()
            data = answer.read()
            if "list-type" in query:
                listed = rb"(-original\.\w+</Key>.*?<StorageClass>)STANDARD"
                data = re.sub(listed, rb"\1INTELLIGENT_TIERING", data, flags=re.DOTALL)
            told = {name: value for name, value in answer.getheaders() if name.lower() not in _HOP_BY_HOP}
            if self.command == "HEAD":
                told |= {"Content-Length": answer.getheader("Content-Length") or "0"}
                told |= state.described(path) if answer.status == 200 else {}
            self.answer(answer.status, data, told)
            connection.close()

        do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _relay

    with serving(Middlebox) as state.url:
        yield state
