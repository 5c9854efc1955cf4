"""The rotating log file that all processes share, as plain lines or JSON, without credentials."""

import json
import logging
import re
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path

from imgctl.config.service import LogSettings
from imgctl.errors import ConfigError
from imgctl.run.progress import printable, say
from imgctl.run.telemetry.trace import trace_id

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_NAME = "imgctl"
_PLAIN = "%(asctime)s %(levelname)-7s %(process)d %(name)s: %(message)s"

MASK = "[redacted]"

# Separators between a name and its value: `=`, `: `, `': '`, `": b"`, `%3D`.
_IS = r"""\\?["']?\s*(?:=>?|:|%3D)\s*b?\\?["']?"""
_VALUE = r"""[^\s"'&,;<>)}\]\\]+"""

_NAMES = (
    "aws_?access_?key_?id",
    "secret_?access_?key",
    "session_?token",
    "security_?token",
    "x-amz-(?:security-token|signature|credential)",
    "password",
    "passwd",
    "signature",
)

# Compiled at the first record.
_RULES: tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...] = (
    # Up to the end of the quoted string, else of the line: the header's parts are separated by spaces and commas.
    (
        r"""(?i)(authorization\\?["']?\s*[:=]\s*)(?:b?"[^"\n]*"?|b?'[^'\n]*'?|[^\r\n]*)""",
        rf"\1{MASK}",
    ),
    (rf"(?i)((?:{'|'.join(_NAMES)}){_IS}){_VALUE}", rf"\1{MASK}"),
    # Greedy: a password may itself contain an @ or a slash, and hiding too much is better than showing a character.
    # Without an @ the search continues where the next URL may reach beyond a < or a >, else at the end: a search from
    # each URL would take quadratic time.
    (
        r"""(://[^\s:/@"']*:)(?:[^\s"'<>]*@|[^\s"'<>]*(?=://[^\s:/@"'<>]*[<>])|[^\s"'<>]*)""",
        lambda found: f"{found[1]}{MASK}@" if found[0].endswith("@") else found[0],
    ),
    (r"(?:AKIA|ASIA)[0-9A-Z]{12,}", MASK),
)


class PlainFormatter(logging.Formatter):
    """Formats plain lines: time in UTC, level, process, logger, message, then the traceback and the trace id."""

    def __init__(self, wording: str | None = None, *, traces: bool = True) -> None:
        super().__init__(wording)
        self._traces = traces

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802
        """Return the time in ISO 8601, UTC, with milliseconds."""
        return _time_of(record)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """Return the record without its traceback as one line: a file name may hold a newline or ESC."""
        return printable(super().formatMessage(record).rstrip())

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as text, redacted as a whole: a secret may be split over message and arguments."""
        line = _encodable(redact(super().format(record)))
        return f"{line} trace={trace}" if self._traces and (trace := trace_id()) else line


class JsonFormatter(logging.Formatter):
    """Formats JSON lines: time, level, logger, message, pid, trace_id, exception, and the fields of `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as JSON; every text in it is redacted before it is quoted."""
        line: dict[str, object] = {
            "time": _time_of(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redact(record.getMessage()),
            "pid": record.process,
        }
        if trace := trace_id():
            line["trace_id"] = trace
        if record.exc_info:
            line["exception"] = redact(self.formatException(record.exc_info))
        extra = {name: value for name, value in vars(record).items() if name not in _STANDARD and name not in line}
        whole = line | {name: _plain(name, value) for name, value in extra.items()}
        return _encodable(json.dumps(whole, ensure_ascii=False))


class StderrHandler(logging.Handler):
    """Prints records as lines on stderr without breaking a progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print the record; a closed stderr is ignored."""
        say(self.format(record))


def configure(settings: LogSettings, *, verbosity: int) -> None:
    """Send imgctl's records and the warnings of libraries to the log file, and imgctl's warnings also to stderr.

    With -v all of imgctl's records go to stderr. Call it once in each process, with the same settings; a second call
    replaces the first. Without a file nothing is opened. ConfigError when the file cannot be written.
    """
    logging.raiseExceptions = False  # `_Loss` reports errors, once.
    logging.captureWarnings(capture=True)
    ours, root = logging.getLogger("imgctl"), logging.getLogger()
    for logger in (ours, root):
        for handler in [handler for handler in logger.handlers if handler.get_name() == _NAME]:
            logger.removeHandler(handler)
            # It flushes the records that a full disk left in its buffer.
            with suppress(OSError):
                handler.close()
    # A root without a handler would write the warnings of libraries to stderr.
    settings = replace(settings, file=str(Path(settings.file).expanduser()) if settings.file else "")
    file = _file(settings) if settings.file else logging.NullHandler(logging.CRITICAL)
    own = [_stderr(verbosity)] if verbosity >= 0 else []
    _add(root, [file])
    _add(ours, own)
    root.setLevel(logging.WARNING)
    ours.setLevel(min(handler.level for handler in (file, *own)))


def _time_of(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _add(logger: logging.Logger, handlers: Iterable[logging.Handler]) -> None:
    for handler in handlers:
        # The name lets the next call find this handler and leave those of other libraries.
        handler.set_name(_NAME)
        logger.addHandler(handler)


def _file(settings: LogSettings) -> logging.Handler:
    try:
        with Path(settings.file).open("a"):
            pass
    except OSError as error:
        hint = "set [log] file or --log-file to a file in a directory that exists and can be written"
        raise ConfigError(f"the log file {settings.file} cannot be opened: {error.strerror}", hint=hint) from None
    is_device = _is_device(Path(settings.file))
    handler = logging.FileHandler(settings.file, encoding="utf-8") if is_device else _rotating(settings)
    handler.handleError = _Loss(settings.file)  # type: ignore[method-assign]
    handler.setFormatter(JsonFormatter() if settings.format == "json" else PlainFormatter(_PLAIN))
    handler.setLevel(logging.getLevelNamesMapping()[settings.level.upper()])
    return handler


def _rotating(settings: LogSettings) -> logging.Handler:
    from concurrent_log_handler import ConcurrentRotatingFileHandler

    return ConcurrentRotatingFileHandler(
        settings.file, maxBytes=settings.max_bytes, backupCount=settings.backups, encoding="utf-8"
    )


def _is_device(file: Path) -> bool:
    """Whether a rotation would rename a device, a pipe or a link of the system: /dev/stderr may lead to a file."""
    return not file.is_file() or file.absolute().parts[1] in {"dev", "proc"}


class _Loss:
    """Reports the first record that cannot be written; further reports would fill stderr while the disk is full."""

    def __init__(self, file: str) -> None:
        self._file, self._reported = file, False

    def __call__(self, record: logging.LogRecord) -> None:
        """Report the error that is being handled."""
        if not self._reported:
            self._reported = True
            error = sys.exc_info()[1]
            why = f"{error.strerror}: {error.filename}" if isinstance(error, OSError) and error.filename else error
            say(f"WARNING: the log file {self._file} cannot be written ({why}): records are lost until it can be")


def _stderr(verbosity: int) -> logging.Handler:
    handler = StderrHandler({0: logging.WARNING, 1: logging.INFO}.get(verbosity, logging.DEBUG))
    if verbosity == 0:
        # The command itself reports the error that ends it, in one line.
        handler.addFilter(lambda record: record.levelno < logging.ERROR)
    handler.setFormatter(PlainFormatter("%(levelname)s: %(message)s", traces=False))
    return handler


def _encodable(text: str) -> str:
    """Escape what UTF-8 cannot encode: bytes of file names that are not UTF-8."""
    return text.encode(errors="backslashreplace").decode()


def _plain(name: str, value: object) -> object:
    # JSON has no NaN and no infinity.
    if value is None or isinstance(value, bool | int) or (isinstance(value, float) and isfinite(value)):
        return value
    # Redact the name with its value: the name `password` marks the value as a secret.
    return redact(f"{name}={value}").removeprefix(f"{name}=")


def redact(text: str) -> str:
    """Return the text without AWS keys and tokens, presigned queries, passwords in URLs and Authorization headers."""
    for pattern, replacement in _RULES:
        text = re.sub(pattern, replacement, text)
    return text
