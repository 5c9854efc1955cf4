"""Connections: the time that a client may take to send the head of a request, and to read a response."""

import asyncio
from collections.abc import Callable

from uvicorn.protocols.http.h11_impl import H11Protocol


class TimedConnection(H11Protocol):
    """uvicorn's connection, which by itself waits for a client without end, and so runs out of file descriptors.

    The limit is that of idle connections between two requests. It closes what no request is under way on, and a
    response of which the client reads nothing.
    """

    _head: asyncio.TimerHandle | None = None
    _stalled: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._head = self._later(self._end_idle)

    def data_received(self, data: bytes) -> None:
        """Wait further unless a request is under way; more data does not extend the time."""
        super().data_received(data)
        if not self._is_idle():
            self._head = _cancelled(self._head)
        elif self._head is None:
            self._head = self._later(self._end_idle)

    def connection_lost(self, exc: Exception | None) -> None:
        """End the timers."""
        self._head, self._stalled = _cancelled(self._head), _cancelled(self._stalled)
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Begin to wait for the client to read."""
        super().pause_writing()
        self._stalled = self._later(self._end_stalled, self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        """Note that the client has read."""
        self._stalled = _cancelled(self._stalled)
        super().resume_writing()

    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _end_idle(self) -> None:
        self._head = None
        if self._is_idle():
            self.transport.abort()

    def _end_stalled(self, before: int) -> None:
        left = self.transport.get_write_buffer_size()
        if left < before:
            self._stalled = self._later(self._end_stalled, left)
        else:
            self.transport.abort()

    def _later(self, work: Callable[..., None], *arguments: int) -> asyncio.TimerHandle:
        return self.loop.call_later(self.timeout_keep_alive, work, *arguments)


def _cancelled(timer: asyncio.TimerHandle | None) -> asyncio.TimerHandle | None:
    if timer is not None:
        timer.cancel()
    return None
