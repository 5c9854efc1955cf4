"""The bucket is looked for once, before the first put."""

from pathlib import Path

import pytest

from imgctl.errors import BucketMissing, StoreDenied
from imgctl.ops.ingest.puts import BucketCheck
from imgctl.store.blobs.local import LocalStore


class Reached(LocalStore):
    """A directory that counts how often it is asked whether it is there, and may refuse an answer."""

    def __init__(self, root: Path, refusal: Exception | None = None) -> None:
        super().__init__(root)
        self.times = 0
        self._refusal = refusal

    def reach(self) -> None:
        self.times += 1
        if self._refusal is not None:
            raise self._refusal


def test_a_bucket_that_is_missing_is_told_each_time(tmp_path: Path) -> None:
    store = Reached(tmp_path, BucketMissing("there is no bucket"))
    bucket = BucketCheck(store)

    for _ in range(2):
        with pytest.raises(BucketMissing):
            bucket.result()

    assert store.times == 1


def test_who_may_not_list_may_still_put(tmp_path: Path) -> None:
    store = Reached(tmp_path, StoreDenied("not allowed to list"))

    BucketCheck(store).result()

    assert store.times == 1
