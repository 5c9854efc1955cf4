"""A proxy in front of an S3 endpoint that injects faults: lost, stalled, rejected and late responses."""

import asyncio
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import urlsplit

from imgctl.keys import PROBES


class Fault(StrEnum):
    """A fault that the proxy injects."""

    SERVICE_UNAVAILABLE = "service-unavailable"  # 503 SlowDown, not forwarded
    EXPIRED = "expired"  # 403 ExpiredToken, not forwarded
    RESET = "reset"  # the connection is reset before anything is forwarded
    STALL = "stall"  # nothing happens until the client hangs up
    LOST_RESPONSE = "lost-response"  # forwarded, but the client sees a reset instead of the response


Policy = Callable[[str, str, int], Fault | None]


def is_image_put(method: str, path: str) -> bool:
    """Whether a request puts an original or a variant, not the probe that a command tests its bucket with."""
    return method == "PUT" and PROBES not in path


_REJECTIONS = {
    Fault.SERVICE_UNAVAILABLE: (b"503 Slow Down", b"SlowDown", b"Please reduce your request rate."),
    Fault.EXPIRED: (b"403 Forbidden", b"ExpiredToken", b"The provided token has expired."),
}
_HEAD_BYTES = 2**20
_PIECE_BYTES = 2**18
_HEAD_END = b"\r\n\r\n"
_STALL_SECONDS = 120


@dataclass(slots=True, kw_only=True)
class Proxy:
    """A running proxy: its URL, and counts of requests and faults by method.

    `response_bytes` counts the bytes of response bodies by method and path, `GET /bucket/key`, up to where the client
    closes the connection.
    """

    url: str
    requests: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    response_bytes: Counter[str] = field(default_factory=Counter)


# Between accept and the first step of the connection's task are four iterations of the loop.
_LAST_TURNS = 8


@contextmanager
def fault_proxy(upstream_url: str, *, policy: Policy | None = None, delay_seconds: float = 0.0) -> Iterator[Proxy]:
    """A proxy to `upstream_url` for as long as the block runs.

    `policy(method, path, number)` is called for every request, numbered from 0 in order of arrival; each request
    waits `delay_seconds` first, concurrently. The Host header is forwarded unchanged: it is signed.
    """
    started: list[Proxy] = []
    ready, loop = threading.Event(), asyncio.new_event_loop()
    stop = asyncio.Event()

    async def serve() -> None:
        relay = _Relay(upstream_url, policy, delay_seconds)
        server = await asyncio.start_server(relay.connected, "127.0.0.1", 0, limit=_HEAD_BYTES, backlog=1024)
        relay.proxy.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        started.append(relay.proxy)
        ready.set()
        await stop.wait()
        # Accept clients that connected just now: a server that is closed meanwhile leaves their connections open.
        for listener in server.sockets:
            loop.remove_reader(listener.fileno())
        for _ in range(_LAST_TURNS):
            await asyncio.sleep(0)
        await relay.close()
        server.close()
        await asyncio.sleep(0)

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), name="fault-proxy", daemon=True)
    thread.start()
    ready.wait()
    try:
        yield started[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Message:
    """A request or response: the parts of its first line, its headers in lower case, and all its bytes."""

    first: list[str]
    headers: dict[str, str]
    raw: bytes


class _Relay:
    def __init__(self, upstream_url: str, policy: Policy | None, delay_seconds: float) -> None:
        parts = urlsplit(upstream_url)
        self._upstream = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._policy = policy
        self._delay_seconds = delay_seconds
        self._number = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self.proxy = Proxy(url="")

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        upstream = _Upstream(self._upstream)
        try:
            while await self._one(reader, writer, upstream):
                pass
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            upstream.close()
            writer.transport.abort()

    async def close(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, upstream: "_Upstream") -> bool:
        head = await reader.readuntil(_HEAD_END)
        method, path = head.split(b" ", 2)[0].decode(), head.split(b" ", 2)[1].decode()
        fault = self._policy(method, path, self._number) if self._policy else None
        self._number += 1
        self.proxy.requests[method] += 1
        self.proxy.faults[method] += fault is not None
        if fault is Fault.RESET:
            _reset(writer)
            return False
        if fault is Fault.STALL:
            with suppress(TimeoutError):
                await asyncio.wait_for(_drained(reader), _STALL_SECONDS)
            return False
        if self._delay_seconds:
            await asyncio.sleep(self._delay_seconds)
        request = await _request(head, reader, writer)
        if fault in _REJECTIONS:
            writer.write(_rejection(fault))
            await writer.drain()
            return True
        response = await upstream.request(request)
        if fault is Fault.LOST_RESPONSE:
            _reset(writer)
            return False
        start = response.raw.index(_HEAD_END) + len(_HEAD_END)
        writer.write(response.raw[:start])
        for at in range(start, max(start + 1, len(response.raw)), _PIECE_BYTES):
            piece = response.raw[at : at + _PIECE_BYTES]
            writer.write(piece)
            # Counted before a client that needs no more of them could end the run.
            self.proxy.response_bytes[f"{method} {path}"] += len(piece)
            await writer.drain()
        return response.headers.get("connection", "").lower() != "close"


class _Upstream:
    """One kept-alive connection to the server behind the proxy."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def request(self, request: _Message) -> _Message:
        if self._streams is not None:
            # The server may have closed an idle connection.
            with suppress(OSError, asyncio.IncompleteReadError):
                return await self._exchange(request, *self._streams)
        self.close()
        self._streams = await asyncio.open_connection(*self._address, limit=_HEAD_BYTES)
        return await self._exchange(request, *self._streams)

    async def _exchange(
        self, request: _Message, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> _Message:
        writer.write(request.raw)
        await writer.drain()
        response = await _response(reader, method=request.first[0])
        if response.headers.get("connection", "").lower() == "close":
            self.close()
        return response

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None


async def _request(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> _Message:
    first, headers = _parsed(head)
    if headers.get("expect", "").lower() == "100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        lines = head.split(b"\r\n")
        head = b"\r\n".join(line for line in lines if not line.lower().startswith(b"expect:"))
    return _Message(first=first, headers=headers, raw=head + await _body(reader, headers))


async def _response(reader: asyncio.StreamReader, *, method: str) -> _Message:
    while True:
        head = await reader.readuntil(_HEAD_END)
        first, headers = _parsed(head)
        if not first[1].startswith("1"):
            break
    if method == "HEAD" or first[1] in ("204", "304"):
        return _Message(first=first, headers=headers, raw=head)
    if "content-length" not in headers and "transfer-encoding" not in headers:
        return _Message(first=first, headers=headers | {"connection": "close"}, raw=head + await reader.read())
    return _Message(first=first, headers=headers, raw=head + await _body(reader, headers))


def _parsed(head: bytes) -> tuple[list[str], dict[str, str]]:
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    return first.split(" ", 2), {name.strip().lower(): value.strip() for name, _, value in pairs}


async def _body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    """Read the raw bytes of the body, chunk sizes included."""
    if "chunked" not in headers.get("transfer-encoding", "").lower():
        return await reader.readexactly(int(headers.get("content-length", "0")))
    raw = b""
    while True:
        line = await reader.readuntil(b"\r\n")
        size = int(line.split(b";")[0], 16)
        raw += line
        if size == 0:
            break
        raw += await reader.readexactly(size + 2)
    while (line := await reader.readuntil(b"\r\n")) != b"\r\n":
        raw += line
    return raw + line


async def _drained(reader: asyncio.StreamReader) -> None:
    while await reader.read(2**16):
        pass


def _rejection(fault: Fault) -> bytes:
    status, code, message = _REJECTIONS[fault]
    body = b"<Error><Code>%s</Code><Message>%s</Message></Error>" % (code, message)
    return b"HTTP/1.1 %s\r\nContent-Type: application/xml\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with a TCP reset instead of FIN."""
    endpoint: socket.socket = writer.get_extra_info("socket")
    endpoint.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
