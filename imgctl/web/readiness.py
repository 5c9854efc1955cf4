"""Whether the catalog and the store answer, told in time even when they don't."""

from concurrent.futures import Future, ThreadPoolExecutor, wait  # noqa: TID251  nothing waits for these
from threading import Lock

from imgctl.errors import ImgctlError
from imgctl.keys import PROBES
from imgctl.ops.parts import Parts

# A key that no image has; a HEAD is the cheapest request there is.
_PROBE_KEY = f"{PROBES}ready"
PATIENCE_SECONDS = 3.0


class Readiness:
    """Asks both parts; at most one question to each is open, however often somebody wants to know."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="ready")
        self._open: dict[str, Future[None]] = {}
        self._lock = Lock()

    def wrong(self) -> dict[str, str]:
        """What does not answer, and why, in words fit for strangers; empty when all is well."""
        with self._lock:
            asked = {"catalog": self._ask("catalog"), "store": self._ask("store")}
        wait(asked.values(), timeout=PATIENCE_SECONDS)
        return {name: text for name, future in asked.items() if (text := self._judge(future))}

    def close(self) -> None:
        """Ask no more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _ask(self, name: str) -> "Future[None]":
        known = self._open.get(name)
        if known is None or known.done():
            known = self._threads.submit(self._catalog if name == "catalog" else self._store)
            self._open[name] = known
        return known

    def _judge(self, future: "Future[None]") -> str:
        if not future.done():
            return f"no answer within {PATIENCE_SECONDS:.0f} s"
        error = future.exception()
        if error is None:
            return ""
        # Its class and no more: the text names hosts, which are nobody's business here; the log has it.
        return type(error).__name__ if isinstance(error, ImgctlError) else "broken"

    def _catalog(self) -> None:
        with self._parts.catalog.read() as connection:
            connection.exec_driver_sql("SELECT 1")

    def _store(self) -> None:
        self._parts.store.head(_PROBE_KEY)
