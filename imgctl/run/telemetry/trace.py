"""The steps of a file or an image, as plain data; in a traced run `run.otel` turns them into spans.

An image's trace id is the image's id: 128 bits, whose last 62 are random. Its upload and every attempt to render it are
one trace, in whatever process they happen, and the image id finds it. In a run that is not traced `clock` returns 0 and
no step is recorded.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import NamedTuple, Protocol
from uuid import UUID


class Stage(NamedTuple):
    """One step: its name, begin and end, in nanoseconds of Unix time."""

    name: str
    began: int
    ended: int


class Span(NamedTuple):
    """An operation with its steps and attributes; `trace` None starts a trace of its own.

    `error` is the message of a failure. `parent` is the W3C traceparent header of a request.
    """

    name: str
    began: int
    ended: int
    trace: UUID | None = None
    parent: str = ""
    stages: tuple[Stage, ...] = ()
    about: Mapping[str, str | int | float] = MappingProxyType({})
    error: str = ""
    server: bool = False


class Tracer(Protocol):
    """Records spans; safe to call from any thread."""

    def record(self, span: Span) -> None:
        """Keep or drop the span, by sampling."""


class Scope:
    """The trace id of a request or an image (32 hex digits), and the steps recorded so far."""

    def __init__(self, trace: str) -> None:
        self.trace = trace
        self.stages: list[Stage] = []


class _Tracing:
    tracer: Tracer | None = None
    # The command's own trace, for log lines that belong to no image.
    run: str = ""


_tracing = _Tracing()
_here: ContextVar["Scope | None"] = ContextVar("trace", default=None)


def start(tracer: Tracer | None, run: str = "") -> None:
    """Trace from now on, in the trace `run`; None ends tracing."""
    _tracing.tracer, _tracing.run = tracer, run


def is_on() -> bool:
    """Whether this run is traced."""
    return _tracing.tracer is not None


def clock() -> int:
    """Return the current time in nanoseconds of Unix time; 0 in a run that is not traced."""
    return time.time_ns() if _tracing.tracer is not None else 0


def note(name: str, began: int) -> None:
    """Record a step of the scope that ends now; `began` comes from `clock`."""
    if began and (scope := _here.get()) is not None:
        scope.stages.append(Stage(name, began, time.time_ns()))


def record(span: Span) -> None:
    """Pass a span to the tracer, if there is one."""
    if _tracing.tracer is not None:
        _tracing.tracer.record(span)


@contextmanager
def within(trace: str) -> Iterator[Scope]:
    """Assign the log lines and steps of the block to this trace."""
    scope = Scope(trace)
    token = _here.set(scope)
    try:
        yield scope
    finally:
        _here.reset(token)


def trace_id() -> str:
    """Return the trace id of the current log line: 32 hex digits, or empty without a trace."""
    scope = _here.get()
    return _tracing.run if scope is None else scope.trace
