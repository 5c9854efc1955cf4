"""The recorded operations of a scope, newest first, and those that may have changed one image."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import cast
from uuid import UUID

from imgctl.model import Image
from imgctl.ops.common.lookup import find_image, id_in
from imgctl.ops.common.operation_record import MORE
from imgctl.store.catalog.engine import Catalog
from imgctl.store.catalog.queries.lookups import PAGE_ROWS, Scope, by_id
from imgctl.store.catalog.queries.operations import Operation, newest

_NAMING = ("images", "image", "id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A filter for operations: by scope, by command, by image that they may have changed; at most `limit`."""

    scope: Scope = field(default_factory=Scope)
    command: str | None = None
    image: str | None = None
    limit: int | None = None


def history(catalog: Catalog, wanted: Wanted) -> Iterator[Operation]:
    """Yield the operations, newest first, page by page; for a missing image, those that name it or name no user."""
    left, before = wanted.limit, None
    about = _about(catalog, wanted.image) if wanted.image else None
    while left is None or left > 0:
        with catalog.read() as connection:
            page = newest(connection, wanted.scope, command=wanted.command, before=before)
        for one in page:
            if about is not None and not may_concern(one, *about):
                continue
            yield one
            left = None if left is None else left - 1
            if left == 0:
                return
        if len(page) < PAGE_ROWS:
            return
        before = page[-1].id


def _about(catalog: Catalog, text: str) -> tuple[UUID, Image | None]:
    try:
        image_id = UUID(id_in(text))
    except ValueError:
        found = find_image(catalog, text)
        return found.id, found
    with catalog.read() as connection:
        return image_id, by_id(connection, image_id)


def may_concern(one: Operation, image_id: UUID, image: Image | None) -> bool:
    """Whether an operation names an image, or chose images among which it may have been."""
    options = scope_of(one)
    # With `erase --again` these options name receipts, not images.
    naming = () if options.get("again") else _NAMING
    given = [options[option] for option in naming if option in options]
    named = [
        text for value in given for text in (cast("list[str]", value) if isinstance(value, list) else [str(value)])
    ]
    if any(image_id.hex.startswith(id_in(text).replace("-", "").lower()) for text in named):
        return True
    if named and MORE not in named:
        return False
    if image is None:
        return one.user_id is None
    is_before = one.ended_at is not None and one.ended_at < image.promised_at
    return not is_before and one.user_id in {None, image.user_id} and _spans(options, image.uploaded_at)


def _spans(options: Mapping[str, object], at: datetime) -> bool:
    since, until = (
        datetime.fromisoformat(str(options[name])) if name in options else None for name in ("since", "until")
    )
    return (since is None or since <= at) and (until is None or at < until)


def scope_of(one: Operation) -> dict[str, object]:
    """Return the recorded options of an operation, by name."""
    return cast("dict[str, object]", json.loads(one.scope))


def counts_in(one: Operation) -> dict[str, int]:
    """Return an operation's counts of outcomes, by name."""
    return cast("dict[str, int]", json.loads(one.counts or "{}"))
