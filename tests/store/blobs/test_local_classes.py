"""A directory's archive: moves that survive a kill, a second file system, restores that expire."""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from imgctl.config.catalog_store import StoreSettings
from imgctl.errors import BlobArchived, BlobCorrupt, ConfigError, StoreError
from imgctl.model import StorageClass, is_archived
from imgctl.store.blobs.base import Restore, Tier
from imgctl.store.blobs.local import LocalStore, midnight_after
from imgctl.store.blobs.local_classes import Archive
from imgctl.store.blobs.open import open_store
from tests.soak import rounds

KEY = "2026/11/22/019aa-original.jpg"
BODY = bytes(range(256)) * 40
STEPS = ("link", "unlink", "fsync", "open", "utime")


class Killed(BaseException):
    """A simulated kill of the process."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "blobs"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return tmp_path / "blobs.archive"


def moved(store: LocalStore, to: str) -> str:
    found = store.details(KEY)
    assert found is not None
    return store.move(KEY, to=to, etag=found.etag).etag


def files(*roots: Path) -> list[str]:
    found = (path for root in roots for path in root.rglob("*") if path.is_file() and ".locks" not in path.parts)
    return sorted(str(path.relative_to(roots[0].parent)) for path in found)


@contextmanager
def killed_at(monkeypatch: pytest.MonkeyPatch, number: int, *, after: bool) -> Iterator[list[int]]:
    """Raise Killed before or after the `number`-th call that changes a directory; yields the count of calls."""
    seen = [0]

    def counted(call: Callable[..., object]) -> Callable[..., object]:
        def calling(*arguments: object, **more: object) -> object:
            seen[0] += 1
            if seen[0] == number and not after:
                raise Killed
            result = call(*arguments, **more)
            if seen[0] == number and after:
                raise Killed
            return result

        return calling

    with monkeypatch.context() as patch:
        for step in STEPS:
            patch.setattr(os, step, counted(getattr(os, step)))
        yield seen


def on_two_file_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let links fail between the two roots, as if the archive were another mount."""
    link = os.link

    def linked(source: Path, target: Path) -> None:
        if ".tmp" not in Path(source).parts:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        link(source, target)

    monkeypatch.setattr(os, "link", linked)


@pytest.mark.parametrize("far", [False, True])
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(("start", "to"), [("STANDARD", "GLACIER"), ("GLACIER_IR", "STANDARD")])
def test_after_a_kill_at_any_step_the_next_run_completes_the_move(
    root: Path, archive: Path, monkeypatch: pytest.MonkeyPatch, far: bool, after: bool, start: str, to: str
) -> None:
    if far:
        on_two_file_systems(monkeypatch)
    for number in range(1, 60):
        store = LocalStore(root, archive)
        store.create(KEY, BODY, content_type="image/jpeg")
        etag = moved(store, start)
        with killed_at(monkeypatch, number, after=after) as seen, suppress(Killed):
            store.move(KEY, to=to, etag=etag)

        found = LocalStore(root, archive).head(KEY)
        assert found is not None
        assert found.storage_class in (start, to)
        assert found.storage_class == to or store.get(KEY) == BODY

        LocalStore(root, archive).move(KEY, to=to, etag=etag)
        assert [path for path in files(root, archive) if ".tmp" not in path] == [
            f"blobs/{KEY}" if to == "STANDARD" else f"blobs.archive/{to}/{KEY}"
        ]
        assert next(path for path in (root / KEY, archive / to / KEY) if path.exists()).read_bytes() == BODY
        store.delete([KEY])
        if seen[0] < number:
            break
    assert 4 < number < 59


def test_a_move_keeps_the_etag_and_puts_the_file_below_its_class(root: Path, archive: Path) -> None:
    LocalStore(root).create(KEY, BODY, content_type="image/jpeg")
    store = LocalStore(root, archive)
    before = store.details(KEY)

    after = store.move(KEY, to="DEEP_ARCHIVE", etag=before.etag if before else "")

    assert before is not None and (after.etag, after.modified_at) == (before.etag, before.modified_at)
    assert files(root, archive) == [f"blobs.archive/DEEP_ARCHIVE/{KEY}"]


def test_a_move_to_another_file_system_keeps_bytes_and_etag(
    root: Path, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_two_file_systems(monkeypatch)
    LocalStore(root).create(KEY, BODY, content_type="image/jpeg")
    store = LocalStore(root, archive)
    before = store.details(KEY)

    after = store.move(KEY, to="STANDARD_IA", etag=before.etag if before else "")

    assert before is not None and after.etag == before.etag
    assert LocalStore(root).get(KEY) == BODY
    assert files(root, archive) == [f"blobs.archive/STANDARD_IA/{KEY}"]


def test_two_files_that_should_be_one_blob_are_both_kept(root: Path, archive: Path) -> None:
    LocalStore(root).create(KEY, BODY, content_type="image/jpeg")
    (archive / "GLACIER" / KEY).parent.mkdir(parents=True)
    (archive / "GLACIER" / KEY).write_bytes(b"another")

    with pytest.raises(BlobCorrupt, match="should be one blob"):
        moved(LocalStore(root, archive), "GLACIER")
    assert (root / KEY).read_bytes() == BODY
    assert (archive / "GLACIER" / KEY).read_bytes() == b"another"


def test_a_restore_expires(root: Path, archive: Path) -> None:
    LocalStore(root).create(KEY, BODY, content_type="image/jpeg")
    store = LocalStore(root, archive)
    etag = moved(store, "GLACIER")
    Archive(root, archive).note_restore(KEY, datetime.now(UTC) - timedelta(seconds=1))

    found = store.details(KEY)

    assert found is not None and found.restored_until is None
    with pytest.raises(BlobArchived):
        store.get(KEY)
    with pytest.raises(BlobArchived):
        store.move(KEY, to="STANDARD", etag=etag)
    assert store.restore(KEY, tier=Tier.BULK, days=1) is Restore.STARTED


def test_a_blob_archived_anew_is_not_readable_by_an_older_restore(root: Path, archive: Path) -> None:
    LocalStore(root).create(KEY, BODY, content_type="image/jpeg")
    store = LocalStore(root, archive)
    moved(store, "GLACIER")
    store.restore(KEY, tier=Tier.BULK, days=30)

    for to in ("STANDARD", "GLACIER"):
        moved(store, to)

    found = store.details(KEY)
    assert found is not None and not found.readable


@pytest.mark.parametrize(
    ("at", "until"),
    [
        (datetime(2026, 10, 18, 10, 30, tzinfo=UTC), datetime(2026, 10, 19, tzinfo=UTC)),
        (datetime(2026, 10, 18, tzinfo=UTC), datetime(2026, 10, 18, tzinfo=UTC)),
        (datetime(2026, 12, 31, 23, 59, 59, 999999, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)),
    ],
)
def test_restores_end_at_midnight(at: datetime, until: datetime) -> None:
    assert midnight_after(at) == until


def test_one_class_counts_while_a_blob_is_in_two_places(root: Path, archive: Path) -> None:
    LocalStore(root).create(KEY, BODY, content_type="image/jpeg")
    (archive / "GLACIER" / KEY).parent.mkdir(parents=True)
    os.link(root / KEY, archive / "GLACIER" / KEY)

    assert [blob.storage_class for blob in LocalStore(root, archive).scan()] == ["STANDARD"]
    assert LocalStore(root, archive).get(KEY) == BODY


def test_the_archive_is_beside_the_store_or_where_the_setting_says(tmp_path: Path) -> None:
    for archive, expected in (("", "blobs.archive"), (f"{tmp_path}/far/cold", "far/cold")):
        settings = StoreSettings(url=f"file://{tmp_path}/blobs", archive=archive)
        store = open_store(settings)
        store.create(KEY, BODY, content_type="image/jpeg")
        moved(LocalStore(tmp_path / "blobs", tmp_path / expected), "GLACIER")

        assert (tmp_path / expected / "GLACIER" / KEY).read_bytes() == BODY
        with pytest.raises(BlobArchived):
            store.get(KEY)
        store.delete([KEY])


@pytest.mark.parametrize("archive", ["blobs", "blobs/cold", "", "."])
def test_roots_that_contain_each_other_are_rejected(tmp_path: Path, archive: str) -> None:
    with pytest.raises(ConfigError, match="must not contain each other"):
        open_store(StoreSettings(url=f"file://{tmp_path}/blobs", archive=f"{tmp_path}/{archive}"))


def test_a_store_without_archived_blobs_has_no_archive_directory(root: Path, archive: Path) -> None:
    store = LocalStore(root, archive)

    store.create(KEY, BODY, content_type="image/jpeg")
    store.replace(KEY, BODY, content_type="image/jpeg")
    store.delete([KEY])

    assert list(store.scan()) == []
    assert not archive.exists()


ACTIONS = st.lists(st.sampled_from([*StorageClass, "restore", "expire"]), max_size=8)


@given(actions=ACTIONS)
@hypothesis_settings(max_examples=rounds(12, 100))
def test_after_any_operations_the_blob_is_complete_in_one_class(
    actions: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("store") / "blobs"
    archive = root.with_name("cold")
    store = LocalStore(root, archive)
    store.create(KEY, BODY, content_type="image/jpeg")
    expected, readable = "STANDARD", True
    for action in actions:
        with suppress(StoreError):
            if action == "restore":
                store.restore(KEY, tier=Tier.BULK, days=1)
                readable = True
            elif action == "expire" and is_archived(expected):
                Archive(root, archive).note_restore(KEY, datetime.now(UTC))
                readable = False
            elif action in tuple(StorageClass) and (readable or action == expected):
                moved(store, action)
                readable = readable if action == expected else not is_archived(action)
                expected = action

        found = store.details(KEY)
        assert found is not None
        assert (found.storage_class, found.readable, found.size) == (expected, readable, len(BODY))
        assert [blob.storage_class for blob in store.scan()] == [expected]
