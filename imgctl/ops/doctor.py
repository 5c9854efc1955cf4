"""Checks of everything that imgctl needs: configuration, database, schema, store, codecs, clock, limits."""

import os
import resource
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from imgctl.config.load import misspelt
from imgctl.config.settings import Settings
from imgctl.errors import ImgctlError
from imgctl.run.limits import raise_open_files
from imgctl.store.blobs.base import BlobStore
from imgctl.store.blobs.traits import Check, Level, verdicts
from imgctl.store.catalog.engine import Catalog
from imgctl.store.catalog.schema import SQLITE
from imgctl.units import count_of

CLOCK_TOLERANCE_SECONDS = 2.0
DAMAGE_SECONDS = 10.0
"""How long the check of a SQLite file may take."""
FILES_WANTED = 1024


def examine(settings: Settings, environ: Mapping[str, str]) -> Iterator[Check]:
    """Check each part in turn; a broken part ends only its own checks."""
    yield Check(name="config", level=Level.OK, detail=str(settings.file or "defaults (no file)"))
    for variable, near in misspelt(settings, environ).items():
        detail, hint = f"{variable} is not a setting and is ignored", f"did you mean {near}?"
        yield Check(name="environment", level=Level.WARN, detail=detail, hint=hint)
    yield from _guarded("database", _catalog(settings))
    yield from _guarded("store", _store(settings))
    yield _checked("codecs", _codecs)
    yield _checked("files", _open_files)
    yield _checked("log", lambda: _log(settings))


def _checked(name: str, look: Callable[[], str]) -> Check:
    try:
        return Check(name=name, level=Level.OK, detail=look())
    except ImgctlError as error:
        return Check(name=name, level=Level.FAIL, detail=error.message, hint=error.hint)


def _guarded(name: str, checks: Iterator[Check]) -> Iterator[Check]:
    """Yield the checks; an error ends them as a failed check of this name."""
    try:
        yield from checks
    except ImgctlError as error:
        yield Check(name=name, level=Level.FAIL, detail=error.message, hint=error.hint)


def _catalog(settings: Settings) -> Iterator[Check]:
    from imgctl.store.catalog.engine import open_catalog

    with closing(open_catalog(settings.catalog.url)) as catalog:
        database = _checked("database", lambda: _response_time(catalog))
        yield database
        if database.ok:
            if catalog.dialect == SQLITE:
                yield _checked("damage", lambda: _damage(catalog))
            yield _checked("writes", lambda: _writes(catalog))
            yield from _guarded("rights", _rights(catalog))
            schema = _checked("schema", lambda: _schema(catalog))
            yield schema
            if schema.ok:
                yield from _guarded("erasures", _erasures(catalog, settings))
            yield _checked("clock", lambda: _clock(catalog))
            yield from _guarded("pooler", _pooler(catalog))


def _response_time(catalog: Catalog) -> str:
    started = time.monotonic()
    with catalog.read() as connection:
        connection.exec_driver_sql("SELECT 1")
    return f"{catalog.place} responds in {(time.monotonic() - started) * 1000:.0f} ms"


def _damage(catalog: Catalog) -> str:
    from imgctl.store.catalog.health import check_damage

    if check_damage(catalog, seconds=DAMAGE_SECONDS):
        return "no page of the file is damaged"
    return f"no damaged page was found in {DAMAGE_SECONDS:g} s (all pages: sqlite3 FILE 'PRAGMA integrity_check')"


def _writes(catalog: Catalog) -> str:
    from imgctl.store.catalog.health import check_writable

    check_writable(catalog)
    return "accepted"


def _rights(catalog: Catalog) -> Iterator[Check]:
    """Report rights on tables that this user lacks. Roles that only read, or never delete, are no fault."""
    from imgctl.store.catalog.health import DELETES, READS, WRITES, missing_rights

    missing = missing_rights(catalog)
    only_reads = missing.rights >= WRITES
    for needed, level, who in (
        (READS, Level.FAIL, "every command needs"),
        (WRITES, Level.WARN if only_reads else Level.FAIL, "upload, insert, work and others that write need"),
        (DELETES, Level.OK, "repair, hold, release and erase need"),
    ):
        if named := missing.among(needed):
            grants = "; ".join(f"GRANT {one} TO {missing.quoted_user}" for one in named)
            detail = f"{missing.user} lacks what {who}: {'; '.join(named)}"
            yield Check(name="rights", level=level, detail=detail, hint=grants)


def _erasures(catalog: Catalog, settings: Settings) -> Iterator[Check]:
    """Report unfinished erasures that began with another or unknown [serve] secret; they cannot end while a user is held."""
    from imgctl.ops.erase.options import EraseOrder
    from imgctl.ops.erase.subject import of_another_secret
    from imgctl.store.catalog.queries.holds import in_force

    count = of_another_secret(catalog, EraseOrder(secret=settings.serve.secret).secret_id)
    with catalog.read() as connection:
        is_held = bool(count and in_force(connection))
    if count:
        detail = f"{count_of(count, 'unfinished erasure')} began with another or unknown [serve] secret"
        stuck = ", and cannot finish while any user is held" if is_held else ""
        hint = "set that secret, then imgctl erase --unfinished --yes"
        level = Level.FAIL if is_held else Level.WARN
        yield Check(name="erasures", level=level, detail=detail + stuck, hint=hint)


def _schema(catalog: Catalog) -> str:
    from imgctl.store.catalog.upgrade import check_current

    check_current(catalog)
    return "current"


def _clock(catalog: Catalog) -> str:
    from imgctl.store.catalog.queries.lookups import clock

    with catalog.read() as connection:
        theirs = clock(connection)
    apart = abs((theirs - datetime.now(UTC)).total_seconds())
    if apart > CLOCK_TOLERANCE_SECONDS:
        hint = "set this machine's clock (NTP): uploads are named and ordered by it"
        raise ImgctlError(f"{apart:.0f} s apart from the database's", hint=hint)
    return "agrees with the database's"


def _pooler(catalog: Catalog) -> Iterator[Check]:
    from imgctl.store.catalog.listen import has_pooler

    if has_pooler(catalog):
        detail = "connections pass a pooler (such as PgBouncer): no session state is used, and idle workers poll"
        yield Check(name="pooler", level=Level.OK, detail=detail)


def _store(settings: Settings) -> Iterator[Check]:
    from imgctl.store.blobs.open import open_store

    yield from examine_store(open_store(settings.store), settings.store.url)


def examine_store(store: BlobStore, url: str) -> Iterator[Check]:
    """Check reading and writing, then each trait that imgctl relies on; raises StoreError for an unreachable store."""
    store.check()
    yield Check(name="store", level=Level.OK, detail=f"{url} can be read and written")
    yield from verdicts(store.traits())


def _codecs() -> str:
    from imgctl.imaging.formats import VIDEO, is_installed
    from imgctl.imaging.selftest import missing_codecs

    missing = missing_codecs()
    if missing:
        hint = "pip install --force-reinstall 'pyvips[binary]' pillow pillow-heif"
        raise ImgctlError(f"cannot decode or encode {', '.join(missing)}", hint=hint)
    films = "films too" if is_installed(VIDEO) else "films need pip install 'imgctl[video]'"
    return f"JPEG, PNG, WebP, AVIF, HEIC, TIFF, GIF, JPEG XL, JPEG 2000 and camera raws work, {films}"


def _open_files() -> str:
    raise_open_files()
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= soft < FILES_WANTED:
        raise ImgctlError(
            f"open files are limited to {soft}", hint=f"ulimit -Hn {FILES_WANTED}, or LimitNOFILE= of the unit"
        )
    return f"{soft} may be open at once"


def _log(settings: Settings) -> str:
    if not settings.log.file:
        return "none ([log] file)"
    directory = Path(settings.log.file).expanduser().parent
    if not os.access(directory, os.W_OK):
        raise ImgctlError(f"{directory} cannot be written", hint="choose another [log] file")
    return settings.log.file
