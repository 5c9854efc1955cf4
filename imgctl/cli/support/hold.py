"""`imgctl hold`: nobody deletes a user's images."""

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from imgctl.cli.base import Running, Session, running, subcommand
from imgctl.cli.options import Options, flag, option
from imgctl.cli.render import show_table
from imgctl.errors import ExitCode, UsageError
from imgctl.ops.holds import lock_blobs, place
from imgctl.ops.parts import Parts, open_parts
from imgctl.ops.retry import read
from imgctl.store.catalog.holds import LegalHold, in_force
from imgctl.units import count_of

HEADERS = ("USER", "SINCE", "BY", "OBJECT LOCK", "REASON")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked(Options):
    user: UUID | None = option(None, "Hold this user's images; without it the holds in force are listed.")
    reason: str | None = option(None, "Why: a case number, a court's order.", metavar="TEXT")
    object_lock: bool = flag("Also set the bucket's legal hold on every version of every blob.")


@subcommand(
    Asked,
    examples="""
imgctl hold --user 0190b2b4-0000-7000-8000-000000000001 --reason 'case 4711'
imgctl hold
""",
    changes=lambda asked: asked.user is not None,
)
def command(session: Session, asked: Asked) -> ExitCode:
    """Hold a user's images: erase refuses them, and repair and transition delete nothing of theirs.

    Uploads go on, and what they bring is held, too. With --object-lock the bucket itself refuses everybody, where it has
    Object Lock; the same command again locks what came since. A hold lasts until `imgctl release`.
    """
    if asked.user is None:
        if asked.reason or asked.object_lock:
            raise UsageError("no user to hold", hint="--user USER")
        return _list(session)
    if not asked.reason:
        raise UsageError("a hold needs its reason", hint="--reason 'case 4711'")
    with open_parts(session.settings) as parts, running(session, unit="blobs") as run:
        held = place(parts, asked.user, reason=asked.reason, object_lock=asked.object_lock, stop=run.stop)
        session.data({"type": "hold", **record(held), "object_lock": asked.object_lock or held.object_lock})
        locked, failed = tell_locks(run, parts, asked.user, on=True) if asked.object_lock else (0, 0)
        told = f"user {asked.user} is {held.line}"
        more = f"; {count_of(locked, 'version')} locked" if asked.object_lock else ""
        session.summary(None, told + more, holds=1, locked=locked, failed=failed)
        return run.exit_code(partly=failed > 0)


def tell_locks(run: Running, parts: Parts, user_id: UUID, *, on: bool) -> tuple[int, int]:
    """Set or lift the bucket's holds, and say which it refused; how many were done, and how many not."""
    done = failed = 0
    for one in lock_blobs(parts, user_id, on=on, stop=run.stop):
        done, failed = done + (one.error is None), failed + (one.error is not None)
        about = {"key": one.remnant.key, "version_id": one.remnant.version_id, "locked": on}
        line = f"{one.remnant.name}: {one.error.line}" if one.error else ""
        error = one.error.line if one.error else None
        run.item({"type": "lock", **about, "error": error}, failed=one.error is not None, line=line)
    return done, failed


def record(one: LegalHold) -> dict[str, object]:
    """A hold for JSON."""
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
