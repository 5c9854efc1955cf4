"""The README's picture: a session of the real program at a terminal, drawn as SVG for light and for dark pages.

`python -m tools.picture` runs it in a temporary directory and writes docs/assets/session-light.svg and session-dark.svg.
"""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory

import pyte

from imgctl.ops.demo import write_samples

ASSETS = Path(__file__).parent.parent / "docs" / "assets"
USER = "0190b2b4-0000-7000-8000-000000000001"
COMMANDS = (
    f"upload photos --user {USER}",
    "work --drain",
    f"ls --user {USER} --limit 3",
    "audit",
    "stats --by status",
)
COLUMNS, ROWS = 112, 40
CHAR, LINE, MARGIN = 7.8, 19, 16
# Background, text, prompt.
THEMES = {"light": ("#f6f8fa", "#1f2328", "#0969da"), "dark": ("#0d1117", "#e6edf3", "#58a6ff")}


def session() -> list[str]:
    """The lines that the commands leave on a terminal, each command after its prompt."""
    screen = pyte.Screen(COLUMNS, ROWS)
    stream = pyte.ByteStream(screen)
    with TemporaryDirectory(prefix="imgctl-picture-") as name:
        place = Path(name)
        write_samples(place / "photos")
        _run("init", place, None)
        for command in COMMANDS:
            stream.feed(f"$ imgctl {command}\r\n".encode())
            _run(command, place, stream)
    lines = [line.rstrip() for line in screen.display]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _run(command: str, place: Path, stream: pyte.ByteStream | None) -> None:
    """Run imgctl at a terminal of its own, and show what it prints."""
    keyboard, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("IMGCTL_", "AWS_", "COLUMNS"))}
    environment = kept | {"TERM": "xterm-256color", "HOME": str(place)}
    with subprocess.Popen(
        [sys.executable, "-m", "imgctl", *command.split()],
        stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True, cwd=place, env=environment,
    ):  # fmt: skip
        os.close(terminal)
        while piece := _read(keyboard):
            if stream:
                stream.feed(piece)
    os.close(keyboard)


def _read(keyboard: int) -> bytes:
    try:
        return os.read(keyboard, 1 << 16)
    except OSError:
        # EIO: the program has ended.
        return b""


def drawn(lines: list[str], *, background: str, text: str, prompt: str) -> str:
    """The lines as SVG."""
    width, height = round(COLUMNS * CHAR + 2 * MARGIN), len(lines) * LINE + 2 * MARGIN
    rows = []
    for number, line in enumerate(lines):
        colour, weight = (prompt, "bold") if line.startswith("$ ") else (text, "normal")
        rows.append(
            f'<text x="{MARGIN}" y="{MARGIN + LINE * number + 14}" fill="{colour}" font-weight="{weight}" '
            f'xml:space="preserve">{escape(line)}</text>'
        )
    body = "\n".join(rows)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'font-family="ui-monospace,SFMono-Regular,Menlo,Consolas,DejaVu Sans Mono,monospace" font-size="13">\n'
        f"<title>imgctl uploads a directory of photos, builds their variants, lists and audits them</title>\n"
        f'<rect width="{width}" height="{height}" rx="8" fill="{background}"/>\n{body}\n</svg>\n'
    )


def main() -> None:
    """Write both pictures."""
    lines = session()
    ASSETS.mkdir(exist_ok=True)
    for name, (background, text, prompt) in THEMES.items():
        picture = drawn(lines, background=background, text=text, prompt=prompt)
        (ASSETS / f"session-{name}.svg").write_text(picture, encoding="utf-8")


if __name__ == "__main__":
    main()
