"""A server between a client and S3: records each request as sent, and forwards it or responds itself."""

import http.client
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import trustme

_HOP_BY_HOP = {"connection", "content-length", "transfer-encoding", "proxy-connection", "expect"}
# Those of a response, which the middlebox sends itself; a request's date is signed on Azure.
_OWN = {*_HOP_BY_HOP, "date", "server"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One request on the wire; header names are in lower case."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes = b""

    @property
    def host(self) -> str:
        """The requested host, without its port."""
        return urlsplit(self.url).hostname or ""

    @property
    def path(self) -> str:
        """The path and the query."""
        parts = urlsplit(self.url)
        return f"{parts.path}?{parts.query}" if parts.query else parts.path


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A response made by the middlebox."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


Rule = Callable[[Seen], Reply | None]


@dataclass(slots=True, kw_only=True)
class Middlebox:
    """A running middlebox: its url, and the requests so far in order of arrival."""

    url: str
    requests: list[Seen] = field(default_factory=list)

    def puts(self) -> list[Seen]:
        """The PUT requests."""
        return [one for one in self.requests if one.method == "PUT"]


def s3_error(status: int, code: str, message: str = "rejected by the middlebox") -> Reply:
    """Return an S3 error response."""
    body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
    return Reply(status=status, body=body, headers={"Content-Type": "application/xml"})


def anything_is_stored(seen: Seen) -> Reply:
    """Respond like a server that stores any object, but return none."""
    if seen.method == "POST" and seen.path.rstrip("=").endswith("?uploads"):
        return Reply(body=b"<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>")
    if seen.method == "POST" and "delete" in seen.path:
        return Reply(body=b"<DeleteResult></DeleteResult>")
    if seen.method == "POST":
        done = b"<CompleteMultipartUploadResult><ETag>&quot;e-1&quot;</ETag></CompleteMultipartUploadResult>"
        return Reply(body=done)
    if seen.method == "GET" and "list-type" in seen.path:
        return Reply(body=b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>")
    if seen.method == "PUT" and "x-amz-copy-source" in seen.headers:
        return Reply(body=b"<CopyObjectResult><ETag>&quot;e&quot;</ETag></CopyObjectResult>")
    if seen.method in ("GET", "HEAD"):
        return s3_error(404, "NoSuchKey")
    return Reply(headers={"ETag": '"e"'})


@contextmanager
def middlebox(
    upstream_url: str = "",
    *,
    rule: Rule = lambda _: None,
    tls: ssl.SSLContext | None = None,
    ca: trustme.CA | None = None,
) -> Iterator[Middlebox]:
    """A middlebox for as long as the block runs.

    If `rule` returns a reply, the client gets it; other requests are forwarded to `upstream_url` with their Host header,
    which is signed. It is an HTTP proxy too; with `ca` also for https://, with certificates that this CA issues.
    """
    box = Middlebox(url="")

    class Handler(_Handler):
        pass

    Handler.box, Handler.rule, Handler.upstream, Handler.ca = box, staticmethod(rule), urlsplit(upstream_url).netloc, ca
    server = _Server(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    box.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.02}, name="middlebox", daemon=True
    )
    thread.start()
    try:
        yield box
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log nothing: in some tests the client hangs up or rejects the certificate."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    box: Middlebox
    rule: Callable[[Seen], Reply | None]
    upstream: str
    ca: trustme.CA | None
    _origin = ""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Log nothing."""

    def do_CONNECT(self) -> None:
        """Act as the requested server, with a certificate of the test's CA."""
        if self.ca is None:
            self.send_error(502)
            return
        self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        host = self.path.rpartition(":")[0]
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.ca.issue_cert(host).configure_cert(context)
        self.connection = context.wrap_socket(self.connection, server_side=True)
        self.rfile = self.connection.makefile("rb")
        self.wfile = self.connection.makefile("wb", 0)
        self._origin = f"https://{host}"
        self.close_connection = False

    def finish(self) -> None:
        """Close the encrypted connection too, which replaced the server's own."""
        with suppress(OSError, ValueError):
            super().finish()
        self.connection.close()

    def _one(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        origin = self._origin or f"http://{headers.get('host', '')}"
        url = self.path if self.path.startswith("http") else origin + self.path
        seen = Seen(method=self.command, url=url, headers=headers, body=self._body(headers))
        self.box.requests.append(seen)
        reply = type(self).rule(seen) or self._forwarded(seen)
        self.send_response_only(reply.status)
        sized = {"content-length": str(len(reply.body))} | {name.lower(): one for name, one in reply.headers.items()}
        for name, value in sized.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.body)

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _one

    def _body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding", "") == "chunked":
            body = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body
        return self.rfile.read(int(headers.get("content-length", "0")))

    def _forwarded(self, seen: Seen) -> Reply:
        client = http.client.HTTPConnection(self.upstream, timeout=60)
        kept = {name: value for name, value in seen.headers.items() if name not in _HOP_BY_HOP}
        kept["content-length"] = str(len(seen.body))
        try:
            client.request(seen.method, seen.path, seen.body or None, kept)
            response = client.getresponse()
            body = response.read()
        finally:
            client.close()
        headers = {name: value for name, value in response.getheaders() if name.lower() not in _OWN}
        if seen.method == "HEAD" and (length := response.getheader("content-length")):
            headers["content-length"] = length
        return Reply(status=response.status, body=body, headers=headers)
