"""What every command shares: the common options, the settings in force, and how results are printed."""

import functools
import json
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeAlias, TypeVar, cast

import click

from imgctl.cli.main import EXIT_CODES, ReaderLeft
from imgctl.config import Settings, load_settings
from imgctl.config.endpoint import endpoint_of
from imgctl.errors import ExitCode

P = ParamSpec("P")
T = TypeVar("T")
Json: TypeAlias = "str | int | float | bool | list[Json] | Mapping[str, Json] | None"
Command: TypeAlias = Callable[Concatenate["Session", P], ExitCode]

# Flag → the setting it overrides; each has its environment twin by name (`IMGCTL_STORE_URL`).
SETTING_FLAGS = {
    "catalog": "catalog.url",
    "store": "store.url",
    "store_endpoint_url": "store.endpoint_url",
    "log_file": "log.file",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One run of one command: the settings in force, and what its user wants to see."""

    settings: Settings
    json: bool
    verbosity: int
    progress: bool | None

    @property
    def endpoint_url(self) -> str:
        """The S3 endpoint in force, the AWS chain's own variables included; empty for AWS."""
        return endpoint_of(self.settings.store, os.environ)

    def data(self, record: Mapping[str, Json]) -> None:
        """One NDJSON line on stdout, when JSON was asked for."""
        if self.json:
            self._print(json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode(errors="backslashreplace"))

    def text(self, line: str) -> None:
        """One line for people on stdout, unless JSON or silence was asked for."""
        if not self.json and self.verbosity >= 0:
            self._print(printable(line))

    def note(self, line: str) -> None:
        """One line for people on stderr, unless silence was asked for."""
        if self.verbosity >= 0:
            self.error(line)

    def error(self, line: str) -> None:
        """One line on stderr that even `-q` lets through; a stderr that is full or gone stops nothing."""
        from imgctl.run.progress import aside

        with aside(), suppress(OSError):
            click.echo(printable(line), err=True)

    def verbatim(self, text: str) -> None:
        """Text on stdout as it is, whatever else was asked for."""
        self._print(text.removesuffix("\n"))

    def _print(self, line: str | bytes) -> None:
        from imgctl.run.progress import aside

        # A bar is in nobody's way but on the same terminal.
        with aside() if sys.stdout.isatty() else nullcontext():
            try:
                click.echo(line)
            except BrokenPipeError:
                raise ReaderLeft from None


def printable(text: str) -> str:
    """The text as one terminal line: file names may hold newlines, control characters and invalid UTF-8."""
    kept = (char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
    return "".join(kept).encode(errors="backslashreplace").decode()


def subcommand(*, examples: str, flags: Mapping[str, str] | None = None) -> Callable[[Command[P]], click.Command]:
    """Make a function a command: common options added, errors given codes, `--help` ended with `examples`.

    `flags` names further options that override settings: `{"jobs": "work.jobs"}`.
    """
    setting_flags = SETTING_FLAGS | dict(flags or {})

    def decorate(function: Command[P]) -> click.Command:
        @functools.wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> int:
            options = cast("dict[str, object]", kwargs)
            session = _session(options, setting_flags)
            return _guarded(session, lambda: function(session, *args, **kwargs))

        _append_options(run, _common_options())
        listed = "\n".join(f"  {line}" for line in examples.strip().splitlines())
        epilog = f"\b\nExamples:\n{listed}\n\n{EXIT_CODES}"
        settings = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
        return click.command(epilog=epilog, context_settings=settings)(run)

    return decorate


def _append_options(function: Callable[..., int], options: list[Callable[..., object]]) -> None:
    """Add options so that `--help` lists them after the command's own: click keeps them in reverse."""
    own = function.__dict__.pop("__click_params__", [])
    for option in reversed(options):
        option(function)
    function.__dict__["__click_params__"] += own


def _common_options() -> list[Callable[..., object]]:
    return [
        click.option("--catalog", metavar="URL", help="Where the rows are. [catalog] url"),
        click.option("--store", metavar="URL", help="Where the bytes are. [store] url"),
        click.option("--store-endpoint-url", metavar="URL", help="The S3 endpoint, when not AWS. [store] endpoint_url"),
        click.option("--config", "config_file", metavar="FILE", type=Path, help="The configuration file."),
        click.option("--log-file", metavar="FILE", help="Write a rotating log here. [log] file"),
        click.option("--json", "as_json", is_flag=True, help="Print NDJSON: an object an item, a summary last."),
        click.option("--progress/--no-progress", default=None, help="Show progress (default: on a terminal)."),
        click.option("-v", "--verbose", count=True, help="Say more; errors come with their traceback."),
        click.option("-q", "--quiet", is_flag=True, help="Say errors only."),
    ]


def _session(options: dict[str, object], setting_flags: Mapping[str, str]) -> Session:
    taken = {name: options.pop(name) for name in ("config_file", "as_json", "progress", "verbose", "quiet")}
    given = {setting: options.pop(flag) for flag, setting in setting_flags.items()}
    overrides = {setting: cast("str | int | float", value) for setting, value in given.items() if value is not None}
    file = taken["config_file"]
    settings = load_settings(
        file=file if isinstance(file, Path) else None,
        environ=os.environ,
        flags=overrides,
        flag_names={setting: f"--{flag.replace('_', '-')}" for flag, setting in setting_flags.items()},
    )
    verbosity = -1 if taken["quiet"] else int(cast("int", taken["verbose"]))
    progress = cast("bool | None", taken["progress"])
    session = Session(settings=settings, json=bool(taken["as_json"]), verbosity=verbosity, progress=progress)
    from imgctl.run.logs import configure

    configure(settings.log, verbosity=verbosity)
    return session


def _guarded(session: Session, function: Callable[[], ExitCode]) -> int:
    try:
        return int(function())
    except BrokenPipeError as error:
        # Not stdout's, which is ReaderLeft; click would end without a word.
        _trace(session, error)
        raise RuntimeError(f"a pipe between processes broke: {error}") from error
    except (Exception, KeyboardInterrupt) as error:
        _trace(session, error)
        raise


def _trace(session: Session, error: BaseException) -> None:
    """The traceback goes to the log, and with -v to stderr; the line for everyone is printed by `main`."""
    import logging

    if session.verbosity > 0 or session.settings.log.file:
        logging.getLogger("imgctl").error("the command ended", exc_info=error)
