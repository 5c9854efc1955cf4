"""`imgctl backfill --metadata` as its user sees it: the price, each row, and what changed."""

from collections import Counter
from dataclasses import replace
from datetime import datetime

from imgctl.cli.backfill_options import Asked
from imgctl.cli.base import Json, Running, Session
from imgctl.errors import ExitCode
from imgctl.ops.backfill.metadata import Fate, MetadataOrder, Outcome, Value
from imgctl.ops.backfill.metadata_run import MetadataRun, Reading, metadata_run, price, reading
from imgctl.ops.parts import Parts
from imgctl.ops.spend import agree, terms
from imgctl.pricing.estimate import Billing, Estimate
from imgctl.store.catalog.backfill import FACT_COLUMNS, Fact
from imgctl.units import count_of, counts_of, format_bytes

WORDS = {Fact.CAPTION: "caption", Fact.TAKEN_AT: "capture time", Fact.SIZE: "size"}


def run_metadata(session: Session, run: Running, parts: Parts, order: MetadataOrder, asked: Asked) -> ExitCode:
    """Show what reading costs, and read; UsageError where somebody bills and nobody agreed."""
    who = terms(session.settings, endpoint_url=session.endpoint_url)
    agreed = asked.yes or asked.max_usd is not None
    order = replace(order, reads=agreed or who.bill is Billing.NONE, writes=not asked.dry_run)
    with metadata_run(order, parts, stop=run.stop, anew=asked.anew or asked.dry_run) as looking:
        found = reading(order, parts, after=looking.checkpoint.resumed.after, stop=run.stop)
        cost = price(who.card, found)
        job = _Job(session, run, looking, asked=asked)
        job.say_price(found, cost, who.bill)
        what = f"reading {count_of(found.originals, 'original')}"
        agree(what, cost.one_off, who, yes=asked.yes, max_usd=asked.max_usd, dry_run=asked.dry_run and not agreed)
        return job.run()


class _Job:
    """One run of the command."""

    def __init__(self, session: Session, run: Running, looking: MetadataRun, *, asked: Asked) -> None:
        self._session = session
        self._run = run
        self._looking = looking
        self._asked = asked
        self._fates: Counter[Fate] = Counter()
        self._facts: Counter[Fact] = Counter()
        self._unreadable = 0
        self._cold_bytes = 0

    def say_price(self, found: Reading, cost: Estimate, bill: Billing) -> None:
        """What is about to be read, and what that costs."""
        if bill is Billing.NONE:
            return
        self._session.data({"type": "estimate", "originals": found.originals, **cost.record(bill)})
        self._run.say(
            f"to read the metadata of {count_of(found.originals, 'original')} costs at most: {cost.text(bill)}"
        )

    def run(self) -> ExitCode:
        """Look at every row that is wanted."""
        if (after := self._looking.checkpoint.resumed.after).int:
            self._run.say(f"going on behind {after}, where an unfinished run came to (--anew begins at the first)")
        for one in self._looking.index():
            self._unreadable += 1
            self._run.say(f"{one.fate} {one.path}: {one.detail}", always=True)
        for outcome in self._looking.outcomes(limit=self._asked.limit):
            self._hear(outcome)
        self._end()
        return self._exit_code()

    def _hear(self, one: Outcome) -> None:
        self._fates[one.fate] += 1
        self._facts.update(fact for fact, names in FACT_COLUMNS.items() if one.changes.keys() & set(names))
        self._cold_bytes += one.size if one.fate is Fate.NEEDS_RESTORE else 0
        self._run.step(failed=one.fate is Fate.FAILED)
        self._session.data({"type": "image", **_record(one)})
        if one.error:
            self._run.say(f"{one.fate} {one.id}: {one.error}", always=True)
        elif one.changes and self._session.verbosity > 0:
            self._run.say(f"{one.fate} {one.id}: {_words(one)}")

    def _end(self) -> None:
        fates, dry = self._fates, self._asked.dry_run
        sidecars = self._looking.sidecars
        summary: dict[str, Json] = {fate.value: fates[fate] for fate in Fate}
        summary |= {
            "facts": {fact.value: count for fact, count in self._facts.items()},
            "needs_restore_bytes": self._cold_bytes,
            "sidecars": sidecars.photos if sidecars else 0,
            "unreadable_sources": self._unreadable,
            "bad_ids": len(self._looking.bad),
            "dry_run": dry,
        }
        self._session.data({"type": "summary", **summary})
        facts = ", ".join(count_of(self._facts[fact], word) for fact, word in WORDS.items() if self._facts[fact])
        named = {Fate.PLANNED: "would be read", Fate.NEEDS_RESTORE: "to restore first"}
        named |= {Fate.CHANGED: "would change"} if dry else {}
        counts = counts_of({fate: fates[fate] for fate in Fate}, named=named, none="nothing to read")
        if sidecars:
            self._session.text(f"{count_of(sidecars.photos, 'photo')} with a sidecar in the source tree")
        self._session.text(f"{counts}{f' ({facts})' if facts else ''}")
        if fates[Fate.NEEDS_RESTORE]:
            self._session.text(
                f"archived: {count_of(fates[Fate.NEEDS_RESTORE], 'original')} ({format_bytes(self._cold_bytes)}) left unread;"
                " imgctl restore brings them back"
            )
        for bad in self._looking.bad:
            self._session.error(f"{bad.where}: {bad.detail}")

    def _exit_code(self) -> ExitCode:
        resumed = self._looking.checkpoint.resumed
        failed = self._fates[Fate.FAILED] + resumed.failed + self._unreadable + len(self._looking.bad)
        cold = self._fates[Fate.NEEDS_RESTORE] + resumed.cold
        return self._run.exit_code(partly=failed > 0 or (self._asked.require_all and cold > 0))


def _words(one: Outcome) -> str:
    said = [f"{name} {_shown(before)} → {_shown(after)}" for name, (before, after) in one.changes.items()]
    return ", ".join(said) + (f" (by {one.taken_from})" if one.taken_from else "")


def _shown(value: Value) -> str:
    return "nothing" if value is None else value.isoformat() if isinstance(value, datetime) else repr(value)


def _plain(value: Value) -> Json:
    return value.isoformat() if isinstance(value, datetime) else value


def _record(one: Outcome) -> dict[str, Json]:
    return {
        "id": str(one.id),
        "fate": one.fate.value,
        "changes": {name: {"before": _plain(old), "after": _plain(new)} for name, (old, new) in one.changes.items()},
        "taken_from": one.taken_from.value if one.taken_from else None,
        "error": one.error,
        "reason": one.reason,
        "storage_class": one.storage_class,
        "bytes": one.size,
    }
