"""Limits on what a client may send and how long it may take, with and without a token."""

import asyncio
import re
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from urllib.parse import urlsplit

import httpx
import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from imgctl.config.settings import Settings
from imgctl.web.auth import Scope as Right
from imgctl.web.connection import Reader, TimedConnection
from tests.parts.proxy import Fault, fault_proxy
from tests.web.server import USER, Served, served, token
from tests.whole.conftest import photo

_, LINE = token(Right.READ, Right.WRITE)
POSTS = re.compile(r'imgctl_http_requests_total{method="POST",route="(.+)",status="(.+)"}')
# More than the server's threads for requests that read the catalog only.
MANY = 50
FORM = "multipart/form-data; boundary=B"


@contextmanager
def connected(server: Served) -> Iterator[socket.socket]:
    """A connection to a server."""
    place = urlsplit(server.url)
    with socket.create_connection((place.hostname or "", place.port or 0)) as client:
        client.settimeout(30)
        yield client


def rest(client: socket.socket) -> bytes:
    """Return what the server sends until it ends the connection."""
    received = b""
    try:
        while piece := client.recv(2**16):
            received += piece
    except ConnectionResetError:
        pass
    return received


@pytest.mark.parametrize(
    ("path", "kind", "begin"),
    [
        ("/uploads", "application/json", b'"'),
        ("/login", "application/x-www-form-urlencoded", b"token="),
        ("/login", FORM, b'--B\r\nContent-Disposition: form-data; name="x"; filename="x"\r\n\r\n'),
        ("/events", "application/json", b'"'),
    ],
)
@pytest.mark.parametrize("announced", [True, False])
def test_a_body_too_large_for_memory_is_refused_unread(
    shared: Served, path: str, kind: str, begin: bytes, announced: bool
) -> None:
    sent = 0

    def pieces() -> Iterator[bytes]:
        nonlocal sent
        yield begin
        for _ in range(64):
            sent += 2**20
            yield bytes(2**20)

    headers = {"Content-Type": kind} | ({"Content-Length": str(len(begin) + 2**26)} if announced else {})
    with connected(shared) as client:
        framing = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        framing += "" if announced else "Transfer-Encoding: chunked\r\n"
        try:
            client.sendall(f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n".encode())
            for piece in pieces():
                client.sendall(piece if announced else b"%x\r\n%s\r\n" % (len(piece), piece))
        except (ConnectionResetError, BrokenPipeError):
            pass
        answer = rest(client)

    assert not answer or answer.startswith(b"HTTP/1.1 413 "), answer[:100]
    assert sent < 2**26


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/uploads", "application/json"), ("/login", "application/x-www-form-urlencoded"), ("/login", FORM)],
)
def test_a_slow_body_is_refused_on_every_route(local: Settings, path: str, kind: str) -> None:
    with served(replace(local, serve=replace(local.serve, timeout=0.2))) as server, connected(server) as client:
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: 99\r\n\r\n-"
        client.sendall(head.encode())

        assert rest(client).startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("sent", [b"", b"GET /healthz HTTP/1.1\r\nHost: loc"])
def test_a_client_that_sends_no_request_is_disconnected(
    local: Settings, sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imgctl.web.run.LEAST_IDLE_SECONDS", 0.2)
    quick = replace(local, serve=replace(local.serve, timeout=0.2))
    with served(quick) as server, connected(server) as first, connected(server) as second:
        first.sendall(sent)
        second.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n" + sent)

        assert rest(first) == b""
        assert rest(second).startswith(b"HTTP/1.1 200 ")


def test_a_client_that_reads_nothing_is_disconnected(local: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imgctl.web.run.LEAST_IDLE_SECONDS", 0.2)
    with served(replace(local, serve=replace(local.serve, timeout=0.2, secret="s" * 32))) as server:
        for number in range(3):
            server.send(photo(number) + bytes(2**24 - number))
        url = server.client.post(f"/users/{USER}/export").json()["url"]
        with connected(server) as client:
            client.sendall(f"GET {url} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            # Sent by the server once it has given the response up: it counts requests at their end.
            while 'route="/exports/{user_id}"' not in server.client.get("/metrics").text:
                pass
            received = rest(client)

    assert received.startswith(b"HTTP/1.1 200 ")
    assert not received.endswith(b"0\r\n\r\n")


@pytest.mark.parametrize("reads", [True, False], ids=["of a client that reads on", "of which it leaves the end"])
def test_a_response_that_is_read_too_slowly_is_given_up(monkeypatch: pytest.MonkeyPatch, reads: bool) -> None:
    # No client reads as fast.
    monkeypatch.setattr("imgctl.web.connection.LEAST_READ_BYTES_A_SECOND", 2**40)
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        client = stack.enter_context(socket.create_connection(listener.getsockname()))
        client.setblocking(False)
        client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        sender, _ = listener.accept()

        # TimeoutError if it is not given up.
        asyncio.run(asyncio.wait_for(_answer_until_given_up(client, sender, reads=reads), 30))


async def _answer_until_given_up(client: socket.socket, sender: socket.socket, *, reads: bool) -> None:
    """Answer the client's request; return once the connection is lost."""
    loop, lost = asyncio.get_running_loop(), asyncio.Event()

    class Connection(TimedConnection):
        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            lost.set()

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        # Less at once than what makes the transport wait for the client.
        while not lost.is_set() and (reads or not connection.transport.get_write_buffer_size()):
            await send({"type": "http.response.body", "body": bytes(2**13), "more_body": True})
        await send({"type": "http.response.body"})

    # A connection is closed after its timeout, but not before the client has read the rest.
    config = uvicorn.Config(app, timeout_keep_alive=0.1, log_config=None)  # type: ignore[arg-type]
    connection = Connection(config, uvicorn.server.ServerState(), {})
    await loop.connect_accepted_socket(lambda: connection, sender)
    while reads and await loop.sock_recv(client, 2**12):
        pass
    await lost.wait()


def test_a_client_is_slow_by_what_it_acknowledges_although_the_socket_accepts_no_more() -> None:
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        client = stack.enter_context(socket.create_connection(listener.getsockname()))
        sender, _ = listener.accept()
        stack.enter_context(sender)
        sender.setblocking(False)
        with pytest.raises(BlockingIOError):
            while True:
                sender.send(bytes(2**16))
        reader = Reader(sender)
        first, nothing = (reader.is_slow(unsent=1, seconds=1) for _ in range(2))
        # Far less than the third of the buffer that makes it accept more.
        for _ in range(2**8):
            client.recv(2**10)
        reads = reader.is_slow(unsent=1, seconds=1)
        has_all = reader.is_slow(unsent=0, seconds=1)
        after_a_pause = reader.is_slow(unsent=1, seconds=1)

    assert (first, nothing, reads, has_all, after_a_pause) == (False, True, False, False, False)


def test_invented_methods_make_no_series(shared: Served) -> None:
    refused = {shared.client.request(f"METHOD{number}", "/images").status_code for number in range(3)}

    assert refused == {405}
    assert "METHOD" not in shared.client.get("/metrics").text


def test_a_client_that_disconnects_is_no_error_of_the_server(
    local_server: Served, caplog: pytest.LogCaptureFixture
) -> None:
    kinds = {"/login": "application/x-www-form-urlencoded"}
    for path in (f"/images?user_id={USER}", "/events", "/uploads", "/login"):
        with connected(local_server) as client:
            client.sendall(
                f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kinds.get(path, 'application/json')}\r\n"
                "Content-Length: 99\r\nExpect: 100-continue\r\n\r\n".encode()
            )
            assert client.recv(2**10).startswith(b"HTTP/1.1 100 ")
            client.sendall(b"-")
    while len(counted := POSTS.findall(local_server.client.get("/metrics").text)) < 4:
        pass

    # The framework reads the bodies of the last two, and refuses them as malformed.
    assert sorted(counted) == [("/events", "499"), ("/images", "499"), ("/login", "400"), ("/uploads", "400")]
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize(
    ("path", "announced"),
    [("/view/{image}", None), ("/uploads", {"sha256": "0" * 64, "bytes": 10, "content_type": "image/jpeg"})],
)
def test_a_store_that_does_not_respond_delays_no_answer_from_the_catalog(
    remote: Settings, path: str, announced: dict[str, object] | None
) -> None:
    reached = threading.Semaphore(0)

    def stalls(_method: str, _path: str, _number: int) -> Fault:
        reached.release()
        return Fault.STALL

    with served(remote) as filled:
        image = filled.send(photo(1))
    proxy = fault_proxy(remote.store.endpoint_url, policy=stalls)
    with ExitStack() as stalled:
        store = replace(remote.store, endpoint_url=stalled.enter_context(proxy).url, timeout=20.0, retries=0)
        with served(replace(remote, store=store)) as server, ThreadPoolExecutor(MANY) as clients:

            def status() -> int:
                with httpx.Client(base_url=server.url, timeout=120) as client:
                    if announced is None:
                        return client.get(path.format(image=image)).status_code
                    return client.post(path, json=announced | {"user_id": str(USER)}).status_code

            waiting = [clients.submit(status) for _ in range(MANY)]
            assert reached.acquire(timeout=60)
            listed = server.client.get("/images").status_code
            ended = sum(one.done() for one in waiting)
            # Without the proxy the stalled requests fail at once.
            stalled.close()
            statuses = {one.result() for one in waiting}

    assert listed == 200
    assert ended == 0
    assert statuses == {503}
