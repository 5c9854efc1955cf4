"""Directory stores: power cuts, full disks and missing permissions."""

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from imgctl.errors import StoreDenied, StoreError, StoreFull
from imgctl.store.blobs.local import LocalStore

KEY = "2026/11/22/019aa-original.jpg"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "blobs"


def files_in(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def path_of(descriptor: int) -> str:
    return str(Path(f"/proc/self/fd/{descriptor}").readlink())


def fail(monkeypatch: pytest.MonkeyPatch, name: str, number: int) -> None:
    def failing(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, name, failing)


def test_file_and_every_directory_above_it_are_synced_before_create_returns(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    sync = os.fsync

    def recording(descriptor: int) -> None:
        synced.append(path_of(descriptor))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", recording)

    LocalStore(root).create(KEY, b"x", content_type="image/jpeg")

    assert any(path.startswith(f"{root}/.tmp/") for path in synced)
    above = [root.parent.parent, root.parent, root, root / "2026", root / "2026/11", root / "2026/11/22"]
    assert {str(path) for path in above} <= set(synced)
    first = next(index for index, path in enumerate(synced) if path.startswith(f"{root}/.tmp/"))
    assert str(root / "2026/11/22") in synced[first:]


def test_directories_made_by_other_processes_are_synced_too(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "2026/11/22").mkdir(parents=True)
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(path_of(descriptor)))

    LocalStore(root).create(KEY, b"x", content_type="image/jpeg")

    assert {str(root), str(root / "2026"), str(root / "2026/11"), str(root / "2026/11/22")} <= set(synced)


@pytest.mark.parametrize("call", ["write", "fsync", "link"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_full_disk_leaves_nothing(root: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int) -> None:
    store = LocalStore(root)
    store.create("2026/11/22/other.jpg", b"x", content_type="image/jpeg")
    fail(monkeypatch, call, number)

    with pytest.raises(StoreFull, match="no space") as caught:
        store.create(KEY, b"x", content_type="image/jpeg")
    assert caught.value.hint
    assert files_in(root) == ["2026/11/22/other.jpg"]


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_forbidden_write_is_denied(root: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    fail(monkeypatch, "open", number)

    with pytest.raises(StoreDenied):
        LocalStore(root).create(KEY, b"x", content_type="image/jpeg")


def test_short_write_is_continued(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, chunk: write(descriptor, chunk[:7]))
    store = LocalStore(root)

    store.create(KEY, b"x" * 100, content_type="image/jpeg")

    assert store.get(KEY) == b"x" * 100


def test_nothing_but_the_blob_is_left(root: Path) -> None:
    store = LocalStore(root)
    store.create(KEY, b"1", content_type="image/jpeg")
    store.replace(KEY, b"2", content_type="image/jpeg")
    with pytest.raises(StoreError):
        store.create(KEY, b"3", content_type="image/jpeg")

    assert files_in(root) == [KEY]


def test_leftovers_of_writers_killed_long_ago_are_swept(root: Path) -> None:
    (root / ".tmp").mkdir(parents=True)
    for name, age in (("old", 8), ("new", 0)):
        (root / ".tmp" / name).write_bytes(b"half")
        at = (root / ".tmp" / name).stat().st_mtime - age * 86400
        os.utime(root / ".tmp" / name, (at, at))

    LocalStore(root).create(KEY, b"x", content_type="image/jpeg")

    assert files_in(root) == [".tmp/new", KEY]


def test_concurrent_creates_survive_removed_directories(root: Path) -> None:
    store = LocalStore(root)

    def put(number: int) -> None:
        key = f"2026/11/{number % 3}/{number}.jpg"
        store.create(key, b"x", content_type="image/jpeg")
        store.delete([key])
        try:
            (root / key).parent.rmdir()
        except OSError:
            return

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(put, range(300)))

    assert files_in(root) == []


def test_every_file_is_listed_by_its_name(root: Path) -> None:
    store = LocalStore(root)
    store.create(KEY, b"x", content_type="image/jpeg")
    Path(os.fsdecode(os.fsencode(root) + b"/\xff.jpg")).write_bytes(b"x")
    os.mkfifo(root / "pipe")

    assert [blob.key for blob in store.scan()] == [KEY, "\udcff.jpg"]
    assert store.head("\udcff.jpg") is not None


def test_file_where_a_directory_must_be_is_named(root: Path) -> None:
    store = LocalStore(root)
    store.create("2026", b"x", content_type="image/jpeg")

    with pytest.raises(StoreError, match="cannot be written"):
        store.create(KEY, b"x", content_type="image/jpeg")
    assert store.head(KEY) is None


def test_missing_source_is_the_caller_s_error(root: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        LocalStore(root).create_file(KEY, tmp_path / "none", size=1, content_type="image/jpeg", sha256=b"")
