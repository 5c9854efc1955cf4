"""`imgctl history`: shows who changed what."""

from collections.abc import Iterator
from dataclasses import dataclass, fields

from imgctl.cli.common.options import RangeOptions, option
from imgctl.cli.common.render import show_table
from imgctl.cli.common.session import Session, subcommand
from imgctl.errors import ExitCode
from imgctl.ops.common.open import catalog_of
from imgctl.ops.support.history import Wanted, counts_in, history, scope_of
from imgctl.store.catalog.queries.operations import Operation
from imgctl.units import counts_of, format_seconds

HEADERS = ("STARTED", "WHO", "HOST", "COMMAND", "TOOK", "EXIT", "CHANGED", "ASKED")


@dataclass(frozen=True, slots=True, kw_only=True)
class Args(RangeOptions):
    id: str | None = option(None, "Only operations that may have changed this image.", metavar="ID|KEY|URL")
    command: str | None = option(None, "Only this command: upload, erase.", metavar="NAME")
    limit: int | None = option(None, "At most N operations.")


@subcommand(
    Args,
    examples="""
imgctl history --limit 20
imgctl history --user 0190b2b4-0000-7000-8000-000000000001 --since 30d
imgctl history --id 0190b2b4-0000-7000-8000-000000000001
imgctl history --command transition --json
""",
)
def command(session: Session, args: Args) -> ExitCode:
    """Show who ran which command that changed something, newest first, by cron jobs and people.

    With --user: the operations on this user and those on all users. With --id: the operations that name the image, or
    that chose images among which it may be. An operation without an end is running, or was killed. Commands that hand out
    originals (get, export, url --original) are listed, too. Nothing can be deleted from this list.
    """
    count = 0

    def rows() -> Iterator[tuple[str, ...]]:
        nonlocal count
        for one in history(catalog, wanted):
            count += 1
            session.data({"type": "operation", **_record(one)})
            yield _cells(one)

    wanted = Wanted(scope=args.scope, command=args.command, image=args.id, limit=args.limit)
    with catalog_of(session.settings) as catalog:
        show_table(session, HEADERS, rows())
    session.summary(operations=count)
    if not count:
        session.note("no operations match")
    return ExitCode.DONE


def _cells(one: Operation) -> tuple[str, ...]:
    return (
        f"{one.started_at:%Y-%m-%d %H:%M:%S}",
        one.who,
        one.host,
        one.command,
        format_seconds((one.ended_at - one.started_at).total_seconds()) if one.ended_at else "not ended",
        "" if one.exit_code is None else str(one.exit_code),
        counts_of(counts_in(one), none=""),
        " ".join(f"{name}={_short(value)}" for name, value in scope_of(one).items()),
    )


def _short(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _record(one: Operation) -> dict[str, object]:
    """Return every column under its name; the options and the counts as objects."""
    plain = {field.name: getattr(one, field.name) for field in fields(Operation)}
    return {**plain, "scope": scope_of(one), "counts": counts_in(one)}
