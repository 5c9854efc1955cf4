"""Wraps each command: pings of a monitor, metrics, a trace, and its row in `operations`."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import click

from imgctl.cli.common.options import Options, typed_name
from imgctl.cli.common.stdout import ReaderLeft
from imgctl.config.settings import Settings
from imgctl.errors import ConfigError, ExitCode, ImgctlError
from imgctl.ops.common.operation_record import MORE, MOST_TYPED, Recording, current

if TYPE_CHECKING:
    from imgctl.run.telemetry.metrics import Meter


class Result:
    """The result of a run so far: its summary, exit code, error and receipt, and the meter that counts its items."""

    def __init__(self) -> None:
        self.summary: Mapping[str, object] = {}
        self.exit_code: int = ExitCode.DONE
        self.error = ""
        self.receipt = ""
        self.meter: Meter | None = None


@contextmanager
def watched(settings: Settings, result: Result, operation: Recording | None) -> Iterator[None]:
    """Wrap a running command, whose end `result` holds. Costs nothing unless configured or the command changes something."""
    with ExitStack() as stack:
        try:
            if settings.notify.ping_url:
                stack.enter_context(_pinged(settings.notify.ping_url, result))
            if settings.metrics.port or settings.metrics.textfile or settings.otel.enabled:
                from imgctl.cli.common.telemetry import measured

                result.meter = stack.enter_context(measured(settings, command_name(), lambda: result.exit_code))
            if operation is not None:
                stack.enter_context(_recorded(operation, result))
            yield
        except BaseException as error:
            result.exit_code = code_of(error)
            result.error = error.line if isinstance(error, ImgctlError) else f"{type(error).__name__}: {error}"
            raise


def operation_of(args: Options) -> Recording:
    """Return the record of a command with its options, without defaults and secrets."""
    given = {typed_name(one): value for one in fields(args) if (value := getattr(args, one.name)) != one.default}
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
    """Return the running command, as typed after `imgctl`: `cost actual`."""
    return click.get_current_context().command_path.partition(" ")[2]


def code_of(error: BaseException) -> int:
    """Return the exit code that `main` uses for a command's error."""
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
def _recorded(operation: Recording, result: Result) -> Iterator[None]:
    """Record the command in `operations`; its row is written once the catalog is open."""
    token = current.set(operation)
    try:
        yield
    finally:
        current.reset(token)
        operation.end(result.exit_code, result.summary, result.error, receipt=result.receipt)
        operation.close()


@contextmanager
def _pinged(url: str, result: Result) -> Iterator[None]:
    from imgctl.ops.notify.ping import Ping

    try:
        ping = Ping(url, command_name())
    except ValueError:
        raise ConfigError("[notify] ping_url is not a URL", hint="https://hc-ping.com/UUID") from None
    ping.start()
    try:
        yield
    finally:
        ping.end(result.exit_code, _text(result))


def _text(result: Result) -> str:
    import json

    from imgctl.pricing.lines import as_json

    line = f"imgctl: {result.error}" if result.error else ""
    summary = json.dumps(result.summary, ensure_ascii=False, default=as_json) if result.summary else ""
    return "\n".join(filter(None, (line, summary)))
