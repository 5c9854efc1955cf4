"""A server's own numbers: requests, uploads, what is under way, and the backlog."""

from functools import partial

from imgctl.ops.backlog import backlog_now
from imgctl.run.metrics import OF_THE_CATALOG, OF_THE_SERVER, RECEIVED, REQUEST_SECONDS, REQUESTS, UNDER_WAY
from imgctl.run.prometheus import Prometheus
from imgctl.store.catalog.engine import Catalog


class Metrics:
    """What a server counts, in a registry of its own."""

    def __init__(self, catalog: Catalog) -> None:
        self._sink = Prometheus(OF_THE_SERVER)
        self._sink.watch(OF_THE_CATALOG, partial(backlog_now, catalog))

    def begun(self) -> None:
        """A request is being answered."""
        self._sink.add(UNDER_WAY, 1, ())

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """One request is done; `route` is the pattern, not the path, so that ids make no series of their own."""
        self._sink.add(UNDER_WAY, -1, ())
        self._sink.add(REQUESTS, 1, (method, route, str(status)))
        self._sink.observe(REQUEST_SECONDS, seconds, (method, route))

    def received(self, size: int) -> None:
        """An upload's bytes are safe."""
        self._sink.add(RECEIVED, size, ())

    def text(self) -> bytes:
        """All of it in the text format of Prometheus; asks the catalog for the backlog."""
        return self._sink.text()
