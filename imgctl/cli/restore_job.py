"""The run of `imgctl restore`: what it shows while ops look, ask and wait."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from imgctl.cli.base import Session
from imgctl.cli.restore_words import (
    HEADERS,
    Tally,
    cells,
    hours_text,
    is_cold,
    outcome_record,
    record,
    states_record,
    states_text,
)
from imgctl.cli.running import Running
from imgctl.cli.table import table
from imgctl.errors import ExitCode
from imgctl.ops.parts import Parts
from imgctl.ops.restore.ask import request
from imgctl.ops.restore.look import rows
from imgctl.ops.restore.order import Fate, Outcome, RestoreOrder, Seen, State, Wanted
from imgctl.ops.restore.plan import planned
from imgctl.ops.restore.price import check_agreed
from imgctl.ops.restore.start import Terms
from imgctl.ops.restore.survey import Survey, status, survey
from imgctl.ops.restore.wait import first_look_seconds, wait
from imgctl.pricing.estimate import Billing, Estimate
from imgctl.store.blobs.base import BlobStore
from imgctl.units import count_of, counts_of, format_seconds

POLL_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreJob:
    """One run of `imgctl restore`: what it works on, for whom, and by which order."""

    session: Session
    run: Running
    parts: Parts
    cold: BlobStore
    wanted: Wanted
    order: RestoreOrder
    terms: Terms

    def status(self) -> ExitCode:
        """Show how readable the originals are."""
        found = Survey()

        def lines() -> Iterator[tuple[str, ...]]:
            for one in status(
                self.wanted,
                self.order,
                catalog=self.parts.catalog,
                cold=self.cold,
                stop=self.run.stop,
                bad=found.bad,
            ):
                found.states.add(one.state, one.blob.size if one.blob else 0)
                self.run.step(failed=one.error is not None)
                self.session.data({"type": "image", **record(one)})
                self._complain(one)
                if is_cold(one):
                    yield cells(one)

        for line in table(HEADERS, lines()):
            self.session.text(line)
        self._tell_bad(found)
        self.session.text(states_text(found))
        self.session.data({"type": "summary", **states_record(found)})
        return self.run.exit_code(partly=bool(found.bad) or found.states.objects[State.UNKNOWN] > 0)

    def restore(self, *, agreed: bool, max_usd: Decimal | None, waits: bool, plan: Path | None) -> ExitCode:
        """Say what it costs, ask for it, and wait where that is wanted."""

        order, stop = self.order, self.run.stop
        found = survey(self.wanted, order, catalog=self.parts.catalog, cold=self.cold, stop=stop)
        self._tell_bad(found)
        cost = found.needs.estimate(self.terms.card, order)
        self._tell_cost(found, cost)
        if not order.dry_run:
            check_agreed(found.objects, cost, self.terms.bill, agreed=agreed, max_usd=max_usd)
        self.run.progress.expect(found.states.objects.total())
        tally = Tally()
        self._act(tally, plan, cost)
        if waits and not order.dry_run:
            self._wait(tally)
        self.session.text(tally.text)
        self.session.data({"type": "summary", **tally.record()})
        self._tell_next(tally, waited=waits)
        return self.run.exit_code(partly=tally.partly or bool(found.bad))

    def _act(self, tally: Tally, plan: Path | None, cost: Estimate) -> None:

        catalog, stop = self.parts.catalog, self.run.stop
        pages = rows(catalog, self.wanted, stop=stop)
        outcomes = request(pages, self.order, catalog=catalog, cold=self.cold, stop=stop)
        if plan is not None:
            outcomes = planned(outcomes, self.order, plan, estimate=cost.record(self.terms.bill))
        for outcome in outcomes:
            self._show(tally, outcome)

    def _wait(self, tally: Tally) -> None:

        card, tier = self.terms.card, self.order.tier
        first = min((first_look_seconds(card, name, tier) for name in tally.classes), default=POLL_SECONDS)
        for one in wait(
            self.wanted,
            self.order,
            catalog=self.parts.catalog,
            cold=self.cold,
            stop=self.run.stop,
            first_seconds=first,
        ):
            if isinstance(one, Outcome):
                self._show(tally, one)
                continue
            due = f"; next look in {format_seconds(one.next_seconds)}" if one.next_seconds else ""
            self.run.say(counts_of({"restoring": one.restoring, "readable": one.restored}) + due)

    def _show(self, tally: Tally, outcome: Outcome) -> None:

        tally.add(outcome)
        failed = outcome.fate in (Fate.FAILED, Fate.MISSING)
        self.run.step(failed=failed, size=outcome.size)
        self.session.data({"type": "image", **outcome_record(outcome)})
        if failed:
            self.run.say(f"{outcome.fate} {outcome.seen.image.id}: {outcome.detail}", always=True)

    def _complain(self, one: Seen) -> None:
        if one.error is not None:
            self.run.say(f"unknown {one.image.id}: {one.error.line}", always=True)

    def _tell_bad(self, found: Survey) -> None:
        for bad in found.bad:
            self.session.data({"type": "bad_id", "where": bad.where, "detail": bad.detail})
            self.run.say(f"{bad.where}: {bad.detail}", always=True)

    def _tell_cost(self, found: Survey, cost: Estimate) -> None:
        bill, order = self.terms.bill, self.order
        self.session.data(
            {
                "type": "estimate",
                "originals": found.objects,
                "bytes": sum(found.needs.archived.size.values()),
                "tier": order.tier.value,
                "days": order.days,
                **states_record(found),
                **cost.record(bill),
            }
        )
        self.run.say(states_text(found))
        if found.objects:
            soon = hours_text(found, order, self.terms.card) if bill is not Billing.NONE else ""
            self.run.say(f"to restore {count_of(found.objects, 'original')} costs: {cost.text(bill)}{soon}")

    def _tell_next(self, tally: Tally, *, waited: bool) -> None:
        if tally.restoring and not waited:
            then = "the same again then moves them back" if self.order.permanent else "--status shows when they are"
            self.session.note(f"{count_of(tally.restoring, 'original')} on the way; {then}, --wait waits for it")
