"""Counts of a run: items and their bytes by outcome."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Generic, TypeVar

from imgctl.model import NONE, Sized

K = TypeVar("K")
F = TypeVar("F", bound=StrEnum)


class Totals(dict[K, Sized]):
    """Items and their bytes by a key; contains only keys that occurred."""

    def add(self, key: K, size: int = 0) -> None:
        """Count one more."""
        one = self.get(key, NONE)
        self[key] = Sized(objects=one.objects + 1, size=one.size + size)

    @property
    def whole(self) -> Sized:
        """The total of all keys."""
        return sum(self.values(), NONE)

    @property
    def counts(self) -> dict[K, int]:
        """The number of items of each key."""
        return {key: one.objects for key, one in self.items()}


class Tally(Generic[F]):
    """Counts of items by outcome: `fates` has every fate of a kind, `sizes` and `reasons` only those that occurred."""

    def __init__(self, kind: type[F], fates: Mapping[F, int] | None = None) -> None:
        self.fates = {fate: (fates or {}).get(fate, 0) for fate in kind}
        self.sizes: Totals[F] = Totals()
        self.reasons: Totals[str] = Totals()

    def count(self, fate: F, *, size: int = 0, reason: str | None = None) -> None:
        """Count one more item of `size` bytes; `reason` is the reason for its fate."""
        self.fates[fate] += 1
        self.sizes.add(fate, size)
        if reason:
            self.reasons.add(reason, size)

    def of(self, *fates: F) -> int:
        """The number of items with one of these fates."""
        return sum(self.fates[fate] for fate in fates)

    def bytes_of(self, *fates: F) -> int:
        """The bytes of these items."""
        return sum((self.sizes.get(fate, NONE).size for fate in fates), 0)

    @property
    def total(self) -> int:
        """The number of all items."""
        return sum(self.fates.values())
