"""Downloads of everything of a user: links, their contents, and how a broken download ends."""

import csv
import io
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from threading import Thread
from zipfile import ZipFile

import httpx
import pytest
from sqlalchemy import update

from imgctl.config.settings import Settings
from imgctl.keys import new_id
from imgctl.ops.support.history import Wanted, history
from imgctl.store.catalog.queries.holds import hold
from imgctl.store.catalog.queries.operations import Operation
from imgctl.store.catalog.schema import images
from imgctl.web.app_state import MOST_EXPORTS
from imgctl.web.auth import Scope
from imgctl.web.links import Links
from tests.web.server import OTHER, USER, Served, served, token
from tests.whole.conftest import photo
from tests.whole.test_export import files_of

ALL, ALL_LINE = token(Scope.READ, Scope.WRITE, name="support")
MINE, MINE_LINE = token(Scope.READ, user=USER, name="mine")


@pytest.fixture(params=["remote", "local"])
def guarded(request: pytest.FixtureRequest) -> Iterator[Served]:
    """A server with tokens and a secret, over Postgres and a bucket or SQLite and a directory."""
    settings: Settings = request.getfixturevalue(request.param)
    serve = replace(settings.serve, tokens=(ALL_LINE, MINE_LINE), secret="what signs links")
    with served(replace(settings, serve=serve)) as found:
        found.client.headers.update(ALL)
        yield found


def download(server: Served, url: str, place: Path) -> dict[str, bytes]:
    """Download an export without a token and return its files."""
    file = place / "bag.zip"
    with httpx.stream("GET", f"{server.url}{url}", timeout=60) as answer, file.open("wb") as out:
        assert answer.status_code == 200
        assert answer.headers["content-disposition"] == f"attachment; filename={USER}.zip"
        for piece in answer.iter_bytes():
            out.write(piece)
    with ZipFile(file) as archive:
        root = {name.partition("/")[0] for name in archive.namelist()}
    assert root == {str(USER)}
    return files_of(file.rename(place / f"{USER}.zip"), place)


def downloads(server: Served) -> list[Operation]:
    """The recorded operations of downloads, newest first."""
    return [one for one in history(server.parts.catalog, Wanted()) if one.who == "export link"]


def test_a_link_downloads_a_whole_bag_also_of_a_held_user(guarded: Served, tmp_path: Path) -> None:
    # One larger than is held in memory, and a name twice.
    large = photo(1) + bytes(9 * 2**20)
    contents = [photo(1), photo(2), large]
    for data in contents:
        form = {"file": ("IMG_1.JPG", data, "image/jpeg")}
        assert guarded.client.post("/images", params={"user_id": str(USER)}, files=form).status_code == 201
    guarded.send(photo(3), user=OTHER)
    guarded.work()
    with guarded.parts.catalog.write() as connection:
        hold(connection, new_id(datetime.now(UTC)), USER, reason="case 4711", by="court")

    made = guarded.client.post(f"/users/{USER}/export", params={"variants": "thumb"}, headers=MINE)
    found = download(guarded, made.json()["url"], tmp_path)

    assert (made.status_code, made.json()["images"], made.json()["archived"]) == (201, 3, 0)
    originals = {path: data for path, data in found.items() if "/originals/" in path}
    assert sorted(map(len, originals.values())) == sorted(map(len, contents))
    assert {sha256(one).digest() for one in originals.values()} == {sha256(one).digest() for one in contents}
    assert len([path for path in found if "/thumb/" in path]) == 3
    recorded = [(one.who, one.exit_code, one.user_id) for one in history(guarded.parts.catalog, Wanted())]
    assert recorded == [("export link", 0, USER), ("token mine", 0, USER)]


def test_archived_originals_are_left_out_and_listed(guarded: Served, tmp_path: Path) -> None:
    kept, cold = guarded.send(photo(1)), guarded.send(photo(2))
    with guarded.parts.catalog.write() as connection:
        connection.execute(update(images).where(images.c.id == cold).values(storage_class="DEEP_ARCHIVE"))
    guarded.parts.store.delete([guarded.row(cold).original_key or ""])

    made = guarded.client.post(f"/users/{USER}/export").json()
    found = download(guarded, made["url"], tmp_path)

    assert (made["images"], made["archived"]) == (2, 1)
    assert f"imgctl restore --user {USER}" in made["hint"]
    assert [*found.values()] == [photo(1)]
    lacks = (tmp_path / "unpacked" / str(USER) / "left-out.csv").read_text()
    assert [one["id"] for one in csv.DictReader(io.StringIO(lacks))] == [str(cold)]
    assert str(kept) not in lacks


def test_links_need_a_token_of_the_user_and_expire(guarded: Served) -> None:
    guarded.send(photo(1))
    made = guarded.client.post(f"/users/{USER}/export", params={"days": 1}, headers=MINE).json()
    links = Links(guarded.parts.settings, guarded.parts.store, key=b"")
    dead, _ = links.export(USER, (), seconds=-1)
    altered = [
        made["url"].replace(str(USER), str(OTHER)),
        made["url"].replace("?", "?variants=full&"),
        made["url"][:-1] + ("0" if made["url"][-1] != "0" else "1"),
        dead,
    ]

    refused = [httpx.get(f"{guarded.url}{url}") for url in altered]
    statuses = [
        guarded.client.post(f"/users/{user}/export", headers=headers, params={"days": days}).status_code
        for user, headers, days in (
            (OTHER, MINE, 7),
            (USER, {"Authorization": ""}, 7),
            (OTHER, ALL, 7),
            (USER, ALL, 31),
        )
    ]

    left = datetime.fromisoformat(made["expires_at"]).timestamp() - time.time()
    assert 86_000 < left <= 86_400
    assert [one.status_code for one in refused] == [403] * 4
    assert "expired" in refused[3].json()["detail"]
    assert statuses == [403, 401, 404, 422]


def test_a_client_that_disconnects_leaves_nothing_behind(local: Settings) -> None:
    serve = replace(local.serve, tokens=(ALL_LINE,), secret="what signs links")
    with served(replace(local, serve=serve)) as server:
        server.client.headers.update(ALL)
        for number in range(6):
            server.send(photo(number) + bytes(6 * 2**20))
        url = server.client.post(f"/users/{USER}/export").json()["url"]
        for _ in range(6):
            with httpx.stream("GET", f"{server.url}{url}", timeout=60) as answer:
                assert answer.status_code == 200
                next(answer.iter_bytes())
            # The slot is free again once the writer has ended.
            while not downloads(server)[0].ended_at:
                pass

        recorded = downloads(server)
        assert len(recorded) == 6
        assert all(one.exit_code and "disconnected" in (one.error or "") for one in recorded)
        assert not [*Path(local.serve.spool).glob("*/*")]


def test_a_client_that_disconnects_before_the_response_keeps_no_slot(local: Settings) -> None:
    serve = replace(local.serve, tokens=(ALL_LINE,), secret="what signs links")
    with served(replace(local, serve=serve)) as server:
        server.client.headers.update(ALL)
        server.send(photo(1))
        url = server.client.post(f"/users/{USER}/export").json()["url"]
        where = httpx.URL(server.url)
        for _ in range(3 * MOST_EXPORTS):
            with socket.create_connection((where.host, where.port or 0), 60) as client:
                client.sendall(f"GET {url} HTTP/1.1\r\nHost: {where.netloc.decode()}\r\n\r\n".encode())
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

        # Downloads under way end first.
        answers = (httpx.get(f"{server.url}{url}", timeout=60) for _ in range(100))
        assert any(one.status_code == 200 for one in answers)


def test_a_stopping_server_breaks_the_download_off_visibly(local: Settings) -> None:
    with ExitStack() as running:
        server = running.enter_context(served(replace(local, serve=replace(local.serve, secret="what signs links"))))
        for number in range(8):
            server.send(photo(number) + bytes(6 * 2**20))
        url = server.client.post(f"/users/{USER}/export").json()["url"]
        with httpx.stream("GET", f"{server.url}{url}", timeout=60) as answer:
            pieces = answer.iter_bytes()
            next(pieces)
            stopping = Thread(target=running.close)
            stopping.start()
            with pytest.raises(httpx.RemoteProtocolError):
                for _ in pieces:
                    pass
            stopping.join(60)


def test_the_gallery_offers_the_download_and_no_secret_makes_no_lasting_link(local: Settings, tmp_path: Path) -> None:
    with served(local) as server:
        server.send(photo(1))
        page = server.client.get(f"/users/{USER}").text
        path = page.partition('href="/exports/')[2].partition('"')[0].replace("&amp;", "&")

        assert server.client.post(f"/users/{USER}/export").status_code == 501
        assert [*download(server, f"/exports/{path}", tmp_path).values()] == [photo(1)]
