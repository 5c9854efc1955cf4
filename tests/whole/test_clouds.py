"""Azure as a store, on Azurite: kills, faults, classes, a migration from S3; and a migration to Google's emulator."""

import json
import random
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from imgctl.model import Status
from tests.parts.clouds import CloudServer
from tests.parts.proxy import Fault, fault_proxy
from tests.parts.seaweed import S3Server
from tests.soak import rounds
from tests.whole.conftest import photo, place_of
from tests.whole.deployment import USER, Deployment, assert_whole, kill_at_a_request

# 18 photos, and the requests before the first and after the last.
UPLOAD_REQUESTS, WORK_REQUESTS = 20, 78
FAULTS = (Fault.SERVICE_UNAVAILABLE, Fault.RESET, Fault.STALL, Fault.LOST_RESPONSE)


@pytest.fixture
def azure(tmp_path: Path, azurite: CloudServer) -> Deployment:
    """SQLite and Azurite."""
    place = tmp_path / "run"
    place.mkdir()
    return Deployment(
        directory=place,
        catalog_url=f"sqlite:///{place}/catalog.db",
        store=azurite.settings(azurite.new_bucket()),
        settings=dict(azurite.environment),
    )


@pytest.fixture
def google(tmp_path: Path, gcs: CloudServer) -> Deployment:
    """SQLite and fake-gcs-server."""
    place = tmp_path / "run"
    place.mkdir()
    deployment = Deployment(
        directory=place,
        catalog_url=f"sqlite:///{place}/catalog.db",
        store=gcs.settings(gcs.new_bucket()),
        settings=dict(gcs.environment),
    )
    assert deployment.run("init").code == 0
    return deployment


@pytest.fixture
def ready(azure: Deployment) -> Deployment:
    assert azure.run("init").code == 0
    return azure


def test_a_killed_upload_to_azure_is_finished_by_the_next(ready: Deployment, album: dict[Path, bytes]) -> None:
    rng = random.Random("azure")
    for number in range(rounds(4, 20)):
        command = ["upload", str(place_of(album)), "--user", str(UUID(int=number + 1))]
        kill_at_a_request(ready, command, UPLOAD_REQUESTS, rng)
        again = ready.run(*command)
        assert again.code == 0, again.err

    assert_whole(ready, album.values(), status=Status.PROCESSING, users=rounds(4, 20))


@pytest.mark.parametrize("seed", range(rounds(2, 20)))
def test_killed_work_in_azure_is_finished_by_the_next(ready: Deployment, album: dict[Path, bytes], seed: int) -> None:
    assert ready.run("upload", place_of(album), "--user", str(USER)).code == 0
    kill_at_a_request(ready, ["work", "--drain"], WORK_REQUESTS, random.Random(seed))

    again = ready.run("work", "--drain")

    assert again.code == 0, again.err
    assert_whole(ready, album.values(), status=Status.READY)


def test_every_file_survives_a_network_to_azure_that_fails_one_request_in_five(
    ready: Deployment, album: dict[Path, bytes]
) -> None:
    rng = random.Random(20)

    def policy(_method: str, _path: str, number: int) -> Fault | None:
        return rng.choice(FAULTS) if rng.random() < 0.2 or number in (3, 7) else None

    with fault_proxy(ready.store.endpoint_url, policy=policy) as proxy:
        far = ready.through(proxy.url).with_settings(STORE_TIMEOUT="2s")
        result = far.run("upload", place_of(album), "--user", str(USER))

    assert result.code == 0, result.err
    assert proxy.faults.total() >= 2
    assert_whole(ready, album.values(), status=Status.PROCESSING)


def test_a_lifecycle_rule_of_azure_is_printed_for_the_owner_of_the_account(azure: Deployment) -> None:
    ours = azure.with_settings(STORE_ORIGINALS_PREFIX="originals/")
    assert ours.run("init").code == 0
    command = ("transition", "--to", "COOL", "--older-than", "90d", "--via", "lifecycle")

    shown, refused = ours.run(*command, "--dry-run", "--json"), ours.run(*command, "--yes")
    sized = ours.run(*command, "--min-size", "1MiB", "--dry-run")

    assert shown.code == 0, shown.err
    [rule] = json.loads(str(shown.of("lifecycle")[0]["policy"]))["rules"]
    assert rule["definition"]["actions"] == {"baseBlob": {"tierToCool": {"daysAfterModificationGreaterThan": 90}}}
    assert (refused.code, "--dry-run prints it" in refused.err) == (2, True)
    assert (sized.code, "cannot filter by size" in sized.err) == (2, True)


def test_a_migration_from_s3_to_azure_is_proved_and_its_originals_go_cold_and_come_back(
    ready: Deployment, seaweed: S3Server
) -> None:
    bucket = seaweed.new_bucket()
    for number in range(3):
        seaweed.client().put_object(Bucket=bucket, Key=f"2019/{number}.jpg", Body=photo(number))
    config = ready.directory / "imgctl.toml"
    config.write_text(f'[source.old]\nurl = "s3://{bucket}"\nendpoint_url = "{seaweed.endpoint_url}"\n')
    scope = ("--user", str(USER), "--config", config)
    read = "--json"

    uploaded = ready.run("upload", "source:old", *scope, read)
    verified = ready.run("verify", "source:old", *scope, read)
    assert (uploaded.code, verified.code) == (0, 0), uploaded.err + verified.err
    read_again = ready.run("verify", "source:old", *scope, read, "--journal", "none")
    assert (read_again.code, read_again.summary["reasons"]) == (0, {"by_etag": 3}), read_again.err
    first = ready.images()[0].original_key or ""
    whole = ready.open_store().get(first)
    ready.open_store().replace(first, whole[:-1] + b"?", content_type="image/jpeg")
    swapped = ready.run("verify", "source:old", *scope, read, "--journal", "none")
    assert (swapped.code, swapped.summary["reasons"]) == (4, {"by_etag": 2, "content_differs": 1}), swapped.err
    ready.open_store().replace(first, whole, content_type="image/jpeg")
    assert ready.run("work", "--drain").code == 0
    moved = ready.run("transition", "--user", str(USER), "--to", "ARCHIVE", "--min-size", "1", "--yes", read)
    assert moved.code == 0, moved.err
    assert {image.storage_class for image in ready.images()} == {"AZURE_ARCHIVE"}
    assert ready.run("audit", "--storage-class", "--grace", "0s", read).code == 0
    restored = ready.run("restore", "--user", str(USER), "--yes", read)

    assert restored.code == 0, restored.err
    assert {image.storage_class or "STANDARD" for image in ready.images()} == {"STANDARD"}
    refused = ready.run("transition", "--user", str(USER), "--to", "GLACIER", "--yes")
    assert (refused.code, "COOL, COLD, ARCHIVE" in refused.err) == (2, True)


@pytest.mark.parametrize("kind", ["azure", "google"])
def test_a_store_on_another_cloud_is_never_uploaded_into_itself(
    request: pytest.FixtureRequest, kind: str, album: dict[Path, bytes]
) -> None:
    cloud: Deployment = request.getfixturevalue(kind)
    below = replace(cloud, store=replace(cloud.store, url=f"{cloud.store.url}/imgctl"))
    ours = below.with_settings(SOURCE_OLD_URL=cloud.store.url, SOURCE_OLD_ENDPOINT_URL=cloud.store.endpoint_url)
    assert ours.run("init").code == 0
    assert ours.run("upload", place_of(album), "--user", str(USER)).code == 0
    before = ours.images()

    inside = ours.run("upload", "source:old/imgctl", "--user", str(USER))
    above = ours.run("upload", "source:old", "--user", str(UUID(int=2)), "--json")

    assert (inside.code, "lies in the store itself" in inside.err) == (2, True), inside.err
    assert (above.code, above.summary["reasons"]) == (0, {"own_store": 1}), above.err
    assert ours.images() == before


# fake-gcs-server 1.54 does not compare the MD5 of an upload (Google does), so the bytes are read back here.
def test_a_migration_from_s3_to_google_is_proved_object_by_object(google: Deployment, seaweed: S3Server) -> None:
    bucket = seaweed.new_bucket()
    photos = {f"2019/{number}.jpg": photo(number) for number in range(6)}
    for key, body in photos.items():
        seaweed.client().put_object(Bucket=bucket, Key=key, Body=body)
    source = f"s3://{bucket}"
    scope = ("--store", google.store.url, "--user", str(USER), "--json")
    ready = google.in_environment(AWS_ENDPOINT_URL_S3=seaweed.endpoint_url)

    uploaded = ready.run("upload", source, *scope)
    # Without the journal each object of the source is read and hashed.
    verified = ready.run("verify", source, *scope, "--journal", "none")

    assert uploaded.code == 0, uploaded.err
    assert (verified.code, verified.summary["safe"], verified.summary["unsafe"]) == (0, 6, 0), verified.err
    # By the MD5 in the bucket's listing.
    assert verified.summary["reasons"] == {"by_etag": 6}
    deep = ("audit", "--deep", "--grace", "0s", *scope[:2])
    audited = ready.run(*deep)
    assert (audited.code, "6 HEAD" in audited.out) == (0, True), audited.out
    store = ready.open_store()
    assert sorted(store.get(image.original_key or "") for image in ready.images()) == sorted(photos.values())

    whole = store.get(ready.images()[0].original_key or "")
    store.replace(ready.images()[0].original_key or "", whole[:-1] + b"?", content_type="image/jpeg")
    assert ready.run(*deep).code == 4
    swapped = ready.run("verify", source, *scope, "--journal", "none")
    assert (swapped.code, swapped.summary["reasons"]) == (4, {"by_etag": 5, "content_differs": 1}), swapped.err
    store.replace(ready.images()[0].original_key or "", whole, content_type="image/jpeg")

    [lost] = [image for image in ready.images() if image.name == "3.jpg"]
    store.delete([lost.original_key or ""])
    found = ready.run("verify", source, *scope)

    assert (found.code, found.summary["safe"], found.summary["unsafe"]) == (4, 5, 1), found.err
    unsafe = [(str(one["path"]), one["reason"]) for one in found.of("file") if one["fate"] == "unsafe"]
    assert unsafe == [(f"{source}/2019/3.jpg", "original_missing")]
