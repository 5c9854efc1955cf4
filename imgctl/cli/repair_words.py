"""What `imgctl repair` says: a line a finding, a line a blob that comes back, and the sums."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from imgctl.cli.base import Running, Session
from imgctl.errors import ExitCode, UsageError
from imgctl.units import counts_of

if TYPE_CHECKING:
    from imgctl.ops.parts import Parts
    from imgctl.ops.repair.order import Fate, Outcome

WIDTHS = "{:<8}  {:<8}  {:<17}  {}  {}"


def show(session: Session, run: Running, outcome: "Outcome") -> None:
    """One finding and how it ended."""
    from imgctl.ops.repair.order import Fate

    decision = outcome.decision
    finding = decision.finding
    session.data(
        {
            "type": "repair",
            "code": finding.code.value,
            "do": decision.do.value,
            "fate": outcome.fate.value,
            "id": str(finding.id) if finding.id else None,
            "key": decision.key,
            "detail": outcome.detail,
        }
    )
    name = str(finding.id or decision.key)
    fate = "repaired" if outcome.fate is Fate.MENDED else outcome.fate.value
    line = WIDTHS.format(fate, decision.do, finding.code, name, outcome.detail)
    if outcome.fate in (Fate.FAILED, Fate.DRIFTED):
        run.say(line, always=True)
    elif outcome.fate is not Fate.WELL or session.verbosity > 0:
        session.text(line)


def conclude(session: Session, fates: "dict[Fate, int]", *, apply: bool, planned: Path | None) -> None:
    """How many ended how, and the next step."""
    counts = {fate.value: count for fate, count in fates.items()}
    session.text(
        counts_of(counts, named={"planned": "would be repaired", "mended": "repaired"}, none="nothing to repair")
    )
    session.data({"type": "summary", "applied": apply, **counts})
    if planned:
        session.note(f"imgctl apply {planned} --yes does it")
    elif counts["planned"]:
        session.note("nothing was changed: --apply does it")


def undelete_day(session: Session, run: Running, parts: "Parts", day: str, *, apply: bool) -> ExitCode:
    """Bring back a day of the trash, or all of it."""
    from imgctl.ops.repair.order import Fate
    from imgctl.ops.repair.trash import undelete

    fates = dict.fromkeys(Fate, 0)
    for one in undelete(parts, _day(day), apply=apply, stop=run.stop):
        fates[one.fate] += 1
        run.step(failed=one.fate is Fate.FAILED, size=one.bytes)
        session.data(
            {
                "type": "undelete",
                "key": one.key,
                "trashed": one.trashed,
                "bytes": one.bytes,
                "fate": one.fate.value,
                "detail": one.detail or None,
            }
        )
        if one.fate is Fate.FAILED:
            run.say(f"{one.trashed}: {one.detail}", always=True)
        else:
            session.text(f"{one.fate:<8}  {one.key or one.trashed}")
    conclude(session, fates, apply=apply, planned=None)
    return run.exit_code(partly=fates[Fate.FAILED] > 0)


def _day(text: str) -> str | None:
    if text == "all":
        return None
    try:
        return datetime.strptime(text, "%Y-%m-%d").date().isoformat()  # noqa: DTZ007 - a day has no zone
    except ValueError:
        raise UsageError(f"--undelete {text!r} is not a day", hint="write 2026-11-22, or all") from None
