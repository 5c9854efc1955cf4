"""The bucket is checked once, before the first put."""

from pathlib import Path

import pytest

from imgctl.errors import BucketMissing, StoreDenied
from imgctl.ops.ingest.puts import BucketCheck
from imgctl.store.blobs.local import LocalStore


class Reached(LocalStore):
    """A directory store that counts the checks for its bucket, and may fail them."""

    def __init__(self, root: Path, refusal: Exception | None = None) -> None:
        super().__init__(root)
        self.times = 0
        self._refusal = refusal

    def reach(self) -> None:
        self.times += 1
        if self._refusal is not None:
            raise self._refusal


def test_a_missing_bucket_is_reported_each_time(tmp_path: Path) -> None:
    store = Reached(tmp_path, BucketMissing("there is no bucket"))
    bucket = BucketCheck(store)

    for _ in range(2):
        with pytest.raises(BucketMissing):
            bucket.result()

    assert store.times == 1


def test_credentials_without_listing_may_still_put(tmp_path: Path) -> None:
    store = Reached(tmp_path, StoreDenied("not allowed to list"))

    BucketCheck(store).result()

    assert store.times == 1
