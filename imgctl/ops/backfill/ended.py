"""From how an attempt ended to what becomes of its ready row, and of the blobs that no row names any more."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from imgctl.errors import BlobArchived
from imgctl.model import Image, Variant, is_archived
from imgctl.ops.backfill.order import Fate, ImageOutcome
from imgctl.ops.backfill.search import Candidate
from imgctl.ops.backfill.wanted import leftovers, recipe_after, superseded
from imgctl.ops.work.order import Ending, Job, Outcome
from imgctl.store.catalog.backfill import Built


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A row that is ours: as it was leased, and what for."""

    image: Image
    candidate: Candidate

    @property
    def died(self) -> bool:
        """Whether a run before us died over it."""
        return self.candidate.image.leased_until is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """An image that ended: what becomes of its row, and which blobs no row names from then on."""

    outcome: Outcome
    taken: Taken
    built: Built
    clear: tuple[str, ...]


def ended(outcome: Outcome, taken: Taken, *, recipe: str, prefix: str) -> Ended:
    """What is written, and what is to be cleared away: only then is the row let go."""
    image, keys = taken.image, outcome.keys if outcome.ending is Ending.RENDERED else {}
    clear = superseded(image, [key for one in Variant if (key := keys.get(one) or image.variant_key(one))])
    # Of what was put before it failed, or by a run that died, the row names nothing.
    if taken.died or (outcome.error and outcome.ending not in (Ending.RENDERED, Ending.HOPELESS)):
        clear += [key for key in leftovers_of(image, keys, prefix=prefix) if key not in clear]
    built = Built(
        id=image.id,
        attempts=image.attempts,
        thumb_key=keys.get(Variant.THUMB),
        medium_key=keys.get(Variant.MEDIUM),
        full_key=keys.get(Variant.FULL),
        width=outcome.width,
        height=outcome.height,
        recipe=recipe_after(image, keys, recipe) if keys else None,
        hold=bool(clear),
    )
    return Ended(outcome=outcome, taken=taken, built=built, clear=tuple(clear))


def leftovers_of(image: Image, keys: Mapping[Variant, str], *, prefix: str) -> tuple[str, ...]:
    """What a run that died may have put and the row does not name, once it names `keys` too."""
    named = {key for one in Variant if (key := keys.get(one) or image.variant_key(one))}
    return tuple(leftovers(image.id, named=named, prefix=prefix))


def job_of(image: Image, candidate: Candidate) -> Job:
    """What is to be rendered."""
    return Job(
        id=image.id,
        attempts=image.attempts,
        # A first try: it was ready once.
        forgiven=image.attempts - 1,
        original_key=image.original_key or "",
        size=image.bytes or 0,
        variants=candidate.variants,
    )


def once_more(taken: Taken) -> Candidate:
    """The same again: it had not begun."""
    return replace(taken.candidate, image=replace(taken.image, leased_until=None))


def said_of(ended: Ended, *, ours: bool) -> ImageOutcome:
    """What is said of an image; `ours` is whether its row was still held."""
    outcome, image = ended.outcome, ended.taken.image
    archived = is_archived_after_all(outcome)
    fate = _fate(outcome, archived=archived) if ours else Fate.LOST
    return ImageOutcome(
        id=image.id,
        fate=fate,
        variants=ended.taken.candidate.variants,
        error=outcome.error,
        reason=outcome.cause or outcome.ending.value if fate is Fate.FAILED else None,
        # Which archive class it turned out to be nobody has said yet: the row learns it.
        storage_class=image.storage_class if is_archived(image.storage_class) or not archived else None,
        size=image.bytes or 0,
        seconds=outcome.seconds,
    )


def _fate(outcome: Outcome, *, archived: bool) -> Fate:
    if outcome.ending is Ending.RENDERED:
        return Fate.BUILT
    if outcome.ending is Ending.NOT_BEGUN:
        return Fate.RETURNED
    return Fate.NEEDS_RESTORE if archived else Fate.FAILED


def is_archived_after_all(outcome: Outcome) -> bool:
    """Whether an original turned out to be archived though its row does not say so."""
    return outcome.cause == BlobArchived.__name__
