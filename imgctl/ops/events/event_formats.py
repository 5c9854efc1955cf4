"""The formats of events: S3's records (also within SNS), EventBridge's, and those of SeaweedFS's filer."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import unquote_plus

from imgctl.jsontext import parse_json

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"

# Levels of nesting: SNS messages are nested once at most.
_DEEPEST = 3
_SHOWN = 200
_CREATED = "ObjectCreated:"
_BUCKETS = "/buckets/"


class BadEvent(Exception):
    """A message that is not a valid event; its text gives the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An event about one object; the key is decoded, and `created` is true if the object was put, copied or completed.

    Events of one key sort by `sequencer` (see `order`); it and `version_id` are empty if the server sends none.
    """

    bucket: str
    key: str
    created: bool = True
    sequencer: str = ""
    version_id: str = ""

    @property
    def order(self) -> str:
        """The sort key among events of one key: hexadecimal digits, padded on the right (S3 User Guide)."""
        return self.sequencer.ljust(64, "0")


def events_in(body: str | bytes) -> list[Event]:
    """Return the events of one message, none for S3's test message; raises BadEvent."""
    try:
        return list(_read(parse_json(body), depth=0))
    except ValueError:
        raise BadEvent("not JSON") from None


def _read(message: Json, *, depth: int) -> Iterator[Event]:
    if not isinstance(message, dict) or depth > _DEEPEST:
        raise BadEvent("not an S3 event")
    match message:
        case {"Records": list(records)}:
            for record in records:
                yield _record(record)
        case {"Event": "s3:TestEvent"}:
            return
        case {"Type": "Notification", "Message": str(inner)}:
            yield from _read(parse_json(inner), depth=depth + 1)
        case {"detail-type": str(kind), "detail": dict(detail)}:
            yield _of_eventbridge(kind, detail)
        case {"event_type": str(kind), "key": str(path)} if path.startswith(_BUCKETS):
            bucket, _, key = path.removeprefix(_BUCKETS).partition("/")
            # SeaweedFS reports overwrites as updates, and changes of an object's attributes, too.
            yield Event(bucket=bucket, key=key, created=kind != "delete")
        case _:
            raise BadEvent(f"not an S3 event: it has {', '.join(sorted(message))[:_SHOWN] or 'no fields'}")


def _record(record: Json) -> Event:
    """Parse S3's notification, which MinIO and Ceph send, too (S3 User Guide, "Event message structure")."""
    match record:
        case {"eventName": str(name), "s3": {"bucket": {"name": str(bucket)}, "object": dict(found)}, **rest}:
            # Only Ceph writes keys as they are.
            key = _text(found, "key")
            if not str(rest.get("eventSource")).startswith("ceph:"):
                key = unquote_plus(key)
            return Event(
                bucket=bucket,
                key=key,
                created=name.removeprefix("s3:").startswith(_CREATED),
                sequencer=_text(found, "sequencer"),
                version_id=_text(found, "versionId"),
            )
    raise BadEvent("a record without eventName, s3.bucket.name and s3.object.key")


def _of_eventbridge(kind: str, detail: Mapping[str, Json]) -> Event:
    """Parse EventBridge's event; its keys are not encoded (S3 User Guide, "EventBridge event message structure")."""
    match detail:
        case {"bucket": {"name": str(bucket)}, "object": dict(found)}:
            return Event(
                bucket=bucket,
                key=_text(found, "key"),
                created=kind == "Object Created",
                sequencer=_text(found, "sequencer"),
                version_id=_text(found, "version-id"),
            )
    raise BadEvent(f"an event {kind[:_SHOWN]!r} without detail.bucket.name and detail.object")


def _text(found: Mapping[str, Json], name: str) -> str:
    value = found.get(name) or ""
    if not isinstance(value, str) or (name == "key" and not value):
        raise BadEvent(f"an object whose {name} is {repr(value)[:_SHOWN]}")
    return value
