"""The gallery in a real browser, over many images: scrolling, filtering, details, and images that turn ready."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest
from sqlalchemy import update

from imgctl.config.settings import Settings
from imgctl.keys import key_of, new_id, time_of
from imgctl.model import NewImage, Variant
from imgctl.store.catalog.queries.reservations import confirm, promise
from imgctl.store.catalog.schema import images
from tests.parts.chromium import Tab
from tests.web.server import OTHER, USER, Served, served
from tests.web.test_tokens import MINE, MINE_LINE
from tests.whole.conftest import photo

MANY = 500
FAILED = 3
HOSTILE = "<img src=x onerror=alert(1)>\"'&"
NOW = datetime.now(UTC).replace(microsecond=0)


def fill(server: Served, count: int) -> None:
    """So many images of USER, an hour apart, newest now; FAILED of them failed, the others ready."""
    ids = [new_id(NOW - timedelta(hours=number)) for number in range(count)]
    rows = [
        NewImage(
            id=one,
            user_id=USER,
            uploaded_at=time_of(one),
            original_key=key_of(one, "original", "jpg"),
            sha256=sha256(one.bytes).digest(),
            bytes=len(photo(1)),
            content_type="image/jpeg",
            width=96,
            height=64,
            caption=HOSTILE if number == 0 else f"Number {number}",
        )
        for number, one in enumerate(ids)
    ]
    with server.parts.catalog.write() as connection:
        promise(connection, rows)
        confirm(connection, ids)
        for number, one in enumerate(ids):
            keys = {f"{variant}_key": key_of(one, variant, "jpg") for variant in Variant}
            ended = (
                {"status": "failed", "error": HOSTILE}
                if number in range(1, FAILED + 1)
                else {"status": "ready", **keys}
            )
            connection.execute(update(images).where(images.c.id == one).values(**ended))
    for one in ids[:80]:
        for role in ("original", *Variant):
            server.parts.store.replace(key_of(one, role, "jpg"), photo(1), content_type="image/jpeg")


@pytest.fixture
def gallery(server: Served, tab: Tab) -> Iterator[tuple[Served, Tab]]:
    """A gallery with an image still processing, in a browser; any error in its console fails the test."""
    server.send(photo(2))
    fill(server, MANY)
    tab.open(f"{server.url}/users/{USER}")
    yield server, tab
    assert tab.complaints == []
    origins = {server.url, server.parts.settings.store.endpoint_url}
    assert all(url.startswith((*origins, "data:", "about:")) for url in tab.requests), tab.requests


def count(tab: Tab) -> int:
    found = tab.evaluate("document.querySelectorAll('.tile').length")
    assert isinstance(found, int)
    return found


def test_a_gallery_scrolls_on_to_its_very_end(gallery: tuple[Served, Tab]) -> None:
    _, tab = gallery
    assert count(tab) < MANY
    tab.until("scrollTo(0, document.body.scrollHeight), !document.getElementById('older')")

    shown = tab.evaluate("[...document.querySelectorAll('.tile')].map(tile => tile.dataset.id)")
    assert len(shown) == len(set(shown)) == MANY + 1
    assert shown == sorted(shown, reverse=True)
    assert tab.evaluate("[...document.querySelectorAll('.tile img')].every(one => one.alt)")


def test_a_picture_turns_ready_on_an_open_page(gallery: tuple[Served, Tab]) -> None:
    server, tab = gallery
    tab.evaluate("window.untouched = true")
    assert tab.evaluate("document.querySelector('.tile').dataset.status") == "processing"
    server.work()
    tab.until("document.querySelector('.tile').dataset.status === 'ready'")
    tab.until("document.querySelector('.tile:first-child img')?.naturalWidth > 0")

    assert tab.evaluate("window.untouched") is True
    assert tab.evaluate("document.querySelector('.tile:first-child .badge') === null")


def test_a_gallery_is_narrowed_by_state_and_by_day(gallery: tuple[Served, Tab]) -> None:
    server, tab = gallery
    tab.evaluate(
        "document.querySelector('select').value = 'failed',"
        "document.querySelector('select').dispatchEvent(new Event('change', {bubbles: true}))"
    )
    tab.until("location.search === '?status=failed' && document.readyState === 'complete'")
    assert count(tab) == FAILED
    day = (NOW - timedelta(days=2)).date()
    tab.open(f"{server.url}/users/{USER}?since={day}&until={day}")

    tab.until("location.search.includes('since')")
    assert count(tab) == 24
    assert tab.evaluate("document.querySelector('input[name=since]').value") == day.isoformat()


def test_one_image_opens_in_place_by_keyboard_and_closes_again(gallery: tuple[Served, Tab]) -> None:
    server, tab = gallery
    tab.evaluate("document.querySelectorAll('.tile a')[1].focus()")
    tab.evaluate("document.activeElement.click()")
    tab.until("document.querySelector('dialog[open] h2') !== null")
    assert tab.evaluate("document.querySelector('dialog h2').textContent") == HOSTILE
    assert tab.evaluate("document.querySelectorAll('dialog tbody tr').length") == 4
    for title in ("Number 1", "Number 2"):
        tab.press("ArrowRight")
        tab.until(f"document.querySelector('dialog h2').textContent === {json.dumps(title)}")
    tab.press("ArrowLeft")
    tab.until("document.querySelector('dialog h2').textContent === 'Number 1'")
    assert "imgctl repair" in str(tab.evaluate("document.querySelector('.repair').textContent"))
    for kind in ("keyDown", "keyUp"):
        # The browser closes dialogs by the key's code, not its name.
        tab.send("Input.dispatchKeyEvent", type=kind, key="Escape", code="Escape", windowsVirtualKeyCode=27)
    tab.until("!document.querySelector('dialog[open]')")

    # The event that restores the focus is dispatched after the dialog closes.
    tab.until("document.activeElement.closest('.tile')?.querySelector('a').title === 'Number 1'")
    tab.press("ArrowRight")
    assert tab.evaluate("document.activeElement.title") == "Number 2"
    tab.open(f"{server.url}/view/{tab.evaluate('document.activeElement.closest(`.tile`).dataset.id')}")
    tab.until("document.querySelector('main.single') !== null")


def test_a_phone_and_the_dark_show_nothing_wider_than_they_are(gallery: tuple[Served, Tab]) -> None:
    server, tab = gallery
    image = tab.evaluate("document.querySelectorAll('.tile')[1].dataset.id")
    for path in (f"/users/{USER}", f"/view/{image}", "/docs", "/", "/login"):
        tab.size(390, 844, dark=True)
        tab.open(f"{server.url}{path}")
        tab.until(f"location.pathname === {json.dumps(path)} && document.readyState === 'complete'")

        assert tab.evaluate("document.documentElement.scrollWidth") <= 390, path
        assert tab.evaluate("getComputedStyle(document.body).color") == "rgb(233, 234, 236)", path


def test_a_browser_signs_in_and_sees_only_its_own(local: Settings, tab: Tab) -> None:
    guarded = replace(local, serve=replace(local.serve, tokens=(MINE_LINE,)))
    with served(guarded) as server:
        tab.open(f"{server.url}/users/{USER}")
        tab.until("location.pathname === '/login' && document.getElementById('token') !== null")
        secret = MINE["Authorization"].removeprefix("Bearer ")
        tab.evaluate(
            f"document.getElementById('token').value = {json.dumps(secret)}, document.forms[0].requestSubmit()"
        )
        tab.until(f"location.pathname === '/users/{USER}' && document.getElementById('gallery') !== null")
        assert tab.complaints == []
        tab.open(f"{server.url}/users/{OTHER}")
        tab.until(f"location.pathname === '/users/{OTHER}' && document.querySelector('h1') !== null")

        assert tab.evaluate("document.querySelector('h1').textContent") == "Forbidden"
        assert tab.evaluate("document.cookie") == ""
