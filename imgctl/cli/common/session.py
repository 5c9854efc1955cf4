"""Code that all commands share: common options, loading of settings, and printing of results."""

import inspect
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast
from uuid import UUID

import click

from imgctl.cli.common.layout import Command
from imgctl.cli.common.options import Options, option_name, parameters, setting_option
from imgctl.cli.common.stdout import to_stdout
from imgctl.cli.common.types import UserText
from imgctl.cli.common.wrapper import Result, operation_of, watched
from imgctl.config.load import load_settings
from imgctl.config.settings import Settings
from imgctl.errors import CatalogUnavailable, ExitCode, Interrupted, SchemaNotCurrent, StoreUnavailable, UsageError
from imgctl.run import service
from imgctl.run.progress import Progress, aside, printable
from imgctl.run.stop import Stop
from imgctl.users import Users

if TYPE_CHECKING:
    from uuid import UUID

    from imgctl.ops.common.rows import BadId
    from imgctl.ops.common.spend import Terms

Chosen = TypeVar("Chosen", bound=Options)
C = TypeVar("C", bound=StrEnum)

COMMON_SETTINGS = {
    "catalog.url": "",
    "store.url": "",
    "store.endpoint_url": "",
    "log.file": "Write a rotating log here.",
    "notify.ping_url": "Ping this monitor at the start and the end.",
    "metrics.port": "Serve /metrics on this loopback port.",
    "metrics.textfile": "Write metrics here, for node_exporter.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One run of one command: its settings, and how much output the user wants."""

    settings: Settings
    json: bool
    verbosity: int
    progress: bool | None
    users: Users
    result: Result = field(default_factory=Result)

    @property
    def endpoint_url(self) -> str:
        """The S3 endpoint in use, also from AWS's own environment variables; empty for AWS."""
        return self.settings.store.endpoint(os.environ)

    @property
    def terms(self) -> "Terms":
        """The billing terms of the store; ConfigError for an invalid price card."""
        from imgctl.ops.common.spend import terms_of

        return terms_of(self.settings, endpoint_url=self.endpoint_url)

    def data(self, record: Mapping[str, object]) -> None:
        """Print a record as an NDJSON line on stdout with --json; ids, paths, times and amounts become strings."""
        if record.get("type") == "summary":
            self.result.summary = record
        elif record.get("type") == "receipt":
            self.result.receipt = str(record["file"])
        if self.json:
            from imgctl.pricing.lines import as_json

            line = json.dumps(record, ensure_ascii=False, separators=(",", ":"), default=as_json)
            self._print(line.encode(errors="backslashreplace"))

    def summary(self, counts: Mapping[C, int] | None = None, sentence: str = "", /, **more: object) -> None:
        """Print the result: `sentence` for people, and the last NDJSON line, with the `counts` by code and `more` fields."""
        if sentence:
            self.text(sentence)
        self.data({"type": "summary", **{code.value: count for code, count in (counts or {}).items()}, **more})

    def text(self, line: str) -> None:
        """Print a line for people on stdout, unless --json or -q is given."""
        if not self.json and self.verbosity >= 0:
            self._print(printable(line))

    def note(self, line: str) -> None:
        """Print a line for people on stderr, unless -q is given."""
        if self.verbosity >= 0:
            self.error(line)

    def error(self, line: str) -> None:
        """Print a line on stderr, also with -q; write errors of stderr are ignored."""
        _on_stderr(line)

    def verbatim(self, text: str) -> None:
        """Print a text on stdout unchanged, whatever the options."""
        self._print(text.removesuffix("\n"))

    def _print(self, line: str | bytes) -> None:
        # The progress bar has to be cleared only when stdout is the same terminal.
        with aside() if sys.stdout.isatty() else nullcontext(), to_stdout():
            click.echo(line)


def _on_stderr(line: str) -> None:
    with aside(), suppress(OSError):
        click.echo(printable(line), err=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A run that signals can stop and that shows its progress."""

    session: Session
    stop: Stop
    progress: Progress

    def item(
        self,
        record: Mapping[str, object],
        *,
        fate: str = "",
        failed: bool = False,
        size: int = 0,
        seconds: float = 0.0,
        line: str = "",
    ) -> None:
        """Report a finished item: advance the bar, print its record and its line; lines of failures also with -q.

        Metrics count it under its `fate` (by default the record's) and add its `seconds`.
        """
        self.progress.advance(size=size, failed=int(failed))
        self.count(fate or str(record.get("fate", "failed" if failed else "done")), size=size, seconds=seconds)
        self.session.data(record)
        if line:
            self.say(line, always=failed)

    def ready(self) -> None:
        """Notify the service manager that the service is ready, and later that it stops."""
        self.stop.requested.wake(service.stopping)
        service.ready()

    def count(self, fate: str, *, size: int = 0, seconds: float = 0.0) -> None:
        """Count an item in the metrics only."""
        if (meter := self.session.result.meter) is not None:
            meter.item(fate, size=size, seconds=seconds)

    def say(self, line: str, *, always: bool = False) -> None:
        """Print a line on stderr above the progress bar; with -q only if `always` is set."""
        if always or self.session.verbosity >= 0:
            self.progress.say(printable(line))

    def say_unwritten(self, plan: Path) -> None:
        """Print that a run that was stopped leaves no plan."""
        self.say(f"stopped before everything was checked: {plan} was not written", always=True)

    def say_bad(self, bad: "Iterable[BadId]") -> None:
        """Print the lines of --ids-from that name no image."""
        for one in bad:
            self.say(f"{one.where}: {one.detail}", always=True)

    def exit_code(self, *, partly: bool) -> ExitCode:
        """Return 130 when the user stopped the run, 3 when items failed or the time ran out, else 0."""
        if self.stop.requested.is_set():
            return ExitCode.INTERRUPTED
        if self.stop.expired:
            self.say("--max-duration is over; run the same command again to continue", always=True)
        return ExitCode.PARTLY if partly or self.stop.expired else ExitCode.DONE

    def service_exit_code(self, *, partly: bool, drain: bool = False) -> ExitCode:
        """Return the code of a run that lasts until it is stopped (or, with `drain`, until the queue is empty)."""
        if self.stop.requested.is_set():
            return stopped_code(self.stop, partly=partly)
        if self.stop.expired and not drain:
            return ExitCode.PARTLY if partly else ExitCode.DONE
        return self.exit_code(partly=partly)


def stopped_code(stop: Stop, *, partly: bool = False) -> ExitCode:
    """Return the code of a service that a signal stopped: only Ctrl-C interrupts it, a service manager ends it."""
    if stop.interrupted:
        return ExitCode.INTERRUPTED
    return ExitCode.PARTLY if partly else ExitCode.DONE


@contextmanager
def running(
    session: Session, *, unit: str, max_seconds: float | None = None, is_service: bool = False
) -> Iterator[Running]:
    """Catch signals and draw progress while a command runs; with -q no progress is drawn.

    Raises Interrupted if a signal ended its wait for the catalog or the store. A service lasts until it is stopped.
    """
    shown = False if session.verbosity < 0 and session.progress is None else session.progress
    with Stop(max_seconds=max_seconds) as stop, Progress(unit=unit, shown=shown) as progress:

        def code() -> ExitCode:
            return stopped_code(stop, partly=progress.failed > 0) if is_service else ExitCode.INTERRUPTED

        with interruptible(stop, code):
            yield Running(session=session, stop=stop, progress=progress)


@contextmanager
def interruptible(stop: Stop, code: Callable[[], ExitCode]) -> Iterator[None]:
    """Raise Interrupted with `code` for a catalog or store that cannot be used yet once a signal has ended the wait."""
    try:
        yield
    except (CatalogUnavailable, SchemaNotCurrent, StoreUnavailable) as error:
        if not stop.requested.is_set():
            raise
        raise Interrupted(f"interrupted while waiting: {error.message}", hint=error.hint, code=code()) from error


def subcommand(
    options: type[Chosen],
    *,
    examples: str,
    main: str = "",
    settings: Mapping[str, str] | None = None,
    changes: Callable[[Chosen], bool] | None = None,
    without: Iterable[str] = (),
) -> Callable[[Callable[[Session, Chosen], ExitCode]], click.Command]:
    """Make a function a command with its options, those of `settings`, and the common ones; map errors to exit codes.

    `main` lists the options that the help shows first, as typed, most used first; by default all of `options`.
    `settings` maps settings that an option overrides to their help; an empty help means the setting's own.
    `changes` returns whether a run with these options may change something or hand out originals: such a run is
    recorded in `operations`. `without` names common settings that the command ignores: it has no options for them.
    """
    common = [setting for setting in COMMON_SETTINGS if setting not in without]
    settings = {**(settings or {}), **{setting: COMMON_SETTINGS[setting] for setting in common}}

    def decorate(function: Callable[[Session, Chosen], ExitCode]) -> click.Command:
        def run(**typed: object) -> int:
            session = _session(typed, settings)
            own = {one.name: typed[one.name] for one in fields(options)}
            own |= {
                one.name: _user(session, one, text) for one in params if isinstance(text := own[one.name], UserText)
            }
            args = options(**own)
            operation = operation_of(args) if changes is not None and changes(args) else None
            with watched(session.settings, session.result, operation):
                session.result.exit_code = _guarded(session, lambda: function(session, args))
            return session.result.exit_code

        params = list(parameters(options))
        overriding = [setting_option(setting, doc) for setting, doc in settings.items()]
        every = _common_options()
        return Command(
            callback=run,
            params=[*params, *overriding, *every],
            text=inspect.cleandoc(function.__doc__ or ""),
            examples=examples,
            main=main.split() or [one.opts[0] for one in params if isinstance(one, click.Option)],
            common=[*map(option_name, common), *(one.opts[-1] for one in every)],
            is_recorded=changes is not None,
        )

    return decorate


def _common_options() -> tuple[click.Option, ...]:
    return (
        click.Option(["--config", "config_file"], metavar="FILE", type=Path, help="The configuration file."),
        click.Option(["--json", "as_json"], is_flag=True, help="Print NDJSON: one object per item, then a summary."),
        click.Option(["--progress/--no-progress"], default=None, help="Show progress (default: on a terminal)."),
        click.Option(["-v", "--verbose"], count=True, help="Print more; errors with their traceback."),
        click.Option(["-q", "--quiet"], is_flag=True, help="Print errors only."),
    )


def _session(typed: Mapping[str, object], settings: Mapping[str, str]) -> Session:
    given = {setting: typed[setting.replace(".", "_")] for setting in settings}
    file, progress = typed["config_file"], cast("bool | None", typed["progress"])
    loaded = load_settings(
        file=file if isinstance(file, Path) else None,
        environ=os.environ,
        flags={setting: str(value) for setting, value in given.items() if value is not None},
        flag_names={setting: option_name(setting) for setting in settings},
    )
    verbosity = -1 if typed["quiet"] else int(cast("int", typed["verbose"]))
    from imgctl.run.logs import configure

    configure(loaded.log, verbosity=verbosity)
    users = Users(loaded.users.namespace, report=_on_stderr if verbosity >= 0 else None)
    return Session(settings=loaded, json=bool(typed["as_json"]), verbosity=verbosity, progress=progress, users=users)


def _user(session: Session, option: click.Parameter, text: str) -> "UUID":
    """Return the user id that an option names; the mapping depends on the settings."""
    try:
        return session.users.id_of(text)
    except UsageError as error:
        option.type.fail(error.line, option, click.get_current_context())


def _guarded(session: Session, function: Callable[[], ExitCode]) -> int:
    try:
        return int(function())
    except BrokenPipeError as error:
        # Not stdout, whose error is ReaderLeft; click would exit silently.
        _trace(session, error)
        raise RuntimeError(f"a pipe between processes broke: {error}") from error
    except (Exception, KeyboardInterrupt) as error:
        _trace(session, error)
        raise


def _trace(session: Session, error: BaseException) -> None:
    """Log the traceback, with -v also to stderr; `main` prints the error's line."""
    import logging

    if session.verbosity > 0 or session.settings.log.file:
        logging.getLogger("imgctl").error("the command failed", exc_info=error)
