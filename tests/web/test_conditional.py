"""HEAD, conditional and Range requests to every kind of path."""

import socket
from urllib.parse import urlsplit

import pytest

from tests.web.server import USER, Served
from tests.whole.conftest import photo


@pytest.fixture
def paths(local_server: Served) -> list[str]:
    """One path of each kind that GET serves."""
    image = local_server.send(photo(1))
    local_server.work()
    blob = local_server.client.get(f"/images/{image}").json()["variants"]["thumb"]["url"]
    return [
        blob, f"/images/{image}", "/images", f"/users/{USER}/images", "/assets/gallery.css",
        f"/users/{USER}", f"/view/{image}", "/healthz", "/metrics", "/docs",
    ]  # fmt: skip


def _raw(server: Served, request: str) -> bytes:
    """All bytes that the server sends on a new connection."""
    place = urlsplit(server.url)
    assert place.hostname
    assert place.port
    with socket.create_connection((place.hostname, place.port), timeout=30) as connection:
        connection.sendall(f"{request}\r\nHost: {place.netloc}\r\nConnection: close\r\n\r\n".encode())
        received = b""
        while piece := connection.recv(65536):
            received += piece
    return received


def test_head_responds_as_get_without_the_body(local_server: Served, paths: list[str]) -> None:
    for path in paths:
        # The seconds that are left of a link go down between two requests.
        got, headed, later = (getattr(local_server.client, how)(path) for how in ("get", "head", "get"))

        assert (headed.status_code, headed.content) == (got.status_code, b""), path
        for name in ("content-type", "etag", "cache-control", "last-modified"):
            assert headed.headers.get(name) in (got.headers.get(name), later.headers.get(name)), (path, name)
        # Responses with ages or counts of requests may change in length.
        assert (headed.headers.get("content-length") == got.headers.get("content-length")) or path in paths[5:], path


def test_head_sends_no_byte_behind_the_headers_and_ends_a_stream(local_server: Served, paths: list[str]) -> None:
    waiting = local_server.send(photo(2))

    for path in (*paths, f"/images/{waiting}/events"):
        received = _raw(local_server, f"HEAD {path} HTTP/1.1")

        assert received.startswith(b"HTTP/1.1 200 "), path
        assert received.endswith(b"\r\n\r\n"), path
        assert received.count(b"\r\n\r\n") == 1, path


def test_head_of_a_blob_does_not_read_it(
    local_server: Served, paths: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (blob,) = [path for path in paths if path.startswith("/blobs/")][:1]
    got = local_server.client.get(blob)

    async def opened(*_: object, **__: object) -> None:
        raise AssertionError("the blob is opened")

    monkeypatch.setattr("starlette.responses.anyio.open_file", opened)
    headed = local_server.client.head(blob)

    assert (headed.status_code, headed.headers["content-length"]) == (200, str(len(got.content)))


def test_head_of_a_missing_image_is_404(local_server: Served) -> None:
    assert local_server.client.head("/images/0190b2b4-0000-7000-8000-000000000009").status_code == 404
    assert local_server.client.head("/nowhere").status_code == 404


def test_a_known_version_is_not_sent_again(local_server: Served, paths: list[str]) -> None:
    for path in paths[:5]:
        got = local_server.client.get(path)
        tag = got.headers["etag"]
        for given in (tag, f'"other", {tag}', "*"):
            known = local_server.client.get(path, headers={"If-None-Match": given})

            assert (known.status_code, known.content, known.headers["etag"]) == (304, b"", tag), path
        lines = [("If-None-Match", '"other"'), ("If-None-Match", tag)]
        assert local_server.client.get(path, headers=lines).status_code == 304, path
        assert local_server.client.get(path, headers={"If-None-Match": '"other"'}).status_code == 200


@pytest.mark.parametrize("since", ["soon", "Fri, 21 Dec 99999999999 00:00:00 GMT", "Fri, 21 Dec 2012 00:00:00"])
def test_an_invalid_date_of_a_client_is_ignored(local_server: Served, paths: list[str], since: str) -> None:
    (blob,) = [path for path in paths if path.startswith("/blobs/")][:1]

    assert local_server.client.get(blob, headers={"If-Modified-Since": since}).status_code == 200


def test_a_list_has_another_version_when_an_image_changes(local_server: Served, paths: list[str]) -> None:
    before = local_server.client.get("/images").headers["etag"]
    local_server.send(photo(3))
    between = local_server.client.get("/images").headers["etag"]
    local_server.work()

    assert len({before, between, local_server.client.get("/images").headers["etag"]}) == 3


def test_if_modified_since_counts_if_no_etag_is_given(local_server: Served, paths: list[str]) -> None:
    blob = paths[0]
    modified = local_server.client.get(blob).headers["last-modified"]

    def status(**headers: str) -> int:
        return local_server.client.get(blob, headers={k.replace("_", "-"): v for k, v in headers.items()}).status_code

    assert status(If_Modified_Since=modified) == 304
    assert status(If_Modified_Since="Thu, 01 Jan 1970 00:00:00 GMT") == 200
    assert status(If_Modified_Since="no date") == 200
    assert status(If_Modified_Since=modified, If_None_Match='"other"') == 200


def test_a_range_of_a_blob_is_sent_alone(local_server: Served, paths: list[str]) -> None:
    blob = paths[0]
    whole = local_server.client.get(blob)
    data = whole.content

    def ranged(asked: str, **headers: str) -> tuple[int, bytes, str | None]:
        answer = local_server.client.get(blob, headers={"Range": asked} | headers)
        return answer.status_code, answer.content, answer.headers.get("content-range")

    assert whole.headers["accept-ranges"] == "bytes"
    assert ranged("bytes=0-9") == (206, data[:10], f"bytes 0-9/{len(data)}")
    assert ranged("bytes=-5") == (206, data[-5:], f"bytes {len(data) - 5}-{len(data) - 1}/{len(data)}")
    assert ranged(f"bytes={len(data) - 1}-") == (206, data[-1:], f"bytes {len(data) - 1}-{len(data) - 1}/{len(data)}")
    assert ranged(f"bytes={len(data)}-")[0] == 416
    assert ranged("bytes=0-9", **{"If-Range": whole.headers["etag"]})[0] == 206
    assert ranged("bytes=0-9", **{"If-Range": '"other"'})[:2] == (200, data)
