"""Requests to a bucket of Google Cloud Storage that obstore does not make (JSON API)."""

import base64
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast
from urllib.parse import quote
from uuid import uuid4

from imgctl.config.catalog_store import StoreSettings
from imgctl.errors import BlobCorrupt
from imgctl.model import CLASSES_OF
from imgctl.regular_files import regular
from imgctl.store.blobs.base import Blob, Remnant, Restore, SignedPut, Tier
from imgctl.store.blobs.clouds.batch_delete import Part, batch_body, batch_errors
from imgctl.store.blobs.clouds.google_auth import GoogleAuth
from imgctl.store.blobs.clouds.google_responses import FIELDS, Resource, blob_of, kept_metadata, page_of, remnant_of
from imgctl.store.blobs.clouds.http import Http, quoted
from imgctl.store.blobs.clouds.provider import Put, Soft, bytes_options
from imgctl.store.blobs.clouds.signed import AllowedPut, google_put
from imgctl.store.blobs.errors import ErrorResponse
from imgctl.store.blobs.files import checked_chunks, replaced
from imgctl.store.blobs.listing_pages import PAGE_KEYS, Page, bare
from imgctl.units import count_of

if TYPE_CHECKING:
    from obstore import GetOptions
    from obstore.store import GCSConfig

    from imgctl.store.blobs.bucket_store import Client

T = TypeVar("T")

_CHUNK = 4 * 2**20


class Google:
    """One bucket; see Provider. An object's ETag is its generation."""

    classes = CLASSES_OF["gs"]
    cloud, batch, moves_in_place = "Google", 100, False

    def __init__(self, settings: StoreSettings, bucket: str) -> None:
        self._settings = settings
        self._bucket = bucket

    @property
    def endpoint(self) -> str:
        return self._auth.endpoint

    @property
    def is_own(self) -> bool:
        return self.endpoint.endswith(".googleapis.com")

    def client(self) -> "Client":
        from obstore.store import GCSStore

        options, retries = bytes_options(self._settings, self.endpoint)
        config: GCSConfig = {"base_url": self.endpoint}
        if file := self._auth.service_account:
            # obstore signs links with this key; without it, by a request to the machine's own account.
            config["service_account"] = file
        return GCSStore(
            self._bucket,
            config=config,
            client_options=options,
            retry_config=retries,
            credential_provider=self._auth.credential,
        )

    @staticmethod
    def etag_of(etag: str | None, version: str | None) -> str:
        return version or bare(etag or "")

    @staticmethod
    def pinned(etag: str) -> "GetOptions":
        return {"version": etag}

    def put(self, name: str, put: Put, *, absent: bool) -> None:
        metadata = {"name": name, "contentType": put.content_type, **({"cacheControl": put.cache} if put.cache else {})}
        boundary, head, tail = _multipart(metadata, put.md5, put.content_type)
        self._upload(boundary, head + put.body + tail, absent=absent)

    def put_file(
        self, name: str, path: Path, *, size: int, content_type: str, sha256: bytes, call: Callable[..., object]
    ) -> None:
        """Put the file in one request; it is read twice, first for the MD5, which is sent before the bytes."""
        digest = hashlib.md5(usedforsecurity=False)
        for chunk in _chunks(path, size, sha256):
            digest.update(chunk)
        boundary, head, tail = _multipart({"name": name, "contentType": content_type}, digest.digest(), content_type)

        def body() -> Iterator[bytes]:
            yield head
            yield from _chunks(path, size, sha256)
            yield tail

        length = len(head) + size + len(tail)
        call(lambda: self._upload(boundary, body(), absent=True, length=length))

    def details(self, name: str) -> Blob:
        return blob_of(self._object(name, fields=FIELDS))

    def page(self, prefix: str, after: str, token: str) -> tuple[Page, str]:
        items, onward = self._list(prefix, token, {"startOffset": after, "maxResults": str(PAGE_KEYS)})
        found = cast("list[Mapping[str, str]]", items)
        # `startOffset` includes the key itself.
        return page_of([one for one in found if one["name"] > after]), onward

    def delete(self, names: list[str]) -> list[tuple[str, ErrorResponse]]:
        return self._delete(names, [self._path(name) for name in names])

    def everything(self, prefix: str, token: str) -> tuple[list[Remnant], str]:
        """List every generation first, then soft-deleted objects: no listing has both (Objects: list)."""
        softly, _, token = token.rpartition(":")
        which = {"softDeleted": "true"} if softly else {"versions": "true"}
        items, onward = self._list(prefix, token, which, fields=f"{FIELDS},timeDeleted,softDeleteTime,hardDeleteTime")
        # A server without soft delete lists existing objects instead.
        found = [remnant_of(one) for one in items if bool(softly) == ("softDeleteTime" in one)]
        return found, f"{softly}:{onward}" if onward else "" if softly else "softly:"

    def purge(self, remnants: list[Remnant], *, permanent: bool) -> list[tuple[Remnant, ErrorResponse]]:
        """Delete each generation by its number: it is gone at once, unless soft delete is on."""
        return self._delete(remnants, [f"{self._path(one.key)}?generation={one.version_id}" for one in remnants])

    def soft(self) -> Soft:
        response = self._request("GET", f"b/{self._bucket}", {"fields": "softDeletePolicy"})
        policy = cast("Mapping[str, str]", response.get("softDeletePolicy", {}))
        return Soft(retention=timedelta(seconds=int(policy.get("retentionDurationSeconds", "0"))))

    def copy(self, source: str, name: str, *, etag: str, content_type: str) -> None:
        found = self._object(source)
        metadata = kept_metadata(found) | {"contentType": content_type, "storageClass": "STANDARD"}
        self._rewrite(source, name, metadata, {"ifSourceGenerationMatch": etag, "ifGenerationMatch": "0"})

    def move(self, name: str, *, to: str, etag: str) -> Blob:
        """Rewrite the object in place as a new generation; the old one stays if the bucket keeps versions."""
        found = self._object(name)
        before = blob_of(found)
        if before.storage_class == to:
            return before
        if before.etag != etag:
            raise replaced(name)
        metadata = kept_metadata(found) | {"storageClass": to}
        self._rewrite(name, name, metadata, {"ifSourceGenerationMatch": etag, "ifGenerationMatch": etag})
        now = self._object(name)
        same = all(now.get(one) == found.get(one) for one in ("size", "crc32c"))
        if now.get("storageClass") != to or not same:
            raise BlobCorrupt(
                f"{name} changed in the rewrite: it is now {count_of(int(str(now['size'])), 'byte')} of {now.get('storageClass')}",
                hint="check the object before anything else",
            )
        return blob_of(now)

    def restore(self, name: str, *, tier: Tier) -> Restore:
        from imgctl.store.blobs.errors import nothing_to_restore

        raise nothing_to_restore(name)

    def keeps_versions(self) -> bool:
        """Whether the bucket keeps versions or has soft delete (7 days by default)."""
        response = self._request("GET", f"b/{self._bucket}", {"fields": "versioning,softDeletePolicy"})
        versioning = cast("Mapping[str, object]", response.get("versioning", {}))
        soft = cast("Mapping[str, str]", response.get("softDeletePolicy", {}))
        return bool(versioning.get("enabled")) or soft.get("retentionDurationSeconds", "0") != "0"

    def copied_version(self, name: str, blob: Blob) -> str | None:
        items, _ = self._list(name, "", {"versions": "true"})
        found = sorted((blob_of(one) for one in items if one["name"] == name), key=lambda one: int(one.etag))
        older = [one for one in found if int(one.etag) < int(blob.etag)]
        same = older and blob.md5 is not None and (older[-1].size, older[-1].md5) == (blob.size, blob.md5)
        return older[-1].version_id if same else None

    def delete_version(self, name: str, version_id: str) -> None:
        self._request("DELETE", self._path(name), {"generation": version_id})

    def sign_create(self, name: str, wanted: AllowedPut) -> SignedPut | None:
        return google_put(self._auth, f"{self.endpoint}/{self._bucket}/{quoted(name)}", wanted)

    def lifecycle(self) -> tuple[list[Resource], str]:
        """Return the bucket's lifecycle rules and their metageneration."""
        response = self._request("GET", f"b/{self._bucket}", {"fields": "lifecycle,metageneration"})
        rules = cast("Mapping[str, list[Resource]]", response.get("lifecycle", {})).get("rule", [])
        return rules, str(response.get("metageneration", ""))

    def set_lifecycle(self, rules: Sequence[Mapping[str, object]], metageneration: str) -> None:
        """Write the bucket's lifecycle rules if its metageneration is unchanged."""
        body = json.dumps({"lifecycle": {"rule": list(rules)}}).encode()
        self._request("PATCH", f"b/{self._bucket}", {"ifMetagenerationMatch": metageneration}, body)

    def _delete(self, ones: list[T], paths: list[str]) -> list[tuple[T, ErrorResponse]]:
        kind, body = batch_body([Part("DELETE", f"/storage/v1/{path}", {}) for path in paths])
        response = self._http.request("POST", f"{self.endpoint}/batch/storage/v1", {}, {"Content-Type": kind}, body)
        return batch_errors(response.headers.get("Content-Type", ""), response.data, ones)

    def _list(
        self, prefix: str, token: str, query: Mapping[str, str], *, fields: str = FIELDS
    ) -> tuple[list[Resource], str]:
        """Return one page of a listing, and the token of the next one; empty at the end."""
        query = {"prefix": prefix, "pageToken": token, "fields": f"items({fields}),nextPageToken", **query}
        response = self._request("GET", f"b/{self._bucket}/o", {name: value for name, value in query.items() if value})
        return cast("list[Resource]", response.get("items", [])), str(response.get("nextPageToken", ""))

    def _object(self, name: str, *, fields: str = "") -> Resource:
        return self._request("GET", self._path(name), {"fields": fields} if fields else {})

    def _rewrite(self, source: str, name: str, metadata: Resource, conditions: dict[str, str]) -> None:
        """Rewrite, with as many requests as the server needs."""
        token: dict[str, str] = {}
        while True:
            path = f"{self._path(source)}/rewriteTo/{self._path(name)}"
            response = self._request("POST", path, {**conditions, **token}, json.dumps(metadata).encode())
            if response.get("done", True):
                return
            token = {"rewriteToken": str(response["rewriteToken"])}

    def _upload(self, boundary: str, body: bytes | Iterator[bytes], *, absent: bool, length: int | None = None) -> None:
        query = {"uploadType": "multipart", **({"ifGenerationMatch": "0"} if absent else {})}
        headers = {"Content-Type": f"multipart/related; boundary={boundary}"}
        if length is not None:
            headers["Content-Length"] = str(length)
        self._http.request("POST", f"{self.endpoint}/upload/storage/v1/b/{self._bucket}/o", query, headers, body)

    def _request(self, method: str, path: str, query: Mapping[str, str], body: bytes = b"") -> Resource:
        headers = {"Content-Type": "application/json"} if body else {}
        response = self._http.request(method, f"{self.endpoint}/storage/v1/{path}", query, headers, body)
        found: Resource = json.loads(response.data) if response.data else {}
        return found

    def _path(self, name: str) -> str:
        return f"b/{self._bucket}/o/{quote(name, safe='')}"

    @cached_property
    def _auth(self) -> GoogleAuth:
        return GoogleAuth(self._settings)

    @cached_property
    def _http(self) -> Http:
        return Http(self._settings, self._auth.sign)


def _multipart(metadata: Mapping[str, str], md5: bytes, content_type: str) -> tuple[str, bytes, bytes]:
    """Return the boundary, and the text before and after the bytes, of an upload with its MD5."""
    boundary = f"imgctl-{uuid4()}"
    whole = json.dumps({**metadata, "md5Hash": base64.b64encode(md5).decode(), "storageClass": "STANDARD"})
    head = f"--{boundary}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n{whole}\r\n"
    head += f"--{boundary}\r\nContent-Type: {content_type}\r\n\r\n"
    return boundary, head.encode(), f"\r\n--{boundary}--\r\n".encode()


def _chunks(path: Path, size: int, sha256: bytes) -> Iterator[bytes]:
    with open(path, "rb", buffering=0, opener=regular) as source:
        for chunk in checked_chunks(source, size=size, sha256=sha256, chunk_size=_CHUNK):
            yield bytes(chunk)
