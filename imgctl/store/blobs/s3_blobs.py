"""Blobs as a bucket describes them: by HEAD, and by listings that no server's odd page sends round in circles."""

import base64
import binascii
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial

from imgctl.errors import StoreError, StoreUnsupported
from imgctl.model import StorageClass
from imgctl.store.blobs.base import Blob
from imgctl.store.blobs.pages import PAGE_KEYS, Page, Restored, bare
from imgctl.store.blobs.s3_bucket import Bucket, HeadAnswer, ListAnswer, Listed

_EXPIRY = re.compile(r'expiry-date="([^"]+)"')
_SHA256_BYTES = 32
_RESTORES = {"OptionalObjectAttributes": ["RestoreStatus"]}


def pages_of(bucket: Bucket, *, prefix: str, after: str, asked: Callable[[], None]) -> Iterator[Page]:
    """Pages of the objects whose keys begin with `prefix`, behind `after`, in the server's order; none is empty.

    `asked` is called for each request.
    """
    last, token = after, ""
    while True:
        # By the last key, not the token: a page is the same whoever asks for it, and when.
        behind = bucket.prefix + last if last else ""
        start: dict[str, object] = {"ContinuationToken": token} if token else {"StartAfter": behind}
        answer = bucket.call("", partial(_page, bucket, prefix, start, asked))
        page = _below(bucket.prefix, answer.get("Columns") or _columns(answer.get("Contents", [])))
        if page.keys:
            last = page.keys[-1]
            yield page
        if not answer.get("IsTruncated"):
            return
        token = "" if page.keys else _onward(answer, token, last)


def blobs_of(pages: Iterator[Page]) -> Iterator[Blob]:
    """The blobs of pages, one by one."""
    for page in pages:
        for at, key in enumerate(page.keys):
            restored = page.restored[at] if page.restored else Restored()
            yield Blob(
                key=key,
                size=page.sizes[at],
                modified_at=page.times[at],
                etag=page.etags[at],
                storage_class=page.classes[at] if page.classes else "STANDARD",
                restoring=restored.restoring,
                restored_until=restored.until,
            )


def _page(bucket: Bucket, prefix: str, start: dict[str, object], asked: Callable[[], None]) -> ListAnswer:
    wanted = {"Bucket": bucket.name, "Prefix": bucket.prefix + prefix, "MaxKeys": PAGE_KEYS, **start}
    asked()
    if bucket.lists_restores:
        try:
            return bucket.client.list_objects_v2(**wanted, **_RESTORES)
        except Exception as error:
            # A server that knows no optional attributes calls the request bad, or not implemented.
            if type(bucket.judged(error)) not in (StoreError, StoreUnsupported):
                raise
    answer = bucket.client.list_objects_v2(**wanted)
    bucket.lists_restores = False
    return answer


def _columns(found: list[Listed]) -> Page:
    now = datetime.now(UTC)
    return Page(
        tuple([one["Key"] for one in found]),
        tuple([one["Size"] for one in found]),
        tuple([one["LastModified"] for one in found]),
        tuple([one.get("StorageClass") or "STANDARD" for one in found]),
        tuple([bare(one.get("ETag", "")) for one in found]),
        tuple([_restored(one, now) for one in found]),
    )


def _restored(one: Listed, now: datetime) -> Restored:
    status = one.get("RestoreStatus", {})
    until = status.get("RestoreExpiryDate")
    return Restored(status.get("IsRestoreInProgress", False), until if until is not None and until > now else None)


def _below(prefix: str, page: Page) -> Page:
    """The page with keys of the store, without the folder marker of its own prefix."""
    if not prefix:
        return page
    skip = len(prefix)
    below = page._replace(keys=tuple([key[skip:] for key in page.keys]))
    return below if all(below.keys[:1]) else below.cut(1, len(below.keys))


def _onward(answer: ListAnswer, token: str, last: str) -> str:
    """The token to go on by from a page without keys, which says nothing else of where it ended."""
    onward = answer.get("NextContinuationToken", "")
    if not onward or onward == token:
        hint = "the server's listing does not move on; list with another tool to see whether it ends"
        raise StoreError(f"the store lists nothing behind {last or 'its beginning'}, and says there is more", hint=hint)
    return onward


def blob_of(key: str, answer: HeadAnswer) -> Blob:
    """A HEAD's answer as a blob."""
    said = answer.get("Restore", "")
    return Blob(
        key=key,
        size=answer["ContentLength"],
        modified_at=answer["LastModified"],
        etag=bare(answer.get("ETag", "")),
        storage_class=class_of(answer),
        restoring='ongoing-request="true"' in said,
        restored_until=_expiry(said),
        version_id=answer.get("VersionId"),
        sha256=_sha256(answer),
    )


def class_of(answer: HeadAnswer) -> str:
    """The class a HEAD tells; of Intelligent-Tiering the archive tier, where the object lies in one."""
    return answer.get("ArchiveStatus") or answer.get("StorageClass") or StorageClass.STANDARD


def _expiry(said: str) -> datetime | None:
    """When a restored copy expires, by the `x-amz-restore` header; None when it has expired or there is none."""
    found = _EXPIRY.search(said)
    if found is not None:
        with suppress(ValueError):
            until = parsedate_to_datetime(found[1]).astimezone(UTC)
            return until if until > datetime.now(UTC) else None
    return None


def _sha256(answer: HeadAnswer) -> bytes | None:
    """The checksum of a whole object; None for one put without, or in parts (`…-3`: a checksum of checksums)."""
    with suppress(binascii.Error):
        digest = base64.b64decode(answer.get("ChecksumSHA256", ""), validate=True)
        if len(digest) == _SHA256_BYTES and answer.get("ChecksumType", "FULL_OBJECT") == "FULL_OBJECT":
            return digest
    return None
