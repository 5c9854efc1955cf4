"""Writing to stdout: what a full disk or a reader that exits means for a command."""

import errno
import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps

import click

from imgctl.errors import StateError
from imgctl.run.closed_stream import silence


class ReaderLeft(Exception):
    """The reader of stdout exited (`| head -1`): the run finishes what it began and prints no more."""


@contextmanager
def to_stdout() -> Iterator[None]:
    """Flush what the block prints; raise ReaderLeft if the reader of stdout exited, StateError if writing fails.

    Without an error nothing more is printed if stdout was a terminal that closed: SIGHUP stops the run unless it is ignored.
    """
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        raise ReaderLeft from None
    except OSError as error:
        is_hung_up = error.errno == errno.EIO and stat.S_ISCHR(os.fstat(sys.stdout.fileno()).st_mode)
        silence(sys.stdout)
        if is_hung_up:
            return
        hint = "free some space there and run the same command again"
        raise StateError(f"stdout cannot be written: {error.strerror or error}", hint=hint) from None


def printing(option: click.Option) -> None:
    """Make an option that prints and exits, as --help, report errors of stdout."""
    callback = option.callback
    assert callback is not None
    option.callback = _guarded(callback)


def _guarded(callback: Callable[..., object]) -> Callable[..., object]:
    @wraps(callback)
    def guarded(context: click.Context, option: click.Parameter, value: object) -> object:
        with to_stdout():
            return callback(context, option, value)

    return guarded
