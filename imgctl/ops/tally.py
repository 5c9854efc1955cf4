"""Counts of a run: how many items ended how, and how many bytes that were."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Generic, TypeVar

from imgctl.model import NONE, Sized

K = TypeVar("K")
F = TypeVar("F", bound=StrEnum)


class Totals(dict[K, Sized]):
    """Items and their bytes by a key; only keys that came up are in it."""

    def add(self, key: K, size: int = 0) -> None:
        """Count one more."""
        self[key] = self.get(key, NONE) + Sized(objects=1, size=size)

    @property
    def whole(self) -> Sized:
        """All of them together."""
        return sum(self.values(), NONE)

    @property
    def counts(self) -> dict[K, int]:
        """How many items there are of each key."""
        return {key: one.objects for key, one in self.items()}


class Tally(Generic[F]):
    """How many items ended how: `fates` has every fate of a kind, `sizes` and `reasons` those that came up."""

    def __init__(self, kind: type[F], fates: Mapping[F, int] | None = None) -> None:
        self.fates = {fate: (fates or {}).get(fate, 0) for fate in kind}
        self.sizes: Totals[F] = Totals()
        self.reasons: Totals[str] = Totals()

    def count(self, fate: F, *, size: int = 0, reason: str | None = None) -> None:
        """Count one more item of `size` bytes; `reason` says why it ended so."""
        self.fates[fate] += 1
        self.sizes.add(fate, size)
        if reason:
            self.reasons.add(reason, size)

    def of(self, *fates: F) -> int:
        """How many items ended in one of these ways."""
        return sum(self.fates[fate] for fate in fates)

    def bytes_of(self, *fates: F) -> int:
        """The bytes of these items."""
        return sum((self.sizes.get(fate, NONE).size for fate in fates), 0)

    @property
    def total(self) -> int:
        """How many items there are."""
        return sum(self.fates.values())
