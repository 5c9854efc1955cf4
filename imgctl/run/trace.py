"""What a file or an image went through, as plain data; `run.otel` makes spans of it, in a run that somebody traces.

A trace of an image has the image's id: 128 bits, whose last 62 are random. Its upload and every attempt to render it are
one trace, in whatever process they happen, and who has the id has the trace. Where nobody traces, `clock` is 0 and nothing
is noted.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import NamedTuple, Protocol
from uuid import UUID


class Stage(NamedTuple):
    """One step: its name, and when it began and ended, in nanoseconds of Unix time."""

    name: str
    began: int
    ended: int


class Span(NamedTuple):
    """Something that took time, its steps, and what it was about; `trace` None is a trace of its own.

    `error` says that it failed. `parent` is a W3C traceparent that came with a request.
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
    """What records spans; safe to call from any thread."""

    def record(self, span: Span) -> None:
        """Keep it, or drop it, as sampling says."""


class Scope:
    """What a request or an image is about: its trace in 32 hex digits, and the steps noted so far."""

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
    """Trace from here on, in the trace `run`; None ends it."""
    _tracing.tracer, _tracing.run = tracer, run


def is_on() -> bool:
    """Whether this run is traced."""
    return _tracing.tracer is not None


def clock() -> int:
    """Now, in nanoseconds of Unix time; 0 in a run that is not traced."""
    return time.time_ns() if _tracing.tracer is not None else 0


def note(name: str, began: int) -> None:
    """Note a step of the scope, which ends now and began then by `clock`."""
    if began and (scope := _here.get()) is not None:
        scope.stages.append(Stage(name, began, time.time_ns()))


def record(span: Span) -> None:
    """Hand a span to the tracer, where there is one."""
    if _tracing.tracer is not None:
        _tracing.tracer.record(span)


@contextmanager
def within(trace: str) -> Iterator[Scope]:
    """Log lines of the block belong to this trace, and so do the steps that it notes."""
    scope = Scope(trace)
    token = _here.set(scope)
    try:
        yield scope
    finally:
        _here.reset(token)


def trace_id() -> str:
    """The trace that a log line of here and now belongs to: 32 hex digits; empty without one."""
    scope = _here.get()
    return _tracing.run if scope is None else scope.trace
