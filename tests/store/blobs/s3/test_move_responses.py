"""Responses of AWS to copies in place that no server of the tests returns."""

from collections.abc import Mapping

import pytest
from botocore.stub import ANY, Stubber

from imgctl.errors import BlobArchived, BlobCorrupt, BlobMissing
from imgctl.store.blobs.s3.copy import CopyLimits
from tests.store.blobs.s3.stubs import KEY, NOTHING, PLACE, head, reject, stubbed


def copy(stubber: Stubber, *, more: Mapping[str, object] = NOTHING) -> None:
    wanted = {
        **PLACE, "CopySource": PLACE, "CopySourceIfMatch": '"e1"', "IfMatch": '"e1"',
        "StorageClass": "GLACIER", "MetadataDirective": "COPY", "TaggingDirective": "COPY", **more,
    }  # fmt: skip
    stubber.add_response("copy_object", {}, wanted)


def test_a_move_is_conditional_at_both_ends_and_keeps_encryption_and_version() -> None:
    store, stubber = stubbed()
    settings: dict[str, object] = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "key/1", "BucketKeyEnabled": True}
    head(stubber, more={**settings, "VersionId": "v1", "ContentType": "image/jpeg"})
    copy(stubber, more={**settings, "CopySource": {**PLACE, "VersionId": "v1"}})
    head(stubber, storage_class="GLACIER", more={"VersionId": "v2"})

    moved = store.move(KEY, to="GLACIER", etag="e1")

    assert (moved.storage_class, moved.version_id) == ("GLACIER", "v2")
    stubber.assert_no_pending_responses()


def test_a_copy_whose_response_was_lost_is_not_repeated() -> None:
    store, stubber = stubbed()
    head(stubber)
    reject(stubber, "copy_object", 500, "InternalError")
    head(stubber, storage_class="GLACIER", etag="e2")

    assert store.move(KEY, to="GLACIER", etag="e1").etag == "e2"
    stubber.assert_no_pending_responses()


def test_a_throttled_copy_is_retried() -> None:
    store, stubber = stubbed()
    head(stubber)
    reject(stubber, "copy_object", 503, "SlowDown")
    head(stubber)
    copy(stubber)
    head(stubber, storage_class="GLACIER")

    assert store.move(KEY, to="GLACIER", etag="e1").storage_class == "GLACIER"


def test_an_object_that_changed_after_the_head_is_not_moved() -> None:
    store, stubber = stubbed()
    head(stubber)
    reject(stubber, "copy_object", 412, "PreconditionFailed")
    head(stubber, etag="e2")

    with pytest.raises(BlobCorrupt, match=r"019aa-original.* changed"):
        store.move(KEY, to="GLACIER", etag="e1")


@pytest.mark.parametrize(("status", "code"), [(412, "PreconditionFailed"), (403, "InvalidObjectState")])
def test_a_move_by_another_process_counts_as_done(status: int, code: str) -> None:
    store, stubber = stubbed()
    head(stubber)
    reject(stubber, "copy_object", status, code)
    head(stubber, storage_class="GLACIER", etag="e2")

    assert store.move(KEY, to="GLACIER", etag="e1").storage_class == "GLACIER"


@pytest.mark.parametrize("code", ["InvalidObjectState", "ObjectNotInActiveTierError"])
def test_an_archived_source_is_reported_as_archived(code: str) -> None:
    store, stubber = stubbed()
    head(stubber, storage_class="STANDARD_IA")
    reject(stubber, "copy_object", 403, code)
    head(stubber, storage_class="DEEP_ARCHIVE")

    with pytest.raises(BlobArchived, match="019aa-original") as caught:
        store.move(KEY, to="GLACIER", etag="e1")
    assert "imgctl restore" in caught.value.hint


@pytest.mark.parametrize(("storage_class", "size"), [("STANDARD_IA", 5), ("GLACIER", 4), ("", 5)])
def test_a_copy_with_another_class_or_size_is_reported(storage_class: str, size: int) -> None:
    store, stubber = stubbed()
    head(stubber)
    copy(stubber)
    head(stubber, storage_class=storage_class, size=size)

    with pytest.raises(BlobCorrupt, match=r"019aa-original\.jpg was 5 bytes"):
        store.move(KEY, to="GLACIER", etag="e1")


def test_an_object_deleted_during_a_move_is_missing() -> None:
    store, stubber = stubbed()
    head(stubber)
    reject(stubber, "copy_object", 404, "NoSuchKey")
    reject(stubber, "head_object", 404, "404")

    with pytest.raises(BlobMissing, match="019aa-original"):
        store.move(KEY, to="GLACIER", etag="e1")


def test_a_large_object_is_moved_in_parts_with_metadata_and_tags_and_if_match() -> None:
    store, stubber = stubbed(limits=CopyLimits(largest=6, part_bytes=5))
    kept = {"ContentType": "image/tiff", "Metadata": {"camera": "k1"}, "ServerSideEncryption": "AES256"}
    head(stubber, size=8, more=kept)
    stubber.add_response("get_object_tagging", {"TagSet": [{"Key": "a b", "Value": "c&d"}]}, PLACE)
    stubber.add_response("create_multipart_upload", {"UploadId": "u"}, {
        **PLACE, **kept, "Tagging": "a+b=c%26d", "StorageClass": "GLACIER",
    })  # fmt: skip
    upload, source = {**PLACE, "UploadId": "u"}, {"CopySource": PLACE, "CopySourceIfMatch": '"e1"'}
    for number, wanted in enumerate(["bytes=0-4", "bytes=5-7"], start=1):
        part = {**upload, **source, "PartNumber": number, "CopySourceRange": wanted}
        stubber.add_response("upload_part_copy", {"CopyPartResult": {"ETag": f'"p{number}"'}}, part)
    parts = [{"PartNumber": 1, "ETag": '"p1"'}, {"PartNumber": 2, "ETag": '"p2"'}]
    stubber.add_response(
        "complete_multipart_upload", {}, {**upload, "IfMatch": '"e1"', "MultipartUpload": {"Parts": parts}}
    )
    head(stubber, size=8, storage_class="GLACIER", etag="e2")

    assert store.move(KEY, to="GLACIER", etag="e1").etag == "e2"
    stubber.assert_no_pending_responses()


def test_parts_that_fail_are_aborted() -> None:
    store, stubber = stubbed(retries=0, limits=CopyLimits(largest=4))
    head(stubber)
    stubber.add_response("get_object_tagging", {"TagSet": []}, PLACE)
    stubber.add_response("create_multipart_upload", {"UploadId": "u"}, {**PLACE, "StorageClass": ANY})
    reject(stubber, "upload_part_copy", 412, "PreconditionFailed")
    stubber.add_response("abort_multipart_upload", {}, {**PLACE, "UploadId": "u"})
    head(stubber, etag="e2")

    with pytest.raises(BlobCorrupt, match="changed"):
        store.move(KEY, to="GLACIER", etag="e1")
    stubber.assert_no_pending_responses()
