"""`imgctl doctor --conformance`: the table matches the known traits of each store, and no blob is left."""

from pathlib import Path

import pytest

from imgctl.ops.conformance import BELOW
from tests.parts.seaweed import S3Server
from tests.whole.deployment import Deployment

# The results that differ between stores; all others hold everywhere.
HOLDS = {
    "byte order": "yes", "ranged reads": "yes", "replaced while read": "noticed", "listing after a put": "yes",
    "listing after a delete": "yes", "batch delete": "yes", "copy": "yes", "clock": "agrees", "object lock": "no",
}  # fmt: skip
KNOWN = {
    "file": {"put if absent": "yes", "signed GET": "not_applicable", "signed PUT": "no", "class GLACIER": "yes", "versions": "no",
             "byte order": "not_applicable", "multipart": "not_applicable", "multipart if absent": "not_applicable",
             "listing after a put": "not_applicable", "listing after a delete": "not_applicable"},
    "seaweed": {"put if absent": "yes", "checksums": "yes", "signed GET": "yes", "signed PUT": "yes", "restore": "error",
                "multipart": "yes", "multipart if absent": "yes"},
    "moto_s3": {"put if absent": "yes", "checksums": "ignored", "signed GET": "yes", "class GLACIER": "yes", "restore": "started",
                "multipart": "yes", "multipart if absent": "yes"},
    "rclone_s3": {"put if absent": "ignored", "signed GET": "yes", "signed PUT": "no", "restore": "error",
                  "multipart": "yes", "multipart if absent": "ignored",
                  # It returns 200 for a small range.
                  "ranged reads": "error", "replaced while read": "error"},
}  # fmt: skip


def deployed(kind: str, place: Path, request: pytest.FixtureRequest, embedded: Deployment) -> Deployment:
    if kind == "file":
        return embedded
    server = request.getfixturevalue(kind)
    assert isinstance(server, S3Server)
    return Deployment(directory=place, catalog_url=embedded.catalog_url, store=server.settings(server.new_bucket()))


@pytest.mark.parametrize("kind", KNOWN)
def test_the_table_is_right(kind: str, tmp_path: Path, request: pytest.FixtureRequest, embedded: Deployment) -> None:
    deployment = deployed(kind, tmp_path, request, embedded)
    store = deployment.open_store()
    store.create(f"{BELOW}left/by a killed run", b"x", content_type="text/plain")

    ran = deployment.run("doctor", "--conformance", "--yes", "--json")

    assert ran.of("trait"), ran.err
    found = {str(one["name"]): str(one["answer"]) for one in ran.of("trait")}
    assert {name: found[name] for name in HOLDS | KNOWN[kind]} == HOLDS | KNOWN[kind], ran.out
    assert not list(store.remnants([BELOW]))


def test_a_billed_action_needs_yes(tmp_path: Path, moto_s3: S3Server, embedded: Deployment) -> None:
    deployment = Deployment(
        directory=tmp_path, catalog_url=embedded.catalog_url, store=moto_s3.settings(moto_s3.new_bucket())
    )

    ran = deployment.run("doctor", "--conformance")

    assert ran.code == 2
    assert "costs" in ran.err and "needs --yes" in ran.err


def locked(place: Path, server: S3Server, embedded: Deployment, **retention: object) -> Deployment:
    """Create a bucket with Object Lock and this default retention."""
    bucket, client = f"{server.new_bucket()}-locked", server.client()
    client.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
    if retention:
        rule = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": retention}}
        client.put_object_lock_configuration(Bucket=bucket, ObjectLockConfiguration=rule)
    return Deployment(directory=place, catalog_url=embedded.catalog_url, store=server.settings(bucket))


@pytest.mark.parametrize("kind", ["seaweed", "moto_s3"])
def test_a_legal_hold_is_tried_where_the_bucket_has_object_lock_and_lifted(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest, embedded: Deployment
) -> None:
    deployment = locked(tmp_path, request.getfixturevalue(kind), embedded)
    store = deployment.open_store()
    store.create(key := f"{BELOW}left/under a hold", b"x", content_type="text/plain")
    (left,) = store.remnants([key])
    store.set_legal_hold(left, on=True)

    ran = deployment.run("doctor", "--conformance", "--yes", "--json")

    found = {str(one["name"]): str(one["answer"]) for one in ran.of("trait")}
    assert (found["object lock"], found["versions"]) == ("yes", "kept"), ran.out
    assert not list(store.remnants([BELOW]))


def test_a_bucket_that_locks_whatever_is_put_is_refused(
    tmp_path: Path, moto_s3: S3Server, embedded: Deployment
) -> None:
    deployment = locked(tmp_path, moto_s3, embedded, Mode="COMPLIANCE", Days=1)

    ran = deployment.run("doctor", "--conformance", "--yes")

    assert ran.code != 0
    assert "COMPLIANCE for 1 day" in ran.err
    assert not list(deployment.open_store().remnants([""]))
