"""Looking before asking: how readable the originals are, and what restoring them would cost."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from imgctl.model import Image
from imgctl.ops.restore.ask import is_wanted
from imgctl.ops.restore.look import Judge, Looker, note, rows
from imgctl.ops.restore.order import RestoreOrder, Seen, State, Wanted
from imgctl.ops.restore.price import Needs, Pile
from imgctl.ops.retry import StopSignal
from imgctl.ops.rows import BadId
from imgctl.store.blobs.base import BlobStore
from imgctl.store.catalog.engine import Catalog


@dataclass(slots=True, kw_only=True)
class Survey:
    """What was found: originals by state, what must be paid for, ids that name no row."""

    states: Pile = field(default_factory=Pile)
    needs: Needs = field(default_factory=Needs)
    bad: list[BadId] = field(default_factory=list)
    asked: int = 0
    moved: int = 0

    @property
    def objects(self) -> int:
        """How many originals cost something."""
        return self.asked + self.moved


def survey(wanted: Wanted, order: RestoreOrder, *, catalog: Catalog, cold: BlobStore, stop: StopSignal) -> Survey:
    """Look at the originals wanted, until `limit` of them cost something; changes nothing."""
    found = Survey()
    found.needs.versioned = order.permanent and cold.keeps_versions()
    for one in _look(rows(catalog, wanted, stop=stop, bad=found.bad), order, cold=cold):
        asked, moved = is_wanted(one, order), order.permanent and one.state is State.RESTORED
        if (asked or moved) and found.objects == order.limit:
            break
        found.states.add(one.state, one.blob.size if one.blob else 0)
        found.asked += asked
        found.moved += moved
        if asked or moved:
            found.needs.add(one, order)
    return found


def status(
    wanted: Wanted, order: RestoreOrder, *, catalog: Catalog, cold: BlobStore, stop: StopSignal, bad: list[BadId]
) -> Iterator[Seen]:
    """How readable each original is; the rows learn what the store says of them, unless it is a dry run."""
    pages = rows(catalog, wanted, stop=stop, bad=bad)
    return _look(pages, order, cold=cold, learning=None if order.dry_run else (catalog, stop))


def _look(
    pages: Iterator[list[Image]],
    order: RestoreOrder,
    *,
    cold: BlobStore,
    learning: tuple[Catalog, StopSignal] | None = None,
) -> Iterator[Seen]:
    judge = Judge(order)
    with Looker(cold, order) as looker:
        for page in pages:
            looked: Sequence[Seen] = looker.look(page)
            if learning is not None:
                note(learning[0], looked, stop=learning[1])
            for one in looked:
                judge.hear(one.error)
                yield one
            if judge.over is not None:
                raise judge.over
