"""Authentication: tokens, their scopes and users, cross-site requests, and rate limits."""

from collections.abc import Iterator
from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgctl.config.catalog_store import StoreSettings
from imgctl.config.load import load_settings
from imgctl.config.service import ServeSettings
from imgctl.config.settings import Settings
from imgctl.errors import ConfigError
from imgctl.web.auth import Rates, Scope, Tokens, is_loopback, new_token
from imgctl.web.problem import PROBLEM
from imgctl.web.run import serving
from tests.web.server import OTHER, USER, Served, served, settings_for, token
from tests.whole.conftest import photo

ALL, ALL_LINE = token(Scope.READ, Scope.WRITE, name="all")
READ, READ_LINE = token(Scope.READ, name="reader")
WRITE, WRITE_LINE = token(Scope.WRITE, name="writer")
MINE, MINE_LINE = token(Scope.READ, Scope.WRITE, user=USER, name="mine")
LINES = (ALL_LINE, READ_LINE, WRITE_LINE, MINE_LINE)
UNKNOWN = {"Authorization": "Bearer somebody"}
PAGE = {"Accept": "text/html"}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, UUID, UUID]]:
    """A server with tokens; one image of USER and one of OTHER, both ready."""
    place = tmp_path_factory.mktemp("guarded")
    store = StoreSettings(url=f"file://{place}/blobs")
    with served(settings_for(f"sqlite:///{place}/catalog.db", store, tokens=LINES)) as server:
        ids = []
        for user in (USER, OTHER):
            sent = server.client.post("/images", params={"user_id": str(user)}, content=photo(1), headers=ALL)
            ids.append(UUID(sent.json()["id"]))
        server.work()
        yield server, ids[0], ids[1]


@pytest.mark.parametrize(
    ("method", "path", "statuses"),
    [
        # Without a token, an unknown one, read only, write only, USER's own, all.
        ("GET", "/images/{theirs}", (401, 401, 200, 403, 404, 200)),
        ("GET", "/images/{mine}", (401, 401, 200, 403, 200, 200)),
        ("GET", "/images/{theirs}?width=10", (401, 401, 307, 403, 404, 307)),
        ("GET", "/images/{theirs}/events", (401, 401, 200, 403, 404, 200)),
        ("GET", "/images", (401, 401, 200, 403, 200, 200)),
        ("GET", "/users/{other}/images", (401, 401, 200, 403, 403, 200)),
        ("GET", "/users/{other}/events?image={theirs}", (401, 401, 200, 403, 403, 200)),
        ("GET", "/users/{other}", (401, 401, 200, 403, 403, 200)),
        ("GET", "/view/{theirs}", (401, 401, 200, 403, 404, 200)),
        ("GET", "/tiles/{theirs}", (401, 401, 200, 403, 404, 200)),
        ("POST", "/images?user_id={other}", (401, 401, 403, 200, 403, 200)),
        ("POST", "/uploads/{theirs}/complete", (401, 401, 403, 200, 404, 200)),
        ("GET", "/metrics", (401, 401, 200, 403, 403, 200)),
        ("GET", "/healthz", (200, 200, 200, 200, 200, 200)),
        ("GET", "/readyz", (200, 200, 200, 200, 200, 200)),
        ("GET", "/openapi.json", (200, 200, 200, 200, 200, 200)),
    ],
)
def test_a_token_allows_exactly_its_scopes_and_users(
    guarded: tuple[Served, UUID, UUID], method: str, path: str, statuses: tuple[int, ...]
) -> None:
    server, mine, theirs = guarded
    place = path.format(mine=mine, theirs=theirs, other=OTHER)
    content = photo(1) if method == "POST" else None
    answers = [
        server.client.request(method, place, headers=headers, content=content)
        for headers in ({}, UNKNOWN, READ, WRITE, MINE, ALL)
    ]

    assert tuple(answer.status_code for answer in answers) == statuses
    if statuses[0] == 401:
        assert answers[0].headers["www-authenticate"].startswith("Bearer")


def test_a_token_of_one_user_lists_that_user_and_names_no_other(guarded: tuple[Served, UUID, UUID]) -> None:
    server, mine, _ = guarded
    listed = server.client.get("/images", headers=MINE).json()["images"]
    unnamed = server.client.post("/images", content=photo(1), headers=MINE)
    direct = server.client.post(
        "/uploads",
        json={"user_id": str(OTHER), "sha256": "0" * 64, "bytes": 1, "content_type": "image/jpeg"},
        headers=MINE,
    )

    assert [one["id"] for one in listed] == [str(mine)]
    assert unnamed.json()["id"] == str(mine)
    assert direct.status_code in (403, 409)


def test_a_browser_that_signed_in_may_only_read(guarded: tuple[Served, UUID, UUID]) -> None:
    server, mine, _ = guarded
    secret = MINE["Authorization"].removeprefix("Bearer ")
    led = server.client.get(f"/view/{mine}", headers=PAGE)
    form = server.client.get(led.headers["location"], headers=PAGE)
    wrong = server.client.post("/login", data={"token": "guess", "next": "/"}, headers=PAGE)
    right = server.client.post("/login", data={"token": secret, "next": f"/view/{mine}"}, headers=PAGE)
    cookie = right.headers["set-cookie"]
    shown = server.client.get(f"/view/{mine}", headers=PAGE)
    sent = server.client.post("/images", content=photo(1))
    server.client.cookies.clear()

    assert (led.status_code, form.status_code, wrong.status_code, right.status_code) == (303, 200, 401, 303)
    assert f"/view/{mine}" in form.text
    assert right.headers["location"] == f"/view/{mine}"
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert (shown.status_code, sent.status_code) == (200, 401)


@pytest.mark.parametrize("place", ["https://example.org", "//example.org", "/\\example.org", "javascript:alert(1)", ""])
def test_signing_in_redirects_to_no_other_site(guarded: tuple[Served, UUID, UUID], place: str) -> None:
    server, _, _ = guarded
    secret = MINE["Authorization"].removeprefix("Bearer ")
    answer = server.client.post("/login", data={"token": secret, "next": place})
    server.client.cookies.clear()

    assert answer.headers["location"] == "/"


def test_cross_site_requests_and_dns_rebinding_are_refused(shared: Served) -> None:
    arguments = {"params": {"user_id": str(USER)}, "content": photo(1)}
    cross = shared.client.post("/images", **arguments, headers={"Origin": "https://example.org"})  # type: ignore[arg-type]
    marked = shared.client.post("/images", **arguments, headers={"Sec-Fetch-Site": "cross-site"})  # type: ignore[arg-type]
    rebound = shared.client.get("/images", headers={"Host": "example.org"})
    signed = shared.client.post("/login", data={"token": "x"}, headers={"Origin": "https://example.org"})
    linked = shared.client.post(f"/users/{USER}/export", headers={"Origin": "https://example.org"})

    assert {cross.status_code, marked.status_code, rebound.status_code} == {403}
    assert {signed.status_code, linked.status_code} == {403}


def test_headers_that_name_no_host_are_refused_and_break_nothing(shared: Served) -> None:
    arguments = {"params": {"user_id": str(USER)}, "content": photo(1)}
    cross = shared.client.post("/images", **arguments, headers={"Origin": "http://["})  # type: ignore[arg-type]
    strange = shared.client.get("/images", headers={"Host": "[::1"})

    assert (cross.status_code, strange.status_code) == (403, 403)
    assert {one.headers["content-type"] for one in (cross, strange)} == {PROBLEM}


def test_without_tokens_only_loopback_is_served() -> None:
    with pytest.raises(ConfigError, match="this machine only"):
        serving(Settings(serve=ServeSettings(host="0.0.0.0")))
    tokened = ServeSettings(host="0.0.0.0", tokens=(ALL_LINE,))

    assert serving(Settings(serve=tokened)).serve == tokened


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1:80", True), ("localhost", True), ("[::1]:80", True), ("127.9.9.9", True), ("a.localhost:8", True),
        ("example.org", False), ("10.0.0.1", False), ("0.0.0.0", False), ("localhost.example.org", False), ("", False),
        ("[::1", False), ("::1]", False),
    ],
)  # fmt: skip
def test_loopback_is_distinguished_from_other_hosts(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


def test_requests_over_the_rate_must_wait(local: Settings) -> None:
    limited = replace(local, serve=replace(local.serve, rate=3, tokens=(ALL_LINE, READ_LINE)))
    with served(limited) as server:
        answers = [server.client.get("/images", headers=ALL) for _ in range(5)]
        other = server.client.get("/images", headers=READ)
        guesses = [server.client.get("/images", headers=UNKNOWN) for _ in range(5)]

    assert [one.status_code for one in answers] == [200, 200, 200, 429, 429]
    assert 0 < int(answers[-1].headers["retry-after"]) <= 20
    assert other.status_code == 200
    assert guesses[-1].status_code == 429


def test_signing_in_is_limited_like_other_guesses(local: Settings) -> None:
    limited = replace(local, serve=replace(local.serve, rate=3, tokens=(ALL_LINE,)))
    with served(limited) as server:
        guesses = [server.client.post("/login", data={"token": f"guess {number}"}) for number in range(5)]

    assert [one.status_code for one in guesses] == [401, 401, 401, 429, 429]


def test_a_token_that_is_no_text_is_unknown(shared: Served) -> None:
    kind = "multipart/form-data; boundary=B; charset=utf-7"
    form = b'--B\r\nContent-Disposition: form-data; name="token"\r\n\r\n+2AA-\r\n--B--\r\n'

    assert shared.client.post("/login", content=form, headers={"Content-Type": kind}).status_code == 401


def test_a_browser_that_signed_in_makes_no_links_to_exports(guarded: tuple[Served, UUID, UUID]) -> None:
    server, _, _ = guarded
    cookie = {"Cookie": f"imgctl_token={MINE['Authorization'].removeprefix('Bearer ')}"}
    sent = server.client.post(f"/users/{USER}/export", headers=cookie)

    assert sent.status_code == 401


@given(limit=st.integers(1, 100), gaps=st.lists(st.floats(0, 30), max_size=200))
def test_no_minute_admits_more_than_the_limit(limit: int, gaps: list[float]) -> None:
    now, passed = 1000.0, []
    rates = Rates(limit, clock=lambda: now)
    for gap in gaps:
        now += gap
        if not rates.wait_seconds("one"):
            passed.append(now)

    assert all(sum(start <= one < start + 59.9 for one in passed) <= 2 * limit for start in passed)
    assert len(passed) >= min(len(gaps), limit)


def test_a_new_token_is_admitted_by_its_line_which_does_not_hold_it() -> None:
    secret, line = new_token("phone", scopes=[Scope.READ], user_id=USER)
    settings = load_settings(environ={"IMGCTL_SERVE_TOKENS": line})
    caller = Tokens(settings.serve.tokens).caller(secret)

    assert secret not in line
    assert caller is not None
    assert (caller.name, caller.scopes, caller.user_id) == ("phone", frozenset({Scope.READ}), USER)
    assert Tokens(settings.serve.tokens).caller(secret[:-1]) is None


@pytest.mark.parametrize(
    "line",
    [
        "phone",
        "phone:admin:*:" + "0" * 64,
        "a b:read:*:" + "0" * 64,
        "a:read:*:00",
        f"a:read:{'-' * 36}:{'0' * 64}",
        f"a:read:{USER}0:{'0' * 64}",
    ],
)
def test_an_invalid_token_line_is_an_error(line: str) -> None:
    with pytest.raises(ConfigError):
        load_settings(environ={"IMGCTL_SERVE_TOKENS": line})


def test_a_new_token_has_every_requested_scope() -> None:
    _, line = new_token("phone", scopes=iter((Scope.READ, Scope.WRITE)), user_id=None)

    assert line.startswith("phone:read+write:*:")
