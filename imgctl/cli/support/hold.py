"""`imgctl hold`: protects a user's images from deletion."""

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from imgctl.cli.common.options import Options, flag, option
from imgctl.cli.common.render import show_table
from imgctl.cli.common.session import Running, Session, running, subcommand
from imgctl.errors import ExitCode, UsageError
from imgctl.ops.common.open import Parts, open_parts
from imgctl.ops.common.retry import read
from imgctl.ops.holds import has_images, lock_blobs, place, too_late
from imgctl.store.catalog.queries.holds import LegalHold, in_force
from imgctl.units import count_of

HEADERS = ("USER", "SINCE", "BY", "OBJECT LOCK", "REASON")


@dataclass(frozen=True, slots=True, kw_only=True)
class Args(Options):
    user: UUID | None = option(None, "Hold this user's images; without it, list the active holds.")
    reason: str | None = option(None, "The reason: a case number, a court order.", metavar="TEXT")
    object_lock: bool = flag("Also set the bucket's legal hold on every version of every blob.")


@subcommand(
    Args,
    examples="""
imgctl hold --user 0190b2b4-0000-7000-8000-000000000001 --reason 'case 4711'
imgctl hold
""",
    changes=lambda args: args.user is not None,
)
def command(session: Session, args: Args) -> ExitCode:
    """Hold a user's images: erase refuses them, and backfill, repair and transition delete none of their blobs.

    Uploads continue, and new images are held, too. `imgctl backfill` still builds variants; a new one of the same
    format has the key of the old one and replaces it. With --object-lock the bucket itself, if it has Object Lock,
    rejects the deletion of every version; other tools can still hide a blob by a delete marker. Run the same command
    again to lock blobs that arrived since. A hold lasts until `imgctl release`. Exit code 3: the hold came too late
    for some images, whose erasure, move or build had begun; images are being erased whose owner cannot be compared
    without the [serve] secret of that erasure; or the bucket locked not every blob.
    """
    if args.user is None:
        if args.reason or args.object_lock:
            raise UsageError("no user given", hint="use --user USER")
        return _list(session)
    if not args.reason:
        raise UsageError("a hold needs a reason", hint="--reason 'case 4711'")
    with open_parts(session.settings) as parts, running(session, unit="blobs") as run:
        held = place(parts, args.user, reason=args.reason, object_lock=args.object_lock, stop=run.stop)
        session.data({"type": "hold", **record(held), "object_lock": args.object_lock or held.object_lock})
        late = too_late(parts, held, stop=run.stop)
        locked, failed = tell_locks(run, parts, args.user, on=True) if args.object_lock else (0, 0)
        sentence = f"user {args.user} is {held.line}"
        more = f"; {count_of(locked, 'version')} locked" if args.object_lock else ""
        counts = {"erasing": late.erasing, "too_late": late.begun, "moving": late.moving, "unknown": late.unknown}
        session.summary(None, sentence + more, holds=1, locked=locked, failed=failed, **counts)
        for line in late.lines:
            run.say(line, always=True)
        if not has_images(parts, args.user, stop=run.stop):
            session.note(f"user {args.user} has no images yet: check the id")
        return run.exit_code(partly=failed + late.erasing + late.moving + late.unknown > 0)


def tell_locks(run: Running, parts: Parts, user_id: UUID, *, on: bool) -> tuple[int, int]:
    """Set or lift the bucket's legal holds and report each; return how many succeeded and how many failed."""
    done = failed = 0
    for one in lock_blobs(parts, user_id, on=on, stop=run.stop):
        done, failed = done + (one.error is None), failed + (one.error is not None)
        about = {"key": one.remnant.key, "version_id": one.remnant.version_id, "locked": on}
        line = f"{one.remnant.name}: {one.error.line}" if one.error else ""
        error = one.error.line if one.error else None
        run.item({"type": "lock", **about, "error": error}, failed=one.error is not None, line=line)
    return done, failed


def record(one: LegalHold) -> dict[str, object]:
    """Return a hold as a JSON record."""
    about = {"id": one.id, "user_id": one.user_id, "held_at": one.held_at, "held_by": one.held_by}
    return {**about, "reason": one.reason, "object_lock": one.object_lock}


def _list(session: Session) -> ExitCode:
    with open_parts(session.settings) as parts, running(session, unit="holds") as run:
        found = read(parts.catalog, in_force, stop=run.stop)

    def rows() -> Iterator[tuple[str, ...]]:
        for one in found:
            session.data({"type": "hold", **record(one)})
            locked = "yes" if one.object_lock else "no"
            yield str(one.user_id), f"{one.held_at:%Y-%m-%d %H:%M}", one.held_by, locked, one.reason

    show_table(session, HEADERS, rows())
    session.summary(None, count_of(len(found), "hold"), holds=len(found))
    return ExitCode.DONE
