"""`make demo` at a terminal prints what the README shows."""

import os
import pty
import re
import subprocess
import sys
import termios
from pathlib import Path

import pyte

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
COLUMNS = 200


def test_make_demo_runs_what_is_tested_here() -> None:
    recipe = re.search(r"^demo:.*\n\t(.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)

    assert recipe is not None
    assert recipe[1] == "$(BIN)/imgctl demo"


def test_the_screen_is_as_the_readme_shows_it(tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text()
    shown = re.search(r"^The demo ends .*?```text\n(.*?)```", readme, re.MULTILINE | re.DOTALL)
    assert shown is not None
    left = "\n".join(map(_normal, _screen(tmp_path)))

    for part in re.split(r"^…\n", shown[1], flags=re.MULTILINE):
        wanted = "\n".join(map(_normal, part.splitlines()))
        before, found, left = left.partition(wanted)
        assert found, f"the README shows\n{wanted}\nand the screen\n{before}"


def _screen(temporary: Path) -> list[str]:
    """Run the demo, which must exit 0; return the lines on the screen."""
    keyboard, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (100, COLUMNS))
    stream = pyte.ByteStream(shown := pyte.Screen(COLUMNS, 100))
    with subprocess.Popen(
        [BIN / "imgctl", "demo"],
        stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True, env=_environment(temporary),
    ) as demo:  # fmt: skip
        os.close(terminal)
        while piece := _read(keyboard):
            stream.feed(piece)
    os.close(keyboard)
    assert demo.returncode == 0, shown.display
    assert shown.cursor.x == 0
    return [line.rstrip() for line in shown.display]


def _environment(temporary: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("IMGCTL_", "AWS_", "COLUMNS"))}
    # imgctl of a fresh clone is not on PATH.
    return kept | {"TMPDIR": str(temporary), "PATH": "/usr/bin:/bin", "TERM": "xterm-256color"}


def _read(keyboard: int) -> bytes:
    try:
        return os.read(keyboard, 1 << 16)
    except OSError:
        # EIO: the other end is closed.
        return b""


def _normal(line: str) -> str:
    """Return a line without the parts that differ between runs: ids, paths, and a decoder's message."""
    line = re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "ID", line)
    line = re.sub(r"/\S*/imgctl-demo-[\w-]+", "PLACE", line)
    line = re.sub(r"/\S*/bin/imgctl\b", "PROGRAM", line)
    line = re.sub(r"applied (…|[\d, ]+)", "applied", line)
    return re.sub(r"\(decoder: .*\)", "(decoder)", line).rstrip()
