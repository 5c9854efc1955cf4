"""Event streams: every listener gets an image's states as they change."""

import json
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from uuid import UUID

import httpx

from tests.web.server import OTHER, USER, Served
from tests.whole.conftest import photo


def states(server: Served, path: str, received: SimpleQueue[str] | None = None) -> list[tuple[str, str]]:
    """Every event of a stream, to its end."""
    found = []
    with httpx.stream("GET", f"{server.url}{path}", timeout=60) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        for line in answer.iter_lines():
            if line.startswith("data: "):
                event = json.loads(line.removeprefix("data: "))
                found.append((event["id"], event["status"]))
                if received is not None:
                    received.put(event["status"])
    return found


def test_a_stream_reports_that_an_image_is_ready(either: Served) -> None:
    image, received = either.send(photo(1)), SimpleQueue[str]()
    with ThreadPoolExecutor(3) as threads:
        listeners = [threads.submit(states, either, f"/images/{image}/events", received) for _ in range(2)]
        of_user = threads.submit(states, either, f"/users/{USER}/events?image={image}", received)
        for _ in range(3):
            received.get(timeout=30)
        either.work()

    wanted = [(str(image), "processing"), (str(image), "ready")]
    assert [one.result() for one in listeners] == [wanted, wanted]
    assert of_user.result() == wanted


def test_an_image_that_has_ended_is_reported_once(either: Served) -> None:
    image, broken = either.send(photo(1)), either.send(photo(2)[:-400])
    either.work()

    assert states(either, f"/images/{image}/events") == [(str(image), "ready")]
    events = dict(states(either, f"/users/{USER}/events?image={image}&image={broken}"))
    assert events[str(image)] == "ready"
    assert events[str(broken)] in ("ready", "failed")


def test_images_of_other_users_and_unknown_ones_are_not_reported(either: Served) -> None:
    theirs = either.send(photo(1), user=OTHER)

    assert states(either, f"/users/{USER}/events?image={theirs}&image={UUID(int=7)}") == []
    assert either.client.get(f"/images/{UUID(int=7)}/events").status_code == 404
    assert either.client.get(f"/users/{USER}/events").status_code == 422
