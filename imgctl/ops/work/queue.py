"""The seam between the driver and the rows it works through: what it takes, and what becomes of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from sqlalchemy import Connection

from imgctl.ops.work.task import Job, Outcome

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn(Generic[T]):
    """One transaction's result: images that are now ours, and what is to be said of those that ended."""

    jobs: Sequence[Job] = ()
    settled: Sequence[T] = ()


class Queue(Protocol[T]):
    """Where a driver's images come from and go to; only its one thread calls."""

    def look(self, room: int) -> Sequence[T]:
        """Before the transaction: find up to `room` images to take; returns what is to be said of the search."""

    def offers(self) -> bool:
        """Whether a transaction may take anything."""

    def turn(self, connection: Connection, outcomes: Sequence[Outcome], room: int, *, idle: bool) -> Turn[T]:
        """Write how images ended and take up to `room` new ones; may be called again, its commit heard or unheard."""

    def undo(self) -> None:
        """The transaction failed: what it took was perhaps not committed."""

    def committed(self, turn: Turn[T]) -> None:
        """The turn is safe in the catalog."""

    def wait(self) -> bool:
        """With nothing in hand: wait until there may be something; False when nothing is left."""
