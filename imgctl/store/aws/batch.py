"""S3 Batch Operations: for archives beyond what one machine should loop over, a manifest and a job that AWS runs."""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast
from urllib.parse import quote

from imgctl.config.settings import StoreSettings
from imgctl.errors import ConfigError, StoreError, UsageError
from imgctl.model import StorageClass
from imgctl.store.blobs.base import Tier, checked, known_class
from imgctl.store.blobs.s3_bucket import Bucket, bucket_of, open_boto3
from imgctl.store.blobs.s3_put import put_chunks

if TYPE_CHECKING:
    from mypy_boto3_s3control import S3ControlClient
    from mypy_boto3_sts import STSClient

_PART_BYTES = 16 * 2**20
_ROLE = re.compile(r"arn:(?P<partition>[^:]+):iam::\d{12}:role/.+")
_LINES_FORMAT = "S3BatchOperations_CSV_20180820"
_REPORT_FORMAT = "Report_CSV_20180820"


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A list of objects that lies in the bucket as CSV; `key` is the store's, `name` the object's whole name."""

    key: str
    name: str
    etag: str
    versioned: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """How a job runs: whose rights it has, its priority, whether somebody confirms it, and where its report goes."""

    role_arn: str
    report_prefix: str
    priority: int = 10
    confirm: bool = True
    failures_only: bool = False
    description: str = "imgctl"


def write_manifest(
    settings: StoreSettings, key: str, items: Iterable[tuple[str, str | None]], *, versioned: bool = False
) -> Manifest:
    """Put the CSV of (key, version id) under a key that must be free, in parts as it is read.

    UsageError when there are none; BlobExists when the key is taken.
    """
    bucket = bucket_of(settings)
    checked(key)
    lines = (line.encode() for line in manifest_lines(bucket, items, versioned=versioned))
    first = next(lines, None)
    if first is None:
        raise UsageError("there is nothing to put into a batch job", hint="choose more with other options")
    etag = put_chunks(bucket, key, _chunks(first, lines), "text/csv")
    return Manifest(key=key, name=bucket.prefix + key, etag=etag, versioned=versioned)


def manifest_lines(bucket: Bucket, items: Iterable[tuple[str, str | None]], *, versioned: bool) -> Iterator[str]:
    """Lines of a manifest: bucket, URL-encoded name and, if wanted, version id (S3 User Guide, "Specifying a manifest")."""
    for key, version_id in items:
        name = quote(bucket.prefix + checked(key), safe="/")
        if not versioned:
            yield f"{bucket.name},{name}\n"
        elif version_id:
            yield f"{bucket.name},{name},{version_id}\n"
        else:
            raise StoreError(f"{key} has no version id", hint="leave the versions out, or list the bucket again")


def create_copy_job(settings: StoreSettings, manifest: Manifest, job: Job, *, to: StorageClass) -> str:
    """Create a job that copies the manifest's objects (each up to 5 GB) onto themselves in that class; its id."""
    return _create(settings, manifest, job, copy_operation(bucket_of(settings).name, job, to=to))


def create_restore_job(settings: StoreSettings, manifest: Manifest, job: Job, *, tier: Tier, days: int) -> str:
    """Create a job that asks for restores of the manifest's objects; its id. UsageError for EXPEDITED."""
    return _create(settings, manifest, job, restore_operation(tier=tier, days=days))


def copy_operation(bucket: str, job: Job, *, to: StorageClass) -> dict[str, object]:
    """The operation of a job that changes classes, metadata and tags kept."""
    wanted = {
        "TargetResource": _arn(job, bucket),
        "StorageClass": str(known_class(to)),
        "MetadataDirective": "COPY",
    }
    return {"S3PutObjectCopy": wanted}


def restore_operation(*, tier: Tier, days: int) -> dict[str, object]:
    """The operation of a job that restores."""
    if tier is Tier.EXPEDITED:
        raise UsageError("batch jobs restore by bulk or standard only", hint="--tier bulk, or leave --via out")
    if days < 1:
        raise UsageError(f"--days {days}: a restore lasts a day or longer", hint="--days 7")
    return {"S3InitiateRestoreObject": {"ExpirationInDays": days, "GlacierJobTier": str(tier)}}


def job_arguments(
    bucket: str, manifest: Manifest, job: Job, operation: Mapping[str, object], account: str
) -> dict[str, object]:
    """What CreateJob is asked; the same manifest, operation and role twice is one job, by its request token."""
    fields = ["Bucket", "Key", "VersionId"] if manifest.versioned else ["Bucket", "Key"]
    location = {"ObjectArn": f"{_arn(job, bucket)}/{manifest.name}", "ETag": manifest.etag}
    token = hashlib.sha256(repr((location, operation, job.role_arn)).encode()).hexdigest()
    return {
        "AccountId": account,
        "ConfirmationRequired": job.confirm,
        "Operation": operation,
        "Manifest": {"Spec": {"Format": _LINES_FORMAT, "Fields": fields}, "Location": location},
        "Report": {
            "Bucket": _arn(job, bucket),
            "Format": _REPORT_FORMAT,
            "Enabled": True,
            "Prefix": job.report_prefix,
            "ReportScope": "FailedTasksOnly" if job.failures_only else "AllTasks",
        },
        "Priority": job.priority,
        "RoleArn": job.role_arn,
        "Description": job.description,
        "ClientRequestToken": token,
    }


def _create(settings: StoreSettings, manifest: Manifest, job: Job, operation: Mapping[str, object]) -> str:
    bucket = bucket_of(settings)
    if not bucket.is_aws:
        raise ConfigError(
            f"{bucket.where.endpoint} runs no batch jobs", hint="S3 Batch Operations are AWS's own; leave --via out"
        )
    sts = cast("STSClient", open_boto3(bucket.where, "sts"))
    control = cast("S3ControlClient", open_boto3(bucket.where, "s3control"))
    account = bucket.call("", sts.get_caller_identity)["Account"]
    arguments = job_arguments(bucket.name, manifest, job, operation, account)
    return bucket.call("", control.create_job, **arguments)["JobId"]


def _arn(job: Job, bucket: str) -> str:
    """The bucket's ARN, in the role's partition: `aws`, but in China and for governments."""
    found = _ROLE.fullmatch(job.role_arn)
    if found is None:
        raise UsageError(f"invalid role ARN: {job.role_arn!r}", hint="arn:aws:iam::123456789012:role/NAME")
    return f"arn:{found['partition']}:s3:::{bucket}"


def _chunks(first: bytes, lines: Iterator[bytes]) -> Iterator[memoryview]:
    held = bytearray(first)
    for line in lines:
        held += line
        if len(held) >= _PART_BYTES:
            yield memoryview(bytes(held))
            held.clear()
    if held:
        yield memoryview(bytes(held))
