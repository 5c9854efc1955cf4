"""Middleware around every request: request id, response headers, access log, metrics and traces."""

import asyncio
import logging
import os
import re
import time
from collections.abc import Iterable, Iterator, MutableMapping
from contextlib import contextmanager
from http import HTTPMethod, HTTPStatus
from uuid import UUID

from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from imgctl.run.telemetry import trace
from imgctl.web.app_state import AppState
from imgctl.web.auth import is_loopback
from imgctl.web.body import Body
from imgctl.web.problem import Refusal, problem

ACCESS = logging.getLogger("imgctl.access")
NOTHING = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
# The key of a scope of which the request was a HEAD: routes see GET.
HEAD = "imgctl.head"
QUIET = frozenset({"/healthz", "/readyz", "/metrics"})
# nginx's status for a client that disconnected before the response.
CLIENT_CLOSED = 499
_METHODS = frozenset(HTTPMethod)
_BODYLESS = frozenset({"GET", "HEAD"})
_REQUEST_ID_LENGTH = 64
# W3C Trace Context, version 00.
_TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_HEADERS = {
    b"content-security-policy": NOTHING.encode(),
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-resource-policy": b"same-origin",
    b"cache-control": b"no-store",
}


class Middleware:
    """An ASGI application around another one."""

    def __init__(self, app: ASGIApp, state: AppState) -> None:
        self._app = app
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, send)
        is_head = scope["method"] == "HEAD"
        handled = {**scope, "method": "GET", HEAD: True} if is_head else scope
        self._state.metrics.begun()
        with _traced(handled, exchange):
            try:
                await self._guarded(handled, exchange.ended if is_head else self._limited(scope, receive), exchange)
            finally:
                self._log({**handled, "method": scope["method"]}, exchange)

    def _limited(self, scope: Scope, receive: Receive) -> Receive:
        if scope["method"] in _BODYLESS:
            return receive
        return Body(receive, path=scope["path"], timeout_seconds=self._state.settings.timeout).receive

    async def _guarded(self, scope: Scope, receive: Receive, exchange: "_Exchange") -> None:
        host = Request(scope).headers.get("host", "")
        if not self._state.auth.tokens and host and not is_loopback(host):
            # DNS rebinding: the page of another site has a host name that resolves to this machine.
            refusal = Refusal(403, "without tokens only this machine is served", hint="[serve] tokens, or localhost")
            await problem(refusal)(scope, receive, exchange.send)
            return
        await self._app(scope, receive, exchange.send)

    def _log(self, scope: Scope, exchange: "_Exchange") -> None:
        seconds = time.monotonic() - exchange.began
        route = getattr(scope.get("route"), "path", "") or "-"
        # Clients may invent methods: each would be a series of its own.
        method = scope["method"] if route != "-" and scope["method"] in _METHODS else "-"
        self._state.metrics.answered(method, route, exchange.status, seconds)
        level = logging.DEBUG if scope["path"] in QUIET else logging.INFO
        if ACCESS.isEnabledFor(level):
            ACCESS.log(
                level,
                "%s %s %d",
                scope["method"],
                scope["path"],
                exchange.status,
                extra={
                    "method": scope["method"],
                    "path": scope["path"],
                    "status": exchange.status,
                    "seconds": round(seconds, 4),
                    "bytes_sent": exchange.sent,
                    "client": (scope.get("client") or ("-",))[0],
                    "caller": scope.get("state", {}).get("caller", "-"),
                    "image": scope.get("state", {}).get("image", "-"),
                    "request": exchange.request_id,
                },
            )


@contextmanager
def _traced(scope: Scope, exchange: "_Exchange") -> Iterator[None]:
    """Record the span of a request with the steps noted in it; the trace is the caller's if it sends one."""
    began = trace.clock() if scope["path"] not in QUIET else 0
    if not began:
        yield
        return
    parent = dict(scope["headers"]).get(b"traceparent", b"").decode("latin-1")
    of_caller = _TRACEPARENT.fullmatch(parent)
    trace_id = UUID(of_caller[1] if of_caller else os.urandom(16).hex())
    with trace.within(trace_id.hex) as noted:
        try:
            yield
        finally:
            # The route's pattern, not the path with its ids.
            route, status = getattr(scope.get("route"), "path", "") or "-", exchange.status
            about = {"http.request.method": scope["method"], "http.route": route, "http.response.status_code": status}
            trace.record(
                trace.Span(
                    name=f"{scope['method']} {route}",
                    trace=trace_id,
                    began=began,
                    ended=trace.clock(),
                    parent=parent if of_caller else "",
                    stages=tuple(noted.stages),
                    about={**about, "imgctl.request": exchange.request_id},
                    error=f"answered {status}" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "",
                    server=True,
                )
            )


class _Exchange:
    """One request and its response: the request id, and the status and bytes sent so far."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self.began = time.monotonic()
        self.status = CLIENT_CLOSED
        self.sent = 0
        self.request_id = _request_id(scope["headers"])
        self._send = send
        self._is_head = scope["method"] == "HEAD"
        self._started = asyncio.Event()

    async def ended(self) -> Message:
        """Receive for a HEAD request: a disconnect once the headers are sent, which ends streams, too."""
        await self._started.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if self._is_head and self._started.is_set():
            return
        if message["type"] == "http.response.start":
            self.status = message["status"]
            _complete(message, self.request_id)
            self._started.set()
        else:
            self.sent += len(message.get("body", b""))
        await self._send(message)
        if self._is_head:
            await self._send({"type": "http.response.body"})


def _request_id(headers: Iterable[tuple[bytes, bytes]]) -> str:
    given = dict(headers).get(b"x-request-id", b"").decode("latin-1")
    if given.isascii() and given.replace("-", "").isalnum() and len(given) <= _REQUEST_ID_LENGTH:
        return given
    return os.urandom(8).hex()


def _complete(message: MutableMapping[str, object], request_id: str) -> None:
    given = message["headers"]
    assert isinstance(given, list)
    present = {one for one, _ in given}
    given += [(key, value) for key, value in _HEADERS.items() if key not in present]
    given.append((b"x-request-id", request_id.encode()))
