"""A server in a thread of the test's own process, over real parts, and a worker to go with it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from queue import SimpleQueue
from uuid import UUID

import httpx
from sqlalchemy import create_engine, make_url, text

from imgctl.config.catalog_store import CatalogSettings, StoreSettings
from imgctl.config.service import ServeSettings
from imgctl.config.settings import Settings
from imgctl.imaging.decoders.decode import Limits
from imgctl.model import Image
from imgctl.ops.common.open import Parts, open_parts
from imgctl.ops.work.options import Batch, WorkOrder
from imgctl.ops.work.queue import job_of, record
from imgctl.ops.work.render_task import render_batch
from imgctl.run.stop import Stop
from imgctl.store.catalog.queries.claims import claim
from imgctl.store.catalog.queries.lookups import by_id
from imgctl.web.auth import Scope, new_token
from imgctl.web.run import serve, serving

USER = UUID("0190b2b4-0000-7000-8000-000000000001")
OTHER = UUID("0190b2b4-0000-7000-8000-000000000002")
# The first bytes of a film of a kind that is recognised and not taken.
WINDOWS_MEDIA = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A running server, a client of it, and its catalog and store."""

    url: str
    client: httpx.Client
    parts: Parts

    def send(self, data: bytes, *, user: UUID = USER) -> UUID:
        """Send a picture and return its id."""
        answer = self.client.post("/images", params={"user_id": str(user)}, content=data)
        assert answer.status_code in (200, 201), answer.text
        return UUID(answer.json()["id"])

    def row(self, image: UUID) -> Image:
        """An image's row."""
        with self.parts.catalog.read() as connection:
            found = by_id(connection, image)
        assert found is not None
        return found

    def work(self) -> None:
        """Work as a worker does, once: claim, render, put, record."""
        settings, catalog = self.parts.settings, self.parts.catalog
        with catalog.write() as connection:
            claims = claim(connection, limit=100, lease_seconds=60, max_attempts=5)
        recipe = settings.variants.recipe()
        order = WorkOrder(
            store=settings.store, recipe=recipe, lease_seconds=60, max_attempts=5, limits=Limits(), timeout_seconds=0
        )
        outcomes = render_batch(Batch(jobs=tuple(job_of(one) for one in claims), order=order))
        with catalog.write() as connection:
            record(connection, outcomes, recipe=recipe, max_attempts=5)


def settings_for(catalog_url: str, store: StoreSettings, **serve: object) -> Settings:
    """Settings of a server on any free port."""
    wanted = replace(ServeSettings(port=0), **serve)  # type: ignore[arg-type]
    return Settings(catalog=CatalogSettings(url=catalog_url), store=store, serve=wanted)


@contextmanager
def served(settings: Settings) -> Iterator[Served]:
    """A server that runs during the block, and ends as on a first signal."""
    stop, addresses = Stop(), SimpleQueue[str]()
    with open_parts(serving(settings), create=True) as parts:
        thread = threading.Thread(
            target=serve, args=(parts,), kwargs={"stop": stop, "endpoint_url": "", "ready": addresses.put}, daemon=True
        )
        thread.start()
        url = addresses.get(timeout=30)
        try:
            with httpx.Client(base_url=url, timeout=60) as client:
                yield Served(url=url, client=client, parts=parts)
        finally:
            stop.request()
            thread.join(60)
            assert not thread.is_alive(), "the server does not end"


@contextmanager
def database_outage(settings: Settings) -> Iterator[None]:
    """Refuse connections to the Postgres database of these settings, and end those that are open, during the block."""
    url = make_url(settings.catalog.url)
    engine = create_engine(url.set(database="postgres"), isolation_level="AUTOCOMMIT")
    kill = text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name")
    with engine.connect() as connection:
        connection.execute(text(f"ALTER DATABASE {url.database} WITH ALLOW_CONNECTIONS false"))
        connection.execute(kill, {"name": url.database})
        try:
            yield
        finally:
            connection.execute(text(f"ALTER DATABASE {url.database} WITH ALLOW_CONNECTIONS true"))
    engine.dispose()


def token(*scopes: Scope, user: UUID | None = None, name: str = "app") -> tuple[dict[str, str], str]:
    """The header of a new token, and the line of the configuration that admits it."""
    secret, line = new_token(name, scopes=scopes, user_id=user)
    return {"Authorization": f"Bearer {secret}"}, line


def digest_of(data: bytes) -> str:
    """A content's SHA-256 in hex."""
    return sha256(data).hexdigest()
