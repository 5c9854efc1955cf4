"""What the work queue must leave until somebody restores it."""

from imgctl.ops.retry import StopSignal, retry
from imgctl.store.catalog.claims import awaiting_restore
from imgctl.store.catalog.engine import Catalog
from imgctl.units import count_of


def waiting(catalog: Catalog, *, stop: StopSignal) -> int:
    """How many of the oldest 10,000 processing images wait for their originals to be restored."""

    def attempt() -> int:
        with catalog.read() as connection:
            return awaiting_restore(connection)

    return retry(attempt, stop=stop)


def waiting_words(count: int) -> str:
    """A sentence that says so, and the way out."""
    what = count_of(count, "image waits for its original", "images wait for their originals")
    return f"{what} to be restored (imgctl restore --status shows them, imgctl restore ID brings one back)"
