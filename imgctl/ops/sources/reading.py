"""Bytes that come once, as a network or an archive gives them: hashed as they come, spooled where they are many."""

import hashlib
from collections.abc import Iterator

from imgctl.imaging.source import on_disk
from imgctl.ops.ingest.recognise import Recogniser
from imgctl.ops.ingest.spool import SpoolDirectory
from imgctl.ops.sources.base import Read, SourceFile


def of_bytes(found: SourceFile, body: bytes, recogniser: Recogniser) -> Read:
    """A file whose bytes are all there; raises what its content is refused for."""
    header = recogniser.recognise(body, found.file_name)
    return Read(found=found, size=len(body), body=body, header=header, sha256=hashlib.sha256(body).digest())


def of_pieces(found: SourceFile, pieces: Iterator[bytes], spools: SpoolDirectory, recogniser: Recogniser) -> Read:
    """A file too large for memory, written to a spool; one whose beginning is not a picture's is not read on."""
    spool = spools.open()
    try:
        for piece in pieces:
            if not spool.size:
                recogniser.refuse(piece, found.file_name)
            spool.add(piece)
        if spool.whole_in_memory:
            return of_bytes(found, spool.head, recogniser)
        with spool.path.open("rb", buffering=0) as file:
            header = recogniser.recognise(on_disk(file.fileno(), spool.size, head=spool.head), found.file_name)
    except BaseException:
        spool.close()
        raise
    return Read(found=found, size=spool.size, body=spool.path, header=header, sha256=spool.sha256, spool=spool)
