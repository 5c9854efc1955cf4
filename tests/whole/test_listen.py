"""`imgctl listen`: it imports each object that a bucket reports through a queue once, and no other."""

import hashlib
import json
import os
import random
import signal
import urllib.request
from pathlib import Path
from uuid import UUID, uuid5

import pytest
from sqlalchemy import delete

from imgctl.config.catalog_store import CatalogSettings
from imgctl.config.settings import Settings
from imgctl.keys import PROBES
from imgctl.model import Status, Variant
from imgctl.ops.common.open import open_parts
from imgctl.ops.receive_image import Announced, grant
from imgctl.store.blobs.base import SignedPut
from imgctl.store.catalog.engine import open_catalog
from imgctl.store.catalog.schema import images
from tests.parts.postgres import sqlite_catalog
from tests.parts.proxy import Fault, fault_proxy
from tests.parts.queues import Queues, event
from tests.parts.seaweed import S3Server
from tests.soak import rounds
from tests.whole.conftest import photo
from tests.whole.deployment import USER, Deployment, Run, kill_when
from tests.whole.test_records import faults_of
from tests.whole.test_service import assert_notifies

INBOX = "inbox/"
OTHER = UUID("0190b2b4-0000-7000-8000-000000000002")


@pytest.fixture
def listening(tmp_path: Path, moto_s3: S3Server, queues: Queues) -> Deployment:
    """SQLite, a bucket of moto with an inbox, and a queue that receives its events."""
    place = tmp_path / "run"
    place.mkdir()
    deployment = Deployment(
        directory=place,
        catalog_url=sqlite_catalog(place),
        store=moto_s3.settings(moto_s3.new_bucket(), timeout=4.0),
    )
    return deployment.with_settings(LISTEN_SQS=queues.url, LISTEN_INBOX=INBOX, LISTEN_USER_FROM="{user}/**")


def bucket_of(deployment: Deployment) -> str:
    return deployment.store.url.removeprefix("s3://")


def put(moto_s3: S3Server, bucket: str, key: str, data: bytes) -> None:
    moto_s3.client().put_object(Bucket=bucket, Key=key, Body=data)


def contents(deployment: Deployment) -> list[tuple[UUID, bytes]]:
    """The owner and the original of every row, read from the store."""
    store = deployment.open_store()
    return sorted((image.user_id, store.get(image.original_key or "")) for image in deployment.images())


def test_a_listener_notifies_systemd_that_it_is_ready_alive_and_stopping(listening: Deployment) -> None:
    assert_notifies(listening, "listen")


def test_objects_of_the_inbox_become_rows_by_the_events_of_the_bucket(
    listening: Deployment, moto_s3: S3Server, queues: Queues
) -> None:
    bucket, client = bucket_of(listening), moto_s3.client()
    told = {"QueueConfigurations": [{"QueueArn": queues.arn, "Events": ["s3:ObjectCreated:*"]}]}
    client.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=told)
    for number in range(3):
        put(moto_s3, bucket, f"{INBOX}{USER}/2026 süß & more/{number}.jpg", photo(number))
    put(moto_s3, bucket, f"{INBOX}{OTHER}/0.jpg", photo(0))
    put(moto_s3, bucket, "elsewhere/1.jpg", photo(7))

    first = listening.run("listen", "--drain", "--json")
    # Events of the originals that the first run put.
    again = listening.run("listen", "--drain", "--json")

    assert (first.code, again.code) == (0, 0), first.err + again.err
    assert not faults_of("listen", first.records)
    assert contents(listening) == sorted([*((USER, photo(number)) for number in range(3)), (OTHER, photo(0))])
    assert {image.name for image in listening.images()} == {"0.jpg", "1.jpg", "2.jpg"}
    assert {image.status for image in listening.images()} == {Status.PROCESSING}
    assert first.summary["uploaded"] == 4
    # The other object is that of the put-if-absent test.
    assert first.summary["foreign"] == {"other_key": 2}
    assert int(str(first.summary["present"])) + int(str(again.summary["present"])) == 4
    assert queues.left() == 0
    kept = {one["Key"] for one in client.list_objects_v2(Bucket=bucket, Prefix=INBOX)["Contents"]}
    assert len(kept) == 4


def test_an_original_put_by_a_signed_url_is_confirmed(listening: Deployment, moto_s3: S3Server, queues: Queues) -> None:
    data = photo(1)
    key, signed = announce(listening, data)
    request = urllib.request.Request(signed.url, data=data, headers=signed.headers, method="PUT")
    urllib.request.urlopen(request).close()
    queues.send([event(bucket_of(listening), key)] * 2)

    ran = listening.run("listen", "--drain", "--json")

    assert ran.code == 0, ran.err
    (image,) = listening.images()
    assert (image.original_key, image.status, image.width) == (key, Status.PROCESSING, 96)
    assert (ran.summary["uploaded"], ran.summary["present"], queues.left()) == (1, 1, 0)


def announce(deployment: Deployment, data: bytes) -> tuple[str, SignedPut]:
    """Promise a picture like POST /uploads; return its key and the signed request for its PUT."""
    settings = Settings(catalog=CatalogSettings(url=deployment.catalog_url), store=deployment.store)
    with open_parts(settings) as parts:
        digest = hashlib.sha256(data).digest()
        announced = Announced(user_id=USER, sha256=digest, bytes=len(data), content_type="image/jpeg")
        granted = grant(parts, announced, seconds=60)
    assert granted.put is not None
    (key,) = [image.original_key for image in deployment.images() if image.id == granted.id]
    return key or "", granted.put


def test_what_cannot_be_taken_in_goes_to_the_dead_letter_queue_with_the_reason(
    listening: Deployment, moto_s3: S3Server, queues: Queues
) -> None:
    bucket = bucket_of(listening)
    broken, _ = announce(listening, photo(1))
    put(moto_s3, bucket, broken, photo(2))
    objects = {
        f"{INBOX}{USER}/a.jpg": b"no picture",
        f"{INBOX}{USER}/b.txt": b"a note",
        f"{INBOX}nobody/c.jpg": photo(3),
        f"{INBOX}{USER}/d.jpg": photo(4),
    }
    for key, data in objects.items():
        put(moto_s3, bucket, key, data)
    queues.send([event(bucket, key) for key in [*objects, f"{INBOX}{USER}/gone.jpg", broken]])
    queues.send(["no json", json.dumps({"Service": "Amazon S3", "Event": "s3:TestEvent"})])

    ran = listening.run("listen", "--drain", "--json", "--failed-out", "failed")

    assert ran.code == 3, ran.err
    assert (ran.summary["uploaded"], ran.summary["skipped"], ran.summary["failed"]) == (1, 1, 5)
    reasons = sorted(reason.partition(":")[0] for _, reason in queues.dead_letters())
    assert reasons == ["bad_event", "content_differs", "no_user", "not_an_image", "not_found"]
    assert queues.left() == 0
    assert f"failed s3://{bucket}/{INBOX}nobody/c.jpg: no [listen] user_from matches its key" in ran.err
    assert len((listening.directory / "failed").read_text().splitlines()) == 4


def test_what_failed_in_passing_comes_again(listening: Deployment, moto_s3: S3Server, queues: Queues) -> None:
    bucket = bucket_of(listening)
    put(moto_s3, bucket, f"{INBOX}{USER}/a.jpg", photo(0))
    queues.send([event(bucket, f"{INBOX}{USER}/a.jpg")])

    def policy(_method: str, path: str, _number: int) -> Fault | None:
        return Fault.SERVICE_UNAVAILABLE if path.endswith("original.jpg") else None

    with fault_proxy(moto_s3.endpoint_url, policy=policy) as proxy:
        faulty = listening.through(proxy.url).with_settings(STORE_RETRIES="0")
        ran = faulty.run("listen", "--drain", "--json")

    assert ran.code == 3, ran.err
    assert (ran.summary["returned"], ran.summary["deleted"], queues.left()) == (1, 0, 1)
    assert queues.dead_letters() == []


def test_a_flood_of_duplicates_and_foreign_keys_leaves_one_row_an_object(
    listening: Deployment, moto_s3: S3Server, queues: Queues
) -> None:
    rng, bucket = random.Random(22), bucket_of(listening)
    photos = {f"{INBOX}{USER}/{number}.jpg": photo(number) for number in range(rounds(20, 200))}
    for key, data in photos.items():
        put(moto_s3, bucket, key, data)
    ours = [event(bucket, key, sequencer=f"{number:08X}") for number, key in enumerate(photos)]
    foreign = [
        *(event(bucket, f"2026/11/28/{UUID(int=(7 << 76) + (2 << 62))}-{name}.jpg") for name in Variant),
        event("another", f"{INBOX}{USER}/0.jpg"),
        event(bucket, "elsewhere/0.jpg"),
        event(bucket, f"{INBOX}{USER}/0.jpg", name="ObjectRemoved:Delete"),
    ]
    count = rounds(120, 10_000)
    bodies = [*ours, *rng.choices(ours, k=count // 2), *rng.choices(foreign, k=count - count // 2 - len(ours))]
    rng.shuffle(bodies)

    run = listening.start("listen", "--json")
    for _ in queues.feed(bodies):
        run.process.join(0.1)
    os.kill(run.process.pid or 0, signal.SIGTERM)
    ran = run.wait()

    assert ran.code == 0, ran.err
    assert contents(listening) == sorted((USER, data) for data in photos.values())
    assert (ran.summary["messages"], ran.summary["deleted"], queues.left()) == (count, count, 0)
    assert ran.summary["uploaded"] == len(photos)
    told = sum(int(str(ran.summary[name])) for name in ("uploaded", "present", "repeated"))
    assert told + sum(dict(ran.summary["foreign"]).values()) == count  # type: ignore[call-overload]


def test_a_killed_listen_is_finished_by_the_next(listening: Deployment, moto_s3: S3Server, queues: Queues) -> None:
    rng, bucket = random.Random("listen"), bucket_of(listening)
    listening.run("init")
    kills, each = rounds(3, 50), 4
    # A message held by a killed run is delivered again when its hold expires.
    deployment = listening.with_settings(LISTEN_HOLD="1s")
    wanted: list[tuple[UUID, bytes]] = []
    killed = number = 0
    while killed < kills:
        number += 1
        user = UUID(int=number)
        keys = [f"{INBOX}{user}/{one}.jpg" for one in range(each)]
        for one, key in enumerate(keys):
            put(moto_s3, bucket, key, photo(one))
            wanted.append((user, photo(one)))
        queues.send(event(bucket, key) for key in keys)
        chosen, running = rng.randrange(6 * each), list[Run]()

        def policy(
            _method: str, _path: str, at: int, chosen: int = chosen, running: list[Run] = running
        ) -> Fault | None:
            if at >= chosen and running:
                running[0].kill()
                return Fault.RESET
            return None

        # The queue and the bucket are the same server here: a kill may come at a request to either.
        with fault_proxy(moto_s3.endpoint_url, policy=policy) as proxy:
            url = queues.url.replace(moto_s3.endpoint_url, proxy.url)
            running.append(deployment.through(proxy.url).with_settings(LISTEN_SQS=url).start("listen", "--drain"))
            kill_when(running[0], lambda: False)

        # A run with few requests may end before the kill.
        killed += running[0].process.exitcode == -9
        assert number < 3 * kills
    last = deployment.run("listen", "--drain", "--json")
    while queues.left():
        last = deployment.run("listen", "--drain", "--json")

    assert last.code == 0, last.err
    assert contents(listening) == sorted(wanted)
    assert {image.status for image in listening.images()} == {Status.PROCESSING}
    originals = {image.original_key for image in listening.images()}
    blobs = {blob.key for blob in listening.open_store().scan() if not blob.key.startswith((PROBES, INBOX))}
    assert blobs == originals


def test_a_listener_that_is_stopped_after_a_failure_is_partly_done(
    listening: Deployment, moto_s3: S3Server, queues: Queues
) -> None:
    listening.run("init")
    put(moto_s3, bucket_of(listening), f"{INBOX}{USER}/a.jpg", b"no picture")
    queues.send([event(bucket_of(listening), f"{INBOX}{USER}/a.jpg")])
    run = listening.start("listen", "--json")
    while "a.jpg" not in run.out.read_text():
        run.process.join(0.05)
        assert run.process.exitcode is None, run.err.read_text()

    os.kill(run.process.pid or 0, signal.SIGTERM)
    ended = run.wait()

    assert ended.code == 3, ended.err
    assert (ended.summary["failed"], queues.left()) == (1, 0)


def test_a_drain_that_its_time_ends_is_partly_done(listening: Deployment, moto_s3: S3Server, queues: Queues) -> None:
    put(moto_s3, bucket_of(listening), f"{INBOX}{USER}/a.jpg", photo(0))
    queues.send([event(bucket_of(listening), f"{INBOX}{USER}/a.jpg")])

    ran = listening.run("listen", "--drain", "--max-duration", "1ms")

    assert (ran.code, queues.left()) == (3, 1), ran.err


def test_a_clean_stop_gives_back_what_it_holds(listening: Deployment, moto_s3: S3Server, queues: Queues) -> None:
    bucket = bucket_of(listening)
    put(moto_s3, bucket, f"{INBOX}{USER}/a.jpg", photo(0))
    queues.send([event(bucket, f"{INBOX}{USER}/a.jpg")])

    def policy(_method: str, path: str, _number: int) -> Fault | None:
        return Fault.STALL if path.endswith("original.jpg") else None

    with fault_proxy(moto_s3.endpoint_url, policy=policy) as proxy:
        stalled = listening.through(proxy.url).with_settings(STORE_RETRIES="0", STORE_TIMEOUT="2s")
        run = stalled.start("listen", "--json")
        while not proxy.faults.total():
            run.process.join(0.01)
        os.kill(run.process.pid or 0, signal.SIGTERM)
        ended = run.wait()

    assert ended.code == 3, ended.err
    assert queues.client.receive_message(QueueUrl=queues.url)["Messages"]


def test_the_inbox_is_swept_by_upload_and_let_alone_by_the_audit(
    listening: Deployment, moto_s3: S3Server, queues: Queues
) -> None:
    bucket = bucket_of(listening)
    for number in range(2):
        put(moto_s3, bucket, f"{INBOX}{USER}/{number}.jpg", photo(number))
    listed = listening.directory / "list"
    listed.write_text(f"s3://{bucket}/{INBOX}{USER}/0.jpg\n")

    one = listening.run("upload", "--files-from", str(listed), "--user", str(USER), "--json")
    every = listening.run("upload", f"s3://{bucket}/{INBOX}", "--user-from", "{user}/**", "--json")
    audit = listening.run("audit", "--json", "--grace", "0s")

    assert (one.code, every.code) == (0, 0), one.err + every.err
    assert (one.summary["uploaded"], every.summary["uploaded"], every.summary["present"]) == (1, 1, 1)
    assert audit.code == 0, audit.out
    assert len(contents(listening)) == 2


@pytest.mark.parametrize("inbox", ["2024-in/", "0/", "9/"])
def test_an_inbox_among_the_days_of_the_keys_is_let_alone_by_the_audit(
    listening: Deployment, moto_s3: S3Server, inbox: str
) -> None:
    put(moto_s3, bucket_of(listening), f"{inbox}{USER}/0.jpg", photo(0))
    deployment = listening.with_settings(LISTEN_INBOX=inbox)
    assert deployment.run("upload", f"s3://{bucket_of(listening)}/{inbox}", "--user-from", "{user}/**").code == 0

    audit = deployment.run("audit", "--json", "--grace", "0s")

    assert audit.code == 0, audit.out


def test_owners_in_keys_have_the_names_that_users_have(
    listening: Deployment, moto_s3: S3Server, queues: Queues
) -> None:
    bucket = bucket_of(listening)
    put(moto_s3, bucket, f"{INBOX}alice/1.jpg", photo(1))
    queues.send([event(bucket, f"{INBOX}alice/1.jpg")])

    ran = listening.with_settings(USERS_NAMESPACE=str(OTHER)).run("listen", "--drain", "--json")

    assert ran.code == 0, ran.err
    assert contents(listening) == [(uuid5(OTHER, "alice"), photo(1))]


def test_a_store_without_events_is_named(embedded: Deployment) -> None:
    ran = embedded.run("listen", "--sqs", "http://127.0.0.1:9/1/events", "--drain")

    assert ran.code == 2
    assert "SQS events" in ran.err
    assert "s3://BUCKET" in ran.err


def test_a_missing_dead_letter_queue_is_named(listening: Deployment, moto_s3: S3Server, queues: Queues) -> None:
    put(moto_s3, bucket_of(listening), f"{INBOX}{USER}/a.jpg", b"no picture")
    queues.send([event(bucket_of(listening), f"{INBOX}{USER}/a.jpg")])
    mistyped = f"{queues.dead}-2"

    deleted = listening.with_settings(LISTEN_DEAD_LETTER=mistyped).run("listen", "--drain", "--json")
    queues.client.delete_queue(QueueUrl=queues.dead)
    removed = listening.run("listen", "--drain", "--json")

    assert (deleted.code, removed.code) == (2, 2)
    assert f"there is no queue {mistyped} " in deleted.err
    assert f"there is no queue {queues.dead.rpartition('/')[2]} " in removed.err


def test_a_queue_that_is_deleted_under_a_listener_is_named(
    listening: Deployment, moto_s3: S3Server, queues: Queues
) -> None:
    put(moto_s3, bucket_of(listening), f"{INBOX}{USER}/a.jpg", photo(0))
    queues.send([event(bucket_of(listening), f"{INBOX}{USER}/a.jpg")])

    def policy(_method: str, path: str, _number: int) -> None:
        if path.endswith("original.jpg"):
            queues.client.delete_queue(QueueUrl=queues.url)

    with fault_proxy(moto_s3.endpoint_url, policy=policy) as proxy:
        ran = listening.through(proxy.url).run("listen", "--json")

    assert ran.code == 2, ran.err
    assert f"imgctl: there is no queue {queues.url} " in ran.err
    assert ran.summary["uploaded"] == 1


def test_an_original_that_is_erased_while_it_is_checked_does_not_end_the_listener(
    listening: Deployment, moto_s3: S3Server, queues: Queues
) -> None:
    data = photo(1)
    key, _ = announce(listening, data)
    put(moto_s3, bucket_of(listening), key, data)
    put(moto_s3, bucket_of(listening), f"{INBOX}{USER}/a.jpg", photo(2))
    queues.send([event(bucket_of(listening), key), event(bucket_of(listening), f"{INBOX}{USER}/a.jpg")])
    catalog = open_catalog(listening.catalog_url)

    def policy(method: str, path: str, _number: int) -> None:
        if method == "GET" and path.endswith(key):
            with catalog.write() as connection:
                connection.execute(delete(images).where(images.c.original_key == key))

    with fault_proxy(moto_s3.endpoint_url, policy=policy) as proxy:
        ran = listening.through(proxy.url).run("listen", "--drain", "--json")
    catalog.close()

    assert ran.code == 0, ran.err
    assert {one["reason"] for one in ran.of("file") if str(one["path"]).endswith(key)} == {"no_row"}
    assert contents(listening) == [(USER, photo(2))]
    assert queues.left() == 0


def test_a_key_of_the_inbox_that_is_used_again_has_its_own_sidecar(
    listening: Deployment, moto_s3: S3Server, queues: Queues
) -> None:
    bucket, key = bucket_of(listening), f"{INBOX}{USER}/scan.jpg"
    listening.run("init")
    run = listening.start("listen", "--json")
    for number in range(3):
        if number:
            about = json.dumps(
                {"title": "scan.jpg", "description": f"caption {number}", "photoTakenTime": {"timestamp": "1"}}
            )
            put(moto_s3, bucket, f"{key}.json", about.encode())
        put(moto_s3, bucket, key, photo(number))
        queues.send([event(bucket, key, sequencer=f"{number + 1:08X}")])
        while len(listening.images()) <= number or queues.left():
            run.process.join(0.05)
            assert run.process.exitcode is None, run.err.read_text()
    os.kill(run.process.pid or 0, signal.SIGTERM)
    ended = run.wait()

    assert ended.code == 0, ended.err
    assert [image.caption for image in listening.images()] == [None, "caption 1", "caption 2"]
