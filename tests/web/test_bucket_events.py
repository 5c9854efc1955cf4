"""POST /events: the reported objects are taken in once, before the response."""

from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest

from imgctl.config.service import ListenSettings
from imgctl.config.settings import Settings
from imgctl.model import Status
from imgctl.web.auth import Scope
from tests.parts.seaweed import S3Server
from tests.web.server import USER, Served, database_outage, served, token
from tests.whole.conftest import photo

EVENTS, EVENTS_LINE = token(Scope.EVENTS, name="bucket")
MINE, MINE_LINE = token(Scope.EVENTS, user=USER, name="mine")
READS, READS_LINE = token(Scope.READ, Scope.WRITE, name="reader")
INBOX = "inbox/"


@pytest.fixture
def listening(remote: Settings) -> Iterator[Served]:
    """A server over Postgres and a bucket with an inbox, and a client that may post events."""
    listen = ListenSettings(inbox=INBOX, user_from=("{user}/**",))
    serve = replace(remote.serve, tokens=(EVENTS_LINE, READS_LINE, MINE_LINE))
    with served(replace(remote, listen=listen, serve=serve)) as found:
        found.client.headers.update(EVENTS)
        yield found


def record(server: Served, key: str, name: str = "s3:ObjectCreated:Put") -> dict[str, object]:
    bucket = server.parts.settings.store.url.removeprefix("s3://").partition("/")[0]
    return {"eventName": name, "s3": {"bucket": {"name": bucket}, "object": {"key": key, "sequencer": "00A1"}}}


def post(server: Served, *records: dict[str, object]) -> httpx.Response:
    return server.client.post("/events", json={"Records": records})


def put(seaweed: S3Server, server: Served, key: str, data: bytes) -> None:
    bucket = server.parts.settings.store.url.removeprefix("s3://").partition("/")[0]
    seaweed.client().put_object(Bucket=bucket, Key=key, Body=data)


def test_reported_objects_are_safe_once_the_request_returns(listening: Served, seaweed: S3Server) -> None:
    keys = [f"{INBOX}{USER}/{number}.jpg" for number in range(2)]
    for number, key in enumerate(keys):
        put(seaweed, listening, key, photo(number))

    first = post(listening, *(record(listening, key) for key in keys), record(listening, "elsewhere/1.jpg"))
    again = post(listening, record(listening, keys[0]))

    assert first.status_code == again.status_code == 200, first.text
    assert first.json() == {"uploaded": 2, "present": 0, "skipped": 0, "failed": 0, "foreign": 1}
    assert again.json() == {"uploaded": 0, "present": 1, "skipped": 0, "failed": 0, "foreign": 0}
    images = listening.client.get(f"/users/{USER}/images", headers=READS).json()["images"]
    assert {(one["status"], one["name"]) for one in images} == {
        (Status.PROCESSING, "0.jpg"),
        (Status.PROCESSING, "1.jpg"),
    }
    stored = sorted(listening.parts.store.get(one["original_key"]) for one in images)
    assert stored == sorted(photo(number) for number in range(2))
    # The inbox is the application's.
    assert listening.parts.store.get(keys[0]) == photo(0)


def test_objects_that_never_succeed_are_not_requested_again(listening: Served, seaweed: S3Server) -> None:
    put(seaweed, listening, f"{INBOX}nobody/1.jpg", photo(1))
    put(seaweed, listening, f"{INBOX}{USER}/notes.txt", b"no picture")

    ownerless = post(listening, record(listening, f"{INBOX}nobody/1.jpg"))
    gone = post(listening, record(listening, f"{INBOX}{USER}/gone.jpg"))
    stray = post(listening, record(listening, f"{INBOX}{USER}/notes.txt"))
    removed = post(listening, record(listening, f"{INBOX}{USER}/1.jpg", name="s3:ObjectRemoved:Delete"))

    assert [one.status_code for one in (ownerless, gone, stray, removed)] == [200] * 4
    assert [one.json()["failed"] for one in (ownerless, gone)] == [1, 1]
    assert stray.json()["skipped"] == 1
    assert removed.json()["foreign"] == 1


def test_events_during_an_outage_of_the_database_are_refused_at_once_and_succeed_later(
    listening: Served, seaweed: S3Server
) -> None:
    put(seaweed, listening, f"{INBOX}{USER}/1.jpg", photo(1))
    reported = record(listening, f"{INBOX}{USER}/1.jpg")

    with database_outage(listening.parts.settings):
        refused = post(listening, reported)
    later = post(listening, reported)

    assert (refused.status_code, later.status_code, later.json()["uploaded"]) == (503, 200, 1), refused.text


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"{", 400), (b'{"hello": 1}', 400), (b"[]", 400), (b" " * (2**20 + 1), 413), (b'{"Event": "s3:TestEvent"}', 200)],
    ids=["cut", "other", "list", "large", "test"],
)
def test_invalid_events_are_refused(listening: Served, body: bytes, status: int) -> None:
    assert listening.client.post("/events", content=body).status_code == status


@pytest.mark.parametrize("headers", [READS, MINE], ids=["another scope", "one user"])
def test_callers_without_the_events_scope_are_refused(listening: Served, headers: dict[str, str]) -> None:
    assert listening.client.post("/events", json={"Records": []}, headers=headers).status_code == 403


def test_a_directory_takes_no_events(local_server: Served) -> None:
    assert post(local_server, record(local_server, "inbox/1.jpg")).status_code == 501
