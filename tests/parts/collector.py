"""An OTLP collector: receives traces and metrics as protobuf over HTTP, and records them."""

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue

from tests.parts.loopback import Handler, serving


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A received span; ids in hex, times in nanoseconds of Unix time."""

    name: str
    trace: str
    id: str
    parent: str
    links: tuple[str, ...]
    began: int
    ended: int
    about: dict[str, str]
    error: str
    resource: dict[str, str]


@dataclass(slots=True)
class Collector:
    """The received data, and the collector's URL."""

    url: str = ""
    spans: list[Seen] = field(default_factory=list)
    metrics: dict[str, float] = field(default_factory=dict)
    trace_bytes: int = 0

    def named(self, name: str) -> list[Seen]:
        """The spans of a name."""
        return [one for one in self.spans if one.name == name]

    def below(self, span: Seen) -> dict[str, Seen]:
        """The steps of a span, by name."""
        return {one.name: one for one in self.spans if one.parent == span.id and one.trace == span.trace}


def _texts(attributes: "list[KeyValue]") -> dict[str, str]:
    return {one.key: str(getattr(one.value, one.value.WhichOneof("value") or "string_value")) for one in attributes}


def _take_traces(collector: Collector, body: bytes) -> None:
    collector.trace_bytes += len(body)
    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        for scope in resource.scope_spans:
            collector.spans += (
                Seen(
                    name=one.name,
                    trace=one.trace_id.hex(),
                    id=one.span_id.hex(),
                    parent=one.parent_span_id.hex(),
                    links=tuple(link.trace_id.hex() for link in one.links),
                    began=one.start_time_unix_nano,
                    ended=one.end_time_unix_nano,
                    about=_texts(list(one.attributes)),
                    error=one.status.message if one.status.code == 2 else "",
                    resource=_texts(list(resource.resource.attributes)),
                )
                for one in scope.spans
            )


def _take_metrics(collector: Collector, body: bytes) -> None:
    for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                data = getattr(metric, metric.WhichOneof("data") or "gauge")
                for point in data.data_points:
                    labels = ",".join(f"{name}={text}" for name, text in sorted(_texts(list(point.attributes)).items()))
                    value = point.count if metric.WhichOneof("data") == "histogram" else point.as_double or point.as_int
                    collector.metrics[f"{metric.name}{{{labels}}}"] = value


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector on loopback."""
    collector = Collector()
    take = {"/v1/traces": _take_traces, "/v1/metrics": _take_metrics}

    class Receiver(Handler):
        def do_POST(self) -> None:
            body = self.body()
            take[self.path](collector, gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body)
            self.respond(200, headers={"Content-Type": "application/x-protobuf"})

    with serving(Receiver) as collector.url:
        yield collector
