"""Responses that no server of the tests returns: a stubbed boto3 client."""

from collections.abc import Mapping
from datetime import UTC, datetime

from botocore.stub import Stubber

from imgctl.config.catalog_store import StoreSettings
from imgctl.store.blobs.s3.copy import CopyLimits
from imgctl.store.blobs.s3.store import S3Store

BUCKET = "photos"
KEY = "2026/11/22/019aa-original.jpg"
PLACE = {"Bucket": BUCKET, "Key": KEY}
AT = datetime(2026, 11, 22, 10, tzinfo=UTC)
NOTHING: Mapping[str, object] = {}


def stubbed(*, retries: int = 2, endpoint_url: str = "", limits: CopyLimits | None = None) -> tuple[S3Store, Stubber]:
    """Return a store in a bucket of AWS (or of another server), and the stubber of its responses."""
    settings = StoreSettings(url=f"s3://{BUCKET}", endpoint_url=endpoint_url, retries=retries)
    store = S3Store(settings, bucket=BUCKET, limits=limits)
    stubber = Stubber(store.bucket.client)
    stubber.activate()
    return store, stubber


def head(
    stubber: Stubber, *, storage_class: str = "", etag: str = "e1", size: int = 5, more: Mapping[str, object] = NOTHING
) -> None:
    """Stub the response to the next HEAD."""
    response = {"ContentLength": size, "LastModified": AT, "ETag": f'"{etag}"', **more}
    stubber.add_response("head_object", response | ({"StorageClass": storage_class} if storage_class else {}), PLACE)


def reject(stubber: Stubber, method: str, status: int, code: str) -> None:
    """Stub an error for the next request of that method."""
    stubber.add_client_error(method, service_error_code=code, http_status_code=status)
