"""`imgctl release`: ends a hold, so that a user's images may be deleted again."""

from dataclasses import dataclass
from uuid import UUID

import click

from imgctl.cli.common.options import Options, option, required
from imgctl.cli.common.session import Session, running, subcommand
from imgctl.cli.support.hold import record, tell_locks
from imgctl.errors import ExitCode
from imgctl.ops.common.open import open_parts
from imgctl.ops.holds import end, in_force, lifts_locks, to_release
from imgctl.units import count_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Args(Options):
    user: UUID = required(UUID, "The user to release.")
    hold: UUID | None = option(None, "The hold to end, if there are several.", kind=click.UUID, metavar="ID")


@subcommand(
    Args,
    examples="""
imgctl release --user 0190b2b4-0000-7000-8000-000000000001
imgctl release --user 0190b2b4-0000-7000-8000-000000000001 --json
""",
    changes=lambda _: True,
)
def command(session: Session, args: Args) -> ExitCode:
    """End a hold: lift the bucket's legal holds first, if it set them; without another hold the images may then be erased.

    If another hold with --object-lock is in force, the bucket's legal holds stay. If the bucket refuses to unlock a blob,
    the blob is listed, the hold stays, and the exit code is 3.
    """
    with open_parts(session.settings) as parts, running(session, unit="blobs") as run:
        found = to_release(parts, args.user, args.hold, stop=run.stop)
        if found is None:
            session.summary(None, f"user {args.user} is not held", released=0, unlocked=0, failed=0)
            return ExitCode.DONE
        lifts = lifts_locks(parts, found, stop=run.stop)
        unlocked, failed = tell_locks(run, parts, args.user, on=False) if lifts else (0, 0)
        whole = not failed and not run.stop.is_set()
        if whole:
            end(parts, found, stop=run.stop)
            session.data({"type": "release", **record(found)})
        sentence = f"user {args.user} {'released' if whole else 'still held'}: {found.reason}"
        more = f"; {count_of(unlocked, 'version')} unlocked" if lifts else ""
        if whole and (left := len(in_force(parts, args.user, stop=run.stop))):
            more += f"; {count_of(left, 'other hold')} in force: the images stay held"
        session.summary(None, sentence + more, released=int(whole), unlocked=unlocked, failed=failed)
        return run.exit_code(partly=failed > 0)
