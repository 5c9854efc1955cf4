"""What an upload is asked to do, beside which files."""

from dataclasses import dataclass
from enum import StrEnum

from imgctl.imaging.formats import Format

BATCH = 64
"""How many images a transaction confirms or promises."""
FIRST_CONCURRENCY, MOST_CONCURRENCY = 16, 256


class UploadedAt(StrEnum):
    """What an image's `uploaded_at` is, where a manifest does not say."""

    NOW = "now"
    TAKEN = "taken"
    MTIME = "mtime"


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadOrder:
    """How to upload: puts in flight (0: found out), bytes held at once, bytes a second (0: no bound), and how many.

    Files of the formats to `leave_out` are not taken.
    """

    concurrency: int
    memory_bytes: int
    originals_prefix: str = ""
    rate_bytes: int = 0
    limit: int | None = None
    uploaded_at: UploadedAt = UploadedAt.NOW
    dry_run: bool = False
    leave_out: frozenset[Format] = frozenset()

    @property
    def window(self) -> int:
        """How many files may be on their way between the walk and their fate."""
        return 4 * BATCH + 2 * (self.concurrency or MOST_CONCURRENCY)

    @property
    def first_window(self) -> int:
        """As many as the first puts need: to read more before the catalog is open would only hold it up."""
        return min(self.window, 3 * (self.concurrency or FIRST_CONCURRENCY))
