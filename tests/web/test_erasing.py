"""DELETE /images/ID: the required rights, the complete erasure, and its record in the operations."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest
from sqlalchemy import update

from imgctl.config.settings import Settings
from imgctl.keys import new_id
from imgctl.ops.support.history import Wanted, counts_in, history
from imgctl.store.catalog.queries.claims import claim
from imgctl.store.catalog.queries.holds import hold, release
from imgctl.store.catalog.schema import images
from imgctl.web.auth import Scope
from tests.web.server import OTHER, USER, Served, served, token
from tests.whole.conftest import photo

ERASE, ERASE_LINE = token(Scope.READ, Scope.WRITE, Scope.ERASE, name="eraser")
WRITE, WRITE_LINE = token(Scope.READ, Scope.WRITE, name="writer")
MINE, MINE_LINE = token(Scope.READ, Scope.ERASE, user=USER, name="mine")
THEIRS, THEIRS_LINE = token(Scope.READ, user=OTHER, name="theirs")
SECRET = "what signs receipts"
CALLERS = {"all": WRITE, "mine": MINE, "theirs": THEIRS}


@pytest.fixture(params=["remote", "local"])
def guarded(request: pytest.FixtureRequest) -> Iterator[Served]:
    """A server with tokens and a secret, over Postgres and a bucket or SQLite and a directory."""
    settings: Settings = request.getfixturevalue(request.param)
    serve = replace(settings.serve, tokens=(ERASE_LINE, WRITE_LINE, MINE_LINE, THEIRS_LINE), secret=SECRET)
    with served(replace(settings, serve=serve)) as found:
        found.client.headers.update(ERASE)
        yield found


def blobs(server: Served) -> set[str]:
    return {blob.key for blob in server.parts.store.scan()}


def test_erasing_an_image_leaves_nothing_of_it_and_all_of_another(guarded: Served) -> None:
    kept, gone = guarded.send(photo(1), user=OTHER), guarded.send(photo(2))
    guarded.work()
    others = {key for key in blobs(guarded) if str(kept) in key}

    first, again = (guarded.client.delete(f"/images/{gone}") for _ in range(2))

    assert (first.status_code, first.json()["state"], first.json()["blobs"]) == (200, "erased", 4)
    assert (again.status_code, again.json()["state"]) == (200, "erased")
    assert len(others) == 4
    assert {key for key in blobs(guarded) if str(kept) in key or str(gone) in key} == others
    responses = {name: guarded.client.get(f"/images/{gone}", headers=one) for name, one in CALLERS.items()}
    assert {name: one.status_code for name, one in responses.items()} == {"all": 410, "mine": 410, "theirs": 404}
    assert "was erased at" in responses["mine"].json()["detail"]
    assert guarded.client.get(f"/view/{gone}").status_code == 410
    recorded = [one for one in history(guarded.parts.catalog, Wanted()) if one.command == "erase"]
    assert {one.who for one in recorded} == {"token eraser"}
    assert [counts_in(one) for one in recorded] == [{"already": 1}, {"erased": 1}]
    assert [*history(guarded.parts.catalog, Wanted(image=str(gone)))] == recorded


def test_callers_without_the_right_erase_nothing(guarded: Served) -> None:
    image, others = guarded.send(photo(1)), guarded.send(photo(1), user=OTHER)
    before = blobs(guarded)

    answers = [
        guarded.client.delete(f"/images/{one}", headers=headers)
        for one, headers in ((image, WRITE), (others, MINE), (UUID(int=1), ERASE), (image, {"Authorization": ""}))
    ]

    assert [one.status_code for one in answers] == [403, 404, 404, 401]
    assert blobs(guarded) == before
    assert guarded.row(image).user_id == USER
    assert guarded.client.delete(f"/images/{image}", headers=MINE).status_code == 200
    # Erased images stay hidden from other users.
    assert guarded.client.delete(f"/images/{image}", headers=MINE).status_code == 200


def test_a_held_image_stays_and_the_response_gives_the_reason(guarded: Served) -> None:
    image, held = guarded.send(photo(1)), new_id(datetime.now(UTC))
    with guarded.parts.catalog.write() as connection:
        hold(connection, held, USER, reason="case 4711", by="court")

    refused = guarded.client.delete(f"/images/{image}")

    assert refused.status_code == 409
    assert "case 4711" in refused.json()["detail"]
    assert "case 4711" not in guarded.client.delete(f"/images/{image}", headers=MINE).json()["detail"]
    assert guarded.row(image).original_key in blobs(guarded)
    with guarded.parts.catalog.write() as connection:
        release(connection, held, by="court")
    assert guarded.client.delete(f"/images/{image}").json()["state"] == "erased"


def test_an_image_that_a_worker_may_still_put_is_gone_but_not_reported_erased(guarded: Served) -> None:
    image = guarded.send(photo(1))
    with guarded.parts.catalog.write() as connection:
        assert [one.id for one in claim(connection, limit=1, lease_seconds=60, max_attempts=5)] == [image]

    answer = guarded.client.delete(f"/images/{image}")

    assert (answer.status_code, answer.json()["state"]) == (202, "erasing")
    seen = guarded.client.get(f"/images/{image}")
    assert (seen.status_code, "is being erased" in seen.json()["detail"]) == (410, True)
    assert "1 image of this user" in guarded.client.get(f"/users/{USER}").text
    assert not [key for key in blobs(guarded) if str(image) in key]


def test_every_token_sees_a_hold_and_only_those_of_all_users_its_reason(guarded: Served) -> None:
    image, other, held = guarded.send(photo(1)), guarded.send(photo(2), user=OTHER), new_id(datetime.now(UTC))
    before = guarded.client.get(f"/images/{image}")
    with guarded.parts.catalog.write() as connection:
        hold(connection, held, USER, reason="case <4711>", by="court")

    fresh = guarded.client.get(f"/images/{image}", headers={"If-None-Match": before.headers["ETag"]})
    mine = guarded.client.get(f"/images/{image}", headers=MINE).json()["hold"]
    with guarded.parts.catalog.write() as connection:
        connection.execute(update(images).where(images.c.id == other).values(storage_class="DEEP_ARCHIVE"))
    found = guarded.client.get("/images").json()["images"]
    listed = {one["id"]: (one["hold"], one["archived"]) for one in found}
    theirs = guarded.client.get(f"/users/{OTHER}").text
    pages = [
        guarded.client.get(path, headers=headers).text
        for path in (f"/users/{USER}", f"/view/{image}")
        for headers in (WRITE, MINE)
    ]

    assert before.json()["hold"] is None
    assert (fresh.status_code, fresh.json()["hold"]["reason"]) == (200, "case <4711>")
    assert (mine["by"], mine["reason"], mine["since"]) == (None, None, fresh.json()["hold"]["since"])
    assert listed == {str(image): (fresh.json()["hold"], False), str(other): (None, True)}
    assert [page.count("badge held") for page in pages] == [1, 1, 1, 1]
    assert ["by court: case &lt;4711&gt;" in page for page in pages] == [True, False, True, False]
    assert ("badge held" in theirs, "badge archived" in theirs) == (False, True)


def test_without_a_secret_or_a_token_nothing_is_erased(local: Settings) -> None:
    with served(local) as open_to_all:
        image = open_to_all.send(photo(1))
        assert open_to_all.client.delete(f"/images/{image}").status_code == 401
    with served(replace(local, serve=replace(local.serve, tokens=(ERASE_LINE,)))) as unsigned:
        refused = unsigned.client.delete(f"/images/{image}", headers=ERASE)
        assert (refused.status_code, "secret" in refused.json()["hint"]) == (501, True)
        assert unsigned.row(image).id == image
