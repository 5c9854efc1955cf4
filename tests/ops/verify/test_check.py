"""ETags as proofs, in a bucket of which some are not MD5s, as with SSE-KMS."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from hashlib import md5, sha256
from pathlib import Path
from threading import Event

import pytest

from imgctl.config.catalog_store import CatalogSettings, StoreSettings
from imgctl.config.settings import Settings
from imgctl.ops.common.open import Parts
from imgctl.ops.ingest.outcome import Reason
from imgctl.ops.verify.check import Against, Checker, Hashed
from imgctl.store.blobs.base import Blob
from imgctl.store.blobs.s3.store import S3Store
from imgctl.store.catalog.engine import Catalog, open_catalog
from imgctl.store.catalog.queries.reservations import confirm, promise
from tests.parts.postgres import sqlite_catalog
from tests.parts.seaweed import S3Server
from tests.store.catalog.rows import USER, new_image


class Encrypted(S3Store):
    """A bucket in which the objects of `keys` have other ETags: no test server has keys of KMS."""

    def __init__(self, settings: StoreSettings, keys: frozenset[str]) -> None:
        super().__init__(settings, bucket=settings.url.removeprefix("s3://"))
        self._keys = keys

    def details(self, key: str, *, checksum: bool = False) -> Blob | None:
        found = super().details(key, checksum=checksum)
        return found and replace(found, etag="f" * 32 if key in self._keys else found.etag)

    def read(self, key: str, *, start: int, length: int, etag: str) -> bytes:
        found = super().details(key)
        return super().read(key, start=start, length=length, etag=found.etag if found else etag)


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    with closing(open_catalog(sqlite_catalog(tmp_path))) as opened:
        yield opened


def test_an_etag_that_is_the_md5_proves_an_original_also_beside_others_that_are_not(
    catalog: Catalog, seaweed: S3Server
) -> None:
    contents = [b"encrypted", b"encrypted too", b"plain"]
    rows = [
        replace(new_image(number), sha256=sha256(data).digest(), bytes=len(data))
        for number, data in enumerate(contents)
    ]
    settings = seaweed.settings(seaweed.new_bucket())
    store = Encrypted(settings, frozenset(row.original_key for row in rows[:2]))
    with catalog.write() as connection:
        promise(connection, rows)
        confirm(connection, [row.id for row in rows])
    for row, data in zip(rows, contents, strict=True):
        store.create(row.original_key, data, content_type=row.content_type)
    parts = Parts(settings=Settings(catalog=CatalogSettings(), store=settings), catalog=catalog, store=store)
    files = [
        Hashed(path=str(number), user_id=USER, sha256=sha256(data).digest(), size=len(data), md5=md5(data).hexdigest())
        for number, data in enumerate(contents)
    ]

    with ThreadPoolExecutor(1) as pool:
        checker = Checker(parts, against=Against.STORE, pool=pool, stop=Event())
        proofs = [outcome.reason for file in files for outcome in checker.outcomes([file])]

    assert proofs == [Reason.BY_SHA256, Reason.BY_SIZE, Reason.BY_ETAG]
