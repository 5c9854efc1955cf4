"""What surrounds every request: its name, the headers of every answer, the access log and the numbers."""

import asyncio
import logging
import os
import re
import time
from collections.abc import Iterable, Iterator, MutableMapping
from contextlib import contextmanager
from http import HTTPStatus
from uuid import UUID

from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from imgctl.run import trace
from imgctl.web.auth import is_loopback
from imgctl.web.problem import Refusal, problem
from imgctl.web.state import AppState

ACCESS = logging.getLogger("imgctl.access")
NOTHING = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
QUIET = frozenset({"/healthz", "/readyz", "/metrics"})
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
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = _Answering(scope, send)
        is_head = scope["method"] == "HEAD"
        asked = {**scope, "method": "GET"} if is_head else scope
        self._state.metrics.begun()
        with _traced(asked, request):
            try:
                await self._guarded(asked, request.ended if is_head else receive, request)
            finally:
                self._log({**asked, "method": scope["method"]}, request)

    async def _guarded(self, scope: Scope, receive: Receive, answering: "_Answering") -> None:
        host = Request(scope).headers.get("host", "")
        if not self._state.auth.tokens and host and not is_loopback(host):
            # A page elsewhere whose name was made to lead to this machine (DNS rebinding).
            refusal = Refusal(403, "without tokens only this machine is served", hint="[serve] tokens, or localhost")
            await problem(refusal)(scope, receive, answering.send)
            return
        await self._app(scope, receive, answering.send)

    def _log(self, scope: Scope, answering: "_Answering") -> None:
        seconds = time.monotonic() - answering.began
        route = getattr(scope.get("route"), "path", "") or "-"
        method = scope["method"] if route != "-" else "-"
        self._state.metrics.answered(method, route, answering.status, seconds)
        level = logging.DEBUG if scope["path"] in QUIET else logging.INFO
        if ACCESS.isEnabledFor(level):
            ACCESS.log(
                level,
                "%s %s %d",
                scope["method"],
                scope["path"],
                answering.status,
                extra={
                    "method": scope["method"],
                    "path": scope["path"],
                    "status": answering.status,
                    "seconds": round(seconds, 4),
                    "bytes_sent": answering.sent,
                    "client": (scope.get("client") or ("-",))[0],
                    "caller": scope.get("state", {}).get("caller", "-"),
                    "image": scope.get("state", {}).get("image", "-"),
                    "request": answering.name,
                },
            )


@contextmanager
def _traced(scope: Scope, answering: "_Answering") -> Iterator[None]:
    """The span of a request, with the steps noted below it; its trace is the caller's, where that sends one."""
    began = trace.clock() if scope["path"] not in QUIET else 0
    if not began:
        yield
        return
    parent = dict(scope["headers"]).get(b"traceparent", b"").decode("latin-1")
    of_caller = _TRACEPARENT.fullmatch(parent)
    name = UUID(of_caller[1] if of_caller else os.urandom(16).hex())
    with trace.within(name.hex) as noted:
        try:
            yield
        finally:
            # Its pattern, which the router found, not its path with ids.
            route, status = getattr(scope.get("route"), "path", "") or "-", answering.status
            about = {"http.request.method": scope["method"], "http.route": route, "http.response.status_code": status}
            trace.record(
                trace.Span(
                    name=f"{scope['method']} {route}",
                    trace=name,
                    began=began,
                    ended=trace.clock(),
                    parent=parent if of_caller else "",
                    stages=tuple(noted.stages),
                    about={**about, "imgctl.request": answering.name},
                    error=f"answered {status}" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "",
                    server=True,
                )
            )


class _Answering:
    """One request on its way: what it is called, and what was answered so far."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self.began = time.monotonic()
        self.status = 499
        self.sent = 0
        self.name = _name(scope["headers"])
        self._send = send
        self._is_head = scope["method"] == "HEAD"
        self._started = asyncio.Event()

    async def ended(self) -> Message:
        """What is received of a HEAD request: its client is gone once it has the headers, which ends streams, too."""
        await self._started.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if self._is_head and self._started.is_set():
            return
        if message["type"] == "http.response.start":
            self.status = message["status"]
            _complete(message, self.name)
            self._started.set()
        else:
            self.sent += len(message.get("body", b""))
        await self._send(message)
        if self._is_head:
            await self._send({"type": "http.response.body"})


def _name(headers: Iterable[tuple[bytes, bytes]]) -> str:
    given = dict(headers).get(b"x-request-id", b"").decode("latin-1")
    if given.isascii() and given.replace("-", "").isalnum() and len(given) <= _REQUEST_ID_LENGTH:
        return given
    return os.urandom(8).hex()


def _complete(message: MutableMapping[str, object], name: str) -> None:
    given = message["headers"]
    assert isinstance(given, list)
    present = {one for one, _ in given}
    given += [(key, value) for key, value in _HEADERS.items() if key not in present]
    given.append((b"x-request-id", name.encode()))
