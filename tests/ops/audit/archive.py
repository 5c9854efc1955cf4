"""An intact archive to damage, and findings of its audit as plain tuples."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from threading import Event
from uuid import UUID, uuid4

from sqlalchemy import insert, update

from imgctl.config.catalog_store import CatalogSettings, StoreSettings
from imgctl.config.settings import Settings
from imgctl.imaging.recipe_digest import digest
from imgctl.keys import ORIGINAL, ROLES, key_of, new_id, time_of
from imgctl.model import Status, Variant
from imgctl.ops.audit.findings import Code, Finding
from imgctl.ops.audit.options import AuditOrder, Tally
from imgctl.ops.audit.start import audit
from imgctl.ops.common.open import Parts
from imgctl.ops.common.rows import BadId, Chosen
from imgctl.store.blobs.open import open_store
from imgctl.store.catalog.engine import Catalog
from imgctl.store.catalog.queries.lookups import Scope
from imgctl.store.catalog.schema import images

USER = UUID("7f0c6d5e-0000-4000-8000-000000000001")
OTHER_USER = UUID("7f0c6d5e-0000-4000-8000-000000000002")
HOUR = timedelta(hours=1)
AT_ONCE = AuditOrder(grace=timedelta(0))

Summary = tuple[Code, str]


@dataclass(slots=True, kw_only=True)
class Photo:
    """One image as written: its id, its keys by role, its original."""

    id: UUID
    keys: dict[str, str]
    body: bytes
    user_id: UUID = USER

    @property
    def original(self) -> str:
        return self.keys[ORIGINAL]


@dataclass(slots=True, kw_only=True)
class Archive:
    """A catalog and a store with a few photos that are ready, an hour old and more."""

    parts: Parts
    photos: list[Photo] = field(default_factory=list)

    def add(self, count: int, *, user_id: UUID = USER, age: timedelta = timedelta(days=3)) -> list[Photo]:
        """Add this many intact photos, a minute apart."""
        begin = datetime.now(UTC) - age
        new = [self._photo(begin + timedelta(minutes=number), user_id) for number in range(count)]
        recipe = digest(self.parts.settings.variants.recipe())
        rows = [_row(photo, recipe) for photo in new]
        with self.parts.catalog.write() as connection:
            connection.execute(insert(images), rows)
        for photo in new:
            for role, key in photo.keys.items():
                self.put(key, photo.body if role == ORIGINAL else b"a variant")
        self.photos += new
        return new

    def put(self, key: str, body: bytes) -> None:
        """Write a blob; in a directory without fsync, which tests don't need."""
        url = self.parts.settings.store.url
        if not url.startswith("file://"):
            self.parts.store.replace(key, body, content_type="image/jpeg")
            return
        path = Path(url.removeprefix("file://")) / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)

    def delete(self, key: str) -> None:
        self.parts.store.delete([key])

    def set(self, photo: Photo, **values: object) -> None:
        """Write columns of a row without any check."""
        with self.parts.catalog.write() as connection:
            connection.execute(update(images).where(images.c.id == photo.id).values(**values))

    def forget(self, photo: Photo) -> None:
        """Delete a row and leave its blobs."""
        with self.parts.catalog.write() as connection:
            connection.execute(images.delete().where(images.c.id == photo.id))

    def audit(self, order: AuditOrder = AT_ONCE, *, tally: Tally | None = None) -> list[Finding]:
        return list(audit(self.parts, order, tally=tally or Tally(), stop=Event(), bad=list[BadId]()))

    def of_user(self, user_id: UUID = USER) -> Chosen:
        """One user's photos."""
        return Chosen(scope=Scope(user_id=user_id))

    def _photo(self, at: datetime, user_id: UUID) -> Photo:
        store, one = self.parts.settings.store, new_id(at)
        prefixes = {role: store.originals_prefix if role == ORIGINAL else store.variants_prefix for role in ROLES}
        keys = {role: key_of(one, role, "jpg", prefix=prefix) for role, prefix in prefixes.items()}
        return Photo(id=one, keys=keys, body=f"the original {uuid4()}".encode(), user_id=user_id)


def archive_of(catalog: Catalog, store: StoreSettings) -> Archive:
    """An archive without photos."""
    url = catalog.url.render_as_string(hide_password=False)
    settings = Settings(catalog=CatalogSettings(url=url), store=store)
    return Archive(parts=Parts(settings=settings, catalog=catalog, store=open_store(store)))


def local(directory: Path, *, apart: bool = False) -> StoreSettings:
    """A store that is a directory; `apart` puts originals and variants under prefixes of their own."""
    url = f"file://{directory}/blobs"
    return (
        StoreSettings(url=url, originals_prefix="originals/", variants_prefix="variants/")
        if apart
        else StoreSettings(url=url)
    )


def summary(findings: Iterable[Finding]) -> list[Summary]:
    """Return each finding's code with its key, or its id if it has no key, sorted."""
    return sorted((one.code, one.key or str(one.id)) for one in findings)


def _row(photo: Photo, recipe: str) -> dict[str, object]:
    return {
        "id": photo.id,
        "user_id": photo.user_id,
        "uploaded_at": time_of(photo.id),
        "promised_at": time_of(photo.id),
        "bytes": len(photo.body),
        "status": Status.READY,
        "sha256": sha256(photo.body).digest(),
        "recipe": recipe,
        "attempts": 1,
        "original_key": photo.original,
        **{f"{variant}_key": photo.keys[variant] for variant in Variant},
    }
