"""`imgctl doctor`: is everything there?"""

from imgctl.cli.base import Session, subcommand
from imgctl.cli.options import Options
from imgctl.errors import ExitCode
from imgctl.ops.doctor import Check, examine


@subcommand(
    Options,
    examples="""
imgctl doctor
imgctl doctor --json --config /etc/imgctl.toml
""",
)
def command(session: Session, _: Options) -> ExitCode:
    """Check configuration, database, schema, clock, store, codecs and limits; exit 1 when one of them is wrong.

    What imgctl relies on of the store is tried on small blobs below .imgctl-check/, which are deleted again.
    """
    wrong = 0
    for check in examine(session.settings):
        wrong += not check.ok
        show_check(session, check)
    session.data({"type": "summary", "failed": wrong})
    return ExitCode.ERROR if wrong else ExitCode.DONE


def show_check(session: Session, check: "Check") -> None:
    """A line for people, a record for programs; `init` shows its checks so too."""
    about = {"name": check.name, "ok": check.ok, "level": check.level, "detail": check.detail}
    session.data({"type": "check", **about, "hint": check.hint or None})
    level = check.level.upper() if check.level == "fail" else check.level
    hint = f"; {check.hint}" if check.hint else ""
    session.text(f"{level:<4}  {check.name:<13} {check.detail}{hint}")
