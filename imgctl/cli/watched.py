"""What surrounds each command: a monitor that is told of it, its metrics, its trace, and its row in `operations`."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import click

from imgctl.cli.main import ReaderLeft
from imgctl.cli.options import Options, typed_name
from imgctl.config.settings import Settings
from imgctl.errors import ConfigError, ExitCode, ImgctlError
from imgctl.ops.operations import MORE, MOST_TYPED, Recording, current

if TYPE_CHECKING:
    from imgctl.run.metrics import Meter


class Told:
    """What a run has said of itself so far, and what counts for it."""

    def __init__(self) -> None:
        self.summary: Mapping[str, object] = {}
        self.exit_code: int = ExitCode.DONE
        self.error = ""
        self.receipt = ""
        self.meter: Meter | None = None


@contextmanager
def watched(settings: Settings, told: Told, operation: Recording | None) -> Iterator[None]:
    """The length of a command, whose end `told` knows. It costs nothing where nobody asked and nothing changes."""
    with ExitStack() as stack:
        try:
            if settings.notify.ping_url:
                stack.enter_context(_pinged(settings.notify.ping_url, told))
            if settings.metrics.port or settings.metrics.textfile or settings.otel.enabled:
                from imgctl.cli.measured import measured

                told.meter = stack.enter_context(measured(settings, command_name(), lambda: told.exit_code))
            if operation is not None:
                stack.enter_context(_recorded(operation, told))
            yield
        except BaseException as error:
            told.exit_code = code_of(error)
            told.error = error.line if isinstance(error, ImgctlError) else f"{type(error).__name__}: {error}"
            raise


def operation_of(asked: Options) -> Recording:
    """What was typed, as it is written down: without what is as by default, and without secrets."""
    given = {typed_name(one): value for one in fields(asked) if (value := getattr(asked, one.name)) != one.default}
    typed = {name: value for name, value in given.items() if value not in ((), None)}
    report, user = typed.get("report"), typed.get("user")
    return Recording(
        command_name(),
        {name: _typed(value) for name, value in typed.items()},
        user_id=user if isinstance(user, UUID) else None,
        report=str(Path(report).resolve()) if isinstance(report, Path) else None,
    )


def _typed(value: object) -> object:
    from imgctl.run.logs import redact

    if isinstance(value, tuple | frozenset):
        shown = [_typed(one) for one in list(value)[:MOST_TYPED]]
        return [*shown, MORE] if len(value) > MOST_TYPED else shown
    return value if isinstance(value, bool | int | float) else redact(str(value))


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


@contextmanager
def _recorded(operation: Recording, told: Told) -> Iterator[None]:
    """It begins once the catalog is open."""
    token = current.set(operation)
    try:
        yield
    finally:
        current.reset(token)
        operation.end(told.exit_code, told.summary, told.error, receipt=told.receipt)
        operation.close()


@contextmanager
def _pinged(url: str, told: Told) -> Iterator[None]:
    from imgctl.ops.notify.ping import Ping

    try:
        ping = Ping(url, command_name())
    except ValueError:
        raise ConfigError("[notify] ping_url is not a URL", hint="https://hc-ping.com/UUID") from None
    ping.start()
    try:
        yield
    finally:
        ping.end(told.exit_code, _text(told))


def _text(told: Told) -> str:
    import json

    from imgctl.pricing.lines import as_json

    line = f"imgctl: {told.error}" if told.error else ""
    summary = json.dumps(told.summary, ensure_ascii=False, default=as_json) if told.summary else ""
    return "\n".join(filter(None, (line, summary)))
