"""Sending, reading and listing images: every response, over a real catalog, store and client."""

import shutil
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from sqlalchemy import make_url

from imgctl.config.settings import Settings
from imgctl.imaging.formats import Format
from imgctl.imaging.probe import probe
from imgctl.model import Status
from tests.imaging.containers import HEIGHT, WIDTH, Metadata, text_entry, tiff_file
from tests.imaging.films import of_format, with_keys
from tests.parts.proxy import Fault, fault_proxy
from tests.web.server import OTHER, USER, WINDOWS_MEDIA, Served, database_outage, served
from tests.whole.conftest import photo

OWNER = {"user_id": str(USER)}
PROBLEM = "application/problem+json"


def test_a_picture_is_safe_once_sent_and_the_same_again_is_the_same_image(either: Served) -> None:
    first = either.client.post("/images", params=OWNER | {"caption": "Ferry & <b>sea</b>"}, content=photo(1))
    again = either.client.post("/images", params=OWNER, files={"file": ("2.jpg", photo(1))})

    assert (first.status_code, again.status_code) == (201, 200)
    body = first.json()
    assert first.headers["location"] == again.headers["location"] == f"/images/{body['id']}"
    assert body["status"] == "processing"
    assert body["caption"] == "Ferry & <b>sea</b>"
    assert body["sha256"] == sha256(photo(1)).hexdigest()
    assert (body["width"], body["height"]) == (96, 64)
    assert either.parts.store.get(body["original_key"]) == photo(1)
    assert either.client.get(first.headers["location"]).json()["id"] == body["id"]


def test_a_form_sets_the_owner_the_caption_and_the_date_from_its_name(either: Served) -> None:
    data = {"user_id": str(OTHER), "caption": "from a phone"}
    answer = either.client.post("/images", data=data, files={"file": ("../IMG_20240229_120000.jpg", photo(2))})

    assert answer.status_code == 201
    body = answer.json()
    assert (body["user_id"], body["caption"]) == (str(OTHER), "from a phone")
    assert body["taken_at"] == "2024-02-29T12:00:00+00:00"
    assert body["name"] == "IMG_20240229_120000.jpg"


@pytest.mark.parametrize(
    "name",
    [
        "filename*=UTF-8''na%C3%AFve.jpg",
        "filename=\"naive.jpg\"; filename*=utf-8'en'na%C3%AFve.jpg",
        'filename="naïve.jpg"',
    ],
)
def test_a_name_other_than_ascii_arrives_in_each_encoding_of_forms(local_server: Served, name: str) -> None:
    head = f'--B\r\nContent-Disposition: form-data; name="file"; {name}\r\n\r\n'
    form = {"Content-Type": "multipart/form-data; boundary=B"}
    body = head.encode() + photo(1) + b"\r\n--B--\r\n"

    assert local_server.client.post("/images", params=OWNER, content=body, headers=form).json()["name"] == "naïve.jpg"


def test_a_film_is_taken_and_shown_by_its_poster(either: Served) -> None:
    film = with_keys(of_format(Format.MP4), creationdate="2021-05-01T10:00:01+0200")

    answer = either.client.post("/images", params=OWNER, files={"file": ("VID_1.mp4", film)})
    either.work()

    assert answer.status_code == 201, answer.text
    body = answer.json()
    assert (body["width"], body["height"], body["taken_at"]) == (64, 48, "2021-05-01T08:00:01+00:00")
    assert either.parts.store.get(body["original_key"]) == film
    variants = either.client.get(answer.headers["location"]).json()["variants"]
    poster = httpx.get(str(httpx.URL(either.url).join(variants["full"]["url"])))
    assert (poster.headers["content-type"], probe(poster.content).width) == ("image/jpeg", 64)


def test_metadata_behind_the_pixels_of_a_large_picture_is_recorded(either: Served) -> None:
    scan = Metadata(
        primary=(text_entry(0x010E, b"Print 17"),), exif=(text_entry(0x9003, b"1987:06:05 12:00:00"),), pixels=2**20
    )

    body = either.client.post("/images", params=OWNER, content=tiff_file(scan)).json()

    assert (body["caption"], body["taken_at"]) == ("Print 17", "1987-06-05T12:00:00+00:00")
    assert (body["width"], body["height"]) == (WIDTH, HEIGHT)


def test_a_large_picture_comes_whole_through_the_spool(either: Served, tmp_path: Path) -> None:
    data = photo(3) + bytes(9 * 2**20)
    image = either.send(data)

    assert either.parts.store.get(either.row(image).original_key or "") == data
    assert list((tmp_path / "spool").rglob("*")) != []
    assert not [path for path in (tmp_path / "spool").rglob("*") if path.is_file()]


def test_a_photo_never_touches_the_disk_while_there_is_room(local_server: Served, tmp_path: Path) -> None:
    data = photo(3) + bytes(3 * 2**20)
    shutil.rmtree(tmp_path / "spool")
    image = local_server.send(data)

    assert local_server.parts.store.get(local_server.row(image).original_key or "") == data


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        ({"params": OWNER, "content": b"hello"}, 415),
        ({"params": OWNER, "content": b""}, 415),
        ({"params": OWNER, "content": WINDOWS_MEDIA}, 415),
        ({"params": OWNER, "files": {"file": ("a.jpg", WINDOWS_MEDIA)}}, 415),
        ({"params": OWNER, "files": {"file": ("a.mov", b"\x00damaged")}}, 415),
        ({"params": OWNER, "content": photo(1), "headers": {"Content-Encoding": "gzip"}}, 415),
        ({"content": photo(1)}, 422),
        ({"params": {"user_id": "me"}, "content": photo(1)}, 422),
        ({"params": OWNER | {"caption": "x" * 9000}, "content": photo(1)}, 422),
        ({"params": OWNER, "files": {"picture": ("a.jpg", photo(1))}}, 422),
        ({"data": {"user_id": "me"}, "files": {"file": ("a.jpg", photo(1))}}, 422),
        ({"params": OWNER, "files": [("file", ("a.jpg", photo(1))), ("file", ("b.jpg", photo(2)))]}, 422),
        ({"data": {"user_id": str(USER), "caption": ["one", "two"]}, "files": {"file": ("a.jpg", photo(1))}}, 422),
        ({"params": OWNER, "content": b"--x", "headers": {"Content-Type": "multipart/form-data; boundary=x"}}, 400),
        (
            {"params": OWNER, "content": b"nonsense", "headers": {"Content-Type": "multipart/form-data; boundary=x"}},
            400,
        ),
        ({"params": OWNER, "content": b"--x", "headers": {"Content-Type": "multipart/form-data"}}, 400),
        ({"data": {"user_id": str(USER), "caption": "x" * 2**16}, "files": {"file": ("a.jpg", photo(1))}}, 413),
        ({"data": {f"field{n}": "x" for n in range(30)}, "files": {"file": ("a.jpg", photo(1))}}, 413),
    ],
)
def test_invalid_uploads_are_refused_with_the_next_step(
    shared: Served, arguments: dict[str, object], status: int
) -> None:
    answer = shared.client.post("/images", **arguments)  # type: ignore[arg-type]

    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == PROBLEM
    assert answer.json()["status"] == status
    assert answer.json()["hint"] or status == 422
    assert shared.client.get("/images").json() == {"images": [], "next": None}


@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize("form", [True, False])
def test_a_body_beyond_the_limit_is_refused(shared: Served, announced: bool, form: bool) -> None:
    data = photo(1) + bytes(shared.parts.settings.serve.max_bytes)
    pieces: bytes | Iterator[bytes] = (
        data if announced else (data[at : at + 2**16] for at in range(0, len(data), 2**16))
    )
    if form:
        answer = shared.client.post("/images", params=OWNER, files={"file": ("a.jpg", data)})
    else:
        answer = shared.client.post("/images", params=OWNER, content=pieces)

    assert answer.status_code == 413
    assert "max_bytes" in answer.json()["hint"]


def test_a_picture_of_too_many_pixels_is_refused_undecoded(local: Settings) -> None:
    with served(replace(local, work=replace(local.work, max_pixels=96 * 64 - 1))) as server:
        answer = server.client.post("/images", params=OWNER, content=photo(1))

        assert answer.status_code == 422
        assert "pixels" in answer.json()["detail"]


def test_a_slow_client_is_disconnected(local: Settings) -> None:
    with served(replace(local, serve=replace(local.serve, timeout=0.2))) as server:
        place = urlsplit(server.url)
        with socket.create_connection((place.hostname or "", place.port or 0)) as slow:
            head = f"POST /images?user_id={USER} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n"
            slow.sendall(head.encode() + photo(1)[:100])
            slow.settimeout(30)
            answer = slow.recv(2**16)

        assert answer.startswith(b"HTTP/1.1 408 ")
        assert server.client.get("/images").json()["images"] == []


def test_slow_clients_hold_only_their_slots(local: Settings) -> None:
    small = replace(local, serve=replace(local.serve, memory=2**20))
    with served(small) as server:
        place = urlsplit(server.url)
        head = f"POST /images?user_id={USER} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n".encode()
        slow = [socket.create_connection((place.hostname or "", place.port or 0)) for _ in range(16)]
        try:
            for one in slow:
                one.sendall(head + b"x")
            while (refused := server.client.post("/images", params=OWNER, content=photo(1))).status_code != 503:
                pass
            looked = server.client.get("/images")
        finally:
            for one in slow:
                one.close()

        assert refused.headers["retry-after"] == "1"
        assert looked.status_code == 200
        while (again := server.client.post("/images", params=OWNER, content=photo(1))).status_code == 503:
            pass
        assert again.status_code in (200, 201)


def test_an_image_is_sent_again_only_if_it_changed(either: Served) -> None:
    image = either.send(photo(1))
    first = either.client.get(f"/images/{image}")
    tag = {"If-None-Match": first.headers["etag"]}
    same = either.client.get(f"/images/{image}", headers=tag)
    either.work()
    changed = either.client.get(f"/images/{image}", headers=tag)

    assert (first.status_code, same.status_code, changed.status_code) == (200, 304, 200)
    assert same.content == b""
    assert changed.json()["status"] == "ready"
    assert changed.json()["links"].keys() == {"self", "user"}


def test_a_width_redirects_to_the_smallest_variant_that_wide(either: Served) -> None:
    image = either.send(photo(1))
    before = either.client.get(f"/images/{image}", params={"width": 40})
    either.work()
    moved = either.client.get(f"/images/{image}", params={"width": 40})
    picture = httpx.get(str(httpx.URL(either.url).join(moved.headers["location"])))

    assert (before.status_code, moved.status_code, picture.status_code) == (409, 307, 200)
    assert "events" in before.json()["hint"]
    assert probe(picture.content).width == 96
    assert picture.headers["content-type"] == "image/jpeg"


def test_every_variant_link_works_without_a_token_of_its_own(either: Served) -> None:
    image = either.send(photo(1))
    either.work()
    variants = either.client.get(f"/images/{image}").json()["variants"]
    found = {name: httpx.get(str(httpx.URL(either.url).join(one["url"]))) for name, one in variants.items()}

    assert set(found) == {"thumb", "medium", "full"}
    assert {answer.status_code for answer in found.values()} == {200}
    assert all(probe(answer.content).width == variants[name]["width"] for name, answer in found.items())


def test_pages_hold_every_image_once_newest_first(either: Served) -> None:
    sent = [either.send(photo(number)) for number in range(7)]
    either.send(photo(8), user=OTHER)
    seen, following = [], f"/users/{USER}/images?limit=3"
    while following:
        page = either.client.get(following).json()
        seen += [one["id"] for one in page["images"]]
        following = page["next"]

    assert seen == [str(one) for one in sorted(sent, reverse=True)]
    assert len(either.client.get("/images", params={"since": "24h"}).json()["images"]) == 8
    assert either.client.get("/images", params={"until": "2001-01-01"}).json()["images"] == []
    assert either.client.get(f"/users/{USER}/images", params={"status": "ready"}).json()["images"] == []


def test_the_next_page_has_the_same_window(local_server: Served) -> None:
    for number in range(3):
        local_server.send(photo(number))

    page = local_server.client.get("/images", params={"since": "24h", "limit": 1}).json()
    since = parse_qs(urlsplit(page["next"]).query)["since"]
    following = local_server.client.get(page["next"]).json()

    assert datetime.fromisoformat(since[0]).tzinfo is not None
    assert parse_qs(urlsplit(following["next"]).query)["since"] == since
    assert len(following["images"]) == 1


@pytest.mark.parametrize("offset", ["+02:00", "+0200", "+02", "-05:00", "Z"])
def test_an_unencoded_plus_in_a_time_is_understood(local_server: Served, offset: str) -> None:
    local_server.send(photo(1))
    since = local_server.client.get(f"/images?since=2020-01-01T10:00:00{offset}")
    until = local_server.client.get(f"/images?until=2020-01-01T10:00{offset}")

    assert (since.status_code, len(since.json()["images"])) == (200, 1)
    assert (until.status_code, until.json()["images"]) == (200, [])


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"/images/{OTHER}", 404),
        ("/images/ffffffff-ffff-7fff-bfff-ffffffffffff", 404),
        ("/images/one", 422),
        ("/images?since=yesterday", 422),
        ("/images?since=0000-00-00", 422),
        ("/images?limit=0", 422),
        ("/images?limit=201", 422),
        ("/images?status=lost", 422),
        ("/images?before=ffffffff-ffff-7fff-bfff-ffffffffffff", 200),
        (f"/users/{USER}/images?before=ffffffff-ffff-7fff-bfff-ffffffffffff", 422),
        (f"/images/{USER}?width=0", 422),
        ("/nothing", 404),
        ("/images/../../etc/passwd", 404),
    ],
)
def test_missing_images_and_invalid_parameters_are_errors(shared: Served, path: str, status: int) -> None:
    answer = shared.client.get(path)

    assert answer.status_code == status, answer.text
    assert (answer.headers["content-type"] == PROBLEM) == (status != 200)


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/images", "GET, POST"),
        ("/uploads", "POST"),
        (f"/images/{OTHER}", "DELETE, GET"),
        (f"/blobs/{OTHER}/thumb", "GET"),
        ("/login", "GET, POST"),
    ],
)
def test_a_wrong_method_is_refused_with_the_allowed_ones(shared: Served, path: str, allowed: str) -> None:
    answer = shared.client.put(path)

    assert answer.status_code == 405
    assert answer.headers["allow"] == allowed
    assert answer.headers["content-type"] == PROBLEM


def test_a_store_outage_is_reported_and_the_same_request_later_finishes(remote: Settings) -> None:
    away = threading.Event()
    away.set()

    def policy(_method: str, _path: str, _number: int) -> Fault | None:
        return Fault.SERVICE_UNAVAILABLE if away.is_set() else None

    with fault_proxy(remote.store.endpoint_url, policy=policy) as proxy:
        store = replace(remote.store, endpoint_url=proxy.url)
        with served(replace(remote, store=store)) as server:
            refused = server.client.post("/images", params=OWNER, content=photo(1))
            ready = server.client.get("/readyz")
            promised = server.client.get("/images").json()["images"]
            page = server.client.get(f"/view/{promised[0]['id']}", headers={"Accept": "text/html"})
            away.clear()
            later = server.client.post("/images", params=OWNER, content=photo(1))

    assert (refused.status_code, page.status_code) == (503, 503)
    assert int(page.headers["retry-after"]) > 0
    assert int(refused.headers["retry-after"]) > 0
    assert "same request again" in refused.json()["hint"]
    assert (ready.status_code, ready.json()["why"].keys()) == (503, {"store"})
    assert [one["status"] for one in promised] == [Status.UPLOADING]
    assert later.status_code == 201
    assert later.json()["id"] == promised[0]["id"]


def test_a_database_outage_is_reported_and_the_same_request_later_finishes(remote: Settings) -> None:
    with served(remote) as server:
        with database_outage(remote):
            refused = [server.client.post("/images", params=OWNER, content=photo(1)) for _ in range(3)]
            looked, alive = server.client.get("/images"), server.client.get("/healthz")
        later = server.client.post("/images", params=OWNER, content=photo(1))

    assert {one.status_code for one in refused} == {503}
    assert (looked.status_code, alive.status_code, later.status_code) == (503, 200, 201)
    assert str(make_url(remote.catalog.url).database) not in refused[0].text


def test_images_are_found_by_their_names(local_server: Served) -> None:
    for number, name in enumerate(("IMG_4711.jpg", "IMG_4712.jpg", "beach.jpg"), start=1):
        sent = {"file": (name, photo(number))}
        assert local_server.client.post("/images", files=sent, data={"user_id": str(USER)}).status_code == 201

    def names(**asked: str) -> list[str]:
        answer = local_server.client.get(f"/users/{USER}/images", params=asked).json()
        return sorted(one["name"] for one in answer["images"])

    assert names(name="img_47") == ["IMG_4711.jpg", "IMG_4712.jpg"]
    assert names(name="*11.jpg") == ["IMG_4711.jpg"]
    assert names(name="img_47", taken_since="2020-01-01") == []
    following = local_server.client.get(f"/users/{USER}/images", params={"name": "IMG", "limit": 1}).json()["next"]
    assert "name=IMG" in following
    refused = local_server.client.get("/images", params={"name": "img"})
    assert refused.status_code == 422
    assert "no index covers names" in refused.json()["detail"]
