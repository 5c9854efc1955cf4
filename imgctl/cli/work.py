"""`imgctl work`: the worker pool."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import click

from imgctl.cli.base import Json, Session, subcommand
from imgctl.cli.running import Running, running
from imgctl.cli.types import Seconds
from imgctl.errors import ConfigError, ExitCode
from imgctl.ops.work.order import Fate, ImageOutcome
from imgctl.units import counts_of

if TYPE_CHECKING:
    from imgctl.ops.parts import Parts

METRICS_HOST = "127.0.0.1"


@subcommand(
    examples="""
imgctl work --drain
imgctl work --jobs 8 --log-file /var/log/imgctl.log
imgctl work --drain --limit 1000 --json
imgctl work --drain --max-duration 6h --scheduler tcp://10.0.0.5:8786
""",
    flags={
        "jobs": "work.jobs",
        "timeout": "work.timeout",
        "max_attempts": "work.max_attempts",
        "scheduler": "work.scheduler",
    },
)
@click.option("--drain", is_flag=True, help="End when no image is processing any more.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="End after N images.")
@click.option("--max-duration", metavar="TIME", type=Seconds(), help="Stop cleanly after: 6h; the next run goes on.")
@click.option("--jobs", metavar="N", help="Pictures rendered at once; 0: one a core. [work] jobs")
@click.option("--timeout", metavar="TIME", help="A picture that renders longer is given up. [work] timeout")
@click.option("--max-attempts", metavar="N", help="Tries before a row is failed. [work] max_attempts")
@click.option("--scheduler", metavar="URL", help="Render on this Dask cluster: tcp://HOST:8786. [work] scheduler")
@click.option("--metrics-port", type=click.IntRange(0, 65535), metavar="N", help="Serve /metrics on loopback here.")
def command(
    session: Session, *, drain: bool, limit: int | None, max_duration: float | None, metrics_port: int | None
) -> ExitCode:
    """Build the variants of every image that is processing, until stopped.

    Any number of workers on any number of machines may run at once: each image is leased to one of them. A first
    SIGTERM or SIGINT finishes what is in flight and returns the rest, a second ends at once; leases then run out by
    themselves within a minute. An image whose original is archived waits, untried, until that is restored. Exit code 3
    says that images failed, or that --max-duration ended before --drain did.
    """
    from imgctl.ops.parts import open_parts
    from imgctl.ops.restore.queue import waiting, waiting_words
    from imgctl.ops.work.processing import expected, work_here

    fates = dict.fromkeys(Fate, 0)
    with (
        open_parts(session.settings) as parts,
        running(session, unit="images", max_seconds=max_duration) as run,
        _metrics(parts, metrics_port) as ended,
    ):
        total = expected(parts, limit=limit) if drain else limit
        if total is not None:
            run.progress.expect(total)
        for outcome in work_here(parts, stop=run.stop, drain=drain, limit=limit):
            fates[outcome.fate] += 1
            ended(outcome.fate, outcome.seconds)
            run.step(failed=outcome.fate is Fate.FAILED)
            session.data({"type": "image"} | _record(outcome))
            if outcome.error:
                run.say(f"{_label(outcome)} {outcome.id}: {outcome.error}", always=outcome.fate is Fate.FAILED)
        waits = waiting(parts.catalog, stop=run.stop)
        session.data(
            {"type": "summary", **{fate.value: count for fate, count in fates.items()}, "awaiting_restore": waits}
        )
        session.text(counts_of(fates, none="nothing to build"))
        if waits:
            session.note(waiting_words(waits))
        return _exit_code(run, drain=drain, failed=fates[Fate.FAILED] > 0)


@contextmanager
def _metrics(parts: "Parts", port: int | None) -> Iterator[Callable[[str, float], None]]:
    """What counts outcomes for Prometheus while a worker runs; nothing without a port."""
    if port is None:
        yield lambda _fate, _seconds: None
        return
    try:
        from imgctl.web.metrics import WorkMetrics
    except ImportError as error:
        raise ConfigError(f"{error.name} is not installed", hint="pip install 'imgctl[serve]'") from error
    with closing(WorkMetrics(parts.catalog, host=METRICS_HOST, port=port)) as metrics:
        yield metrics.ended


def _exit_code(run: Running, *, drain: bool, failed: bool) -> ExitCode:
    if run.stop.requested.is_set() and not run.stop.interrupted:
        # Asked by a service manager, to whom a clean stop is no failure.
        return ExitCode.DONE
    if run.stop.expired and not drain:
        return ExitCode.PARTLY if failed else ExitCode.DONE
    return run.exit_code(partly=failed)


def _label(outcome: ImageOutcome) -> str:
    return "damaged" if outcome.fate is Fate.READY else outcome.fate.value


def _record(outcome: ImageOutcome) -> dict[str, Json]:
    return {
        "id": str(outcome.id),
        "fate": outcome.fate.value,
        "error": outcome.error,
        "seconds": round(outcome.seconds, 3),
    }
