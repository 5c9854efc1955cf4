"""Listings of AWS and of unusual servers that no server of the tests returns."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
from botocore.stub import Stubber

from imgctl.errors import StoreError
from imgctl.store.blobs.base import Blob
from tests.store.blobs.s3.stubs import AT, BUCKET, reject, stubbed

LATER = (datetime.now(UTC) + timedelta(days=3)).replace(microsecond=0)


def page(stubber: Stubber, *listed: Mapping[str, object], start: dict[str, object], **more: object) -> None:
    contents = [{"Size": 1, "LastModified": AT, "ETag": '"e"', **one} for one in listed]
    stubber.add_response("list_objects_v2", {"Contents": contents, **more}, {
        "Bucket": BUCKET, "Prefix": "", "MaxKeys": 1000, "OptionalObjectAttributes": ["RestoreStatus"], **start,
    })  # fmt: skip


def test_a_listing_has_the_state_of_restores() -> None:
    store, stubber = stubbed()
    page(
        stubber,
        {"Key": "a", "StorageClass": "GLACIER", "RestoreStatus": {"IsRestoreInProgress": True}},
        {"Key": "b", "StorageClass": "GLACIER",
         "RestoreStatus": {"IsRestoreInProgress": False, "RestoreExpiryDate": LATER}},
        {"Key": "c", "StorageClass": "GLACIER", "RestoreStatus": {"RestoreExpiryDate": AT - timedelta(days=9999)}},
        {"Key": "d"},
        start={"StartAfter": ""},
    )  # fmt: skip

    common = {"size": 1, "modified_at": AT, "etag": "e"}
    assert list(store.scan()) == [
        Blob(key="a", storage_class="GLACIER", restoring=True, **common),  # type: ignore[arg-type]
        Blob(key="b", storage_class="GLACIER", restored_until=LATER, **common),  # type: ignore[arg-type]
        Blob(key="c", storage_class="GLACIER", **common),  # type: ignore[arg-type]
        Blob(key="d", storage_class="STANDARD", **common),  # type: ignore[arg-type]
    ]


def test_a_listing_continues_from_its_last_key_and_past_empty_pages() -> None:
    store, stubber = stubbed()
    page(stubber, {"Key": "a"}, {"Key": "b"}, start={"StartAfter": ""}, IsTruncated=True, NextContinuationToken="t1")
    page(stubber, start={"StartAfter": "b"}, IsTruncated=True, NextContinuationToken="t2")
    page(stubber, {"Key": "c"}, start={"ContinuationToken": "t2"}, IsTruncated=False)

    assert [blob.key for blob in store.scan()] == ["a", "b", "c"]


@pytest.mark.parametrize("again", [("a", "b"), ("b",), ("a0",)])
def test_a_page_that_repeats_or_goes_backwards_is_an_error(again: tuple[str, ...]) -> None:
    store, stubber = stubbed()
    page(stubber, {"Key": "a"}, {"Key": "b"}, start={"StartAfter": ""}, IsTruncated=True)
    page(stubber, *({"Key": key} for key in again), start={"StartAfter": "b"}, IsTruncated=True)

    with pytest.raises(StoreError, match=r"lists b again|out of byte order"):
        list(store.scan())


def test_a_page_out_of_byte_order_is_an_error() -> None:
    store, stubber = stubbed()
    page(stubber, {"Key": "b"}, {"Key": "a"}, start={"StartAfter": ""}, IsTruncated=False)

    with pytest.raises(StoreError, match="out of byte order"):
        list(store.scan())


def test_a_listing_that_does_not_advance_is_an_error() -> None:
    store, stubber = stubbed()
    page(stubber, start={"StartAfter": ""}, IsTruncated=True, NextContinuationToken="t")
    page(stubber, start={"ContinuationToken": "t"}, IsTruncated=True, NextContinuationToken="t")

    with pytest.raises(StoreError, match="reports more pages"):
        list(store.scan())


@pytest.mark.parametrize(("status", "code"), [(400, "InvalidArgument"), (501, "NotImplemented")])
def test_a_server_that_rejects_the_restore_attribute_is_listed_without(status: int, code: str) -> None:
    store, stubber = stubbed(endpoint_url="http://127.0.0.1:1")
    reject(stubber, "list_objects_v2", status, code)
    plain = {"Bucket": BUCKET, "Prefix": "", "MaxKeys": 1000}
    found = {"Key": "a", "Size": 1, "LastModified": AT, "ETag": "e"}
    response = {"Contents": [found], "IsTruncated": True}
    stubber.add_response("list_objects_v2", response, plain | {"StartAfter": ""})
    stubber.add_response("list_objects_v2", {}, plain | {"StartAfter": "a"})

    assert [blob.key for blob in store.scan()] == ["a"]
    stubber.assert_no_pending_responses()


def test_a_listing_that_is_denied_is_denied() -> None:
    store, stubber = stubbed()
    reject(stubber, "list_objects_v2", 403, "AccessDenied")

    with pytest.raises(StoreError, match="AccessDenied"):
        list(store.scan())
    stubber.assert_no_pending_responses()
