"""Everything that a store keeps under a key, for erasures."""

from dataclasses import dataclass
from datetime import datetime

from imgctl.model import UNKNOWN


@dataclass(frozen=True, slots=True, kw_only=True)
class Remnant:
    """Anything that a store keeps under a key: a blob, an old version, a delete marker, or the parts of an upload
    that was not completed (`upload_id`, its size unknown). `version_id` is None where the store keeps no versions.
    `until` is the approximate time when the store drops a remnant that is deleted but still retained.
    """

    key: str
    size: int
    modified_at: datetime
    storage_class: str = UNKNOWN
    version_id: str | None = None
    upload_id: str | None = None
    is_current: bool = True
    is_marker: bool = False
    until: datetime | None = None

    @property
    def name(self) -> str:
        """The key, and which version or upload of it."""
        return " ".join(filter(None, (self.key, self.version_id or self.upload_id)))
