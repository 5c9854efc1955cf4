"""Spools: the first bytes in memory, the rest in a file that is deleted."""

from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st

from imgctl.ops.ingest.spool import SpoolDirectory


@given(pieces=st.lists(st.binary(min_size=1, max_size=50), max_size=8))
def test_a_spool_returns_all_its_bytes(pieces: list[bytes]) -> None:
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
