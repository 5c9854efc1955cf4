"""Webhooks for finished images: signed messages, posted by a separate thread so that workers never wait."""

import hashlib
import hmac
import json
import logging
import queue
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException
from typing import Self
from urllib.parse import urlsplit
from uuid import UUID

from imgctl.config.service import NotifySettings
from imgctl.errors import CatalogError, ConfigError
from imgctl.model import Status
from imgctl.run.stop import Flag
from imgctl.store.catalog.engine import Catalog
from imgctl.store.catalog.queries.reservations import lookup

SIGNATURE = "Imgctl-Signature"
BATCH, WAITING = 100, 10_000
GATHER_SECONDS = 0.25
TIMEOUT_SECONDS = 10.0
TRIES, FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 6, 0.25, 15.0
# How long the end of a run waits for messages that are not yet delivered.
DRAIN_SECONDS = 10.0
_ENDED = (Status.READY.value, Status.FAILED.value)
# Redirects, too: a message is for the configured URL only.
_NOT_RETRIED = frozenset(range(300, 500)) - {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS}

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """One image that ended, and how."""

    id: UUID
    status: str
    error: str | None


class Webhook:
    """Inside `with Webhook(…) as hook:` outcomes are posted in batches, each tried several times.

    Messages that cannot be delivered are logged and dropped: an application can still read the rows.
    Without a URL nothing happens.
    """

    def __init__(self, settings: NotifySettings, catalog: Catalog) -> None:
        self._settings = settings
        self._catalog = catalog
        self._waiting: queue.Queue[Ended | None] = queue.Queue(WAITING)
        self._lost = 0
        self._over = Flag()
        self._ends = float("inf")
        self._thread = threading.Thread(target=self._run, name="imgctl webhook", daemon=True)

    def add(self, image_id: UUID, status: str, error: str | None) -> None:
        """Queue an image that is ready or failed (others are ignored); returns at once, even when the queue is full."""
        if not self._settings.webhook_url or status not in _ENDED:
            return
        try:
            self._waiting.put_nowait(Ended(id=image_id, status=str(status), error=error))
        except queue.Full:
            self._lost += 1

    def __enter__(self) -> Self:
        if self._settings.webhook_url:
            if not self._settings.secret:
                hint = "[notify] secret, of some 32 random characters, on both sides"
                raise ConfigError("a webhook needs a secret: without one its messages can be forged", hint=hint)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if not self._thread.is_alive():
            return
        self._ends = time.monotonic() + DRAIN_SECONDS
        self._over.set()
        self._thread.join(DRAIN_SECONDS + TIMEOUT_SECONDS)
        if self._lost:
            log.warning("%d finished images were not posted to the webhook: its queue was full", self._lost)

    def _run(self) -> None:
        while batch := self._batch():
            self._deliver(batch)

    def _batch(self) -> list[Ended]:
        """Return the queued images; waits for the first, then briefly for more. Empty at the end of the run."""
        while True:
            try:
                first = self._waiting.get(timeout=GATHER_SECONDS)
                break
            except queue.Empty:
                if self._over.is_set():
                    return []
        self._over.wait(GATHER_SECONDS)
        batch = [first]
        while len(batch) < BATCH and not self._waiting.empty():
            batch.append(self._waiting.get_nowait())
        return [one for one in batch if one is not None]

    def _deliver(self, batch: Sequence[Ended]) -> None:
        body = json.dumps({"images": self._records(batch)}).encode()
        pause = FIRST_PAUSE_SECONDS
        for number in range(1, TRIES + 1):
            why, again = post(self._settings, body)
            if not why:
                return
            if not again or number == TRIES or time.monotonic() + pause > self._ends:
                break
            self._rest(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
        log.warning("%d finished images were not posted to the webhook: %s", len(batch), why)

    def _rest(self, seconds: float) -> None:
        """Sleep; the end of the run cuts the current sleep short, but not later ones."""
        if self._over.is_set():
            time.sleep(seconds)
        else:
            self._over.wait(seconds)

    def _records(self, batch: Sequence[Ended]) -> list[dict[str, str | None]]:
        owners = self._owners(one.id for one in batch)
        return [
            {"id": str(one.id), "user_id": owners.get(one.id), "status": one.status, "error": one.error}
            for one in batch
        ]

    def _owners(self, ids: Iterable[UUID]) -> dict[UUID, str]:
        try:
            with self._catalog.read() as connection:
                return {one: str(user) for one, (user, _) in lookup(connection, ids).items()}
        except CatalogError:
            # The message is useful without owners.
            return {}


def post(settings: NotifySettings, body: bytes) -> tuple[str, bool]:
    """Post a signed message once; return the error (empty: none), and whether a retry may help."""
    moment = int(time.time())
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "imgctl",
        SIGNATURE: f"t={moment},v1={signature(settings.secret, body, moment)}",
    }
    request = urllib.request.Request(settings.webhook_url, data=body, headers=headers, method="POST")  # noqa: S310
    host = urlsplit(settings.webhook_url).hostname
    try:
        with no_redirects.open(request, timeout=TIMEOUT_SECONDS):
            return "", False
    except urllib.error.HTTPError as error:
        error.close()
        return f"{host} responded with {error.code}", error.code not in _NOT_RETRIED
    except (OSError, HTTPException) as error:
        return f"{host} is unreachable: {error}", True


def signature(secret: str, body: bytes, moment: int) -> str:
    """HMAC-SHA256 in hex of `<unix time>.<body>`; a receiver rejects old times, which prevents replays."""
    return hmac.new(secret.encode(), f"{moment}.".encode() + body, hashlib.sha256).hexdigest()


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_arguments: object, **_named: object) -> None:
        """Follow no redirect: a message is for the configured URL only."""


no_redirects = urllib.request.build_opener(_NoRedirects)
