"""Points in time as clients write them."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import Query

from imgctl.errors import UsageError
from imgctl.units import parse_seconds
from imgctl.web.problem import Refusal

Moment = Annotated[
    str | None, Query(max_length=40, description="2026-11-22, 2026-11-22T10:00Z, or 24h: that long ago.")
]


def moment(text: str | None) -> datetime | None:
    """The time that a text means, UTC unless it says otherwise; Refusal for one that means none."""
    if not text:
        return None
    try:
        return datetime.now(UTC) - timedelta(seconds=parse_seconds(text))
    except (UsageError, OverflowError):
        pass
    try:
        # A plus in a query is a blank.
        found = datetime.fromisoformat(text.replace(" ", "+") if text.count(":") > 2 else text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise Refusal(422, f"{text[:40]!r} is no time", hint="2026-11-22, 2026-11-22T10:00Z or 24h") from None
