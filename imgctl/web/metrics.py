"""What Prometheus reads: requests, uploads, what is under way, and the backlog; for workers, how images ended."""

import os
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from imgctl.errors import CatalogError, ConfigError
from imgctl.store.catalog.claims import backlog
from imgctl.store.catalog.engine import Catalog

MULTIPROC_DIR = "PROMETHEUS_MULTIPROC_DIR"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """A server's own numbers, in a registry of their own."""

    def __init__(self, catalog: Catalog) -> None:
        own = CollectorRegistry()
        self._registry = own
        if MULTIPROC_DIR in os.environ:
            # Values are in files there, and what is read is the sum over all processes.
            self._registry = CollectorRegistry()
            MultiProcessCollector(self._registry)  # type: ignore[no-untyped-call]
        self._requests = Counter(
            "imgctl_http_requests", "Requests answered.", ("method", "route", "status"), registry=own
        )
        self._seconds = Histogram(
            "imgctl_http_request_seconds",
            "How long answers took.",
            ("method", "route"),
            buckets=_SECONDS,
            registry=own,
        )
        self._received = Counter("imgctl_received_bytes", "Bytes of accepted uploads.", registry=own)
        self.under_way = Gauge(
            "imgctl_http_requests_under_way", "Requests being answered.", registry=own, multiprocess_mode="livesum"
        )
        self._registry.register(_Backlog(catalog))

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """One request is done; `route` is the pattern, not the path, so that ids make no series of their own."""
        self._requests.labels(method, route, status).inc()
        self._seconds.labels(method, route).observe(seconds)

    def received(self, size: int) -> None:
        """An upload's bytes are safe."""
        self._received.inc(size)

    def text(self) -> bytes:
        """All of it in the text format of Prometheus; asks the catalog for the backlog."""
        return generate_latest(self._registry)


class WorkMetrics:
    """A worker's numbers, served on a port of their own."""

    def __init__(self, catalog: Catalog, *, host: str, port: int) -> None:
        registry = CollectorRegistry()
        self._images = Counter("imgctl_work_images", "Images by how they ended.", ("fate",), registry=registry)
        self._seconds = Histogram("imgctl_work_image_seconds", "How long images took.", registry=registry)
        registry.register(_Backlog(catalog))
        try:
            self._server, self._thread = start_http_server(port, addr=host, registry=registry)
        except OSError as error:
            raise ConfigError(f"cannot serve metrics on {host}:{port}: {error.strerror}", hint="another port") from None
        self.port = self._server.server_port

    def ended(self, fate: str, seconds: float) -> None:
        """An image's attempt has ended."""
        self._images.labels(fate).inc()
        self._seconds.observe(seconds)

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Backlog(Collector):
    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def describe(self) -> Iterator[GaugeMetricFamily]:
        # Else the registry would ask the catalog before anybody asks for numbers.
        yield GaugeMetricFamily("imgctl_backlog_images", "Images that wait for a worker, counted up to 10,000.")
        yield GaugeMetricFamily("imgctl_backlog_leased_images", "Images that a worker holds, among those.")
        yield GaugeMetricFamily("imgctl_catalog_up", "Whether the catalog answers.")

    def collect(self) -> Iterator[GaugeMetricFamily]:
        waiting, leased, up = self.describe()
        try:
            with self._catalog.read() as connection:
                found = backlog(connection)
        except CatalogError:
            up.add_metric((), 0)
        else:
            up.add_metric((), 1)
            waiting.add_metric((), found.processing)
            leased.add_metric((), found.leased)
        yield from (waiting, leased, up)
