"""S3 Batch Operations: a manifest and a job that AWS runs, for archives too large for one machine."""

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast
from urllib.parse import quote

from imgctl.config.catalog_store import StoreSettings
from imgctl.errors import ConfigError, UsageError
from imgctl.model import StorageClass
from imgctl.store.blobs.base import checked, known_class
from imgctl.store.blobs.s3.bucket import bucket_of, open_boto3
from imgctl.store.blobs.s3.multipart import put_chunks

if TYPE_CHECKING:
    from mypy_boto3_s3control import S3ControlClient
    from mypy_boto3_sts import STSClient

_PART_BYTES = 16 * 2**20
_PRIORITY = 10
_ROLE = re.compile(r"arn:(?P<partition>[^:]+):iam::\d{12}:role/.+")
_LINES_FORMAT = "S3BatchOperations_CSV_20180820"
_REPORT_FORMAT = "Report_CSV_20180820"


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A CSV list of objects, stored in the bucket; `name` is its full object name."""

    name: str
    etag: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """The job's role and the prefix of its report below the store's; an operator must confirm the job at AWS first."""

    role_arn: str
    report_prefix: str
    description: str = "imgctl"


def write_manifest(settings: StoreSettings, key: str, keys: Iterable[str]) -> Manifest:
    """Put a CSV of these blobs' keys under a key that must be free, streamed in parts.

    UsageError if there are no keys; BlobExists if the key exists.
    """
    bucket = bucket_of(settings)
    checked(key)
    # Bucket and URL-encoded name (S3 User Guide, "Specifying a manifest").
    lines = (f"{bucket.name},{quote(bucket.prefix + checked(one), safe='/')}\n".encode() for one in keys)
    first = next(lines, None)
    if first is None:
        raise UsageError("no objects for a batch job", hint="select more with other options")
    etag = put_chunks(bucket, key, _chunks(first, lines), "text/csv")
    return Manifest(name=bucket.prefix + key, etag=etag)


def create_copy_job(settings: StoreSettings, manifest: Manifest, job: Job, *, to: StorageClass) -> str:
    """Create a job that copies the manifest's objects (each up to 5 GB) onto themselves in class `to`; returns its id."""
    bucket = bucket_of(settings)
    below = replace(job, report_prefix=bucket.prefix + job.report_prefix)
    arguments = job_arguments(bucket.name, manifest, below, to=to)
    if not bucket.is_aws:
        raise ConfigError(
            f"{bucket.where.endpoint} has no batch jobs", hint="only AWS has S3 Batch Operations; leave --via out"
        )
    sts = cast("STSClient", open_boto3(bucket.where, "sts"))
    control = cast("S3ControlClient", open_boto3(bucket.where, "s3control"))
    account = bucket.call("", sts.get_caller_identity)["Account"]
    return bucket.call("", control.create_job, AccountId=account, **arguments)["JobId"]


def job_arguments(bucket: str, manifest: Manifest, job: Job, *, to: StorageClass) -> dict[str, object]:
    """Return the arguments of CreateJob; its request token makes the same manifest, class and role one job.

    Metadata and tags are kept.
    """
    arn = f"arn:{partition_of(job.role_arn)}:s3:::{bucket}"
    copy = {"TargetResource": arn, "StorageClass": str(known_class(to)), "MetadataDirective": "COPY"}
    operation = {"S3PutObjectCopy": copy}
    location = {"ObjectArn": f"{arn}/{manifest.name}", "ETag": manifest.etag}
    token = hashlib.sha256(repr((location, operation, job.role_arn)).encode()).hexdigest()
    return {
        "ConfirmationRequired": True,
        "Operation": operation,
        "Manifest": {"Spec": {"Format": _LINES_FORMAT, "Fields": ["Bucket", "Key"]}, "Location": location},
        "Report": {
            "Bucket": arn,
            "Format": _REPORT_FORMAT,
            "Enabled": True,
            "Prefix": job.report_prefix,
            "ReportScope": "AllTasks",
        },
        "Priority": _PRIORITY,
        "RoleArn": job.role_arn,
        "Description": job.description,
        "ClientRequestToken": token,
    }


def partition_of(role_arn: str) -> str:
    """Return the partition of a role, `aws` except in China and GovCloud; UsageError for an invalid ARN."""
    found = _ROLE.fullmatch(role_arn)
    if found is None:
        raise UsageError(f"invalid role ARN: {role_arn!r}", hint="arn:aws:iam::123456789012:role/NAME")
    return found["partition"]


def _chunks(first: bytes, lines: Iterator[bytes]) -> Iterator[memoryview]:
    held = bytearray(first)
    for line in lines:
        held += line
        if len(held) >= _PART_BYTES:
            yield memoryview(bytes(held))
            held.clear()
    if held:
        yield memoryview(bytes(held))
