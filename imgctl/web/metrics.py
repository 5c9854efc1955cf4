"""Metrics of a server: requests, uploads, requests under way, and the backlog."""

from functools import partial

from imgctl.ops.backlog import backlog_now
from imgctl.run.telemetry.metrics import OF_THE_CATALOG, OF_THE_SERVER, RECEIVED, REQUEST_SECONDS, REQUESTS, UNDER_WAY
from imgctl.run.telemetry.prometheus import Prometheus
from imgctl.store.catalog.engine import Catalog


class Metrics:
    """The metrics of one server, in a separate registry."""

    def __init__(self, catalog: Catalog) -> None:
        self._sink = Prometheus(OF_THE_SERVER)
        self._sink.watch(OF_THE_CATALOG, partial(backlog_now, catalog))

    def begun(self) -> None:
        """Count a request that begins."""
        self._sink.add(UNDER_WAY, 1, ())

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a finished request; `route` is the pattern, not the path, so that ids create no series."""
        self._sink.add(UNDER_WAY, -1, ())
        self._sink.add(REQUESTS, 1, (method, route, str(status)))
        self._sink.observe(REQUEST_SECONDS, seconds, (method, route))

    def received(self, size: int) -> None:
        """Count an upload whose bytes are safe."""
        self._sink.add(RECEIVED, size, ())

    def text(self) -> bytes:
        """Return all metrics in the text format of Prometheus; reads the backlog from the catalog."""
        return self._sink.text()
