"""What performing a plan's actions takes, and what is said of each: the seam between `apply` and the commands."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from imgctl.ops.parts import Parts
from imgctl.ops.plan.file import Action
from imgctl.ops.retry import StopSignal
from imgctl.store.blobs.base import BlobStore


class Fate(StrEnum):
    """What became of an action: done, done before, refused because something drifted, failed, or (dry) only looked at."""

    DONE = "done"
    ALREADY = "already"
    REFUSED = "refused"
    FAILED = "failed"
    PLANNED = "planned"


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """An action's fate, and why in words."""

    action: Action
    fate: Fate
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where actions are performed: requests in flight, requests a second (None: unbounded); a dry run only looks."""

    parts: Parts
    cold: BlobStore
    stop: StopSignal
    concurrency: int
    rate: int | None = None
    dry_run: bool = False


class Performer(Protocol):
    """Performs some actions of one kind, in any order; raises only what ends the whole run."""

    def __call__(self, actions: Sequence[Action], site: Site) -> Iterator[Applied]: ...
