"""The options of an export, and the outcome of each blob."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from imgctl.model import Variant


class Fate(StrEnum):
    """The result for a blob; `unfinished` is an upload without safe bytes yet, or a variant that is not built."""

    SAVED = "saved"
    PRESENT = "present"
    ARCHIVED = "archived"
    UNFINISHED = "unfinished"
    FAILED = "failed"


LEFT_OUT = (Fate.ARCHIVED, Fate.UNFINISHED, Fate.FAILED)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOrder:
    """The user to export, the target and the variants; `out` is a directory, a FILE.zip or s3://BUCKET/PREFIX.

    `partial` completes the bag even if some originals are unavailable now: the bag lists what is missing.
    """

    user: UUID
    out: str
    variants: tuple[Variant, ...] = ()
    partial: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The result for one blob of an image, and its path; `detail` is why it was left out."""

    image: UUID
    role: str
    key: str
    path: str
    fate: Fate
    bytes: int = 0
    detail: str = ""

    @property
    def blocks(self) -> bool:
        """Whether its absence keeps the bag incomplete: the bytes are the user's, and are not in the bag."""
        return self.fate in (Fate.ARCHIVED, Fate.FAILED)


def shares_endpoint(store_url: str) -> bool:
    """Whether an S3 bucket as the target is at the store's endpoint: not if the store is at Google or Azure."""
    return not store_url.startswith(("gs://", "az://"))
