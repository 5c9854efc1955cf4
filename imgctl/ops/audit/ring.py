"""Where the last deep audit ended, so that a budget a week sees every original in the end."""

import hashlib
import json
from pathlib import Path
from uuid import UUID

from imgctl.config import Settings
from imgctl.errors import StateError
from imgctl.ops.audit.order import AuditOrder
from imgctl.ops.rows import FIRST
from imgctl.ops.state import state_directory
from imgctl.run.scratch import part


class Ring:
    """The place behind which to begin, kept in a file; an audit of a part of the archive begins at its beginning."""

    def __init__(self, order: AuditOrder, settings: Settings) -> None:
        scope = order.chosen.scope
        whole = not order.of_few and scope.since is None and scope.until is None
        self._file = _file(order, settings) if whole and order.budget is not None else None
        self.start = self._read()

    def passed(self, image: UUID) -> None:
        """All up to this image is done."""
        if self._file is None:
            return
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with part(self._file) as new:
                new.write_text(json.dumps({"after": str(image)}), "utf-8")
                new.replace(self._file)
        except OSError as error:
            hint = "name another place: --checkpoint FILE"
            raise StateError(f"{self._file} cannot be written: {error.strerror}", hint=hint) from None

    def _read(self) -> UUID:
        if self._file is None:
            return FIRST
        try:
            return UUID(json.loads(self._file.read_text("utf-8"))["after"])
        except FileNotFoundError:
            return FIRST
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StateError(f"{self._file} cannot be read: {error}", hint="delete it to begin anew") from None


def _file(order: AuditOrder, settings: Settings) -> Path:
    if order.checkpoint is not None:
        return order.checkpoint.with_name(f"{order.checkpoint.name}.deep")
    place = f"{settings.catalog.url}\0{settings.store.url}\0{settings.store.endpoint_url}"
    return state_directory() / f"deep-{hashlib.blake2b(place.encode(), digest_size=8).hexdigest()}.json"
