"""When a transaction is worth its commit."""

from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from uuid import UUID

import pytest

from imgctl.imaging.probe import Probe
from imgctl.keys import new_id
from imgctl.ops.ingest.describe import Description
from imgctl.ops.ingest.original import Content, Prepared, new_row
from imgctl.ops.ingest.puts import Putters
from imgctl.ops.ingest.queues import BATCH, FEW_PUTS, SMALL_BATCH, Handover
from imgctl.store.blobs.local import LocalStore

PNG = Probe(format="png", content_type="image/png", extension="png", width=1, height=1)
MANY = 256


class Parked(Putters[str]):
    """Putters that begin no put."""

    def submit(self, puts: object) -> None:
        pass


def prepared(*, held: int = 1) -> Prepared[str]:
    content = Content(sha256=b"s" * 32, size=held, probe=PNG, description=Description(caption=None, taken_at=None))
    row = new_row(new_id(datetime.now(UTC)), UUID(int=1), content, prefix="")
    return Prepared(source="a.png", path="a.png", row=row, body=b"x", held=held, started=0.0)


def handover(root: Path, *, concurrency: int, putting: int, queued: int, held: int = 1) -> Handover[str]:
    """A handover with puts in flight and images that a reader has offered."""
    never = Parked(LocalStore(root), concurrency=concurrency, rate_bytes=0, stop=Event(), ended=lambda *_: None)
    made = Handover(never)
    made.reader_begins()
    made.submit([prepared() for _ in range(putting)])
    for _ in range(queued):
        assert made.offer([prepared(held=held)])
    return made


@pytest.mark.parametrize(
    ("putting", "queued", "due"),
    [
        (0, 1, True),
        (FEW_PUTS - 1, 1, True),
        # Commits of a few rows each would take the interpreter from the readers, who would never catch up.
        (FEW_PUTS, 1, False),
        (MANY // 4, SMALL_BATCH - 1, False),
        (MANY // 4, SMALL_BATCH, True),
        (MANY // 2, SMALL_BATCH, False),
        (MANY, BATCH, True),
        (2 * MANY, BATCH, False),
    ],
)
def test_a_transaction_is_due_for_a_batch_or_if_puts_lack_work(
    tmp_path: Path, putting: int, queued: int, due: bool
) -> None:
    assert handover(tmp_path, concurrency=MANY, putting=putting, queued=queued).is_due() is due


def test_a_few_large_photos_are_a_small_batch(tmp_path: Path) -> None:
    assert handover(tmp_path, concurrency=MANY, putting=MANY // 4, queued=2, held=2 * 2**20).is_due()


def test_with_one_put_at_a_time_a_photo_waits_for_the_put(tmp_path: Path) -> None:
    assert not handover(tmp_path, concurrency=1, putting=1, queued=1).is_due()
    assert handover(tmp_path, concurrency=1, putting=0, queued=1).is_due()
