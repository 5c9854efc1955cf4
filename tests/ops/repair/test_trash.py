"""Orphans, if few and old, move to the trash, and undelete restores them all."""

from datetime import UTC, datetime

import pytest

from imgctl.errors import ImgctlError
from imgctl.keys import TRASH
from imgctl.ops.repair.options import Do, Fate, RepairOrder
from imgctl.ops.repair.start import check_losses, check_share
from imgctl.ops.repair.trash import carry, key_before, trash_key, undelete
from imgctl.run.stop import Stop
from imgctl.store.catalog.queries.lookups import Scope
from tests.ops.repair.conftest import JPEG, Archive
from tests.whole.conftest import photo


def bring_back(archive: Archive, day: str | None = None) -> list[Fate]:
    with Stop() as stop:
        return [one.fate for one in undelete(archive.parts, day, apply=True, stop=stop)]


def test_orphans_move_to_the_trash_and_undelete_restores_them(either: Archive) -> None:
    either.ready(0)
    keys = {either.orphan(number) for number in range(1, 6)}
    before = either.blobs()

    outcomes = either.repair(delete_orphans=True)
    trashed = either.blobs()
    audited = either.audit()
    back = bring_back(either, datetime.now(UTC).date().isoformat())

    assert {one.fate for one in outcomes} == {Fate.MENDED}
    assert {key_before(key) for key in trashed if key.startswith(TRASH)} == keys
    assert {key for key in trashed if not key.startswith(TRASH)} == set(before) - keys
    assert audited == []
    assert back == [Fate.MENDED] * 5
    assert either.blobs() == before


def test_orphans_are_kept_by_default(archive: Archive) -> None:
    archive.orphan(0)
    before = archive.blobs()

    [outcome] = archive.repair()

    assert outcome.decision.do is Do.LEAVE
    assert archive.blobs() == before


def test_young_orphans_are_kept(archive: Archive) -> None:
    archive.orphan(0)
    before = archive.blobs()

    [outcome] = archive.repair(delete_orphans=True, orphan_age_seconds=3600.0)

    assert "young" in outcome.detail
    assert archive.blobs() == before


def test_keys_of_another_shape_or_prefix_are_kept(archive: Archive) -> None:
    key = archive.orphan(0)
    archive.parts.store.copy(key, f"other/{key}", etag=_etag(archive, key), content_type=JPEG)
    archive.parts.store.create("notes.txt", b"hello", content_type="text/plain")

    archive.repair(delete_orphans=True)

    left = {one for one in archive.blobs() if not one.startswith(TRASH)}
    assert left == {f"other/{key}", "notes.txt"}


def test_a_blob_that_got_a_row_since_the_audit_is_kept(archive: Archive) -> None:
    image = archive.ready(0)
    archive.write(image, thumb_key=None)
    key = image.thumb_key or ""
    findings = [one for one in archive.audit() if one.key == key]
    forged = [type(one)(code=type(one.code).ORPHAN_BLOB, detail="", key=key) for one in findings]

    outcomes = archive.repair(forged, delete_orphans=True)

    assert {one.decision.do for one in outcomes} == {Do.LEAVE}
    assert key in archive.blobs()


@pytest.mark.parametrize(
    ("order", "words"),
    [
        (RepairOrder(max_delete=4, max_delete_percent=100), "--max-delete 4"),
        (RepairOrder(max_delete_percent=50), "55.6% of 9 keys"),
    ],
)
def test_too_many_orphans_are_refused_as_a_whole(archive: Archive, order: RepairOrder, words: str) -> None:
    archive.ready(0)
    for number in range(1, 6):
        archive.orphan(number)

    with pytest.raises(ImgctlError) as caught:
        check_share(archive.audit(), order, archive.parts, scope=Scope())

    assert words in caught.value.message
    assert "nothing was touched" in caught.value.message


def test_promises_whose_bytes_never_arrived_count_as_losses(archive: Archive) -> None:
    for number in range(3):
        archive.promised(number, put=False)

    with pytest.raises(ImgctlError) as caught:
        check_losses(archive.audit(), RepairOrder(max_lost=2))

    assert "3 originals are gone or never arrived, more than --max-lost 2" in caught.value.message


def test_a_share_of_orphans_within_the_limit_is_accepted(archive: Archive) -> None:
    archive.ready(0)
    archive.orphan(1)

    order = RepairOrder(max_delete_percent=20)

    assert check_share(archive.audit(), order, archive.parts, scope=Scope()) == 1


def test_a_copy_left_by_a_killed_run_is_reused(either: Archive) -> None:
    key = either.orphan(0)
    target = trash_key(key, datetime.now(UTC).date())
    either.parts.store.copy(key, target, etag=_etag(either, key), content_type=JPEG)

    either.repair(delete_orphans=True, max_delete_percent=100)

    assert either.blobs() == {target: photo(0)}


def test_other_content_under_the_key_is_not_overwritten(either: Archive) -> None:
    key = either.orphan(0)
    either.repair(delete_orphans=True)
    either.parts.store.create(key, photo(1), content_type=JPEG)

    back = bring_back(either)

    assert back == [Fate.FAILED]
    assert sorted(either.blobs().values()) == sorted([photo(0), photo(1)])


def test_a_blob_with_a_row_is_not_moved(archive: Archive) -> None:
    key = archive.orphan(0)
    blob = archive.parts.store.head(key)
    assert blob is not None

    moved = carry(archive.parts.store, blob, "trash/2026-01-01/x", certain=lambda: False)

    assert not moved
    assert archive.blobs() == {key: photo(0)}


def _etag(archive: Archive, key: str) -> str:
    blob = archive.parts.store.head(key)
    assert blob is not None
    return blob.etag or ""
