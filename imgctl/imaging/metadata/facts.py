"""The metadata of a photo from one source: a block in the file, or a file beside it."""

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Aware UTC capture times, the best first; the caption; and the photo's state in its source library.

    `trashed`: it was in the bin. `hidden`: it was archived (Google) or hidden (Apple). `title` is the owner's name for
    it.
    """

    dates: tuple[datetime, ...] = ()
    caption: str | None = None
    trashed: bool = False
    hidden: bool = False
    title: str = field(default="", compare=False)


NO_FACTS = Facts()


def dates_of(*moments: datetime | None) -> tuple[datetime, ...]:
    """Return the moments that are not None."""
    return tuple(moment for moment in moments if moment is not None)
