"""Transactions on the catalog, in this process or in a child process.

With small photos, building statements holds the interpreter lock for half of the time. In a child process they leave it
to the readers and putters, and SQLAlchemy is imported while these begin. Rows cross the pipe, bytes of photos never do.
"""

from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Concatenate, ParamSpec, Protocol, TypeAlias, TypeVar

from imgctl.errors import CatalogUnavailable, ImgctlError
from imgctl.run.limits import collect_from_here

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from imgctl.store.catalog.engine import Catalog

    Statements: TypeAlias = Callable[Concatenate[Connection, P], R]
    How: TypeAlias = tuple[Callable[[str], Catalog], str]
    Call: TypeAlias = tuple[How, Callable[..., R], tuple[object, ...], dict[str, object]]


class Transactions(Protocol):
    """Runs `statements(connection, *args)`, a module-level function, each time in a transaction of its own.

    CatalogError or a subclass for errors of the database. Safe to share between threads.
    """

    @property
    def place(self) -> str:
        """The catalog's URL without the password."""

    def open(self) -> None:
        """Wait until the catalog is open; raises what opening it raised."""

    def read(self, statements: "Statements[P, R]", /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Return the result of statements in a transaction that is rolled back at the end."""

    def write(self, statements: "Statements[P, R]", /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Return the result of statements in a transaction that commits unless they raise."""

    def keep(self) -> None:
        """Let one more caller close it: it stays open until the last of them has."""

    def close(self) -> None:
        """Close it, or leave that to the caller that keeps it."""


class InProcess:
    """Transactions in this process, on an open catalog, or on the one that a function opens."""

    def __init__(self, catalog: "Catalog | Callable[[], Catalog]") -> None:
        self._catalog = catalog

    @property
    def place(self) -> str:
        return self._opened().place

    def open(self) -> None:
        self._opened()

    def read(self, statements: "Statements[P, R]", /, *args: P.args, **kwargs: P.kwargs) -> R:
        with self._opened().read() as connection:
            return statements(connection, *args, **kwargs)

    def write(self, statements: "Statements[P, R]", /, *args: P.args, **kwargs: P.kwargs) -> R:
        with self._opened().write() as connection:
            return statements(connection, *args, **kwargs)

    def keep(self) -> None:
        # A closed catalog opens a connection again for the next transaction.
        pass

    def close(self) -> None:
        if not callable(self._catalog):
            self._catalog.close()

    def _opened(self) -> "Catalog":
        if callable(self._catalog):
            self._catalog = self._catalog()
        return self._catalog


class OutOfProcess:
    """Transactions in a child process, which begins at once to import what they need.

    If it dies, the transaction in flight ends with CatalogUnavailable, and another process runs the next one.
    """

    def __init__(self, opener: "Callable[[str], Catalog]", url: str) -> None:
        from imgctl.run.pools.task_process import TaskProcess

        self._how = opener, url
        self._callers = 1
        self._process = TaskProcess("imgctl.store.catalog.upgrade")
        self._place = ""

    @property
    def place(self) -> str:
        return self._place

    def open(self) -> None:
        self._place = self._run(_open, self._how)

    def read(self, statements: "Statements[P, R]", /, *args: P.args, **kwargs: P.kwargs) -> R:
        return self._run(_read, (self._how, statements, args, kwargs))

    def write(self, statements: "Statements[P, R]", /, *args: P.args, **kwargs: P.kwargs) -> R:
        return self._run(_write, (self._how, statements, args, kwargs))

    def keep(self) -> None:
        self._callers += 1

    def close(self) -> None:
        self._callers -= 1
        if self._callers:
            return
        # SQLite deletes its WAL when the last connection is closed.
        with suppress(ImgctlError):
            self._run(_close, self._how)
        self._process.close()

    def _run(self, task: Callable[[T], R], argument: T) -> R:
        from imgctl.run.pools.pool import ChildDied

        try:
            return self._process.call(task, argument)
        except ChildDied as error:
            line = f"the catalog's process {error.reason}"
            raise CatalogUnavailable(line, hint="run the same command again") from error


@cache
def _catalog(opener: "Callable[[str], Catalog]", url: str) -> "Catalog":
    catalog = opener(url)
    collect_from_here()
    return catalog


def _open(how: "How") -> str:
    return _catalog(*how).place


def _close(how: "How") -> None:
    _catalog(*how).close()


def _read(call: "Call[R]") -> R:
    how, statements, args, kwargs = call
    with _catalog(*how).read() as connection:
        return statements(connection, *args, **kwargs)


def _write(call: "Call[R]") -> R:
    how, statements, args, kwargs = call
    with _catalog(*how).write() as connection:
        return statements(connection, *args, **kwargs)
