"""What `imgctl restore` says: of each original, of what it found, of what it costs and did."""

from collections import Counter

from imgctl.cli.base import Json
from imgctl.model import ARCHIVE_TIERS
from imgctl.ops.restore.order import Fate, Outcome, RestoreOrder, Seen, State
from imgctl.ops.restore.survey import Survey
from imgctl.pricing.moves import hours_until_restored, hours_words
from imgctl.pricing.prices import Card
from imgctl.units import count_of, counts_of, format_bytes

HEADERS = ("ID", "SIZE", "CLASS", "STATE", "READABLE UNTIL")
_COLD = (State.ARCHIVED, State.EXPIRED, State.RESTORING, State.RESTORED)


def record(one: Seen) -> dict[str, Json]:
    """An original for JSON."""
    blob = one.blob
    return {
        "id": str(one.image.id),
        "user_id": str(one.image.user_id),
        "key": one.image.original_key,
        "state": one.state.value,
        "storage_class": blob.storage_class if blob else None,
        "bytes": blob.size if blob else None,
        "restored_until": blob.restored_until.isoformat() if blob and blob.restored_until else None,
    }


def outcome_record(outcome: Outcome) -> dict[str, Json]:
    """What became of an original, for JSON."""
    return {**record(outcome.seen), "fate": outcome.fate.value, "detail": outcome.detail}


def is_cold(one: Seen) -> bool:
    """Whether an original lies in an archive class."""
    return one.state in _COLD


def cells(one: Seen) -> tuple[str, ...]:
    """An original as a row of a table."""
    blob = one.blob
    until = f"{blob.restored_until:%Y-%m-%d %H:%M}" if blob and blob.restored_until else ""
    size, storage_class = (format_bytes(blob.size), blob.storage_class) if blob else ("", "")
    return (str(one.image.id), size, storage_class, one.state.value, until)


def states_text(found: Survey) -> str:
    """How readable the originals that were looked at are."""
    states = {state: found.states.objects[state] for state in State}
    return f"{count_of(sum(states.values()), 'original')}: {counts_of(states)}"


def states_record(found: Survey) -> dict[str, Json]:
    """The same for JSON."""
    return {state.value: found.states.objects[state] for state in State}


def hours_text(found: Survey, order: RestoreOrder, card: Card) -> str:
    """When what is asked for will be readable, by class."""
    classes = sorted(found.needs.archived.objects)
    times = [f"{name} in {hours_words(hours_until_restored(card, name, order.tier))}" for name in classes]
    days = f" for {count_of(order.days, 'day')}" if set(classes) - set(ARCHIVE_TIERS) else ""
    return f"; readable{days}: {', '.join(times)}" if times else ""


class Tally:
    """Outcomes counted."""

    def __init__(self) -> None:
        self.fates: Counter[Fate] = Counter()
        self.sizes: Counter[Fate] = Counter()
        self.classes: set[str] = set()
        self.restoring = 0

    def add(self, outcome: Outcome) -> None:
        """One more."""
        self.fates[outcome.fate] += 1
        self.sizes[outcome.fate] += outcome.size
        blob = outcome.seen.blob
        # Not the requested ones: a directory restores at once.
        self.restoring += outcome.seen.state is State.RESTORING
        if outcome.fate is Fate.REQUESTED and blob is not None:
            self.classes.add(blob.storage_class)

    @property
    def partly(self) -> bool:
        """Whether something was not done that should have been."""
        return any(self.fates[fate] for fate in (Fate.FAILED, Fate.MISSING, Fate.CHANGED, Fate.LEFT))

    @property
    def text(self) -> str:
        """The summary for people."""
        return counts_of({fate: self.fates[fate] for fate in Fate}, named={Fate.PLANNED: "would be requested"})

    def record(self) -> dict[str, Json]:
        """The summary for JSON."""
        counts: dict[str, Json] = {fate.value: self.fates[fate] for fate in Fate}
        return counts | {"bytes_requested": self.sizes[Fate.REQUESTED], "bytes_moved": self.sizes[Fate.MOVED]}
