"""Running the server: listening, and a graceful end."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import uvicorn

from imgctl.config.settings import Settings
from imgctl.errors import ConfigError
from imgctl.ops.parts import Parts
from imgctl.run.limits import reuse_large_buffers
from imgctl.run.stop import Stop
from imgctl.web.app import make_app
from imgctl.web.auth import is_loopback
from imgctl.web.state import AppState

# A client waits for each try: better it hears soon that it should come again.
MOST_RETRIES = 2
GRACE_SECONDS = 30
BACKLOG = 1024
# Kept to the catalog: fewer than threads, who then wait a moment for each other.
CONNECTIONS = 16


def serving(settings: Settings) -> Settings:
    """The settings as a server uses them; ConfigError where it would listen to strangers without tokens."""
    serve = settings.serve
    if not serve.tokens and not is_loopback(_bracketed(serve.host)):
        raise ConfigError(
            f"without tokens imgctl serves this machine only, not {serve.host}",
            hint="imgctl serve --make-token NAME, or --host 127.0.0.1",
        )
    return replace(settings, store=replace(settings.store, retries=min(settings.store.retries, MOST_RETRIES)))


def serve(parts: Parts, *, stop: Stop, endpoint_url: str, ready: Callable[[str], None]) -> None:
    """Serve until `stop` is set, then finish what is under way; `ready` hears the address once it listens."""
    reuse_large_buffers()
    state = AppState(parts, endpoint_url=endpoint_url)
    with _listening(parts.settings) as listener:
        server = _Server(_config(state))
        asyncio.run(_run(server, listener, state, stop, ready))


async def _run(
    server: "_Server", listener: socket.socket, state: AppState, stop: Stop, ready: Callable[[str], None]
) -> None:
    loop = asyncio.get_running_loop()

    def end() -> None:
        loop.remove_reader(stop.requested.fileno())
        state.stopping.set()
        server.should_exit = True

    loop.add_reader(stop.requested.fileno(), end)
    host, port = listener.getsockname()[:2]
    ready(f"http://{_bracketed(host)}:{port}")
    await server.serve(sockets=[listener])


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to imgctl's own handlers."""
        yield


def _config(state: AppState) -> uvicorn.Config:
    return uvicorn.Config(
        make_app(state),
        # Of its two parsers the one that bounds a request's head.
        http="h11",
        log_config=None,
        access_log=False,
        server_header=False,
        # Whoever is in front would have to be trusted, and nobody said whom.
        proxy_headers=False,
        ws="none",
        lifespan="on",
        timeout_keep_alive=max(5, int(state.settings.timeout)),
        timeout_graceful_shutdown=GRACE_SECONDS,
    )


@contextmanager
def _listening(settings: Settings) -> Iterator[socket.socket]:
    host, port = settings.serve.host, settings.serve.port
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # With its protocol named: only then asyncio sends each piece at once (TCP_NODELAY), and an answer has two.
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
