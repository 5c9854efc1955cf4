"""OpenTelemetry: spans of images, requests and runs, and the metrics of commands, sent by OTLP over HTTP.

The SDK itself reads the OTEL_… variables: endpoint, protocol, resource attributes.
"""

import logging
import os
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Lock, Thread
from typing import TypeAlias
from uuid import UUID, uuid4

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.metrics import CallbackOptions, Counter, Histogram, Observation, UpDownCounter
from opentelemetry.metrics import _Gauge as Gauge
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    Link,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from imgctl import __version__
from imgctl.config.service import OtelSettings
from imgctl.run.telemetry import trace
from imgctl.run.telemetry.metrics import BUCKETS, Kind, Metric, Observe
from imgctl.run.telemetry.trace import Span

log = logging.getLogger(__name__)

# How long a command waits at its end until the last spans and metrics are sent.
LONGEST_SECONDS = 3.0
Made: TypeAlias = Counter | Gauge | Histogram
_PROPAGATOR = TraceContextTextMapPropagator()
_RATIOS = {"always_on": 1.0, "always_off": 0.0}
# The trace id and span id for the span that is being started; 0 for a random one.
_wanted: ContextVar[tuple[int, int]] = ContextVar("wanted", default=(0, 0))


class Ids(RandomIdGenerator):
    """Generates random ids, except where `_wanted` holds one."""

    def generate_trace_id(self) -> int:
        return _wanted.get()[0] or super().generate_trace_id()

    def generate_span_id(self) -> int:
        return _wanted.get()[1] or super().generate_span_id()


class Tracing:
    """A tracer that always sends the run's span and failures, and samples images and requests by the share `sample`.

    Sampling depends on the image's id: all processes and machines keep every span of an image, or none. Other traces link
    to the run's trace.
    """

    def __init__(self, *, sample: float) -> None:
        self.run = uuid4()
        self._sample = share(sample)
        self._resource = Resource.create({"service.name": "imgctl", "service.version": __version__, **_named()})
        self._batches = BatchSpanProcessor(OTLPSpanExporter())
        provider = TracerProvider(
            resource=self._resource, sampler=ALWAYS_ON, id_generator=Ids(), shutdown_on_exit=False
        )
        provider.add_span_processor(self._batches)
        self._tracer = provider.get_tracer("imgctl", __version__)
        span = RandomIdGenerator().generate_span_id()
        self._link = Link(SpanContext(self.run.int, span, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED)))

    def record(self, span: Span) -> None:
        """Send `span` and its steps as OpenTelemetry spans, unless sampling drops them."""
        parent = _PROPAGATOR.extract({"traceparent": span.parent}) if span.parent else Context()
        if span.error or span.trace == self.run or self._is_kept(span, parent):
            self._send(span, parent)

    def _is_kept(self, span: Span, parent: Context) -> bool:
        if (caller := get_current_span(parent).get_span_context()).is_valid:
            return caller.trace_flags.sampled
        return is_kept(span.trace or uuid4(), self._sample)

    def _send(self, span: Span, parent: Context) -> None:
        is_run = span.trace == self.run
        token = _wanted.set((span.trace.int if span.trace else 0, self._link.context.span_id if is_run else 0))
        try:
            made = self._tracer.start_span(
                span.name,
                context=parent,
                kind=SpanKind.SERVER if span.server else SpanKind.INTERNAL,
                attributes=span.about,
                links=() if is_run else (self._link,),
                start_time=span.began,
            )
        finally:
            _wanted.reset(token)
        inside = set_span_in_context(made, Context())
        for stage in span.stages:
            self._tracer.start_span(stage.name, context=inside, start_time=stage.began).end(stage.ended)
        if span.error:
            made.set_status(Status(StatusCode.ERROR, span.error))
        made.end(span.ended)

    def metrics(self) -> "OtelMetrics":
        """Return a sink that sends metrics with the same resource attributes as the spans."""
        return OtelMetrics(self._resource)

    def close(self) -> None:
        """Send the remaining spans; those not sent within three seconds are dropped."""
        _soon(self._batches.shutdown, "traces")


class OtelMetrics:
    """A `run.metrics` sink that sends every minute (OTEL_METRIC_EXPORT_INTERVAL) and at the end."""

    def __init__(self, resource: Resource) -> None:
        self._provider = MeterProvider(
            [PeriodicExportingMetricReader(OTLPMetricExporter())], resource=resource, shutdown_on_exit=False
        )
        self._meter = self._provider.get_meter("imgctl", __version__)
        self._lock = Lock()
        self._made: dict[Metric, Made] = {}

    def add(self, metric: Metric, amount: float, labels: Sequence[str]) -> None:
        """Add to a counter or a gauge."""
        made = self._of(metric)
        assert isinstance(made, Counter | UpDownCounter)
        made.add(amount, _attributes(metric, labels))

    def set(self, metric: Metric, value: float, labels: Sequence[str]) -> None:
        """Set a gauge."""
        made = self._of(metric)
        assert isinstance(made, Gauge)
        made.set(value, _attributes(metric, labels))

    def observe(self, metric: Metric, value: float, labels: Sequence[str]) -> None:
        """Count a value of a histogram."""
        made = self._of(metric)
        assert isinstance(made, Histogram)
        made.record(value, _attributes(metric, labels))

    def watch(self, metrics: Sequence[Metric], observe: Observe) -> None:
        """Call `observe` for gauges at each export."""

        def callback_for(metric: Metric) -> Callable[[CallbackOptions], Iterable[Observation]]:
            return lambda _: [Observation(value) for one, value in observe().items() if one == metric]

        for metric in metrics:
            self._meter.create_observable_gauge(metric.name, [callback_for(metric)], description=metric.doc)

    def close(self) -> None:
        """Send the last values; those not sent within three seconds are dropped."""
        _soon(self._provider.shutdown, "metrics")

    def _of(self, metric: Metric) -> "Made":
        with self._lock:
            if metric not in self._made:
                self._made[metric] = self._make(metric)
            return self._made[metric]

    def _make(self, metric: Metric) -> "Made":
        unit = "s" if metric.name.endswith("_seconds") else ""
        match metric.kind:
            case Kind.COUNTER:
                return self._meter.create_counter(metric.name.removesuffix("_total"), unit, metric.doc)
            case Kind.GAUGE:
                return self._meter.create_gauge(metric.name, unit, metric.doc)
            case Kind.HISTOGRAM:
                return self._meter.create_histogram(
                    metric.name, unit, metric.doc, explicit_bucket_boundaries_advisory=BUCKETS
                )


@contextmanager
def tracing(settings: OtelSettings) -> Iterator[Tracing]:
    """Trace the run during the block."""
    made = Tracing(sample=settings.sample)
    trace.start(made, made.run.hex)
    try:
        yield made
    finally:
        trace.start(None)
        made.close()


def is_kept(image: UUID, sample: float) -> bool:
    """Whether this image belongs to the sampled share, by the random end of its id."""
    return (image.int & 0xFFFFFFFF) < sample * 2**32


def share(sample: float) -> float:
    """Return the share of images to keep: from OTEL_TRACES_SAMPLER if it is set, else `sample`."""
    name = os.environ.get("OTEL_TRACES_SAMPLER", "").removeprefix("parentbased_")
    if name == "traceidratio":
        try:
            return float(os.environ.get("OTEL_TRACES_SAMPLER_ARG", "1"))
        except ValueError:
            return sample
    return _RATIOS.get(name, sample)


def _soon(send: Callable[[], object], what: str) -> None:
    """Send in a thread: the SDK retries for over ten seconds, and an unreachable collector must not delay the command."""
    thread = Thread(target=send, name="otel", daemon=True)
    thread.start()
    thread.join(LONGEST_SECONDS)
    if thread.is_alive():
        log.warning("the last %s were not sent in %.0f s", what, LONGEST_SECONDS)


def _named() -> Mapping[str, str]:
    """Return host name and pid unless OTEL_RESOURCE_ATTRIBUTES sets them, and OTEL_SERVICE_NAME as `service.name`."""
    named = {"host.name": socket.gethostname(), "process.pid": str(os.getpid())}
    given = os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    service = os.environ.get("OTEL_SERVICE_NAME")
    return {name: text for name, text in named.items() if f"{name}=" not in given} | (
        {"service.name": service} if service else {}
    )


def _attributes(metric: Metric, labels: Sequence[str]) -> dict[str, str]:
    return dict(zip(metric.labels, labels, strict=True))
