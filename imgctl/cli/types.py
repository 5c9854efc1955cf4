"""Option types with errors that name the value and the way out: ids, durations, moments."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import click

from imgctl.errors import UsageError
from imgctl.imaging.formats import Format, format_names, formats_named
from imgctl.units import parse_bytes, parse_seconds


class UserId(click.ParamType[UUID]):
    """A UUID in any of its spellings."""

    name = "uuid"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> UUID:
        try:
            return value if isinstance(value, UUID) else UUID(str(value))
        except ValueError:
            self.fail(f"{value!r} is no UUID; write 8-4-4-4-12 hex digits", param, ctx)


class Moment(click.ParamType[datetime]):
    """A point in time: `2026-11-22`, `2026-11-22T10:00:00+01:00` (UTC unless said), or `24h`, that long ago."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            return datetime.now(UTC) - timedelta(seconds=parse_seconds(str(value)))
        except (UsageError, OverflowError):
            pass
        try:
            moment = datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{value!r} is no time; write 2026-11-22, 2026-11-22T10:00Z or 24h (ago)", param, ctx)
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


class Seconds(click.ParamType[float]):
    """A duration: `6h`, `15m`, `90d`."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            return value if isinstance(value, float) else parse_seconds(str(value))
        except UsageError as error:
            self.fail(error.line, param, ctx)


class Size(click.ParamType[int]):
    """A size: `500KB`, `1MiB`."""

    name = "size"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return value if isinstance(value, int) else parse_bytes(str(value))
        except UsageError as error:
            self.fail(error.line, param, ctx)


class Formats(click.ParamType[frozenset[Format]]):
    """Formats as users name them: `raw`, `video`, `cr3,psd`."""

    name = "formats"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> frozenset[Format]:
        if isinstance(value, frozenset):
            return value
        formats: frozenset[Format] = frozenset()
        for name in filter(None, map(str.strip, str(value).split(","))):
            named = formats_named(name)
            if not named:
                self.fail(f"unknown format {name!r}; known: {', '.join(format_names())}", param, ctx)
            formats |= named
        return formats
