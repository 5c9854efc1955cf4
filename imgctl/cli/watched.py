"""What surrounds each command: the monitor that is told of its beginning and its end. It costs nothing where nobody asked."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import click

from imgctl.cli.main import ReaderLeft
from imgctl.config.settings import Settings
from imgctl.errors import ConfigError, ExitCode, ImgctlError


@dataclass(slots=True)
class Told:
    """What a run has said of itself so far."""

    summary: Mapping[str, object] = field(default_factory=dict)
    exit_code: int = ExitCode.DONE


@contextmanager
def watched(settings: Settings, told: Told) -> Iterator[None]:
    """The length of a command, whose end `told` knows."""
    url = settings.notify.ping_url
    if not url:
        yield
        return
    from imgctl.ops.notify.ping import Ping

    try:
        ping = Ping(url, command_name())
    except ValueError:
        raise ConfigError("[notify] ping_url is not a URL", hint="https://hc-ping.com/UUID") from None
    ping.start()
    try:
        yield
    except BaseException as error:
        line = error.line if isinstance(error, ImgctlError) else f"{type(error).__name__}: {error}"
        ping.end(code_of(error), _text(told, f"imgctl: {line}"))
        raise
    ping.end(told.exit_code, _text(told))


def command_name() -> str:
    """The command that runs, as it is typed after `imgctl`: `cost actual`."""
    return click.get_current_context().command_path.partition(" ")[2]


def code_of(error: BaseException) -> int:
    """The exit code that `main` ends with for an error of a command."""
    match error:
        case ImgctlError() | click.exceptions.Exit():
            return int(error.exit_code)
        case KeyboardInterrupt() | click.Abort():
            return ExitCode.INTERRUPTED
        case ReaderLeft() | SystemExit():
            return ExitCode.CUT_OFF
        case click.ClickException():
            return ExitCode.USAGE
        case _:
            return ExitCode.ERROR


def _text(told: Told, line: str = "") -> str:
    import json

    from imgctl.pricing.lines import as_json

    summary = json.dumps(told.summary, ensure_ascii=False, default=as_json) if told.summary else ""
    return "\n".join(filter(None, (line, summary)))
