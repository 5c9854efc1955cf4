"""Links that the server signs itself: each opens one variant, for a limited time."""

import time
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import pytest

from imgctl.config.settings import LinkSettings, Settings
from imgctl.model import Variant
from imgctl.web.links import Links
from tests.web.server import Served, served
from tests.whole.conftest import photo


@pytest.fixture
def link(local_server: Served) -> tuple[Served, str]:
    """A server and the link of a thumbnail."""
    image = local_server.send(photo(1))
    local_server.work()
    return local_server, local_server.client.get(f"/images/{image}").json()["variants"]["thumb"]["url"]


def test_a_link_opens_one_variant_until_it_is_changed(link: tuple[Served, str]) -> None:
    server, url = link
    found = server.client.get(url)
    known = server.client.get(url, headers={"If-None-Match": found.headers["etag"]})
    changed = [
        url.replace("/thumb", "/full"),
        url.replace("expires=", "expires=1"),
        url[: url.index("signature=")] + "signature=" + "0" * 64,
        url[: url.index("signature=")] + "signature=é",
        url.replace("/blobs/0", "/blobs/1"),
    ]

    assert (found.status_code, known.status_code) == (200, 304)
    assert "immutable" in found.headers["cache-control"]
    assert {server.client.get(one).status_code for one in changed} == {403}
    assert server.client.get(url.split("&")[0]).status_code == 422
    assert server.client.get(url.replace("thumb", "original")).status_code == 422


def test_a_link_to_a_lost_variant_shows_no_path(link: tuple[Served, str]) -> None:
    server, url = link
    image = server.row(UUID(urlsplit(url).path.split("/")[2]))
    server.parts.store.delete([image.thumb_key or ""])

    answer = server.client.get(url)

    assert answer.status_code == 404
    assert "is lost" in answer.json()["detail"]
    assert server.parts.settings.store.url.removeprefix("file://") not in answer.text


def test_a_link_expires(local: Settings) -> None:
    with served(replace(local, serve=replace(local.serve, secret="a secret"))) as server:
        image = server.row(server.send(photo(1)))
        server.work()
        ready = server.row(image.id)
        links = Links(server.parts.settings, server.parts.store, key=b"")
        url = links.variant(ready, Variant.THUMB) or ""
        old = int(time.time()) - 1
        signature = links._signature(f"{ready.id}/thumb/{old}")
        dead = server.client.get(f"/blobs/{ready.id}/thumb?expires={old}&signature={signature}")
        alive = server.client.get(url)

    left = int(parse_qs(urlsplit(url).query)["expires"][0]) - time.time()
    assert (dead.status_code, alive.status_code) == (403, 200)
    assert "expired" in dead.json()["detail"]
    assert 0 < left <= local.serve.links


def test_links_of_a_bucket_are_the_stores_own_and_live_as_long(server: Served) -> None:
    image = server.send(photo(1))
    server.work()
    url = server.client.get(f"/images/{image}").json()["variants"]["full"]["url"]

    assert url.startswith(server.parts.settings.store.endpoint_url)
    assert parse_qs(urlsplit(url).query)["X-Amz-Expires"] == [str(int(server.parts.settings.serve.links))]
    assert server.client.get(f"/blobs/{image}/full?expires=1&signature=0").status_code == 404


def test_behind_a_cdn_links_are_the_cdns(local: Settings) -> None:
    with served(replace(local, links=LinkSettings(cdn="https://images.example.org/p"))) as server:
        image = server.send(photo(1))
        server.work()
        url = server.client.get(f"/images/{image}").json()["variants"]["thumb"]["url"]
        page = server.client.get("/", headers={"Accept": "text/html"})

    assert url.startswith("https://images.example.org/p/")
    assert "img-src 'self' https://images.example.org;" in page.headers["content-security-policy"]
