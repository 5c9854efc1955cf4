"""From how an attempt ended to what its row becomes."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from uuid import UUID

from sqlalchemy import Connection

from imgctl.errors import BlobArchived
from imgctl.imaging.recipe import digest
from imgctl.model import Recipe, Variant
from imgctl.ops.work.task import Ending, Outcome
from imgctl.store.catalog.reservations import announce_ended
from imgctl.store.catalog.results import FailedImage, Finished, GivenBack, fail, finish, give_back, park
from imgctl.units import count_of

FIRST_BACKOFF_SECONDS = 2.0
LONGEST_BACKOFF_SECONDS = 300.0


class Record(Enum):
    """What is done to the row."""

    FINISH = auto()
    FAIL = auto()
    RETRY = auto()
    RETURN = auto()
    SHELVE = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """An outcome and what follows from it."""

    outcome: Outcome
    record: Record


def judge(outcome: Outcome, *, max_attempts: int) -> Verdict:
    """Ready when rendered, failed when hopeless or out of tries, else tried again.

    What did not begin is unblamed, and so is what lies in an archive: it waits for its restore.
    """
    if outcome.ending is Ending.RENDERED:
        return Verdict(outcome=outcome, record=Record.FINISH)
    if outcome.cause == BlobArchived.__name__:
        return Verdict(outcome=outcome, record=Record.SHELVE)
    if outcome.ending is Ending.HOPELESS:
        return Verdict(outcome=outcome, record=Record.FAIL)
    if outcome.ending is Ending.NOT_BEGUN:
        return Verdict(outcome=outcome, record=Record.RETURN)
    return Verdict(outcome=outcome, record=Record.FAIL if outcome.job.tries >= max_attempts else Record.RETRY)


def record(connection: Connection, verdicts: Sequence[Verdict], *, recipe: Recipe) -> set[UUID]:
    """Write the verdicts, a statement a kind; returns the ids that were still this worker's to change."""
    kinds: dict[Record, list[Outcome]] = {kind: [] for kind in Record}
    for verdict in verdicts:
        kinds[verdict.record].append(verdict.outcome)
    changed: set[UUID] = set()
    if kinds[Record.FINISH]:
        name = digest(recipe)
        changed |= finish(connection, [_finished(outcome, name) for outcome in kinds[Record.FINISH]])
    if kinds[Record.FAIL]:
        changed |= fail(connection, [_failed(outcome) for outcome in kinds[Record.FAIL]])
    if changed:
        announce_ended(connection)
    if kinds[Record.SHELVE]:
        changed |= park(connection, [_failed(outcome) for outcome in kinds[Record.SHELVE]])
    returned = [_retry(one) for one in kinds[Record.RETRY]] + [_return(one) for one in kinds[Record.RETURN]]
    if returned:
        changed |= give_back(connection, returned)
    return changed


def _finished(outcome: Outcome, recipe: str) -> Finished:
    keys, job = outcome.keys, outcome.job
    return Finished(
        id=job.id,
        attempts=job.attempts,
        thumb_key=keys[Variant.THUMB],
        medium_key=keys[Variant.MEDIUM],
        full_key=keys[Variant.FULL],
        width=outcome.width,
        height=outcome.height,
        recipe=recipe,
        error=outcome.error,
    )


def _failed(outcome: Outcome) -> FailedImage:
    job, why = outcome.job, outcome.error or "no reason was given"
    tried = f"gave up after {count_of(job.tries, 'attempt')}: {why}" if outcome.ending is not Ending.HOPELESS else why
    return FailedImage(id=job.id, attempts=job.attempts, error=tried)


def _retry(outcome: Outcome) -> GivenBack:
    job = outcome.job
    delay = min(FIRST_BACKOFF_SECONDS * 2 ** (job.tries - 1), LONGEST_BACKOFF_SECONDS)
    return GivenBack(id=job.id, attempts=job.attempts, error=outcome.error, delay_seconds=delay)


def _return(outcome: Outcome) -> GivenBack:
    return GivenBack(id=outcome.job.id, attempts=outcome.job.attempts, error=outcome.error, refund=True)
