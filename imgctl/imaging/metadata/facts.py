"""What one source says of a photo: a block within it, or a file beside it."""

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Aware UTC capture times, the best first; the caption; and where the photo lay in the library it comes from.

    `trashed`: it was in the bin. `hidden`: it was archived (Google) or hidden (Apple). `title` is the name that its owner
    gave it.
    """

    dates: tuple[datetime, ...] = ()
    caption: str | None = None
    trashed: bool = False
    hidden: bool = False
    title: str = field(default="", compare=False)


NO_FACTS = Facts()


def dates_of(*moments: datetime | None) -> tuple[datetime, ...]:
    """Those of these moments that there are."""
    return tuple(moment for moment in moments if moment is not None)
