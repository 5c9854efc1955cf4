"""Every route of the server, listed by the server itself: a new one is tested, or its test says why it need not be."""

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute

from imgctl.config.catalog_store import StoreSettings
from imgctl.web.app import make_app
from imgctl.web.app_state import AppState
from imgctl.web.auth import Scope
from imgctl.web.middleware import Middleware
from tests.web.server import OTHER, USER, Served, served, settings_for, token
from tests.whole.conftest import photo

ALL, ALL_LINE = token(Scope.READ, Scope.WRITE, Scope.ERASE, Scope.EVENTS, name="all")
MINE, MINE_LINE = token(Scope.READ, Scope.WRITE, Scope.ERASE, Scope.EVENTS, user=USER, name="mine")
# Routes that need no token: each says nothing of users, or has a signature of its own.
OPEN = {
    ("GET", "/healthz"), ("GET", "/readyz"), ("GET", "/docs"), ("GET", "/"), ("GET", "/login"), ("POST", "/login"),
    ("GET", "/assets/{name}"), ("GET", "/openapi.json"), ("GET", "/blobs/{image_id}/{variant}"),
    ("GET", "/exports/{user_id}"),
}  # fmt: skip
# What a token of one user gets: with what belongs to another, or, without a parameter for that, at all.
REFUSED = {403, 404}
OWN_ONLY = {("GET", "/images")}
QUERY = {
    ("POST", "/images"): {"user_id": str(OTHER)},
    ("GET", "/users/{user_id}/events"): {"image": "{image_id}"},
}
ANNOUNCED = {"user_id": str(OTHER), "sha256": "0" * 64, "bytes": 1, "content_type": "image/jpeg"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarded:
    """A server with tokens, an image of OTHER, and all routes."""

    server: Served
    theirs: UUID
    routes: list[tuple[str, str]]

    def status(self, method: str, path: str, headers: dict[str, str]) -> int:
        """Send a request about OTHER; return its status."""
        place = path.format(image_id=self.theirs, user_id=OTHER, variant="thumb", name="x")
        query = {name: value.format(image_id=self.theirs) for name, value in QUERY.get((method, path), {}).items()}
        json = ANNOUNCED if path == "/uploads" else None
        content = photo(2) if (method, path) == ("POST", "/images") else None
        answer = self.server.client.request(method, place, params=query, headers=headers, json=json, content=content)
        return answer.status_code


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """A server over a directory; OTHER has one image."""
    place = tmp_path_factory.mktemp("routes")
    store = StoreSettings(url=f"file://{place}/blobs")
    settings = settings_for(
        f"sqlite:///{place}/catalog.db", store, tokens=(ALL_LINE, MINE_LINE), secret="s" * 32, spool=str(place)
    )
    with served(settings) as server:
        sent = server.client.post("/images", params={"user_id": str(OTHER)}, content=photo(1), headers=ALL)
        server.work()
        yield Guarded(server=server, theirs=UUID(sent.json()["id"]), routes=routes_of(server))


def routes_of(server: Served) -> list[tuple[str, str]]:
    """Return method and path of every route, also of those that the OpenAPI document leaves out."""
    state = AppState(server.parts, key=b"k")
    try:
        app = make_app(state)
        assert isinstance(app, Middleware)
        assert isinstance(app._app, FastAPI)
        return [
            (method, one.path) for one in app._app.routes if isinstance(one, APIRoute) for method in one.methods or ()
        ]
    finally:
        state.close()


def test_every_route_but_the_open_ones_wants_a_token(guarded: Guarded) -> None:
    statuses = {one: guarded.status(*one, {}) for one in guarded.routes}

    assert {one for one, status in statuses.items() if status != 401} == OPEN & statuses.keys()
    assert len(statuses) > 20


def test_a_token_of_one_user_gets_nothing_of_another_at_any_route(guarded: Guarded) -> None:
    before = guarded.server.client.get(f"/images/{guarded.theirs}", headers=ALL).json()
    asked = [one for one in guarded.routes if one not in OPEN | OWN_ONLY]
    statuses = {one: guarded.status(*one, MINE) for one in asked}
    after = guarded.server.client.get(f"/images/{guarded.theirs}", headers=ALL).json()
    # Last, as one of them erases the image.
    allowed = {one: guarded.status(*one, ALL) for one in sorted(asked, key=lambda one: one[0] == "DELETE")}

    assert {one: status for one, status in statuses.items() if status not in REFUSED} == {}
    assert before | {"variants": None} == after | {"variants": None}
    assert {one for one, status in allowed.items() if status in REFUSED} == set()


def test_every_page_has_a_policy_without_inline_scripts(guarded: Guarded) -> None:
    html = {"Accept": "text/html"}
    pages = [one for one in guarded.routes if one[0] == "GET"]
    for headers in (html, html | ALL):
        for method, path in pages:
            place = path.format(image_id=guarded.theirs, user_id=OTHER, variant="thumb", name="x")
            answer = guarded.server.client.request(method, place, headers=headers)
            policy = answer.headers["content-security-policy"]
            assert "default-src 'none'" in policy, path
            assert "frame-ancestors 'none'" in policy, path
            assert "unsafe" not in policy, path
            assert answer.headers["x-content-type-options"] == "nosniff", path
