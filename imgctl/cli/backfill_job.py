"""A backfill as its user sees it: each image, the summary, and what the archived originals would cost."""

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal

from imgctl.cli.backfill_options import Asked
from imgctl.cli.base import Json, Running, Session
from imgctl.cli.restore import outcome_record
from imgctl.errors import ExitCode
from imgctl.model import StorageClass
from imgctl.ops.backfill.order import Fate, ImageOutcome
from imgctl.ops.backfill.start import Backfill, Cold, Offer
from imgctl.ops.parts import Parts
from imgctl.ops.restore.order import CONCURRENCY, RestoreOrder
from imgctl.ops.restore.order import Fate as RestoreFate
from imgctl.ops.spend import Terms
from imgctl.pricing.costs import Operation, request_cost
from imgctl.pricing.estimate import Billing
from imgctl.pricing.lines import dollars, plain
from imgctl.pricing.moves import hours_words
from imgctl.store.blobs.base import Tier
from imgctl.units import count_of, counts_of, format_bytes

_NAMED = {Fate.PLANNED: "would be built", Fate.NEEDS_RESTORE: "to restore first"}
ASKED = (RestoreFate.REQUESTED, RestoreFate.EXTENDED, RestoreFate.PLANNED)


class BackfillJob:
    """One run of the command."""

    def __init__(
        self,
        session: Session,
        run: Running,
        parts: Parts,
        filling: Backfill,
        *,
        asked: Asked,
        who: Terms,
    ) -> None:
        self._session = session
        self._run = run
        self._parts = parts
        self._filling = filling
        self._asked = asked
        self._who = who
        self._fates = dict.fromkeys(Fate, 0)
        self._reasons: Counter[str] = Counter()
        self._variants: Counter[str] = Counter()
        self._requested: Counter[RestoreFate] = Counter()
        self._size = 0
        self._cold = Cold()

    def run(self) -> ExitCode:
        """Build, ask for restores where they are wanted, and say what was done."""
        try:
            self._say_resumed()
            for outcome in self._outcomes():
                self._hear(outcome)
            self._watch(failed=0)
            offers = self._offers()
            self._say_cold(offers)
            if self._asked.restore and not self._run.stop.is_set():
                self._ask()
            self._end(offers)
            return self._exit_code()
        finally:
            self._cold.close()

    def _outcomes(self) -> Iterator[ImageOutcome]:
        limit = self._asked.limit
        return self._filling.planned(limit=limit) if self._asked.dry_run else self._filling.outcomes(limit=limit)

    def _hear(self, one: ImageOutcome) -> None:
        self._fates[one.fate] += 1
        self._cold.add(one)
        if one.fate in (Fate.BUILT, Fate.PLANNED):
            self._variants.update(one.variants)
            self._size += one.size
        if one.fate is Fate.FAILED:
            self._reasons[one.reason or "unknown"] += 1
        self._watch(failed=int(one.fate is Fate.FAILED))
        self._session.data({"type": "image", **_record(one)})
        if one.error and one.fate in (Fate.FAILED, Fate.BUILT):
            label = "damaged" if one.fate is Fate.BUILT else one.fate.value
            self._run.say(f"{label} {one.id}: {one.error}", always=one.fate is Fate.FAILED)

    def _watch(self, *, failed: int) -> None:
        """The bar counts rows: few of them may need anything."""
        progress = self._run.progress
        progress.advance(self._filling.search.examined - progress.items, failed=failed)

    def _say_resumed(self) -> None:
        resumed = self._filling.checkpoint.resumed
        if resumed.after.int:
            self._run.say(
                f"going on behind {resumed.after}, where an unfinished run came to (--anew begins at the first)"
            )

    def _offers(self) -> list[Offer]:
        self._cold.learn(self._parts, stop=self._run.stop)
        return self._cold.offers(self._who.card, days=self._asked.days) if self._cold.needs.objects else []

    def _say_cold(self, offers: list[Offer]) -> None:
        needs, restoring, readable = self._cold.needs, self._cold.restoring, self._filling.search.readable_now
        if not (needs.objects or restoring or readable):
            return
        self._session.text(
            f"archived: {counts_of({'readable now': readable, 'restoring': restoring, 'to restore': needs.objects})}"
            + (f" ({format_bytes(needs.size)})" if needs.objects else "")
        )
        for offer in offers:
            price = "free" if self._who.bill is Billing.NONE else dollars(offer.usd)
            self._session.text(f"  {offer.tier.lower()}: {price}, {hours_words(offer.hours)}")
        if offers and not self._asked.restore:
            self._session.text(
                "  the same command with --restore bulk --max-usd N asks for them; the next run builds them"
            )

    def _restoring(self) -> RestoreOrder:
        asked, who = self._asked, self._who
        return RestoreOrder(
            tier=Tier((asked.restore or "bulk").upper()),
            days=asked.days,
            concurrency=self._session.settings.upload.concurrency or CONCURRENCY,
            dry_run=asked.dry_run,
            lists_restores=who.bill is not Billing.OTHER,
            budget=asked.max_usd,
            card=None if who.bill is Billing.NONE else who.card,
        )

    def _ask(self) -> None:
        for outcome in self._cold.ask(self._restoring(), self._parts, stop=self._run.stop):
            self._requested[outcome.fate] += 1
            self._session.data({"type": "restore", **outcome_record(outcome)})
            if outcome.fate in (RestoreFate.FAILED, RestoreFate.MISSING):
                self._run.say(f"restore of {outcome.seen.image.id}: {outcome.detail}", always=True)

    def _end(self, offers: list[Offer]) -> None:
        self._session.data(self._summary(offers))
        fates = counts_of(self._fates, named=_NAMED, none="nothing to build")
        variants = counts_of(dict(sorted(self._variants.items())), none="")
        read = "to read" if self._asked.dry_run else "read"
        built = f" ({variants}; originals of {format_bytes(self._size)} {read})" if variants else ""
        self._session.text(f"{fates}{built}; {count_of(self._filling.search.examined, 'row')} examined")
        if self._asked.dry_run and self._who.bill is not Billing.NONE:
            self._session.text(f"requests: {dollars(self._requests)} by {self._who.card.name}")
        if self._reasons:
            self._session.text(f"failed: {counts_of(dict(self._reasons.most_common()))}")
        if self._asked.restore:
            asked = count_of(self._restores, "restore") + (
                " would be requested" if self._asked.dry_run else " requested"
            )
            self._session.text(f"{asked}, beyond the budget: {self._requested[RestoreFate.LEFT]:,}")
        for bad in self._filling.search.bad:
            self._session.error(f"{bad.where}: {bad.detail}")

    @property
    def _requests(self) -> Decimal:
        """What reading the originals and putting the variants costs; they stay as large as they were."""
        card, images = self._who.card, self._fates[Fate.BUILT] + self._fates[Fate.PLANNED]
        asked = ((Operation.GET, images), (Operation.PUT, sum(self._variants.values())))
        return sum((request_cost(card, StorageClass.STANDARD, one, count).amount for one, count in asked), Decimal(0))

    @property
    def _restores(self) -> int:
        return sum(self._requested[fate] for fate in ASKED)

    def _summary(self, offers: list[Offer]) -> dict[str, Json]:
        cost: dict[str, Json] = {
            offer.tier.lower(): {"usd": plain(offer.usd), "hours": [plain(one) for one in offer.hours]}
            for offer in offers
        }
        needs = self._cold.needs
        return {
            "type": "summary",
            **{fate.value: count for fate, count in self._fates.items() if fate is not Fate.NEEDS_RESTORE},
            "examined": self._filling.search.examined,
            "variants": dict(self._variants),
            "bytes": self._size,
            "requests_usd": plain(self._requests),
            "reasons": dict(self._reasons),
            "readable_now": self._filling.search.readable_now,
            "needs_restore": {
                "images": needs.objects,
                "bytes": needs.size,
                "classes": dict(self._cold.classes),
                "billing": self._who.bill.value,
                "tiers": cost,
            },
            "restores": {fate.value: count for fate, count in self._requested.items()},
            "bad_ids": len(self._filling.search.bad),
        }

    def _exit_code(self) -> ExitCode:
        resumed = self._filling.checkpoint.resumed
        failed = self._fates[Fate.FAILED] + resumed.failed + len(self._filling.search.bad)
        failed += self._requested[RestoreFate.FAILED] + self._requested[RestoreFate.MISSING]
        cold = self._cold.needs.objects + self._cold.restoring + resumed.cold
        return self._run.exit_code(partly=failed > 0 or (self._asked.require_all and cold > 0))


def _record(one: ImageOutcome) -> dict[str, object]:
    about = {"id": one.id, "fate": one.fate, "variants": one.variants, "error": one.error, "reason": one.reason}
    return {**about, "storage_class": one.storage_class, "bytes": one.size, "seconds": round(one.seconds, 3)}
