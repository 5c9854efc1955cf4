"""Metrics in Prometheus' text format: on a port, in a file for node_exporter, or as a response of the server."""

import fcntl
import logging
import os
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    start_http_server,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from imgctl.errors import ConfigError
from imgctl.run.scratch import atomic_write
from imgctl.run.telemetry.metrics import BUCKETS, ENDED, EXIT_CODE, SUCCEEDED, Kind, Metric, Observe

log = logging.getLogger(__name__)

CONTENT_TYPE = CONTENT_TYPE_LATEST
MULTIPROC_DIR = "PROMETHEUS_MULTIPROC_DIR"
# The interval at which a running command rewrites its textfile.
WRITE_SECONDS = 15.0


class Prometheus:
    """A sink with its own registry; `declared` metrics are exported before their first value."""

    def __init__(self, declared: Sequence[Metric] = ()) -> None:
        self._own = self._read = CollectorRegistry()
        if MULTIPROC_DIR in os.environ:
            # Values are stored in files, and reads return the sum over all processes.
            self._read = CollectorRegistry()
            MultiProcessCollector(self._read)  # type: ignore[no-untyped-call]
        self._lock = threading.Lock()
        self._made: dict[Metric, Counter | Gauge | Histogram] = {}
        for metric in declared:
            self._of(metric)

    def add(self, metric: Metric, amount: float, labels: Sequence[str]) -> None:
        """Add to a counter or a gauge."""
        child = self._child(metric, labels)
        assert isinstance(child, Counter | Gauge)
        child.inc(amount)

    def set(self, metric: Metric, value: float, labels: Sequence[str]) -> None:
        """Set a gauge."""
        child = self._child(metric, labels)
        assert isinstance(child, Gauge)
        child.set(value)

    def observe(self, metric: Metric, value: float, labels: Sequence[str]) -> None:
        """Count a value of a histogram."""
        child = self._child(metric, labels)
        assert isinstance(child, Histogram)
        child.observe(value)

    def watch(self, metrics: Sequence[Metric], observe: Observe) -> None:
        """Call `observe` for gauges at each scrape."""
        self._read.register(_Observed(metrics, observe))

    def text(self) -> bytes:
        """Return all metrics in the text format."""
        return generate_latest(self._read)

    def _child(self, metric: Metric, labels: Sequence[str]) -> Counter | Gauge | Histogram:
        made = self._of(metric)
        return made.labels(*labels) if labels else made

    def _of(self, metric: Metric) -> Counter | Gauge | Histogram:
        with self._lock:
            if metric not in self._made:
                self._made[metric] = self._make(metric)
            return self._made[metric]

    def _make(self, metric: Metric) -> Counter | Gauge | Histogram:
        name, doc, labels, registry = metric.name, metric.doc, metric.labels, self._own
        match metric.kind:
            case Kind.COUNTER:
                return Counter(name, doc, labels, registry=registry)
            case Kind.GAUGE:
                return Gauge(name, doc, labels, registry=registry, multiprocess_mode="livesum")
            case Kind.HISTOGRAM:
                return Histogram(name, doc, labels, buckets=BUCKETS, registry=registry)


class _Observed(Collector):
    def __init__(self, metrics: Sequence[Metric], observe: Observe) -> None:
        self._metrics, self._observe = metrics, observe

    def describe(self) -> Iterator[GaugeMetricFamily]:
        # Without it the registry would call `collect` at registration.
        yield from (GaugeMetricFamily(one.name, one.doc) for one in self._metrics)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        found = self._observe()
        for metric, family in zip(self._metrics, self.describe(), strict=True):
            if metric in found:
                family.add_metric((), found[metric])
            yield family


class Port:
    """Serves a sink's metrics at /metrics until closed; ConfigError if the port cannot be opened."""

    def __init__(self, sink: Prometheus, *, host: str, port: int) -> None:
        try:
            self._server, self._thread = start_http_server(port, addr=host, registry=sink._read)  # noqa: SLF001
        except OSError as error:
            hint = "set [metrics] host to an address of this machine, and --metrics-port to a free port"
            raise ConfigError(f"cannot serve metrics on {host}:{port}: {error.strerror}", hint=hint) from None
        self.port = self._server.server_port

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class TextFile:
    """Writes a sink's metrics into a file for node_exporter, atomically: at once, every 15 seconds, and at the end.

    The last run's end time and exit code are kept from the existing file until this run ends. ConfigError if the file
    cannot be written. A warning if another running process writes it, too: each overwrites the other's metrics.
    """

    def __init__(self, sink: Prometheus, file: Path, *, command: str) -> None:
        self._sink, self._file, self._reported = sink, file, False
        # The file as last written here, locked until it is replaced.
        self._own: int | None = None
        self._shared = False
        for metric, before in _last_run(file, command):
            sink.set(metric, before, (command,))
        try:
            self._write()
        except OSError as error:
            hint = "--metrics-textfile FILE in a directory that exists and can be written"
            raise ConfigError(f"{file} cannot be written: {error.strerror or error}", hint=hint) from None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Write the file a last time."""
        self._ended.set()
        self._thread.join()
        self._try_to_write()
        self._let_go()

    def _run(self) -> None:
        while not self._ended.wait(WRITE_SECONDS):
            self._try_to_write()

    def _try_to_write(self) -> None:
        try:
            self._write()
        except OSError as error:
            if not self._reported:
                log.warning("the metrics file %s cannot be written: %s", self._file, error.strerror or error)
            self._reported = True
        else:
            self._reported = False

    def _write(self) -> None:
        if not self._shared and self._is_of_another():
            self._shared = True
            log.warning(
                "the metrics file %s is written by another running command, too: use a file for each: "
                "--metrics-textfile, or {command} in [metrics] textfile",
                self._file,
            )
        with atomic_write(self._file) as new:
            new.write_bytes(self._sink.text())
            if new.is_file():
                # node_exporter reads it as another user. A device or a pipe keeps its mode.
                new.chmod(0o644)
        self._hold()

    def _is_of_another(self) -> bool:
        """Whether another process replaced the file since the last write, or before the first one, still locks it."""
        with suppress(OSError), self._opened() as there:
            if self._own is not None:
                return not os.path.samestat(os.fstat(self._own), os.fstat(there))
            try:
                # Some file systems have no locks.
                fcntl.flock(there, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def _hold(self) -> None:
        self._let_go()
        with suppress(OSError), self._opened() as there:
            fcntl.flock(there, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._own = os.dup(there)

    def _let_go(self) -> None:
        if self._own is not None:
            os.close(self._own)
            self._own = None

    @contextmanager
    def _opened(self) -> Iterator[int]:
        """Open the file; FileNotFoundError if it is missing, a device or a pipe."""
        if not self._file.is_file():
            raise FileNotFoundError(self._file)
        with self._file.open("rb") as there:
            yield there.fileno()


def _last_run(file: Path, command: str) -> Iterator[tuple[Metric, float]]:
    if not file.is_file():
        # A device such as /dev/full never ends.
        return
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return
    for metric in (ENDED, SUCCEEDED, EXIT_CODE):
        pattern = rf'^{metric.name}{{command="{re.escape(command)}"}} ([\d.e+]+)$'
        if found := re.search(pattern, text, re.MULTILINE):
            yield metric, float(found[1])


def process_died(pid: int) -> None:
    """Drop the gauges of a dead process from the shared values."""
    mark_process_dead(pid)  # type: ignore[no-untyped-call]
