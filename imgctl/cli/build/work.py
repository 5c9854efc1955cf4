"""`imgctl work`: runs the worker pool."""

from dataclasses import dataclass
from decimal import Decimal
from functools import partial

from imgctl.cli.common.options import Options, flag, option
from imgctl.cli.common.render import say_price
from imgctl.cli.common.session import Session, running, subcommand
from imgctl.errors import ExitCode
from imgctl.model import Variant
from imgctl.ops.backlog import backlog_now
from imgctl.ops.common.open import open_parts
from imgctl.ops.common.retry import read
from imgctl.ops.common.spend import Terms
from imgctl.ops.common.tally import Tally
from imgctl.ops.work.options import Fate, ImageOutcome
from imgctl.ops.work.queue import expected, work_here
from imgctl.pricing.estimate import Billing
from imgctl.run.telemetry.metrics import OF_THE_CATALOG
from imgctl.store.catalog.queries.claims import awaiting_restore, backlog
from imgctl.units import count_of, counts_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Args(Options):
    drain: bool = flag("Exit when no image is processing any more, but those that wait; see below.")
    limit: int | None = option(None, "Stop after N images.")
    max_duration: float | None = option(None, "Stop cleanly after: 6h; the next run continues.")


@subcommand(
    Args,
    changes=lambda _: True,
    examples="""
imgctl work --drain
imgctl work --jobs 8 --log-file /var/log/imgctl.log
imgctl work --drain --limit 1000 --json
imgctl work --drain --max-duration 6h --scheduler tcp://10.0.0.5:8786
""",
    main="--drain --limit --max-duration --jobs",
    settings={"work.jobs": "", "work.timeout": "", "work.max_attempts": "", "work.scheduler": ""},
)
def command(session: Session, args: Args) -> ExitCode:
    """Build the variants of every image that is processing, until stopped.

    Any number of workers on any number of machines may run at once: each image is leased to one of them. A first
    SIGTERM or SIGINT finishes the images in flight and returns the others to the queue; a second ends the command at
    once, and its leases expire after `[work] lease` (a minute). An image with an archived original waits, without an
    attempt, until the original is restored; so does one for which this machine lacks room in TMPDIR or a decoder, until
    it has both or another worker takes it. Exit code 3, also after SIGTERM: images failed or still wait for room or a
    decoder, or --max-duration ended before the queue of --drain was empty.
    """
    tally, terms = Tally(Fate), session.terms
    with (
        running(session, unit="images", max_seconds=args.max_duration, is_service=True) as run,
        open_parts(session.settings, stop=run.stop) as parts,
    ):
        if (meter := session.result.meter) is not None:
            meter.watch(OF_THE_CATALOG, partial(backlog_now, parts.catalog))
        run.ready()
        limit = args.limit
        say_price(run, terms, puts=len(Variant))
        total = expected(parts, limit=limit) if args.drain else limit
        if total is not None:
            run.progress.expect(total)
        for outcome in work_here(parts, stop=run.stop, drain=args.drain, limit=limit):
            tally.count(outcome.fate)
            about = {"id": outcome.id, "fate": outcome.fate, "error": outcome.error}
            said = outcome.error and outcome.fate is not Fate.DEFERRED
            line = f"{_label(outcome)} {outcome.id}: {outcome.error}" if said else ""
            record = {"type": "image", **about, "seconds": round(outcome.seconds, 3)}
            run.item(record, failed=outcome.fate is Fate.FAILED, seconds=outcome.seconds, line=line)
        waits = read(parts.catalog, awaiting_restore, stop=run.stop)
        deferred = read(parts.catalog, backlog, stop=run.stop).processing if tally.fates[Fate.DEFERRED] else 0
        sentence = counts_of(tally.fates, none="nothing to build")
        requests = _requests(tally, terms)
        session.summary(tally.fates, sentence, awaiting_restore=waits, waiting=deferred, requests_usd=requests)
        if terms.bill is not Billing.NONE:
            session.text(f"requests: {terms.price(requests)}")
        if waits:
            session.note(_waiting(waits))
        if deferred:
            session.note(
                f"{count_of(deferred, 'image')} still processing; for some this machine lacks room or a decoder"
            )
        return run.service_exit_code(partly=tally.fates[Fate.FAILED] + deferred > 0, drain=args.drain)


def _requests(tally: Tally[Fate], terms: Terms) -> Decimal:
    """Return the price of the requests of a run; the variants of a lost image may have been put."""
    read = tally.of(Fate.READY, Fate.LOST, Fate.FAILED, Fate.RETRY)
    return terms.requests(gets=read, puts=len(Variant) * tally.of(Fate.READY, Fate.LOST))


def _label(outcome: ImageOutcome) -> str:
    return "damaged" if outcome.fate is Fate.READY else outcome.fate.value


def _waiting(count: int) -> str:
    what = count_of(count, "image waits for its original", "images wait for their originals")
    return f"{what} to be restored (imgctl restore --status shows them, imgctl restore ID brings one back)"
