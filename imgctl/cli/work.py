"""`imgctl work`: the worker pool."""

import click

from imgctl.cli.base import Json, Session, subcommand
from imgctl.cli.running import running
from imgctl.errors import ExitCode
from imgctl.ops.work.driver import Fate, ImageOutcome


@subcommand(
    examples="""
imgctl work --drain
imgctl work --jobs 8 --log-file /var/log/imgctl.log
imgctl work --drain --limit 1000 --json
""",
    flags={
        "jobs": "work.jobs",
        "timeout": "work.timeout",
        "max_attempts": "work.max_attempts",
    },
)
@click.option("--drain", is_flag=True, help="End when no image is processing any more.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="End after so many images.")
@click.option("--jobs", metavar="N", help="Pictures rendered at once; 0: one a core. [work] jobs")
@click.option("--timeout", metavar="TIME", help="A picture that renders longer is given up. [work] timeout")
@click.option("--max-attempts", metavar="N", help="Tries before a row is failed. [work] max_attempts")
def command(session: Session, drain: bool, limit: int | None) -> ExitCode:  # noqa: FBT001
    """Build the variants of every image that is processing, until stopped.

    Any number of workers on any number of machines may run at once: each image is leased to one of them. A first
    SIGTERM or SIGINT finishes what flies and gives the rest back, a second ends at once; leases then run out by
    themselves within a minute.
    """
    from imgctl.ops.parts import open_parts
    from imgctl.ops.work.start import work_here

    fates = dict.fromkeys(Fate, 0)
    with open_parts(session.settings) as parts, running(session, unit="images") as run:
        for outcome in work_here(parts, stop=run.stop, drain=drain, limit=limit):
            fates[outcome.fate] += 1
            run.step(failed=outcome.fate is Fate.FAILED)
            session.data({"type": "image"} | _record(outcome))
            if outcome.error:
                run.say(f"{_label(outcome)} {outcome.id}: {outcome.error}", always=outcome.fate is Fate.FAILED)
        session.data({"type": "summary", **{fate.value: count for fate, count in fates.items()}})
        counts = ", ".join(f"{count:,} {fate}" for fate, count in fates.items() if count or fate is Fate.READY)
        session.text(counts)
        if run.stop.requested.is_set():
            return ExitCode.INTERRUPTED if run.stop.interrupted else ExitCode.DONE
        return run.exit_code(partly=fates[Fate.FAILED] > 0)


def _label(outcome: ImageOutcome) -> str:
    return "damaged" if outcome.fate is Fate.READY else outcome.fate.value


def _record(outcome: ImageOutcome) -> dict[str, Json]:
    return {
        "id": str(outcome.id),
        "fate": outcome.fate.value,
        "error": outcome.error,
        "seconds": round(outcome.seconds, 3),
    }
