"""Keys at a terminal while a command runs: ^C once and twice, ^S and ^Q, and a resized window."""

import re
from pathlib import Path

from imgctl.model import Status
from tests.terminal.cases import OWNER
from tests.terminal.conftest import PHOTOS, Stages
from tests.terminal.terminal import CTRL_C, CTRL_Q, CTRL_S, Terminal, Window, terminal
from tests.terminal.test_commands import DRAWN
from tests.whole.deployment import Deployment
from tests.whole.harm import Harm

WIDE = Window(columns=120)
UPLOAD = ("upload", "photos", "--user", OWNER)
# A photo of three kilobytes takes seconds.
SLOWLY = ("--bwlimit", "1KiB", "--concurrency", "1")
SUMMARY = re.compile(r"\d+ files?: .*\d .*; .* put")


def _whole_after(deployment: Deployment) -> None:
    assert deployment.run(*UPLOAD).code == 3
    assert [image.status for image in deployment.images()] == [Status.PROCESSING] * PHOTOS


def _assert_concluded(seen: Terminal) -> None:
    assert SUMMARY.fullmatch(seen.lines[-1]), seen.lines
    assert [line for line in seen.lines if re.search(r"\d\d:\d\d", line)] == []
    assert seen.cursor_is_back


def test_one_interrupt_ends_an_upload_cleanly(stage: Stages) -> None:
    deployment = stage("fresh")
    with terminal(deployment, *UPLOAD, *SLOWLY, window=WIDE) as seen:
        seen.read_until(b" files, ")
        seen.type(CTRL_C)
        code = seen.wait()

    assert code == 130
    assert b"^C" in seen.drawn
    _assert_concluded(seen)
    _whole_after(deployment)


def test_an_upload_whose_terminal_closes_finishes_what_is_in_flight(stage: Stages, tmp_path: Path) -> None:
    deployment = stage("fresh")
    report = tmp_path / "report.csv"
    with terminal(deployment, *UPLOAD, *SLOWLY, "--report", report, window=WIDE) as seen:
        seen.read_until(b" files, ")
        code = seen.close()
    images = deployment.images()

    assert code == 130
    assert report.read_text().count(",uploaded,") == len(images)
    assert {image.status for image in images} <= {Status.PROCESSING}
    _whole_after(deployment)


def test_a_second_interrupt_ends_an_upload_whose_store_hangs(stage: Stages, tmp_path: Path) -> None:
    deployment = stage("fresh")
    hangs = Harm(hanging=("imgctl.store.blobs.local.LocalStore.create",), marker=tmp_path / "raised")
    with terminal(deployment, *UPLOAD, window=WIDE, before=hangs) as seen:
        # Not earlier: an upload without a put ends at the first ^C.
        seen.read_until_there(hangs.hung)
        seen.type(CTRL_C)
        seen.read_until_silent()
        seen.type(CTRL_C)
        code = seen.wait()

    assert code == -2
    assert b"Traceback" not in seen.drawn
    _whole_after(deployment)


def test_an_interrupt_ends_a_worker_that_waits(stage: Stages) -> None:
    with terminal(stage("ready"), "work", window=WIDE) as seen:
        seen.read_until(b"0 images")
        seen.type(CTRL_C)

        assert seen.wait() == 130
    assert seen.lines[-1] == "nothing to build"
    assert seen.cursor_is_back


def test_an_interrupt_ends_a_server(stage: Stages) -> None:
    with terminal(stage("ready"), "serve", "--port", "0", window=WIDE) as seen:
        seen.read_until(b"with every right but erase")
        seen.type(CTRL_C)

        assert seen.wait() == 130
    assert "Traceback" not in "".join(seen.lines)


def test_output_that_is_suspended_and_resumed_is_the_same(stage: Stages) -> None:
    deployment = stage("fresh")
    with terminal(deployment, *UPLOAD, window=WIDE) as seen:
        seen.read_until(b"0 files")
        seen.type(CTRL_S)
        seen.read_until_silent()
        seen.type(CTRL_Q)

        assert seen.wait() == 3
    _assert_concluded(seen)
    assert len(deployment.images()) == PHOTOS


def test_an_interrupt_ends_an_upload_whose_output_is_suspended(stage: Stages) -> None:
    deployment = stage("fresh")
    with terminal(deployment, *UPLOAD, *SLOWLY, window=WIDE) as seen:
        seen.read_until(b" files, ")
        seen.type(CTRL_S)
        seen.read_until_silent()
        seen.type(CTRL_C)

        assert seen.wait() == 130
    assert seen.cursor_is_back
    _whole_after(deployment)


def test_a_bar_keeps_within_a_window_that_is_made_smaller(stage: Stages) -> None:
    with terminal(stage("fresh"), *UPLOAD, window=WIDE) as seen:
        seen.read_until(b"0 files")
        before = len(seen.drawn)
        seen.resize(columns=30, rows=8)

        assert seen.wait() == 3
    assert seen.cursor_is_back
    # Output sent before the resize may have the old width.
    drawn = DRAWN.findall(seen.drawn[before:].decode(errors="replace"))
    assert drawn
    assert max(map(len, drawn[-3:])) < 30
