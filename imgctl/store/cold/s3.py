"""Storage classes of a bucket: looked at, changed in place, restored."""

import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial

from imgctl.config.settings import StoreSettings
from imgctl.errors import BlobArchived, BlobMissing, StoreError
from imgctl.store.blobs.s3_boto import FAILURES, code_of
from imgctl.store.blobs.s3_connect import HeadAnswer
from imgctl.store.cold.base import Restore, StoredBlob, Tier, known_class
from imgctl.store.cold.s3_client import Bucket, LazyBucket, RestoreAnswer
from imgctl.store.cold.s3_listing import scan
from imgctl.store.cold.s3_move import LARGEST_COPY, PART_BYTES, class_of, moved

_EXPIRY = re.compile(r'expiry-date="([^"]+)"')
_RESTORED_ALREADY = 200


class S3Cold:
    """The classes of a bucket's objects, all under one prefix (empty, or ending with a slash).

    Objects beyond `largest` bytes are copied in parts of `part_bytes` (S3's limits, but for tests).
    """

    def __init__(
        self,
        settings: StoreSettings,
        *,
        bucket: str,
        prefix: str = "",
        largest: int = LARGEST_COPY,
        part_bytes: int = PART_BYTES,
    ) -> None:
        self._bucket = LazyBucket(settings, bucket=bucket, prefix=prefix)
        self._largest = largest
        self._part_bytes = part_bytes

    def head(self, key: str) -> StoredBlob | None:
        """The blob with its class, its restore and its version, or None when there is none."""
        try:
            return stored(key, _head(self._bucket.open(), key))
        except BlobMissing:
            return None

    def scan(self, *, prefix: str = "", after: str = "", until: str = "") -> Iterator[StoredBlob]:
        """Blobs with their classes, and restores where the server lists them, in UTF-8 byte order; 1,000 a request."""
        return scan(self._bucket.open(), prefix=prefix, after=after, until=until)

    def move(self, key: str, *, to: str, etag: str) -> StoredBlob:
        """Copy the object onto itself in another class, and look at it after; no request but a HEAD when it is there.

        What has that class already is answered as it is, whatever its ETag: copies may change it.
        """
        wanted, bucket = known_class(to), self._bucket.open()
        head = partial(_head, bucket, key)
        answer = moved(bucket, key, head, to=wanted, etag=etag, largest=self._largest, part_bytes=self._part_bytes)
        return stored(key, answer)

    def restore(self, key: str, *, tier: Tier, days: int | None) -> Restore:
        """Ask for a readable copy for so many days; StoreUnavailable at once where the tier has no capacity now."""
        bucket = self._bucket.open()
        wanted: dict[str, object] = {"GlacierJobParameters": {"Tier": tier.capitalize()}}
        # Refused of Intelligent-Tiering, whose objects come back for good (RestoreObject, S3 API Reference).
        wanted |= {"Days": days} if days is not None else {}
        try:
            answer = bucket.call(key, partial(_restore, bucket, key, wanted))
        except BlobArchived:
            # InvalidObjectState, which says of a restore that there is nothing to restore.
            raise StoreError(
                f"{key} is in no archive class: there is nothing to restore", hint="read it as it is"
            ) from None
        if answer is None:
            return Restore.IN_PROGRESS
        is_readable = answer["ResponseMetadata"].get("HTTPStatusCode") == _RESTORED_ALREADY
        return Restore.EXTENDED if is_readable else Restore.STARTED

    def keeps_versions(self) -> bool:
        """Whether versioning is, or once was, switched on: then overwritten objects may stay."""
        bucket = self._bucket.open()
        answer = bucket.call("", partial(bucket.client.get_bucket_versioning, Bucket=bucket.name))
        return bool(answer.get("Status"))

    def delete_version(self, key: str, version_id: str) -> None:
        """Delete one old version, which nobody can bring back; StoreError when it is the current one."""
        bucket = self._bucket.open()
        current = self.head(key)
        if current is None or current.version_id in (None, version_id):
            raise StoreError(
                f"{key}: version {version_id} is not an old one of a blob that exists", hint="it was left as it is"
            )
        bucket.call(key, partial(bucket.client.delete_object, **bucket.object(key), VersionId=version_id))


def stored(key: str, answer: HeadAnswer) -> StoredBlob:
    """A HEAD's answer as a blob; the ETag without its quotes, for some servers send none."""
    said = answer.get("Restore", "")
    return StoredBlob(
        key=key,
        size=answer["ContentLength"],
        modified_at=answer["LastModified"],
        etag=answer["ETag"].strip('"'),
        storage_class=class_of(answer),
        restoring='ongoing-request="true"' in said,
        restored_until=_expiry(said),
        version_id=answer.get("VersionId"),
    )


def _expiry(said: str) -> datetime | None:
    """When a restored copy expires, by the `x-amz-restore` header; None when it has expired or there is none."""
    found = _EXPIRY.search(said)
    if found is not None:
        with suppress(ValueError):
            until = parsedate_to_datetime(found[1]).astimezone(UTC)
            return until if until > datetime.now(UTC) else None
    return None


def _head(bucket: Bucket, key: str) -> HeadAnswer:
    return bucket.call(key, partial(bucket.client.head_object, **bucket.object(key)))


def _restore(bucket: Bucket, key: str, wanted: dict[str, object]) -> RestoreAnswer | None:
    """None where it is being restored already."""
    try:
        return bucket.client.restore_object(**bucket.object(key), RestoreRequest=wanted)
    except FAILURES as error:
        if code_of(error) == "RestoreAlreadyInProgress":
            return None
        raise
