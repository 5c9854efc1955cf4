"""The objects of a store's events as files for the ingest: photos in the inbox, and originals put by signed URLs."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias
from uuid import UUID

from imgctl.errors import (
    BlobArchived,
    BlobCorrupt,
    BlobMissing,
    ConfigError,
    ImageMissing,
    ImageRejected,
    ImgctlError,
    StoreError,
)
from imgctl.keys import ORIGINAL, own_key, parse_key
from imgctl.model import Image
from imgctl.ops.common.open import Parts
from imgctl.ops.common.retry import StopSignal, read, retry
from imgctl.ops.common.transactions import InProcess
from imgctl.ops.events.deliveries import PASSING
from imgctl.ops.events.event_formats import Event
from imgctl.ops.ingest.outcome import Fate, FileOutcome, Reason
from imgctl.ops.ingest.recognise import UNFIT, Recogniser, unfit
from imgctl.ops.ingest.sidecar import SidecarFiles
from imgctl.ops.receive_image import complete
from imgctl.ops.sources.base import Rules, SourceFile
from imgctl.ops.sources.open import Sources
from imgctl.ops.upload.globs import owner_by
from imgctl.ops.upload.options import Selection, UploadOrder
from imgctl.ops.upload.selection_rules import SelectionRules
from imgctl.ops.upload.start import Taking, taking
from imgctl.store.blobs.address import bucket_and_prefix
from imgctl.store.catalog.queries.lookups import by_id
from imgctl.users import Users


class Foreign(StrEnum):
    """Why an event does not concern this archive; such events are only counted, and cause no request."""

    OTHER_EVENT = "other_event"
    OTHER_BUCKET = "other_bucket"
    OTHER_KEY = "other_key"
    VARIANT = "variant"


Arrival: TypeAlias = SourceFile | FileOutcome | Foreign


class Arrivals:
    """Turns the events of one store into files. `sources` reads the inbox; ConfigError for a store without events."""

    def __init__(self, parts: Parts, sources: Sources, *, stop: StopSignal) -> None:
        settings = parts.settings
        scheme, _, rest = settings.store.url.partition("://")
        if scheme != "s3":
            raise ConfigError(
                f"{settings.store.url} sends no events", hint="use a [store] url of the form s3://BUCKET[/PREFIX]"
            )
        self.bucket, self._prefix = bucket_and_prefix(rest)
        self._inbox = settings.listen.inbox
        self._originals_prefix, self._variants_prefix = settings.store.originals_prefix, settings.store.variants_prefix
        _check_apart(self._inbox, self._originals_prefix, self._variants_prefix)
        # Selects every file: the events choose.
        self._rules: Rules = SelectionRules(Selection())
        self._sources = sources
        self._owners: list[Callable[[str], UUID | None]] = [
            owner_by(one, Users(settings.users.namespace)) for one in settings.listen.user_from
        ]
        self._user = UUID(settings.listen.user) if settings.listen.user else None
        self._originals = _Originals(parts, stop=stop)

    def of(self, event: Event) -> Arrival:
        """Return the file to take in for an event, the failure of one that cannot be, or why the event is foreign."""
        if not event.created:
            return Foreign.OTHER_EVENT
        if event.bucket != self.bucket:
            return Foreign.OTHER_BUCKET
        if not event.key.startswith(self._prefix):
            return Foreign.OTHER_KEY
        key = event.key[len(self._prefix) :]
        if self._inbox and key.startswith(self._inbox):
            return self._of_inbox(event, key[len(self._inbox) :])
        own = own_key(key, originals=self._originals_prefix, variants=self._variants_prefix)
        if own is None:
            return Foreign.OTHER_KEY
        return self._originals.named(self.path(event), key) if own.role == ORIGINAL else Foreign.VARIANT

    def forget(self) -> None:
        """Forget the sidecars that were read for earlier events."""
        self._sources.forget()

    def path(self, event: Event) -> str:
        """Return the object's name in reports."""
        return f"s3://{event.bucket}/{event.key}"

    def _of_inbox(self, event: Event, place: str) -> Arrival:
        if not place or place.endswith("/"):
            # Empty objects that consoles create as folders.
            return Foreign.OTHER_KEY
        found = (owner(place) for owner in self._owners)
        user_id = next((user for user in found if user is not None), self._user)
        if user_id is None:
            detail = "no [listen] user_from matches its key, and [listen] user is not set; set one, or move the object"
            return FileOutcome.failed(self.path(event), Reason.NO_USER, detail)
        return self._sources.one(self.path(event), self._rules, user_id=user_id)


class _Originals:
    """Originals put by signed URLs, as a source: `read` checks an original in the store and confirms its row."""

    spools = False

    def __init__(self, parts: Parts, *, stop: StopSignal) -> None:
        self.sidecars = SidecarFiles()
        self._parts = parts
        self._stop = stop

    def named(self, path: str, key: str) -> SourceFile:
        """Return the file of the original with this key."""
        return SourceFile(path=path, size=0, mtime_ns=0, stamp=0, source=self, place=key)

    def entries(self, rules: Rules) -> Iterator[SourceFile | FileOutcome]:
        """Yield nothing: events name the originals one by one."""
        return iter(())

    def identity(self, found: SourceFile) -> bytes:
        return found.path.encode(errors="surrogatepass")

    def read(self, found: SourceFile, recogniser: Recogniser) -> FileOutcome:
        own = parse_key(found.place, prefix=self._parts.settings.store.originals_prefix)
        image = self._row(own.id)
        if image is None or image.original_key != found.place:
            detail = "named like an original, but no row names it: imgctl audit"
            return FileOutcome.skipped(found.path, Reason.NO_ROW, detail)
        try:
            taken = retry(lambda: complete(self._parts, image, recogniser), stop=self._stop)
        except UNFIT as error:
            return unfit(error, found.path, size=image.bytes or 0)
        except ImageMissing:
            return FileOutcome.skipped(found.path, Reason.NO_ROW, "its image was erased while it was checked")
        except (StoreError, ImageRejected) as error:
            return self._failed(found.path, image, error)
        if taken.created:
            return _outcome(found.path, taken.image, Fate.UPLOADED)
        return _present(found.path, taken.image)

    def _failed(self, path: str, image: Image, error: StoreError | ImageRejected) -> FileOutcome:
        # The application may have completed it meanwhile, or `repair` dropped it.
        now = self._row(image.id)
        if now is not None and now.is_safe:
            return _present(path, now)
        reason = next((one for kind, one in _REASONS.items() if isinstance(error, kind)), Reason.STORE)
        return _outcome(path, image, Fate.FAILED, reason, error.line)

    def _row(self, image_id: UUID) -> Image | None:
        return read(self._parts.catalog, lambda connection: by_id(connection, image_id), stop=self._stop)


_REASONS: Mapping[type[ImgctlError], Reason] = {
    BlobMissing: Reason.NOT_FOUND,
    BlobCorrupt: Reason.CONTENT_DIFFERS,
    BlobArchived: Reason.ARCHIVED,
    ImageRejected: Reason.UNSUPPORTED,
}


def _present(path: str, image: Image) -> FileOutcome:
    return _outcome(path, image, Fate.PRESENT, Reason.ALREADY_THERE, f"{image.status} as {image.id}")


def _outcome(path: str, image: Image, fate: Fate, reason: Reason = Reason.NONE, detail: str = "") -> FileOutcome:
    return FileOutcome(
        path=path, fate=fate, reason=reason, detail=detail, id=image.id, sha256=image.sha256, bytes=image.bytes
    )


def _check_apart(inbox: str, *prefixes: str) -> None:
    """Raise ConfigError for an inbox that overlaps imgctl's own keys: originals written there would be events again."""
    for prefix in filter(None, prefixes):
        if inbox and (prefix.startswith(inbox) or inbox.startswith(prefix)):
            raise ConfigError(f"[listen] inbox {inbox} and the prefix {prefix} overlap", hint="choose another inbox")


@dataclass(slots=True, kw_only=True)
class EventOutcomes:
    """The outcomes of the objects that a request reported; `foreign` counts events about other objects."""

    outcomes: list[FileOutcome] = field(default_factory=list)
    foreign: Counter[Foreign] = field(default_factory=Counter)

    @property
    def failed(self) -> list[FileOutcome]:
        """The outcomes of the objects that were not taken in."""
        return [one for one in self.outcomes if one.fate is Fate.FAILED]

    @property
    def may_yet_succeed(self) -> bool:
        """Whether the same request may take in more objects later."""
        return any(one.reason in PASSING for one in self.failed)


def take_in(parts: Parts, events: list[Event], *, stop: StopSignal) -> EventOutcomes:
    """Take in the objects that these events report; ConfigError for a store that sends no events."""
    taken, files = EventOutcomes(), list[SourceFile | FileOutcome]()
    with ExitStack() as stack:
        sources = stack.enter_context(closing(Sources(parts.settings)))
        arrivals = Arrivals(parts, sources, stop=stop)
        for event in events:
            arrival = arrivals.of(event)
            if isinstance(arrival, Foreign):
                taken.foreign[arrival] += 1
            else:
                files.append(arrival)
        if files:
            how = Taking(order=UploadOrder(), readers=1, chunk=1, catalog=InProcess(parts.catalog))
            taken.outcomes += stack.enter_context(taking(parts.settings, files, how, store=parts.store, stop=stop))
    return taken
