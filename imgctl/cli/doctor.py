"""`imgctl doctor`: checks the installation, the catalog and the store."""

import os
from dataclasses import dataclass

from imgctl import __version__
from imgctl.cli.common.options import Options, flag
from imgctl.cli.common.render import show_table
from imgctl.cli.common.session import Session, running, subcommand
from imgctl.errors import ExitCode
from imgctl.ops.doctor import examine
from imgctl.pricing.estimate import Billing
from imgctl.store.blobs.traits import Check


@dataclass(frozen=True, slots=True, kw_only=True)
class Args(Options):
    conformance: bool = flag("Test everything that imgctl requires of a store, and print the results.")
    yes: bool = flag("Agree to the cost of --conformance.")


@subcommand(
    Args,
    examples="""
imgctl doctor
imgctl doctor --conformance --yes
imgctl doctor --json --config /etc/imgctl.toml
""",
)
def command(session: Session, args: Args) -> ExitCode:
    """Check configuration, database, schema, clock, store, codecs and limits; exit 1 when a check fails.

    The database must accept writes; the pages of a SQLite file are checked for damage, for 10 seconds at most.
    The store is tested with small blobs below .imgctl-check/, which are deleted afterwards. --conformance tests
    everything that imgctl requires of a store: it shows the price first, deletes its blobs afterwards, and prints a table
    for a bug report; the next run deletes the blobs of a killed one. Its exit code is 3 when a test
    ends with an error; a feature that the store lacks does not change it.
    """
    if args.conformance:
        return _conformance(session, yes=args.yes)
    wrong = 0
    for check in examine(session.settings, os.environ):
        wrong += not check.ok
        show_check(session, check)
    session.data({"type": "summary", "failed": wrong})
    return ExitCode.ERROR if wrong else ExitCode.DONE


def show_check(session: Session, check: Check) -> None:
    """Print a check as a line and as a record; `init` uses it too."""
    about = {"name": check.name, "ok": check.ok, "level": check.level, "detail": check.detail}
    session.data({"type": "check", **about, "hint": check.hint or None})
    level = check.level.upper() if check.level == "fail" else check.level
    hint = f"; {check.hint}" if check.hint else ""
    session.text(f"{level:<4}  {check.name:<13} {check.detail}{hint}")


def _conformance(session: Session, *, yes: bool) -> ExitCode:
    from imgctl.ops.common.spend import agree
    from imgctl.ops.conformance import conformance, price
    from imgctl.store.blobs.open import open_store

    settings, terms = session.settings, session.terms
    cost = price(terms.card)
    if terms.bill is not Billing.NONE:
        session.note(f"testing this store costs at most: {cost.text(terms.bill)}")
    session.data({"type": "estimate", **cost.record(terms.bill)})
    agree("testing this store", cost.one_off, terms, yes=yes)
    store, found = open_store(settings.store), []
    with running(session, unit="traits") as run:
        for trait in conformance(store, stop=run.stop):
            found.append(trait)
            run.item({"type": "trait", "name": trait.name, "answer": trait.answer, "detail": trait.detail or None})
        rows = [(one.name, one.answer.replace("_", " "), one.detail) for one in found]
        kind = "AWS" if not session.endpoint_url and settings.store.url.startswith("s3://") else "its own"
        session.text(f"imgctl {__version__}, store {settings.store.url.partition('://')[0]}, endpoint: {kind}")
        show_table(session, ("TRAIT", "ANSWER", "DETAIL"), rows)
        wrong = sum(one.answer == "error" for one in found)
        session.data({"type": "summary", "failed": wrong})
        return run.exit_code(partly=wrong > 0)
