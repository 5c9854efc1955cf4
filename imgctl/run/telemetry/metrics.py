"""Every metric of imgctl, by name; the sinks that count them, Prometheus and OpenTelemetry, are loaded if enabled.

The names are stable: docs/reference/metrics.md is generated from this table, and alert rules and dashboard are checked
against it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

# Seconds: from one row of a listing to a large film.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Kind(StrEnum):
    """The type of a metric: a sum that only grows, a value that changes, or a distribution of durations."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric; `name` is its name in Prometheus."""

    name: str
    kind: Kind
    doc: str
    labels: tuple[str, ...] = ()


INFO = Metric("imgctl_build_info", Kind.GAUGE, "1, with imgctl's version.", ("version",))
RUNNING = Metric("imgctl_command_running", Kind.GAUGE, "1 while the command runs, 0 once it has ended.", ("command",))
STARTED = Metric("imgctl_command_start_timestamp_seconds", Kind.GAUGE, "When it began, Unix time.", ("command",))
ENDED = Metric("imgctl_command_end_timestamp_seconds", Kind.GAUGE, "When it ended, Unix time.", ("command",))
SUCCEEDED = Metric(
    "imgctl_command_last_success_timestamp_seconds",
    Kind.GAUGE,
    "When a run last ended with exit code 0, Unix time; a textfile keeps it over later failures.",
    ("command",),
)
EXIT_CODE = Metric("imgctl_command_exit_code", Kind.GAUGE, "The exit code it ended with.", ("command",))
ITEMS = Metric("imgctl_items_total", Kind.COUNTER, "Files, images or rows by how they ended.", ("command", "fate"))
ITEM_BYTES = Metric("imgctl_item_bytes_total", Kind.COUNTER, "Bytes of these files, images or blobs.", ("command",))
ITEM_SECONDS = Metric("imgctl_item_seconds", Kind.HISTOGRAM, "Duration of one item, if known.", ("command",))
FINDINGS = Metric("imgctl_audit_findings", Kind.GAUGE, "Findings of this audit, by code.", ("code",))
BACKLOG = Metric("imgctl_backlog_images", Kind.GAUGE, "Images to render, leased ones too, counted up to 10,000.")
LEASED = Metric("imgctl_backlog_leased_images", Kind.GAUGE, "Images of the backlog that a worker holds.")
CATALOG_UP = Metric("imgctl_catalog_up", Kind.GAUGE, "1 if the catalog is reachable, else 0.")
REQUESTS = Metric("imgctl_http_requests_total", Kind.COUNTER, "Requests served.", ("method", "route", "status"))
REQUEST_SECONDS = Metric("imgctl_http_request_seconds", Kind.HISTOGRAM, "Duration of requests.", ("method", "route"))
UNDER_WAY = Metric("imgctl_http_requests_under_way", Kind.GAUGE, "Requests being served.")
RECEIVED = Metric("imgctl_received_bytes_total", Kind.COUNTER, "Bytes of accepted uploads.")

OF_COMMANDS = (INFO, RUNNING, STARTED, ENDED, SUCCEEDED, EXIT_CODE, ITEMS, ITEM_BYTES, ITEM_SECONDS, FINDINGS)
OF_THE_CATALOG = (BACKLOG, LEASED, CATALOG_UP)
OF_THE_SERVER = (REQUESTS, REQUEST_SECONDS, UNDER_WAY, RECEIVED)
ALL = (*OF_COMMANDS, *OF_THE_CATALOG, *OF_THE_SERVER)

Observe = Callable[[], Mapping[Metric, float]]


class Sink(Protocol):
    """Counts metrics. The methods are safe to call from any thread; labels are in the order of the metric's."""

    def add(self, metric: Metric, amount: float, labels: Sequence[str]) -> None:
        """Add to a counter or a gauge."""

    def set(self, metric: Metric, value: float, labels: Sequence[str]) -> None:
        """Set a gauge."""

    def observe(self, metric: Metric, value: float, labels: Sequence[str]) -> None:
        """Count a value of a histogram."""

    def watch(self, metrics: Sequence[Metric], observe: Observe) -> None:
        """Call `observe` for gauges without labels at each export; a metric that it doesn't return is unknown."""


@dataclass(slots=True)
class Meter:
    """The metrics of one run of a command, sent to every sink; without sinks nothing happens."""

    sinks: tuple[Sink, ...] = ()
    command: str = ""

    def item(self, fate: str, *, size: int = 0, seconds: float = 0.0) -> None:
        """Count one finished file, image or row: its fate, its bytes, and its duration in seconds (0: unknown)."""
        for sink in self.sinks:
            sink.add(ITEMS, 1, (self.command, fate))
            if size:
                sink.add(ITEM_BYTES, size, (self.command,))
            if seconds:
                sink.observe(ITEM_SECONDS, seconds, (self.command,))

    def set(self, metric: Metric, value: float, *labels: str) -> None:
        """Set a gauge."""
        for sink in self.sinks:
            sink.set(metric, value, labels)

    def watch(self, metrics: Sequence[Metric], observe: Observe) -> None:
        """Call `observe` for gauges at each export."""
        for sink in self.sinks:
            sink.watch(metrics, observe)
