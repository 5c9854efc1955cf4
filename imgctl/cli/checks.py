"""How `doctor` and `init` show what they looked at."""

from imgctl.cli.base import Session
from imgctl.ops.doctor import Check
from imgctl.store.blobs.traits import Level

_WORDS = {Level.OK: "ok", Level.WARN: "warn", Level.FAIL: "FAIL"}


def show_check(session: Session, check: Check) -> None:
    """A line for people, a record for programs."""
    session.data(
        {
            "type": "check",
            "name": check.name,
            "ok": check.ok,
            "level": check.level.value,
            "detail": check.detail,
            "hint": check.hint or None,
        }
    )
    mend = f"; {check.hint}" if check.hint else ""
    session.text(f"{_WORDS[check.level]:<4}  {check.name:<13} {check.detail}{mend}")
