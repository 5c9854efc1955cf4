"""Requests to a container of Azure Blob Storage that obstore does not make (Blob service REST API)."""

import base64
import hashlib
import time
from collections.abc import Callable
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from xml.etree.ElementTree import Element, fromstring  # written by the container's own server

from imgctl.config.catalog_store import StoreSettings
from imgctl.errors import BlobArchived, BlobCorrupt, StoreError
from imgctl.model import CLASSES_OF
from imgctl.regular_files import regular
from imgctl.store.blobs.base import Blob, Remnant, Restore, SignedPut, Tier
from imgctl.store.blobs.clouds.azure_auth import AzureAuth, azure_auth
from imgctl.store.blobs.clouds.azure_responses import TIER_OF, Row, blob_of, page_of, remnant_of, row_of, version_query
from imgctl.store.blobs.clouds.batch_delete import Part, batch_body, batch_errors
from imgctl.store.blobs.clouds.http import Http, quoted
from imgctl.store.blobs.clouds.listing import NOT_FOUND
from imgctl.store.blobs.clouds.provider import Put, Soft, bytes_options
from imgctl.store.blobs.clouds.signed import AllowedPut, azure_put
from imgctl.store.blobs.errors import ErrorResponse
from imgctl.store.blobs.files import checked_chunks, replaced
from imgctl.store.blobs.listing_pages import PAGE_KEYS, Page, bare
from imgctl.units import count_of

if TYPE_CHECKING:
    from obstore import GetOptions
    from urllib3 import BaseHTTPResponse

    from imgctl.store.blobs.bucket_store import Client

T = TypeVar("T")

_BLOCK = {"x-ms-blob-type": "BlockBlob"}
_IF_ABSENT = {"If-None-Match": "*"}
# An account with a hierarchical namespace has no versions, and snapshots in preview (Blob Storage feature support in Azure
# Storage accounts). What List Blobs returns there is not documented. Users reported 409 with the first code for an append
# (Azure/azure-storage-node issue 632), and 400 with the second for a query of tags (Azure/azure-sdk-for-net issue 39388).
# Any other error is raised: a shorter listing would hide objects that are kept.
_UNSUPPORTED = {"FeatureNotYetSupportedForHierarchicalNamespaceAccounts", "InvalidQueryParameterValue"}
_INCLUDES = ("snapshots,versions,deleted", "snapshots,deleted", "")
_BLOCK_BYTES, _MOST_BLOCKS = 16 * 2**20, 50_000
_POLL_SECONDS = 1.0
_HEADERS = {
    "Cache-Control": "x-ms-blob-cache-control",
    "Content-Encoding": "x-ms-blob-content-encoding",
    "Content-Language": "x-ms-blob-content-language",
    "Content-Disposition": "x-ms-blob-content-disposition",
    "Content-MD5": "x-ms-blob-content-md5",
}


class Azure:
    """One container; see Provider."""

    classes = CLASSES_OF["az"]
    cloud, batch, moves_in_place = "Azure", 256, True

    def __init__(self, settings: StoreSettings, container: str) -> None:
        self._settings = settings
        self._container = container
        self._has_versions: bool | None = None

    @property
    def endpoint(self) -> str:
        return self._auth.endpoint

    @property
    def is_own(self) -> bool:
        return not self._settings.endpoint_url

    def client(self) -> "Client":
        from obstore.store import AzureStore

        options, retries = bytes_options(self._settings, self.endpoint)
        return AzureStore(
            self._container,
            config=self._auth.config(),
            client_options=options,
            retry_config=retries,
            credential_provider=self._auth.credential if self._auth.identity else None,
        )

    @staticmethod
    def etag_of(etag: str | None, _version: str | None) -> str:
        return bare(etag or "")

    @staticmethod
    def pinned(etag: str) -> "GetOptions":
        return {"if_match": f'"{etag}"'}

    def put(self, name: str, put: Put, *, absent: bool) -> None:
        headers = _described(put) | {"Content-MD5": base64.b64encode(put.md5).decode(), **_BLOCK}
        response = self._request("PUT", name, headers=headers | (_IF_ABSENT if absent else {}), body=put.body)
        self._has_versions = "x-ms-version-id" in response.headers

    def put_file(
        self, name: str, path: Path, *, size: int, content_type: str, sha256: bytes, call: Callable[..., object]
    ) -> None:
        """Put the file in blocks, one in memory, each checked by its MD5; Azure drops uncommitted blocks after a week."""
        step = max(_BLOCK_BYTES, -(-size // _MOST_BLOCKS))
        blocks: list[str] = []
        with open(path, "rb", buffering=0, opener=regular) as source:
            for number, chunk in enumerate(checked_chunks(source, size=size, sha256=sha256, chunk_size=step)):
                blocks.append(base64.b64encode(b"%08d" % number).decode())
                md5 = base64.b64encode(hashlib.md5(chunk, usedforsecurity=False).digest()).decode()
                query = {"comp": "block", "blockid": blocks[-1]}
                call(
                    self._request, method="PUT", name=name, query=query, headers={"Content-MD5": md5}, body=bytes(chunk)
                )
        listed = "".join(f"<Uncommitted>{one}</Uncommitted>" for one in blocks)
        body = f"<BlockList>{listed}</BlockList>".encode()
        headers = {"x-ms-blob-content-type": content_type, **_IF_ABSENT}
        call(self._request, method="PUT", name=name, query={"comp": "blocklist"}, headers=headers, body=body)

    def details(self, name: str) -> Blob:
        return blob_of(name, self._request("HEAD", name))

    def page(self, prefix: str, after: str, token: str) -> tuple[Page, str]:
        query = {"restype": "container", "comp": "list", "prefix": prefix, "maxresults": str(PAGE_KEYS)}
        # `startFrom` includes the key itself; servers without it list from the beginning.
        query |= {"marker": token} if token else {"startFrom": after} if after else {}
        response = self._http.request("GET", self._url(), {name: value for name, value in query.items() if value})
        root = fromstring(response.data)  # noqa: S314
        rows = [row for blob in root.iterfind("Blobs/Blob") if (row := row_of(blob)) is not None and row[0] > after]
        if rows == sorted(rows, key=_utf16):
            # As Azurite sorts; another order, that of a hierarchical account, is for whoever reads the listing to reject.
            rows.sort()
        return page_of(rows), root.findtext("NextMarker") or ""

    def delete(self, names: list[str]) -> list[tuple[str, ErrorResponse]]:
        return self._delete(names, [(name, {}) for name in names], {})

    def everything(self, prefix: str, token: str) -> tuple[list[Remnant], str]:
        """List all that the account supports; ErrorResponse if soft delete is on but the listing lacks deleted blobs."""
        query = {"restype": "container", "comp": "list", "prefix": prefix} | ({"marker": token} if token else {})
        for include in _INCLUDES:
            try:
                response = self._http.request("GET", self._url(), query | ({"include": include} if include else {}))
            except ErrorResponse as error:
                if error.code not in _UNSUPPORTED or not include or self.soft().retention:
                    raise
            else:
                break
        root = fromstring(response.data)  # noqa: S314
        found = [remnant_of(blob) for blob in root.iterfind("Blobs/Blob") if row_of(blob) is not None]
        return found, root.findtext("NextMarker") or ""

    def purge(self, remnants: list[Remnant], *, permanent: bool) -> list[tuple[Remnant, ErrorResponse]]:
        """Delete blobs first, which turns their last version into an old one; then each version and snapshot (Delete Blob)."""
        blobs = [] if permanent else [one for one in remnants if one.is_current]
        rejected = self._delete(blobs, [(one.key, {}) for one in blobs], {"x-ms-delete-snapshots": "include"})
        left = {one for one, error in rejected if error.status != NOT_FOUND}
        old = [one for one in remnants if one.version_id is not None and one not in left]
        wanted = [(one.key, version_query(one) | ({"deletetype": "permanent"} if permanent else {})) for one in old]
        return rejected + self._delete(old, wanted, {})

    def soft(self) -> Soft:
        policy = self._soft_delete()
        if policy is None or policy.findtext("Enabled") != "true":
            return Soft()
        days = timedelta(days=int(policy.findtext("Days") or "0"))
        return Soft(retention=days, permanent=policy.findtext("AllowPermanentDelete") == "true")

    def copy(self, source: str, name: str, *, etag: str, content_type: str) -> None:
        """Copy Blob, which may return before the copy ends; the content type is set afterwards."""
        found = self._request("HEAD", source)
        if not blob_of(source, found).readable:
            # Azure would rehydrate it into the copy: billed, and up to 15 hours.
            raise _archived(source)
        place = self._url(source)
        if self._auth.sas:
            place = f"{place}?{self._auth.sas.lstrip('?')}"
        headers = {"x-ms-copy-source": place, "x-ms-source-if-match": f'"{etag}"', "x-ms-access-tier": "Hot"}
        response = self._request("PUT", name, headers={**headers, **_IF_ABSENT})
        while response.headers.get("x-ms-copy-status") == "pending":
            time.sleep(_POLL_SECONDS)
            response = self._request("HEAD", name)
        if (status := response.headers.get("x-ms-copy-status", "success")) != "success":
            raise StoreError(f"{source} was not copied: {status}", hint="run the same command again")
        if found.headers.get("Content-Type") != content_type:
            kept = {ours: found.headers[theirs] for theirs, ours in _HEADERS.items() if found.headers.get(theirs)}
            kept["x-ms-blob-content-type"] = content_type
            self._request("PUT", name, query={"comp": "properties"}, headers=kept)

    def move(self, name: str, *, to: str, etag: str) -> Blob:
        """Set the tier in place; ETag, bytes and metadata stay as they are."""
        found = self.details(name)
        if found.storage_class == to:
            return found
        if found.etag != etag:
            raise replaced(name)
        if not found.readable or found.restoring:
            raise _archived(name)
        self._tier(name, TIER_OF[to])
        now = self.details(name)
        if (now.storage_class, now.size, now.etag) != (to, found.size, found.etag):
            raise BlobCorrupt(
                f"{name} was {count_of(found.size, 'byte')} of {found.storage_class}, and is now "
                f"{count_of(now.size, 'byte')} of {now.storage_class}",
                hint="check the blob before anything else",
            )
        return now

    def restore(self, name: str, *, tier: Tier) -> Restore:
        """Rehydrate in place to Hot, where it stays: within 15 hours, or within one hour by high priority below 10 GB
        (Rehydrate an archived blob, Azure Storage documentation)."""
        found = self.details(name)
        if found.restoring and tier is not Tier.EXPEDITED:
            return Restore.IN_PROGRESS
        self._tier(name, "Hot", priority="High" if tier is Tier.EXPEDITED else "Standard")
        return Restore.IN_PROGRESS if found.restoring else Restore.STARTED

    def keeps_versions(self) -> bool | None:
        """Whether soft delete or versioning is on: either keeps overwritten blobs.

        Get Blob Service Properties returns soft delete only; whether blobs have versions is a property of the management
        API, and shows in the response of Put Blob (`x-ms-version-id`).
        """
        return True if self.soft().retention else self._has_versions

    def copied_version(self, name: str, blob: Blob) -> None:
        """None: tiers are set in place."""

    def delete_version(self, name: str, version_id: str) -> None:
        self._request("DELETE", name, query={"versionid": version_id})

    def sign_create(self, name: str, wanted: AllowedPut) -> SignedPut | None:
        return azure_put(self._auth, self._http, self._url(name), wanted)

    def _soft_delete(self) -> Element | None:
        query = {"restype": "service", "comp": "properties"}
        response = self._http.request("GET", f"{self._auth.endpoint}/", query)
        return fromstring(response.data).find("DeleteRetentionPolicy")  # noqa: S314

    def _delete(
        self, ones: list[T], wanted: list[tuple[str, dict[str, str]]], headers: dict[str, str]
    ) -> list[tuple[T, ErrorResponse]]:
        """Delete many blobs in one request, each by its name and query."""
        if not ones:
            return []
        parts = []
        for name, query in wanted:
            # Each part has its own signature.
            whole, signed = self._auth.sign("DELETE", self._url(name), query, {"Content-Length": "0", **headers})
            parts.append(Part("DELETE", whole.removeprefix(self._origin), signed))
        kind, body = batch_body(parts)
        query = {"restype": "container", "comp": "batch"}
        response = self._http.request("POST", self._url(), query, {"Content-Type": kind}, body)
        return batch_errors(response.headers.get("Content-Type", ""), response.data, ones)

    def _tier(self, name: str, tier: str, *, priority: str = "") -> None:
        headers = {"x-ms-access-tier": tier} | ({"x-ms-rehydrate-priority": priority} if priority else {})
        self._request("PUT", name, query={"comp": "tier"}, headers=headers)

    def _request(
        self,
        method: str,
        name: str,
        *,
        query: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
        body: bytes = b"",
    ) -> "BaseHTTPResponse":
        return self._http.request(method, self._url(name), query, headers, body)

    def _url(self, name: str = "") -> str:
        return "/".join(filter(None, (self._auth.endpoint, self._container, quoted(name))))

    @property
    def _origin(self) -> str:
        return "/".join(self._auth.endpoint.split("/")[:3])

    @cached_property
    def _auth(self) -> AzureAuth:
        return azure_auth(self._settings)

    @cached_property
    def _http(self) -> Http:
        return Http(self._settings, self._auth.sign)


def _archived(name: str) -> BlobArchived:
    return BlobArchived(f"{name} is in an archive storage class", hint=f"restore it first: imgctl restore {name}")


def _described(put: Put) -> dict[str, str]:
    return {"x-ms-blob-content-type": put.content_type} | ({"x-ms-blob-cache-control": put.cache} if put.cache else {})


def _utf16(row: Row) -> bytes:
    return row[0].encode("utf-16-be")
