"""Archives to damage: a catalog and a store with intact photos, embedded and on servers."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import sha256
from pathlib import Path

import pytest
from sqlalchemy import update

from imgctl.config.catalog_store import CatalogSettings, StoreSettings
from imgctl.config.settings import Settings
from imgctl.imaging.recipe_digest import digest
from imgctl.imaging.render import Rendered, render
from imgctl.keys import ORIGINAL, key_of, new_id, time_of
from imgctl.model import Image, NewImage, Recipe, Variant
from imgctl.ops.audit.findings import Finding
from imgctl.ops.audit.options import AuditOrder, Tally
from imgctl.ops.audit.start import audit
from imgctl.ops.common.open import Parts, open_parts
from imgctl.ops.repair.options import Outcome, RepairOrder
from imgctl.ops.repair.pipeline import repair
from imgctl.run.stop import Stop
from imgctl.store.catalog.queries.claims import claim
from imgctl.store.catalog.queries.lookups import by_ids
from imgctl.store.catalog.queries.reservations import confirm, promise
from imgctl.store.catalog.queries.results import Finished, finish
from imgctl.store.catalog.schema import images
from tests.parts.seaweed import S3Server
from tests.store.catalog.rows import walk
from tests.whole.conftest import photo
from tests.whole.deployment import USER

JPEG = "image/jpeg"
# Old enough that nothing is in flight.
THEN = datetime(2026, 3, 1, 12, tzinfo=UTC)


@cache
def rendered(number: int) -> Rendered:
    """The variants of a small photo."""
    return render(photo(number), Recipe())


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """A catalog and a store, with the operations of the tests."""

    parts: Parts

    def promised(self, number: int, *, put: bool = True) -> Image:
        """Add a photo whose row is `uploading`, with or without its bytes."""
        data, one = photo(number), new_id(THEN + timedelta(seconds=number))
        row = NewImage(
            id=one,
            user_id=USER,
            uploaded_at=time_of(one),
            original_key=key_of(one, ORIGINAL, "jpg"),
            sha256=sha256(data).digest(),
            bytes=len(data),
            content_type=JPEG,
            width=96,
            height=64,
        )
        with self.parts.catalog.write() as connection:
            promise(connection, [row])
        if put:
            self.parts.store.create(row.original_key, data, content_type=JPEG)
        return self.row(one)

    def processing(self, number: int) -> Image:
        """Add a photo that waits for its variants."""
        image = self.promised(number)
        with self.parts.catalog.write() as connection:
            confirm(connection, [image.id])
        return self.row(image.id)

    def ready(self, number: int) -> Image:
        """Add an intact photo."""
        image = self.processing(number)
        keys = {one.variant: key_of(image.id, one.variant, one.extension) for one in rendered(number).variants}
        for one in rendered(number).variants:
            self.parts.store.replace(keys[one.variant], one.data, content_type=one.content_type)
        with self.parts.catalog.write() as connection:
            [mine] = claim(connection, limit=1, lease_seconds=60, max_attempts=5)
            done = Finished(
                id=image.id,
                attempts=mine.attempts,
                recipe=digest(Recipe()),
                thumb_key=keys[Variant.THUMB],
                medium_key=keys[Variant.MEDIUM],
                full_key=keys[Variant.FULL],
            )
            assert finish(connection, [done]) == {image.id}
        return self.row(image.id)

    def orphan(self, number: int) -> str:
        """Add a blob that no row names; return its key."""
        key = key_of(new_id(THEN + timedelta(seconds=number)), ORIGINAL, "jpg")
        self.parts.store.create(key, photo(number), content_type=JPEG)
        return key

    def row(self, image_id: object) -> Image:
        [found] = [one for one in self.rows() if one.id == image_id]
        return found

    def rows(self) -> list[Image]:
        with self.parts.catalog.read() as connection:
            return walk(connection)

    def write(self, image: Image, **values: object) -> Image:
        """Change a row without any check."""
        with self.parts.catalog.write() as connection:
            connection.execute(update(images).where(images.c.id == image.id).values(**values))
            return by_ids(connection, [image.id])[image.id]

    def blobs(self) -> dict[str, bytes]:
        """Every blob, the trash included."""
        store = self.parts.store
        return {blob.key: store.get(blob.key) for blob in store.scan()}

    def audit(self, *, classes: bool = False) -> list[Finding]:
        """Return the findings, without a grace period."""
        order = AuditOrder(grace=timedelta(0), stuck_after=timedelta(0), classes=classes)
        with Stop() as stop:
            return list(audit(self.parts, order, tally=Tally(), stop=stop))

    def repair(self, findings: list[Finding] | None = None, **order: object) -> list[Outcome]:
        """Repair the findings of a new audit, or these."""
        found = self.audit() if findings is None else findings
        wanted = RepairOrder(**{"apply": True, "orphan_age_seconds": 0.0, **order})  # type: ignore[arg-type]
        with Stop() as stop:
            return list(repair(found, wanted, self.parts, stop=stop))


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    """SQLite and a directory."""
    (tmp_path / "blobs").mkdir()
    settings = Settings(
        catalog=CatalogSettings(url=f"sqlite:///{tmp_path}/catalog.db"),
        store=StoreSettings(url=f"file://{tmp_path}/blobs"),
    )
    with open_parts(settings, create=True) as parts:
        yield Archive(parts=parts)


@pytest.fixture
def served(postgres_url: str, seaweed: S3Server) -> Iterator[Archive]:
    """Postgres and SeaweedFS."""
    store = seaweed.settings(seaweed.new_bucket(), prefix="archive")
    with open_parts(Settings(catalog=CatalogSettings(url=postgres_url), store=store)) as parts:
        yield Archive(parts=parts)


@pytest.fixture(params=["archive", "served"])
def either(request: pytest.FixtureRequest) -> Archive:
    """Each of the two kinds."""
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Archive)
    return found
