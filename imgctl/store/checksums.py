"""Checksums that the store itself keeps: what proves a blob without reading it."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import cast

from imgctl.config.settings import StoreSettings
from imgctl.errors import BlobMissing
from imgctl.store.cold.s3_client import Bucket, bucket_of

_SHA256_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What a store says of one blob; `sha256` is None where it keeps none of the whole content."""

    size: int
    etag: str
    sha256: bytes | None


class KeptChecksums:
    """The SHA-256 that a bucket keeps of its objects (those put with one); a directory keeps none."""

    def __init__(self, settings: StoreSettings) -> None:
        self._bucket: Bucket = bucket_of(settings)

    def of(self, key: str) -> Kept | None:
        """What is kept of one blob, or None when there is none; a HEAD."""
        bucket = self._bucket
        ask = partial(bucket.client.head_object, **bucket.object(key), ChecksumMode="ENABLED")
        try:
            answer = bucket.call(key, ask)
        except BlobMissing:
            return None
        named = cast("Mapping[str, object]", answer)
        return Kept(
            size=answer["ContentLength"], etag=answer["ETag"].strip('"'), sha256=_whole(named.get("ChecksumSHA256"))
        )


def _whole(text: object) -> bytes | None:
    """The digest of the whole content; None for one of parts (`…-3`), which is no SHA-256 of the file."""
    try:
        found = base64.b64decode(str(text), validate=True) if isinstance(text, str) else b""
    except binascii.Error:
        return None
    return found if len(found) == _SHA256_BYTES else None
