"""The webhook: messages are signed, batched and retried, and never delay the workers."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import UUID

import pytest

from imgctl.config.service import NotifySettings
from imgctl.errors import ConfigError
from imgctl.ops.notify import webhook
from imgctl.ops.notify.webhook import SIGNATURE, Webhook, signature
from imgctl.store.catalog.engine import Catalog
from imgctl.store.catalog.queries.reservations import promise
from tests.parts.loopback import Handler, serving
from tests.store.catalog.rows import new_image

SECRET = "a secret of both sides"
Answer = Callable[[int], int]


@dataclass(slots=True)
class Receiver:
    """An application that receives messages: its URL, and the messages so far."""

    url: str = ""
    messages: list[tuple[str, bytes]] = field(default_factory=list)

    @property
    def images(self) -> list[dict[str, str | None]]:
        """Every image of every message."""
        return [image for _, body in self.messages for image in json.loads(body)["images"]]


@contextmanager
def receiving(answer: Answer = lambda _number: 204) -> Iterator[Receiver]:
    """An application that responds to its n-th message (from 0) with the status `answer(n)`."""
    receiver = Receiver()

    class Application(Handler):
        def do_POST(self) -> None:
            receiver.messages.append((self.headers[SIGNATURE], self.body()))
            self.respond(answer(len(receiver.messages) - 1), headers={"Location": f"{receiver.url}/elsewhere"})

    with serving(Application) as receiver.url:
        yield receiver


def settings(receiver: Receiver) -> NotifySettings:
    return NotifySettings(webhook_url=f"{receiver.url}/hook", secret=SECRET)


def add(hook: Webhook, number: int, fate: str = "ready") -> None:
    hook.add(UUID(int=number), fate, "why" if fate == "failed" else None)


def test_finished_images_are_posted_with_their_owner_and_a_signature(catalog: Catalog) -> None:
    row = new_image(1)
    with catalog.write() as connection:
        promise(connection, [row])
    with receiving() as receiver:
        with Webhook(settings(receiver), catalog) as hook:
            hook.add(row.id, "ready", None)
            add(hook, 2, "failed")
            add(hook, 3, "retry")
            add(hook, 4, "lost")
        signed, body = receiver.messages[0]

    assert receiver.images == [
        {"id": str(row.id), "user_id": str(row.user_id), "status": "ready", "error": None},
        {"id": str(UUID(int=2)), "user_id": None, "status": "failed", "error": "why"},
    ]
    moment, code = signed.removeprefix("t=").split(",v1=")
    assert code == signature(SECRET, body, int(moment))
    assert code != signature("another", body, int(moment))


def test_many_images_are_posted_in_few_messages_and_each_once(catalog: Catalog) -> None:
    with receiving() as receiver, Webhook(settings(receiver), catalog) as hook:
        for number in range(1000):
            add(hook, number)

    assert sorted(str(one["id"]) for one in receiver.images) == [str(UUID(int=number)) for number in range(1000)]
    assert len(receiver.messages) <= 20


def test_a_message_that_failed_is_sent_again(catalog: Catalog) -> None:
    with (
        receiving(lambda number: 503 if number == 0 else 204) as receiver,
        Webhook(settings(receiver), catalog) as hook,
    ):
        add(hook, 1)

    assert [body for _, body in receiver.messages] == [receiver.messages[0][1]] * 2


@pytest.mark.parametrize("status", [400, 401, 404, 307])
def test_a_message_that_is_rejected_is_neither_repeated_nor_redirected(catalog: Catalog, status: int) -> None:
    with receiving(lambda _number: status) as receiver, Webhook(settings(receiver), catalog) as hook:
        add(hook, 1)

    assert [one["id"] for one in receiver.images] == [str(UUID(int=1))]


def test_a_hanging_receiver_blocks_no_worker_and_surplus_images_are_dropped(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(webhook, "WAITING", 50)
    monkeypatch.setattr(webhook, "DRAIN_SECONDS", 20.0)
    received, go = threading.Event(), threading.Event()

    def hang(_number: int) -> int:
        received.set()
        go.wait(30)
        return 204

    with receiving(hang) as receiver, Webhook(settings(receiver), catalog) as hook:
        add(hook, 0)
        assert received.wait(30)
        for number in range(1, 200):
            add(hook, number)
        go.set()

    assert 50 <= len(receiver.images) < 200
    assert "were not posted" in caplog.text


def test_a_webhook_without_a_secret_is_refused(catalog: Catalog) -> None:
    with pytest.raises(ConfigError, match="secret"), Webhook(NotifySettings(webhook_url="http://127.0.0.1:1"), catalog):
        pass


def test_without_a_webhook_nothing_is_done(catalog: Catalog) -> None:
    with Webhook(NotifySettings(), catalog) as hook:
        add(hook, 1)

    assert not hook._thread.is_alive()
