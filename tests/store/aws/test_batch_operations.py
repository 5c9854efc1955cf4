"""Batch jobs: the manifest in the bucket, and the request to AWS."""

import pytest
from botocore.stub import ANY, Stubber

from imgctl.config.catalog_store import StoreSettings
from imgctl.errors import BlobExists, ConfigError, UsageError
from imgctl.model import StorageClass
from imgctl.store.aws import batch_operations
from imgctl.store.aws.batch_operations import (
    Job,
    Manifest,
    create_copy_job,
    write_manifest,
)
from imgctl.store.blobs.s3.bucket import open_boto3
from imgctl.store.blobs.s3.connect import connection
from tests.parts.seaweed import S3Server

AWS = StoreSettings(url="s3://photos/one", region="eu-central-1")
ROLE = "arn:aws:iam::123456789012:role/batch"
MANIFEST = Manifest(name="one/jobs/1.csv", etag="e1")
JOB = Job(role_arn=ROLE, report_prefix="reports")
ARGUMENTS = {
    "AccountId": "123456789012",
    "ConfirmationRequired": True,
    "Manifest": {
        "Spec": {"Format": "S3BatchOperations_CSV_20180820", "Fields": ["Bucket", "Key"]},
        "Location": {"ObjectArn": "arn:aws:s3:::photos/one/jobs/1.csv", "ETag": "e1"},
    },
    "Report": {
        "Bucket": "arn:aws:s3:::photos", "Format": "Report_CSV_20180820", "Enabled": True, "Prefix": "one/reports",
        "ReportScope": "AllTasks",
    },
    "Priority": 10, "RoleArn": ROLE, "Description": "imgctl", "ClientRequestToken": ANY,
}  # fmt: skip


@pytest.fixture
def control(monkeypatch: pytest.MonkeyPatch) -> Stubber:
    """S3 Control, stubbed; STS returns the account."""
    where = connection(AWS, "photos")
    clients = {"sts": open_boto3(where, "sts"), "s3control": open_boto3(where, "s3control")}
    sts, control = Stubber(clients["sts"]), Stubber(clients["s3control"])
    sts.add_response("get_caller_identity", {"Account": "123456789012"})
    sts.activate()
    control.activate()
    monkeypatch.setattr(batch_operations, "open_boto3", lambda _, service: clients[service])
    return control


def test_a_manifest_names_each_object_in_aws_format(moto_s3: S3Server) -> None:
    bucket = moto_s3.new_bucket()
    items = ["2026/11/22/1-original.jpg", 'inbox/a b,+é"%.jpg']

    found = write_manifest(moto_s3.settings(bucket, prefix="one"), "jobs/1.csv", items)

    body = moto_s3.client().get_object(Bucket=bucket, Key="one/jobs/1.csv")
    lines = body["Body"].read().decode().splitlines()
    assert lines == [f"{bucket},one/2026/11/22/1-original.jpg", f"{bucket},one/inbox/a%20b%2C%2B%C3%A9%22%25.jpg"]
    assert (found.name, found.etag) == ("one/jobs/1.csv", body["ETag"].strip('"'))


def test_a_long_manifest_is_put_in_parts_and_overwrites_nothing(
    moto_s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_operations, "_PART_BYTES", 5 * 2**20)
    bucket = moto_s3.new_bucket()
    where, key = moto_s3.settings(bucket), "k" * 999

    write_manifest(where, "1.csv", (f"{number:05}{key}" for number in range(5_300)))

    found = moto_s3.client().head_object(Bucket=bucket, Key="1.csv")
    assert found["ContentLength"] == 5_300 * (len(f"{bucket},\n") + 1004)
    assert found["ETag"].endswith('-2"')
    with pytest.raises(BlobExists):
        write_manifest(where, "1.csv", ["a"])


def test_an_empty_manifest_is_an_error(moto_s3: S3Server) -> None:
    with pytest.raises(UsageError, match="no objects"):
        write_manifest(moto_s3.settings(moto_s3.new_bucket()), "1.csv", [])


def test_a_copy_job_has_all_required_arguments(control: Stubber) -> None:
    copy = {"TargetResource": "arn:aws:s3:::photos", "StorageClass": "DEEP_ARCHIVE", "MetadataDirective": "COPY"}
    control.add_response("create_job", {"JobId": "job-1"}, {**ARGUMENTS, "Operation": {"S3PutObjectCopy": copy}})

    assert create_copy_job(AWS, MANIFEST, JOB, to=StorageClass.DEEP_ARCHIVE) == "job-1"
    control.assert_no_pending_responses()


def test_the_same_job_requested_twice_is_one_job() -> None:
    def token(etag: str, to: StorageClass) -> object:
        return batch_operations.job_arguments("photos", Manifest(name="1", etag=etag), JOB, to=to)["ClientRequestToken"]

    cold, colder = StorageClass.GLACIER, StorageClass.DEEP_ARCHIVE
    assert token("e1", cold) == token("e1", cold)
    assert len({token("e1", cold), token("e2", cold), token("e1", colder)}) == 3


def test_arns_have_the_partition_of_the_role() -> None:
    china = Job(role_arn="arn:aws-cn:iam::123456789012:role/batch", report_prefix="r")

    found = batch_operations.job_arguments("photos", Manifest(name="1", etag="e"), china, to=StorageClass.GLACIER)

    assert found["Manifest"] == {
        "Spec": {"Format": "S3BatchOperations_CSV_20180820", "Fields": ["Bucket", "Key"]},
        "Location": {"ObjectArn": "arn:aws-cn:s3:::photos/1", "ETag": "e"},
    }


def test_an_invalid_role_is_rejected_before_any_request() -> None:
    with pytest.raises(UsageError, match="invalid role ARN"):
        create_copy_job(AWS, MANIFEST, Job(role_arn="batch", report_prefix="r"), to=StorageClass.GLACIER)


def test_only_aws_runs_batch_jobs(moto_s3: S3Server) -> None:
    with pytest.raises(ConfigError, match="no batch jobs"):
        create_copy_job(moto_s3.settings("photos"), MANIFEST, JOB, to=StorageClass.GLACIER)
    with pytest.raises(ConfigError, match="buckets only"):
        write_manifest(StoreSettings(url="file:///x"), "1.csv", ["a"])
