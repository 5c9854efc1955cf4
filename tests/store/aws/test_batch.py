"""Batch jobs: the manifest as it lies in the bucket, and what AWS would be asked."""

import pytest
from botocore.stub import ANY, Stubber

from imgctl.config.settings import StoreSettings
from imgctl.errors import BlobExists, ConfigError, StoreError, UsageError
from imgctl.model import StorageClass
from imgctl.store.aws import batch
from imgctl.store.aws.batch import (
    Job,
    Manifest,
    create_copy_job,
    create_restore_job,
    restore_operation,
    write_manifest,
)
from imgctl.store.blobs.base import Tier
from imgctl.store.blobs.s3_bucket import open_boto3
from imgctl.store.blobs.s3_connect import connection
from tests.parts.seaweed import S3Server

AWS = StoreSettings(url="s3://photos/one", region="eu-central-1")
ROLE = "arn:aws:iam::123456789012:role/batch"
MANIFEST = Manifest(key="jobs/1.csv", name="one/jobs/1.csv", etag="e1", versioned=False)
JOB = Job(role_arn=ROLE, report_prefix="reports", priority=7)
ARGUMENTS = {
    "AccountId": "123456789012",
    "ConfirmationRequired": True,
    "Manifest": {
        "Spec": {"Format": "S3BatchOperations_CSV_20180820", "Fields": ["Bucket", "Key"]},
        "Location": {"ObjectArn": "arn:aws:s3:::photos/one/jobs/1.csv", "ETag": "e1"},
    },
    "Report": {
        "Bucket": "arn:aws:s3:::photos", "Format": "Report_CSV_20180820", "Enabled": True, "Prefix": "reports",
        "ReportScope": "AllTasks",
    },
    "Priority": 7, "RoleArn": ROLE, "Description": "imgctl", "ClientRequestToken": ANY,
}  # fmt: skip


@pytest.fixture
def control(monkeypatch: pytest.MonkeyPatch) -> Stubber:
    """S3 Control, stubbed; STS says whose account it is."""
    where = connection(AWS, "photos")
    clients = {"sts": open_boto3(where, "sts"), "s3control": open_boto3(where, "s3control")}
    sts, control = Stubber(clients["sts"]), Stubber(clients["s3control"])
    sts.add_response("get_caller_identity", {"Account": "123456789012"})
    sts.activate()
    control.activate()
    monkeypatch.setattr(batch, "open_boto3", lambda _, service: clients[service])
    return control


def test_a_manifest_names_each_object_as_aws_reads_it(moto_s3: S3Server) -> None:
    bucket = moto_s3.new_bucket()
    items = [("2026/11/22/1-original.jpg", None), ('inbox/a b,+é"%.jpg', None)]

    found = write_manifest(moto_s3.settings(bucket, prefix="one"), "jobs/1.csv", items)

    body = moto_s3.client().get_object(Bucket=bucket, Key="one/jobs/1.csv")
    lines = body["Body"].read().decode().splitlines()
    assert lines == [f"{bucket},one/2026/11/22/1-original.jpg", f"{bucket},one/inbox/a%20b%2C%2B%C3%A9%22%25.jpg"]
    assert (found.name, found.etag, found.versioned) == ("one/jobs/1.csv", body["ETag"].strip('"'), False)


def test_a_manifest_names_versions_when_asked(moto_s3: S3Server) -> None:
    bucket = moto_s3.new_bucket()

    write_manifest(moto_s3.settings(bucket), "1.csv", [("a", "v1"), ("b", "v2")], versioned=True)

    assert moto_s3.client().get_object(Bucket=bucket, Key="1.csv")["Body"].read() == (
        f"{bucket},a,v1\n{bucket},b,v2\n".encode()
    )
    with pytest.raises(StoreError, match="c has no version"):
        write_manifest(moto_s3.settings(bucket), "2.csv", [("c", None)], versioned=True)


def test_a_long_manifest_is_put_in_parts_and_never_over_another(
    moto_s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "_PART_BYTES", 5 * 2**20)
    bucket = moto_s3.new_bucket()
    where, key = moto_s3.settings(bucket), "k" * 999

    write_manifest(where, "1.csv", ((f"{number:05}{key}", None) for number in range(5_300)))

    found = moto_s3.client().head_object(Bucket=bucket, Key="1.csv")
    assert found["ContentLength"] == 5_300 * (len(f"{bucket},\n") + 1004)
    assert found["ETag"].endswith('-2"')
    with pytest.raises(BlobExists):
        write_manifest(where, "1.csv", [("a", None)])


def test_an_empty_manifest_is_no_job(moto_s3: S3Server) -> None:
    with pytest.raises(UsageError, match="nothing"):
        write_manifest(moto_s3.settings(moto_s3.new_bucket()), "1.csv", [])


def test_a_copy_job_is_asked_for_with_all_it_needs(control: Stubber) -> None:
    copy = {"TargetResource": "arn:aws:s3:::photos", "StorageClass": "DEEP_ARCHIVE", "MetadataDirective": "COPY"}
    control.add_response("create_job", {"JobId": "job-1"}, {**ARGUMENTS, "Operation": {"S3PutObjectCopy": copy}})

    assert create_copy_job(AWS, MANIFEST, JOB, to=StorageClass.DEEP_ARCHIVE) == "job-1"
    control.assert_no_pending_responses()


def test_a_restore_job_is_asked_for_with_all_it_needs(control: Stubber) -> None:
    restore = {"ExpirationInDays": 7, "GlacierJobTier": "BULK"}
    wanted = {**ARGUMENTS, "Operation": {"S3InitiateRestoreObject": restore}}
    control.add_response("create_job", {"JobId": "job-2"}, wanted)

    assert create_restore_job(AWS, MANIFEST, JOB, tier=Tier.BULK, days=7) == "job-2"
    control.assert_no_pending_responses()


def test_the_same_job_asked_for_twice_is_one_job() -> None:
    def token(etag: str, days: int) -> object:
        manifest = Manifest(key="1", name="1", etag=etag, versioned=True)
        operation = restore_operation(tier=Tier.BULK, days=days)
        return batch.job_arguments("photos", manifest, JOB, operation, "123456789012")["ClientRequestToken"]

    assert token("e1", 7) == token("e1", 7)
    assert len({token("e1", 7), token("e2", 7), token("e1", 8)}) == 3


def test_arns_follow_the_role_into_its_partition() -> None:
    china = Job(
        role_arn="arn:aws-cn:iam::123456789012:role/batch", report_prefix="r", confirm=False, failures_only=True
    )
    versioned = Manifest(key="1", name="1", etag="e", versioned=True)

    found = batch.job_arguments("photos", versioned, china, {}, "123456789012")

    assert found["Manifest"] == {
        "Spec": {"Format": "S3BatchOperations_CSV_20180820", "Fields": ["Bucket", "Key", "VersionId"]},
        "Location": {"ObjectArn": "arn:aws-cn:s3:::photos/1", "ETag": "e"},
    }
    assert found["ConfirmationRequired"] is False
    assert isinstance(found["Report"], dict) and found["Report"]["ReportScope"] == "FailedTasksOnly"


def test_what_batch_jobs_cannot_do_is_said_before_anything_is_asked() -> None:
    with pytest.raises(UsageError, match="bulk or standard"):
        restore_operation(tier=Tier.EXPEDITED, days=7)
    with pytest.raises(UsageError, match="--days 0"):
        restore_operation(tier=Tier.BULK, days=0)
    with pytest.raises(UsageError, match="invalid role ARN"):
        create_copy_job(AWS, MANIFEST, Job(role_arn="batch", report_prefix="r"), to=StorageClass.GLACIER)


def test_only_aws_runs_batch_jobs(moto_s3: S3Server) -> None:
    with pytest.raises(ConfigError, match="no batch jobs"):
        create_copy_job(moto_s3.settings("photos"), MANIFEST, JOB, to=StorageClass.GLACIER)
    with pytest.raises(ConfigError, match="buckets only"):
        write_manifest(StoreSettings(url="file:///x"), "1.csv", [("a", None)])
