"""An erasure ends although the database ends every session whose transaction takes long."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from threading import Event

import pytest
from sqlalchemy import text

from imgctl.config.catalog_store import StoreSettings
from imgctl.config.settings import Settings
from imgctl.ops.common import retry
from imgctl.ops.common.open import Parts
from imgctl.ops.erase.options import EraseOrder, Fate
from imgctl.ops.erase.start import erase
from imgctl.store.blobs.open import open_store
from imgctl.store.catalog.engine import open_catalog
from tests.ops.erase.test_erase import MINE, SECRET, promised, put

IMAGES = 20
# Stands for a transaction that takes longer than the session lasts.
_END_LONG = """
CREATE FUNCTION end_long() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT count(*) FROM changed) > 3 THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER inserted AFTER INSERT ON erased REFERENCING NEW TABLE AS changed EXECUTE FUNCTION end_long();
CREATE TRIGGER updated AFTER UPDATE ON erased REFERENCING NEW TABLE AS changed EXECUTE FUNCTION end_long();
"""


class FewPauses(Event):
    """Ends a run that repeats a transaction again and again."""

    left = 50

    def wait(self, timeout: float | None = None) -> bool:
        self.left -= 1
        if self.left < 0:
            self.set()
        return super().wait(timeout)


@pytest.fixture
def parts(postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Parts]:
    monkeypatch.setattr(retry, "FIRST_PAUSE_SECONDS", 0.0)
    settings = Settings(store=StoreSettings(url=f"file://{tmp_path}/blobs"))
    with closing(open_catalog(postgres_url)) as catalog:
        yield Parts(settings=settings, catalog=catalog, store=open_store(settings.store))


def test_transactions_that_never_commit_are_cut_into_smaller_ones(parts: Parts) -> None:
    for number in range(IMAGES):
        put(parts.store, promised(parts, MINE, number).original_key)
    with parts.catalog.write() as connection:
        connection.execute(text(_END_LONG))

    order = EraseOrder(user_id=MINE, secret=SECRET, grace_seconds=0.0)
    outcomes = list(erase(parts, order, stop=FewPauses()))

    assert [one.fate for one in outcomes] == [Fate.ERASED] * IMAGES
    assert list(parts.store.scan()) == []
