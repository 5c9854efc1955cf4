"""Connections: the time that a client may take to send the head of a request, and the rate at which it must read."""

import asyncio
import socket
import struct
from collections.abc import Callable

from uvicorn.protocols.http.h11_impl import H11Protocol

# Slower than any modem, and a limit on how long a connection and its thread can be kept busy. Bodies of requests have a
# limit of their own: see `Body`.
LEAST_READ_BYTES_A_SECOND = 256
# tcpi_bytes_acked in struct tcp_info (linux/tcp.h).
_BYTES_ACKED = struct.Struct("=120xQ")


class TimedConnection(H11Protocol):
    """uvicorn's connection, which by itself waits for a client without end, and so runs out of file descriptors.

    The limit is that of idle connections between two requests. It closes what no request is under way on, and a
    connection whose client reads less than LEAST_READ_BYTES_A_SECOND of what it is sent.
    """

    _head: asyncio.TimerHandle | None = None
    _reading: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._head = self._later(self._end_idle)
        self._reader = Reader(transport.get_extra_info("socket"))
        self._reading = self._later(self._end_slow)

    def data_received(self, data: bytes) -> None:
        """Wait further unless a request is under way; more data does not extend the time."""
        super().data_received(data)
        if not self._is_idle():
            self._head = _cancelled(self._head)
        elif self._head is None:
            self._head = self._later(self._end_idle)

    def connection_lost(self, exc: Exception | None) -> None:
        """End the timers."""
        self._head, self._reading = _cancelled(self._head), _cancelled(self._reading)
        super().connection_lost(exc)

    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _end_idle(self) -> None:
        self._head = None
        if self._is_idle():
            self.transport.abort()

    def _end_slow(self) -> None:
        if self._reader.is_slow(unsent=self.transport.get_write_buffer_size(), seconds=self.timeout_keep_alive):
            self.transport.abort()
        else:
            self._reading = self._later(self._end_slow)

    def _later(self, work: Callable[[], None]) -> asyncio.TimerHandle:
        return self.loop.call_later(self.timeout_keep_alive, work)


class Reader:
    """The client as a reader: how many bytes it has acknowledged.

    The socket does not show it: it accepts more only once a third of its buffer, up to 4 MB, is free.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        # At the last check; None if nothing waited to be sent then.
        self._acked: int | None = None

    def is_slow(self, *, unsent: int, seconds: float) -> bool:
        """Whether the client read too little in the `seconds` since the last check, with bytes waiting at both."""
        before, self._acked = self._acked, None
        if not unsent:
            return False
        info = self._connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_ACKED.size)
        (self._acked,) = _BYTES_ACKED.unpack(info)
        return before is not None and self._acked - before < LEAST_READ_BYTES_A_SECOND * seconds


def _cancelled(timer: asyncio.TimerHandle | None) -> asyncio.TimerHandle | None:
    if timer is not None:
        timer.cancel()
    return None
