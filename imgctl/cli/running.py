"""What a long command has around it: signals that stop it, progress on stderr, and the exit code at the end."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from imgctl.cli.base import Session, printable
from imgctl.errors import ExitCode
from imgctl.run.progress import Progress
from imgctl.run.stop import Stop


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A run that can be stopped and watched."""

    stop: Stop
    progress: Progress
    quiet: bool

    def step(self, *, failed: bool, size: int = 0) -> None:
        """One item is done."""
        self.progress.advance(size=size, failed=int(failed))

    def say(self, line: str, *, always: bool = False) -> None:
        """A line on stderr that leaves the bar whole; with `-q` only what must `always` be said."""
        if always or not self.quiet:
            self.progress.say(printable(line))

    def exit_code(self, *, partly: bool) -> ExitCode:
        """130 when somebody stopped the run, 3 when items failed or time ran out, else 0."""
        if self.stop.requested.is_set():
            return ExitCode.INTERRUPTED
        if self.stop.expired:
            self.say("the time is up; the same command goes on from here", always=True)
        return ExitCode.PARTLY if partly or self.stop.expired else ExitCode.DONE


@contextmanager
def running(session: Session, *, unit: str, max_seconds: float | None = None) -> Iterator[Running]:
    """Catch signals and draw progress for the length of a command; quiet commands draw none."""
    shown = False if session.verbosity < 0 and session.progress is None else session.progress
    with Stop(max_seconds=max_seconds) as stop, Progress(unit=unit, shown=shown) as progress:
        yield Running(stop=stop, progress=progress, quiet=session.verbosity < 0)
