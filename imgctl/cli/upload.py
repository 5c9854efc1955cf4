"""`imgctl upload`: directories to the store, rows to the catalog."""

import os
from uuid import UUID

import click

from imgctl.cli.base import Json, Session, subcommand
from imgctl.cli.running import running
from imgctl.cli.types import UserId
from imgctl.errors import ExitCode
from imgctl.ops.upload.outcome import Fate, FileOutcome, Tally
from imgctl.units import format_bytes


@subcommand(
    examples="""
imgctl upload ~/Pictures --user 0190b2b4-0000-7000-8000-000000000001
imgctl upload wedding party/*.jpg --user 0190b2b4-0000-7000-8000-000000000001 --json
imgctl upload /mnt/nas --user 0190b2b4-0000-7000-8000-000000000001 --store s3://photos --concurrency 64
""",
    flags={"concurrency": "upload.concurrency", "memory": "upload.memory"},
)
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=str), metavar="PATH...")
@click.option("--user", required=True, type=UserId(), help="Whose images these are.")
@click.option("--concurrency", metavar="N", help="Puts in flight. [upload] concurrency")
@click.option("--memory", metavar="SIZE", help="Bytes of photos held at once. [upload] memory")
def command(session: Session, paths: tuple[str, ...], user: UUID) -> ExitCode:
    """Upload every image at or below PATH: the original to the store, a row to the catalog.

    What the user already has (by content) is not put again, so the same command after a kill finishes the work. Files
    that are no images are named and left out. Variants are built by `imgctl work`.
    """
    from imgctl.ops.parts import open_parts
    from imgctl.ops.upload.pipeline import UploadOrder, upload

    settings = session.settings
    order = UploadOrder(
        paths=tuple(os.fspath(path) for path in paths),
        user_id=user,
        concurrency=settings.upload.concurrency,
        memory_bytes=settings.upload.memory,
        originals_prefix=settings.store.originals_prefix,
    )
    tally = Tally()
    with open_parts(settings) as parts, running(session, unit="files") as run:
        for outcome in upload(order, catalog=parts.catalog, store=parts.store, stop=run.stop):
            tally.add(outcome)
            run.step(outcome.fate is Fate.FAILED, outcome.bytes or 0)
            session.data({"type": "file"} | _record(outcome))
            if outcome.fate in (Fate.SKIPPED, Fate.FAILED):
                failed = outcome.fate is Fate.FAILED
                run.say(f"{outcome.fate} {outcome.path}: {outcome.detail}", always=failed)
        session.data({"type": "summary"} | _summary(tally))
        session.text(_sentence(tally))
        return run.exit_code(partly=tally.fates[Fate.FAILED] > 0)


def _record(outcome: FileOutcome) -> dict[str, Json]:
    return {
        "path": outcome.path,
        "fate": outcome.fate.value,
        "reason": outcome.reason.value or None,
        "detail": outcome.detail or None,
        "id": str(outcome.id) if outcome.id else None,
        "sha256": outcome.sha256.hex() if outcome.sha256 else None,
        "bytes": outcome.bytes,
        "seconds": round(outcome.seconds, 3),
    }


def _summary(tally: Tally) -> dict[str, Json]:
    fates = {fate.value: tally.fates[fate] for fate in Fate}
    reasons = {reason.value: count for reason, count in sorted(tally.reasons.items())}
    return {**fates, "files": tally.fates.total(), "reasons": reasons, "bytes_uploaded": tally.bytes_uploaded}


def _sentence(tally: Tally) -> str:
    counts = ", ".join(f"{tally.fates[fate]:,} {fate}" for fate in Fate)
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in sorted(tally.reasons.items()))
    suffix = f" ({reasons})" if reasons else ""
    return f"{tally.fates.total():,} files: {counts}{suffix}; {format_bytes(tally.bytes_uploaded)} put"
