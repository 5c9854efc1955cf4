"""How far a run is, in one line for people."""

# A terminal echoes ^C behind the line, and wraps at its last column.
_MARGIN = 3
_NARROWEST_BAR = 8
_BLOCKS = " ▏▎▍▌▋▊▉█"


def meter(
    n: int,
    total: int | None,
    elapsed: float,
    *,
    unit: str,
    ncols: int | None = None,
    rate: float | None = None,
    postfix: str | None = None,
    ascii: bool = False,  # noqa: A002 (as tqdm calls it)
    **_: object,
) -> str:
    """` 45% █████▊        45/100 images, 1 failed, 3.0 MiB, 3.6/s, 00:12, 00:15 left`, as far as it fits into `ncols`.

    The parts are those that tqdm gives its `format_meter`. Per cent, bar and the time left need a total that holds.
    """
    of = total if total and n <= total else None
    rate = rate or (n / elapsed if elapsed else 0.0)
    count = f"{n:,}/{of:,}" if of else f"{n:,}"
    parts = [f"{count} {unit.removesuffix('s') if (of or n) == 1 else unit}"]
    parts += postfix.split(", ") if postfix else []
    parts += [_rate(rate)] if rate else []
    parts += [_clock(elapsed)]
    parts += [f"{_clock((of - n) / rate)} left"] if of and rate else []
    width = (ncols or 80) - _MARGIN
    percent = f"{100 * n // of:3}% " if of else ""
    text = parts[0]
    for part in parts[1:]:
        if len(percent) + len(text) + 2 + len(part) > width:
            break
        text += f", {part}"
    room = width - len(percent) - len(text) - 1
    bar = f"{_bar(n / of, room, '-#' if ascii else _BLOCKS)} " if of and room >= _NARROWEST_BAR else ""
    return f"{percent}{bar}{text}"[: max(width, 0)]


def _bar(share: float, width: int, steps: str) -> str:
    whole, rest = divmod(int(share * width * (len(steps) - 1)), len(steps) - 1)
    return (steps[-1] * whole + (steps[rest] if whole < width else "")).ljust(width, steps[0])


def _rate(rate: float) -> str:
    return f"{rate:,.0f}/s" if rate >= 100 else f"{rate:.1f}/s" if rate >= 1 else f"{rate:.2f}/s"


def _clock(seconds: float) -> str:
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute:02}:{second:02}"
