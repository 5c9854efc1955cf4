"""The README's pictures, for light and dark pages: a session of imgctl at a terminal, and its gallery.

`python -m tools.picture` runs both in a temporary directory and writes docs/assets. Ids and times are replaced by fixed
ones, so that the same output gives the same file. A gallery that looks the same is not written again; without Chromium
it is skipped.
"""

import fcntl
import os
import pty
import re
import socket
import struct
import subprocess
import sys
import termios
import time
import urllib.request
from contextlib import suppress
from html import escape
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import pyte
from PIL import Image, ImageChops, ImageStat

from imgctl.ops.demo import write_samples
from tests.parts.chromium import Tab, chromium_binary, open_tab

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
_ID = re.compile(r"\b01[0-9a-f]{6}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}\b(?<!0001)")
_WHEN = re.compile(r"\b\d{4}-\d\d-\d\d \d\d:\d\d\b")
GALLERY = (1000, 560)
# The mean difference (of 255) from which two galleries count as different.
VISIBLE = 2.0
THEMES = {"light": ("#f6f8fa", "#1f2328", "#0969da"), "dark": ("#0d1117", "#e6edf3", "#58a6ff")}


def session(place: Path) -> list[str]:
    """Return the terminal's lines after the commands, each command after its prompt; the archive is left in `place`."""
    screen = pyte.Screen(COLUMNS, ROWS)
    stream = pyte.ByteStream(screen)
    write_samples(place / "photos")
    _run("init", place, None)
    for command in COMMANDS:
        stream.feed(f"$ imgctl {command}\r\n".encode())
        _run(command, place, stream)
    lines = [line.rstrip() for line in screen.display]
    while lines and not lines[-1]:
        lines.pop()
    ids = {one: f"01a20286-58ef-7{0xDB6 + 17 * at:03x}-b939-{0xCC15163D9F6A + 7919 * at:012x}"
           for at, one in enumerate(dict.fromkeys(_ID.findall("\n".join(lines))))}  # fmt: skip
    return [_WHEN.sub("2026-11-22 09:11", _ID.sub(lambda found: ids[found[0]], line)) for line in lines]


def write_galleries(place: Path, binary: str) -> None:
    """Return screenshots of the gallery that `imgctl serve` serves for the archive in `place`."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with subprocess.Popen(
        [sys.executable, "-m", "imgctl", "serve", "--port", str(port), "--quiet"], cwd=place, env=_environment(place)
    ) as server:
        try:
            _wait_for(f"http://127.0.0.1:{port}/readyz")
            with open_tab(binary) as tab:
                for name in THEMES:
                    tab.size(*GALLERY, dark=name == "dark")
                    tab.open(f"http://127.0.0.1:{port}/users/{USER}")
                    _shoot(tab, place / "shot.png", ASSETS / f"gallery-{name}.webp")
        finally:
            server.terminate()


def _wait_for(url: str) -> None:
    for _ in range(600):
        with suppress(OSError), urllib.request.urlopen(url):
            return
        time.sleep(0.1)
    raise TimeoutError(url)


def _shoot(tab: Tab, file: Path, target: Path) -> None:
    tab.until("[...document.images].length > 5 && [...document.images].every(one => one.complete)")
    tab.screenshot(file)
    shot = Image.open(file).convert("RGB")
    buffer = BytesIO()
    shot.save(buffer, "WEBP", quality=85, method=6)
    if target.exists() and (before := Image.open(target).convert("RGB")).size == shot.size:
        means = ImageStat.Stat(ImageChops.difference(before, Image.open(buffer).convert("RGB"))).mean
        if max(means) < VISIBLE:
            return
    target.write_bytes(buffer.getvalue())


def _environment(place: Path) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("IMGCTL_", "AWS_", "COLUMNS"))}
    # One put at a time: the order of ids is the order of files.
    return kept | {"TERM": "xterm-256color", "HOME": str(place), "IMGCTL_UPLOAD_CONCURRENCY": "1"}


def _run(command: str, place: Path, stream: pyte.ByteStream | None) -> None:
    """Run imgctl at its own terminal, and feed its output to the screen."""
    keyboard, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    with subprocess.Popen(
        [sys.executable, "-m", "imgctl", *command.split()],
        stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True, cwd=place, env=_environment(place),
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
    """Write the pictures."""
    ASSETS.mkdir(exist_ok=True)
    with TemporaryDirectory(prefix="imgctl-picture-") as name:
        lines = session(Path(name))
        if binary := chromium_binary():
            write_galleries(Path(name), binary)
    for name, (background, text, prompt) in THEMES.items():
        picture = drawn(lines, background=background, text=text, prompt=prompt)
        (ASSETS / f"session-{name}.svg").write_text(picture, encoding="utf-8")


if __name__ == "__main__":
    main()
