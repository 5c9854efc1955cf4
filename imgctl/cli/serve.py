"""`imgctl serve`: the HTTP API."""

from dataclasses import dataclass
from functools import partial
from uuid import UUID

import click

from imgctl.cli.common.options import Options, option
from imgctl.cli.common.session import Session, interruptible, stopped_code, subcommand
from imgctl.errors import ConfigError, ExitCode

SCOPES = {one: tuple(one.split("+")) for one in ("read", "write", "read+write", "erase", "read+write+erase", "events")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Args(Options):
    make_token: str | None = option(
        None, "Print a new token and its line for [serve] tokens, and exit.", metavar="NAME"
    )
    scope: str = option("read+write", "What the new token may do.", kind=click.Choice(list(SCOPES)))
    user: UUID | None = option(None, "Limit the new token to this user's images.")


@subcommand(
    Args,
    changes=lambda args: args.make_token is None,
    examples="""
imgctl serve
imgctl serve --port 9000 --log-file /var/log/imgctl.log
imgctl serve --make-token phone --user 0190b2b4-0000-7000-8000-000000000001
""",
    settings={"serve.host": "", "serve.port": "", "serve.processes": ""},
)
def command(session: Session, args: Args) -> ExitCode:
    """Serve applications and browsers: POST and GET /images, galleries at /users/UUID, metrics, docs at /docs.

    An image is safe once its POST has returned; `imgctl work` builds its variants, here or on another machine. Without
    tokens only requests from this machine are served. A first SIGTERM or SIGINT finishes the open requests, a second
    ends the server at once.
    """
    try:
        from imgctl.web.auth import Scope, new_token
        from imgctl.web.run import CONNECTIONS, serve, serving
    except ImportError as error:
        raise ConfigError(f"{error.name} is not installed", hint="pip install 'imgctl[serve]'") from error
    if args.make_token is not None:
        token, line = new_token(_checked(args.make_token), scopes=map(Scope, SCOPES[args.scope]), user_id=args.user)
        session.text(f"token:   {token}")
        session.text(f'setting: [serve] tokens = ["{line}"]')
        session.data({"type": "token", "token": token, "setting": line})
        session.data({"type": "summary", "tokens": 1})
        return ExitCode.DONE
    from imgctl.ops.backlog import backlog_now
    from imgctl.ops.common.open import open_parts
    from imgctl.ops.support.links import link_warning
    from imgctl.run import service
    from imgctl.run.stop import Stop
    from imgctl.run.telemetry.metrics import OF_THE_CATALOG

    def ready(url: str) -> None:
        session.text(f"serving {url} (docs at {url}/docs)")
        session.data({"type": "listening", "url": url})
        service.ready()
        if not settings.serve.tokens:
            session.note("no tokens are set: only requests from this machine are served, with every right but erase")
        if warning := link_warning(settings, settings.serve.links):
            session.note(f"warning: links are valid for {settings.serve.links:.0f} s: {warning}")

    settings = serving(session.settings)
    with (
        Stop() as stop,
        interruptible(stop, lambda: stopped_code(stop)),
        open_parts(settings, connections=CONNECTIONS, stop=stop) as parts,
    ):
        if (meter := session.result.meter) is not None:
            meter.watch(OF_THE_CATALOG, partial(backlog_now, parts.catalog))
        stop.requested.wake(service.stopping)
        serve(parts, stop=stop, endpoint_url=session.endpoint_url, ready=ready)
    session.data({"type": "summary", "stopped": True})
    return stopped_code(stop)


def _checked(name: str) -> str:
    if not name or any(char.isspace() or char in ":," for char in name):
        raise ConfigError(f"invalid token name: {name!r}", hint="write a word without colons, commas or blanks")
    return name
