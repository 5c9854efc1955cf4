"""Spools: a small beginning in memory, the rest in a file, and nothing left of either."""

import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from imgctl.ops.receive.spool import SpoolDirectory


@given(pieces=st.lists(st.binary(min_size=1, max_size=50), max_size=8))
def test_what_went_in_can_be_read_whole(pieces: list[bytes]) -> None:
    directory = SpoolDirectory("")
    spool = directory.open()
    for piece in pieces:
        spool.add(piece)
    data = spool.head if spool.whole_in_memory else spool.path.read_bytes()
    spool.close()
    directory.close()

    assert data == b"".join(pieces)
    assert (spool.size, spool.sha256) == (len(data), sha256(data).digest())
    assert spool.whole_in_memory is (len(pieces) <= 1)
    assert not spool.path.parent.exists()


def test_what_a_killed_process_left_is_dropped_by_the_next(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    left = tmp_path / f"imgctl-spool-{ended.pid}-abc"
    left.mkdir()
    (left / "upload").write_bytes(b"half")
    living = tmp_path / f"imgctl-spool-{os.getpid()}-abc"
    living.mkdir()
    other = tmp_path / "imgctl-spool-notes"
    other.mkdir()

    SpoolDirectory(str(tmp_path)).close()

    assert not left.exists()
    assert living.exists()
    assert other.exists()
