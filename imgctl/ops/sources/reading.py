"""Reads bytes that arrive once, from a network or an archive: hashed on arrival, spooled if they are many."""

import hashlib
from collections.abc import Iterator

from imgctl.imaging.source import on_disk
from imgctl.ops.ingest.recognise import Recogniser
from imgctl.ops.ingest.spool import SpoolDirectory
from imgctl.ops.sources.base import Read, SourceFile


def of_bytes(found: SourceFile, body: bytes, recogniser: Recogniser) -> Read:
    """Recognise and hash a file whose bytes are in memory; raises as `Recogniser.recognise` does."""
    header = recogniser.recognise(body, found.file_name)
    return Read(found=found, size=len(body), body=body, header=header, sha256=hashlib.sha256(body).digest())


def of_pieces(found: SourceFile, pieces: Iterator[bytes], spools: SpoolDirectory, recogniser: Recogniser) -> Read:
    """Spool, recognise and hash a file too large for memory; stops early if its beginning is not a picture's."""
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
