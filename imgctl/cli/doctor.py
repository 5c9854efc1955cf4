"""`imgctl doctor`: is everything there?"""

from imgctl.cli.base import Session, subcommand
from imgctl.errors import ExitCode


@subcommand(
    examples="""
imgctl doctor
imgctl doctor --json --config /etc/imgctl.toml
""",
)
def command(session: Session) -> ExitCode:
    """Check configuration, database, schema, clock, store, codecs and limits; exit 1 when one of them is wrong.

    What imgctl relies on of the store is tried on small blobs below .imgctl-check/, which are deleted again.
    """
    from imgctl.cli.checks import show_check
    from imgctl.ops.doctor import examine

    wrong = 0
    for check in examine(session.settings):
        wrong += not check.ok
        show_check(session, check)
    session.data({"type": "summary", "failed": wrong})
    return ExitCode.ERROR if wrong else ExitCode.DONE
