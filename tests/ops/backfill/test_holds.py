"""A hold that is placed while a backfill deletes superseded variants waits for that deletion."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread

import pytest

from imgctl.config.catalog_store import StoreSettings
from imgctl.config.settings import VariantSettings, VariantsSettings
from imgctl.model import VariantFormat
from imgctl.ops.backfill.options import Mode, Selection
from imgctl.ops.holds import place, too_late
from imgctl.store.blobs.base import BlobStore
from tests.ops.backfill.archive import CURRENT, Sort, archive_of, fill, settings_for

SECONDS = 60.0


class Releasing(Event):
    """A stop signal that lets a deletion finish as soon as somebody waits."""

    def __init__(self, deletion: Event, backfill: Thread) -> None:
        super().__init__()
        self._deletion = deletion
        self._backfill = backfill

    def wait(self, timeout: float | None = None) -> bool:
        self._deletion.set()
        self._backfill.join(SECONDS)
        return False


def test_a_hold_waits_for_a_deletion_on_its_way(
    catalog_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    webp = VariantsSettings(thumb=VariantSettings(format=VariantFormat.WEBP))
    settings = replace(settings_for(catalog_url, StoreSettings(url=f"file://{tmp_path}/blobs")), variants=webp)
    deleting, may_delete = Event(), Event()
    ended = list[str]()
    with archive_of(settings, [Sort()]) as (parts, [image]):
        delete = type(parts.store).delete

        def deleted(store: BlobStore, keys: Iterable[str]) -> None:
            deleting.set()
            may_delete.wait(SECONDS)
            delete(store, keys)
            ended.append("the deletion")

        monkeypatch.setattr(type(parts.store), "delete", deleted)
        backfill = Thread(target=fill, args=(parts, Selection(mode=Mode.FORCE, recipe=CURRENT)))
        backfill.start()
        try:
            assert deleting.wait(SECONDS)
            stop = Releasing(may_delete, backfill)
            hold = place(parts, image.user_id, reason="case 4711", object_lock=False, stop=stop)
            late = too_late(parts, hold, stop=stop)
            ended.append("the hold")
        finally:
            may_delete.set()
            backfill.join(SECONDS)
        there = parts.store.head(image.thumb_key or "")

    assert ended == ["the deletion", "the hold"]
    assert (late.moving, there) == (0, None)
