"""`imgctl doctor`: is everything there?"""

from imgctl.cli.base import Json, Session, subcommand
from imgctl.errors import ExitCode


@subcommand(
    examples="""
imgctl doctor
imgctl doctor --json --config /etc/imgctl.toml
""",
)
def command(session: Session) -> ExitCode:
    """Check configuration, database, schema, clock, store, codecs and limits; exit 1 when one of them is wrong."""
    from imgctl.ops.doctor import examine

    wrong = 0
    for check in examine(session.settings):
        wrong += not check.ok
        record: dict[str, Json] = {
            "type": "check",
            "name": check.name,
            "ok": check.ok,
            "detail": check.detail,
            "hint": check.hint or None,
        }
        session.data(record)
        mend = f"; {check.hint}" if check.hint else ""
        session.text(f"{'ok  ' if check.ok else 'FAIL'}  {check.name:<9} {check.detail}{mend}")
    session.data({"type": "summary", "failed": wrong})
    return ExitCode.ERROR if wrong else ExitCode.DONE
