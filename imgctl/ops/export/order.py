"""What is asked of an export, and what it says of each blob."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from imgctl.model import Variant


class Fate(StrEnum):
    """What became of a blob; `unfinished` is an upload whose bytes are not safe yet, or a variant that is not built."""

    SAVED = "saved"
    PRESENT = "present"
    ARCHIVED = "archived"
    UNFINISHED = "unfinished"
    FAILED = "failed"


LEFT_OUT = (Fate.ARCHIVED, Fate.UNFINISHED, Fate.FAILED)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOrder:
    """Whose images go where: `out` is a directory, a FILE.zip or s3://BUCKET/PREFIX; originals, and these variants.

    `partial` completes the bag although some originals cannot be had now: what is missing is listed in it.
    """

    user: UUID
    out: str
    variants: tuple[Variant, ...] = ()
    partial: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One blob of an image and the path it has; `detail` says why it was left out."""

    image: UUID
    role: str
    key: str
    path: str
    fate: Fate
    bytes: int = 0
    detail: str = ""

    @property
    def blocks(self) -> bool:
        """Whether the bag is not complete without it: its bytes are the user's, and are not there."""
        return self.fate in (Fate.ARCHIVED, Fate.FAILED)
