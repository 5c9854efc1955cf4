"""The walk reports every entry that it cannot read, and goes on."""

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from imgctl.config.settings import WorkSettings
from imgctl.ops.ingest.outcome import Fate, FileOutcome, Reason
from imgctl.ops.ingest.recognise import Recogniser
from imgctl.ops.sources.base import STREAM_ABOVE, SourceFile
from imgctl.ops.upload.options import Selection
from tests.ops.upload.trees import USER, every

NOBODY = 65534


def walked(root: Path | str) -> list[SourceFile | FileOutcome]:
    return every(Selection(paths=(str(root),), user_id=USER))


def refused(root: Path) -> dict[str, tuple[Fate, Reason]]:
    outcomes = [one for one in walked(root) if isinstance(one, FileOutcome)]
    return {Path(one.path).name: (one.fate, one.reason) for one in outcomes}


@contextmanager
def as_nobody() -> Iterator[None]:
    """Run without root's permission to read everything."""
    if os.geteuid():
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def test_files_at_every_depth_are_found_with_their_size(tmp_path: Path) -> None:
    deep = tmp_path / "a" / "b" / "c"
    deep.mkdir(parents=True)
    (deep / "x").write_bytes(b"123")
    (tmp_path / "y").write_bytes(b"")

    found = {one.path: one for one in walked(tmp_path) if isinstance(one, SourceFile)}

    assert {path: one.size for path, one in found.items()} == {str(deep / "x"): 3, str(tmp_path / "y"): 0}
    info = (tmp_path / "y").stat()
    assert (found[str(tmp_path / "y")].mtime_ns, found[str(tmp_path / "y")].stamp) == (info.st_mtime_ns, info.st_ino)


@contextmanager
def soon() -> Iterator[None]:
    """Fail a block that never ends."""

    def ring(*_: object) -> None:
        raise AssertionError("it blocks")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(20)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("size", [3, STREAM_ABOVE + 1])
def test_a_pipe_in_place_of_a_file_does_not_block(tmp_path: Path, size: int) -> None:
    path = tmp_path / "a.jpg"
    with path.open("wb") as file:
        file.truncate(size)
    (found,) = walked(tmp_path)
    path.unlink()
    os.mkfifo(path)
    assert isinstance(found, SourceFile)

    with soon():
        read = found.source.read(found, Recogniser(WorkSettings()))

    assert isinstance(read, FileOutcome)
    assert (read.fate, read.reason) == (Fate.FAILED, Reason.UNREADABLE)
    assert read.detail == "not a regular file; check the file and run the same command again"


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tgz"])
def test_a_pipe_named_like_an_archive_does_not_block(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)

    with soon():
        (found,) = walked(tmp_path / name)

    assert isinstance(found, FileOutcome)
    assert (found.fate, found.detail) == (Fate.FAILED, "not a regular file; check it and run the same command again")


def test_pipes_sockets_and_links_are_reported_and_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe")
    # Bound from within the directory, because a socket's path must be short.
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("socket")
        (tmp_path / "dangling").symlink_to("nowhere")

        assert refused(tmp_path) == {
            "pipe": (Fate.SKIPPED, Reason.NOT_A_FILE),
            "socket": (Fate.SKIPPED, Reason.NOT_A_FILE),
            "dangling": (Fate.SKIPPED, Reason.LINK),
        }


def test_a_directory_without_permission_fails_and_the_rest_is_walked() -> None:
    with TemporaryDirectory() as name:
        top = Path(name)
        # Not below pytest's own directories, which only their owner can open.
        top.chmod(0o755)
        closed, open_ = top / "closed", top / "open"
        closed.mkdir(mode=0o000)
        open_.mkdir()
        (open_ / "x").write_bytes(b"1")
        with as_nobody():
            outcomes = walked(name)

    assert [one.path for one in outcomes if isinstance(one, SourceFile)] == [str(open_ / "x")]
    (denied,) = [one for one in outcomes if isinstance(one, FileOutcome)]
    assert (denied.path, denied.fate, denied.reason) == (str(closed), Fate.FAILED, Reason.UNREADABLE)
    assert "permission denied" in denied.detail
