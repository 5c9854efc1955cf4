"""Running the server: listening, one or several processes, and a graceful end."""

import asyncio
import logging
import math
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from secrets import token_bytes

import uvicorn

from imgctl.config.settings import Settings
from imgctl.errors import NO_FILES_LEFT_HINT, ConfigError, ImgctlError, out_of_files
from imgctl.ops.common.open import Parts, open_parts
from imgctl.ops.common.retry import retry
from imgctl.run import service
from imgctl.run.limits import cores, reuse_large_buffers
from imgctl.run.logs import configure
from imgctl.run.pools.child import die_with
from imgctl.run.scratch import Scratch
from imgctl.run.stop import Stop
from imgctl.run.telemetry.prometheus import MULTIPROC_DIR
from imgctl.web.app import make_app
from imgctl.web.app_state import AppState
from imgctl.web.auth import is_loopback
from imgctl.web.connection import TimedConnection
from imgctl.web.processes import AddressPipe, Processes

log = logging.getLogger(__name__)

REPORT_SECONDS = 60.0
# The client waits during retries: an early 503 with Retry-After serves it better.
MOST_RETRIES = 2
GRACE_SECONDS = 30
BACKLOG = 1024
KEY_BYTES = 32
# Browsers connect before they send a request.
LEAST_IDLE_SECONDS = 5.0
# Connections to the catalog: fewer than threads, which then wait for a free one.
CONNECTIONS = 16


def serving(settings: Settings) -> Settings:
    """Return the settings as a server uses them; ConfigError for an address other than loopback without tokens."""
    serve = settings.serve
    if not serve.tokens and not is_loopback(_bracketed(serve.host)):
        raise ConfigError(
            f"without tokens imgctl serves this machine only, not {serve.host}",
            hint="imgctl serve --make-token NAME, or --host 127.0.0.1",
        )
    return replace(settings, store=replace(settings.store, retries=min(settings.store.retries, MOST_RETRIES)))


def serve(parts: Parts, *, stop: Stop, endpoint_url: str, ready: Callable[[str], None]) -> None:
    """Serve until `stop` is set, then finish requests under way; calls `ready` with the address once it listens."""
    processes = parts.settings.serve.processes or cores()
    with _listening(parts.settings) as listener:
        if processes == 1:
            key = token_bytes(KEY_BYTES)
            _serve_on(listener, parts, stop=stop, endpoint_url=endpoint_url, key=key, ready=ready)
        else:
            with Scratch("metrics") as scratch:
                os.environ[MULTIPROC_DIR] = str(scratch.path)
                settings = _share(parts.settings, processes)
                # One key, by which each process checks the links of the others.
                arguments = (settings, endpoint_url, token_bytes(KEY_BYTES), os.getpid())
                Processes(listener, _serve_child, arguments).run(processes, stop=stop, ready=ready)


def _serve_on(
    listener: socket.socket, parts: Parts, *, stop: Stop, endpoint_url: str, key: bytes, ready: Callable[[str], None]
) -> None:
    reuse_large_buffers()
    state = AppState(parts, endpoint_url=endpoint_url, key=key)
    asyncio.run(_run(_Server(_config(state)), listener, state, stop, ready))


def _share(settings: Settings, processes: int) -> Settings:
    """Return the settings for each of several processes: a share of the memory."""
    known = settings.serve
    return replace(settings, serve=replace(known, memory=max(2**20, known.memory // processes)))


def _serve_child(
    listener: socket.socket,
    settings: Settings,
    endpoint_url: str,
    key: bytes,
    parent: int,
    listening: AddressPipe,
) -> None:
    die_with(parent)
    configure(settings.log, verbosity=-1)
    with Stop() as stop:
        # Ctrl-C and a closed terminal signal the whole group; the parent passes them on as SIGTERM.
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        with ExitStack() as stack:
            try:
                stack.enter_context(_tracing(settings))
                # A replacement may start while the catalog is unreachable.
                opened = partial(open_parts, settings, connections=CONNECTIONS, stop=stop)
                parts = retry(lambda: stack.enter_context(opened()), stop=stop, seconds=math.inf)
            except ImgctlError as error:
                listening.send(error)
                return
            _serve_on(listener, parts, stop=stop, endpoint_url=endpoint_url, key=key, ready=listening.send)


@contextmanager
def _tracing(settings: Settings) -> Iterator[None]:
    """Trace this process's requests if [otel] is enabled."""
    if not settings.otel.enabled:
        yield
        return
    from imgctl.run.telemetry.otel import tracing

    with tracing(settings.otel):
        yield


async def _run(
    server: "_Server", listener: socket.socket, state: AppState, stop: Stop, ready: Callable[[str], None]
) -> None:
    loop = asyncio.get_running_loop()

    def end() -> None:
        loop.remove_reader(stop.requested.fileno())
        state.stopping.set()
        server.should_exit = True

    loop.add_reader(stop.requested.fileno(), end)
    loop.set_exception_handler(_LoopErrors(stop))
    host, port = listener.getsockname()[:2]
    ready(f"http://{_bracketed(host)}:{port}")
    beating = asyncio.create_task(_stay_alive())
    await server.serve(sockets=[listener])
    beating.cancel()


class _LoopErrors:
    """Handles errors of the event loop's callbacks.

    Without file descriptors asyncio reports each of up to 2,048 attempts to accept a connection, every second, and after
    the end each attempt to go on: thousands of tracebacks.
    """

    def __init__(self, stop: Stop) -> None:
        self._stop = stop
        self._reported_at = -math.inf

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        """Log a lack of file descriptors once a minute, other errors as asyncio does."""
        error = context.get("exception")
        if isinstance(error, OSError) and out_of_files(error):
            if loop.time() >= self._reported_at + REPORT_SECONDS:
                self._reported_at = loop.time()
                log.warning("new connections wait: %s (%s)", error.strerror, NO_FILES_LEFT_HINT)
        elif not (self._stop.is_set() and isinstance(error, ValueError) and "file descriptor" in str(error)):
            loop.default_exception_handler(context)


async def _stay_alive() -> None:
    """Notify the service manager's watchdog, if there is one, for as long as the event loop runs."""
    while seconds := service.watchdog_seconds():
        service.alive()
        await asyncio.sleep(seconds)


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to imgctl's own handlers."""
        yield


def _config(state: AppState) -> uvicorn.Config:
    return uvicorn.Config(
        make_app(state),
        # By h11, the one of uvicorn's two parsers that limits the size of a request's head.
        http=TimedConnection,
        log_config=None,
        access_log=False,
        server_header=False,
        # X-Forwarded-For needs a list of trusted proxies, and there is no setting for it.
        proxy_headers=False,
        ws="none",
        lifespan="on",
        timeout_keep_alive=max(LEAST_IDLE_SECONDS, state.settings.timeout),  # type: ignore[arg-type]
        timeout_graceful_shutdown=GRACE_SECONDS,
    )


@contextmanager
def _listening(settings: Settings) -> Iterator[socket.socket]:
    host, port = settings.serve.host, settings.serve.port
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # asyncio sets TCP_NODELAY only if the protocol is named; without it the body waits for the headers' ACK.
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        hint = "another --port, or 0 for any free one"
        raise ConfigError(f"cannot listen on {host}:{port}: {error.strerror or error}", hint=hint) from None
    with listener:
        yield listener


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
