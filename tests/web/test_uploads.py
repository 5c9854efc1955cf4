"""Direct uploads: the client puts the bytes into the store, which takes only the announced ones."""

from dataclasses import replace
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from imgctl.config.settings import Settings
from imgctl.model import Status
from tests.imaging.containers import HEIGHT, WIDTH, Metadata, text_entry, tiff_file
from tests.parts.clouds import CloudServer
from tests.web.server import OTHER, USER, WINDOWS_MEDIA, Served, digest_of, served, settings_for
from tests.whole.conftest import photo


def announce(server: Served, data: bytes, **changes: object) -> httpx.Response:
    """Announce some bytes of USER."""
    wanted = {"user_id": str(USER), "sha256": digest_of(data), "bytes": len(data), "content_type": "image/jpeg"}
    return server.client.post("/uploads", json=wanted | changes)


def put(granted: httpx.Response, data: bytes, **headers: str) -> httpx.Response:
    """Put some bytes by the granted URL."""
    upload = granted.json()["upload"]
    sent = {name: value for name, value in (upload["headers"] | headers).items() if name != "Content-Length"}
    return httpx.put(upload["url"], content=data, headers=sent)


def complete(server: Served, granted: httpx.Response) -> httpx.Response:
    return server.client.post(granted.json()["links"]["complete"])


def test_a_direct_upload_ends_as_an_image_like_any_other(server: Served) -> None:
    granted = announce(server, photo(1), caption="passed by", name="IMG_4711.jpg")
    early = complete(server, granted)
    stored = put(granted, photo(1))
    done = complete(server, granted)
    again = complete(server, granted)
    known = announce(server, photo(1))

    assert (granted.status_code, early.status_code, stored.status_code) == (201, 409, 200)
    assert (done.status_code, again.status_code, known.status_code) == (201, 200, 200)
    assert known.json()["upload"] is None
    body = done.json()
    assert (body["status"], body["caption"], body["name"]) == ("processing", "passed by", "IMG_4711.jpg")
    assert body["width"] == 96
    assert server.parts.store.get(body["original_key"]) == photo(1)
    assert server.client.post("/images", params={"user_id": str(USER)}, content=photo(1)).json()["id"] == body["id"]


def test_metadata_behind_the_pixels_of_a_direct_upload_is_recorded(server: Served) -> None:
    scan = tiff_file(
        Metadata(
            primary=(text_entry(0x010E, b"Print 17"),), exif=(text_entry(0x9003, b"1987:06:05 12:00:00"),), pixels=2**21
        )
    )
    granted = announce(server, scan, content_type="image/tiff")
    put(granted, scan)

    body = complete(server, granted).json()

    assert (body["caption"], body["taken_at"]) == ("Print 17", "1987-06-05T12:00:00+00:00")
    assert (body["width"], body["height"]) == (WIDTH, HEIGHT)


def test_the_store_takes_the_announced_bytes_once_and_no_others(server: Served) -> None:
    granted = announce(server, photo(1))
    other = put(granted, photo(2)[: len(photo(1))].ljust(len(photo(1))))
    longer = put(granted, photo(1) + b"x")
    first = put(granted, photo(1))
    second = put(granted, photo(1))
    key = server.row(UUID(granted.json()["id"])).original_key or ""

    assert other.status_code in (400, 403)
    assert longer.status_code in (400, 403)
    assert (first.status_code, second.status_code) == (200, 412)
    assert server.parts.store.get(key) == photo(1)


def test_the_same_announcement_keeps_the_same_promise(server: Served) -> None:
    first, second = announce(server, photo(1)), announce(server, photo(1))
    put(first, photo(1))

    assert first.json()["id"] == second.json()["id"]
    assert put(second, photo(1)).status_code == 412
    assert complete(server, second).status_code == 201


@pytest.mark.parametrize(
    ("data", "declared", "status"),
    [
        (b"no picture at all", "image/jpeg", 415),
        (WINDOWS_MEDIA, "image/heic", 415),
        (photo(1), "image/png", 422),
    ],
)
def test_a_blob_other_than_the_announced_picture_is_refused(
    server: Served, data: bytes, declared: str, status: int
) -> None:
    granted = announce(server, data, content_type=declared)
    put(granted, data)
    done = complete(server, granted)

    assert done.status_code == status, done.text
    assert server.row(UUID(granted.json()["id"])).status is Status.UPLOADING


def test_bytes_of_another_size_or_digest_are_not_confirmed(server: Served) -> None:
    sizes, digests = announce(server, photo(1)), announce(server, photo(2))
    for granted, data in ((sizes, photo(1)[:-1]), (digests, bytes(len(photo(2))))):
        key = server.row(UUID(granted.json()["id"])).original_key or ""
        server.parts.store.create(key, data, content_type="image/jpeg")

    assert complete(server, sizes).status_code == 422
    assert complete(server, digests).status_code == 422


def test_azure_takes_a_direct_upload_once_and_other_bytes_are_refused(azurite: CloudServer, tmp_path: Path) -> None:
    store = azurite.settings(azurite.new_bucket(), retries=1)
    settings = settings_for(f"sqlite:///{tmp_path}/catalog.db", store, spool=str(tmp_path / "spool"))
    with served(settings) as server:
        granted, other = announce(server, photo(1)), announce(server, photo(2))
        first, second = put(granted, photo(1)), put(granted, photo(1))
        # A SAS contains no digest.
        wrong = put(other, bytes(len(photo(2))))
        done, refused = complete(server, granted), complete(server, other)
        # The bytes under the promised key are not those of the photo: a copy of it must not be confirmed by them.
        sent = server.client.post("/images", params={"user_id": str(USER)}, content=photo(2))
        row = server.row(UUID(other.json()["id"]))

    assert (sent.status_code, row.status) == (409, Status.UPLOADING), sent.text
    assert f"imgctl erase {row.id}" in sent.text
    assert (first.status_code, wrong.status_code, done.status_code, refused.status_code) == (201, 201, 201, 422)
    assert second.status_code in (403, 409)
    assert "another SHA-256" in refused.text


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"content_type": "text/html"}, 415),
        ({"sha256": "00"}, 422),
        ({"bytes": 0}, 422),
        ({"bytes": 2**40}, 413),
        ({"user_id": None}, 422),
        ({"key": "2026/11/22/x"}, 422),
    ],
)
def test_invalid_announcements_are_refused_before_a_row_is_promised(
    server: Served, changes: dict[str, object], status: int
) -> None:
    answer = announce(server, photo(1), **changes)

    assert answer.status_code == status, answer.text
    assert server.client.get("/images").json()["images"] == []


def test_bodies_that_are_not_json_are_refused(server: Served) -> None:
    answer = server.client.post("/uploads", content=b"{", headers={"Content-Type": "application/json"})

    assert answer.status_code == 400


def test_an_upload_that_was_not_announced_cannot_be_completed(server: Served) -> None:
    assert server.client.post(f"/uploads/{OTHER}/complete").status_code == 404


def test_a_directory_takes_no_direct_uploads(local: Settings) -> None:
    with served(replace(local)) as server:
        answer = announce(server, photo(1))

    assert answer.status_code == 409
    assert "POST /images" in answer.json()["hint"]
