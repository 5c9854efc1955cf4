"""At a terminal every command has the same exit code, rows and lines as without one, and no line is torn."""

import re
from itertools import product
from pathlib import Path

import pytest

from imgctl.model import Variant
from tests.terminal.cases import CASES, EXISTING, OWNER, TYPED, Case
from tests.terminal.conftest import IMAGE, Stages
from tests.terminal.terminal import Window, terminal
from tests.whole.deployment import Deployment, Result

WINDOWS = (Window(), Window(columns=40, rows=10, kind="dumb"))
# Values that differ between runs: ids, digests, times, amounts, and a secret.
VARYING = re.compile(r"(?<=token:)[\w-]{43}|(?:[0-9.]+[dhms])+(?=ago)|[0-9a-f.,-]+")
# A bar overwrites its row; a message ends its line.
DRAWN = re.compile(r"\r *\r([^\r\n]+)(?=\r(?!\n))")


def test_every_command_is_typed_at_a_terminal() -> None:
    assert sorted(EXISTING - TYPED) == [], "add a case to tests/terminal/cases.py"


@pytest.mark.parametrize("window", WINDOWS, ids=str)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_command_ends_as_without_a_terminal(stage: Stages, case: Case, window: Window) -> None:
    plain = stage(case.stage)
    columns = {"COLUMNS": str(window.columns), "LINES": str(window.rows)}
    expected = _at(plain, columns).run(*_line(case, plain))
    rows = _rows(plain)
    deployment = stage(case.stage)
    with terminal(deployment, *_line(case, deployment), window=window) as seen:
        code = seen.wait()

    assert (code, _rows(deployment)) == (expected.code, rows), seen.lines
    assert "Traceback" not in expected.err + "".join(seen.lines)
    _assert_same_lines(seen.lines, expected)
    assert seen.cursor_is_back
    assert b"\x1b" not in seen.drawn
    if case.unit:
        drawn = DRAWN.findall(seen.drawn.decode())
        assert len([one for one in drawn if re.search(rf"\d {case.unit}s?\b", one)]) >= 3, seen.drawn
        assert max(map(len, drawn)) < window.columns


@pytest.mark.parametrize("case", [case for case in CASES if case.unit], ids=str)
def test_nothing_but_data_is_on_a_piped_stdout(stage: Stages, tmp_path: Path, case: Case) -> None:
    plain = stage(case.stage)
    expected = plain.run(*_line(case, plain), "--json")
    deployment, out = stage(case.stage), tmp_path / "out"
    with terminal(deployment, *_line(case, deployment), "--json", window=Window(), stdout=out) as seen:
        code = seen.wait()
    result = Result(code=code, out=out.read_text(), err="")

    assert code == expected.code
    assert [one["type"] for one in result.records] == [one["type"] for one in expected.records]
    assert re.search(rf"\d {case.unit}".encode(), seen.drawn)
    assert seen.cursor_is_back
    _assert_same_lines(seen.lines, Result(code=code, out="", err=expected.err))


@pytest.mark.parametrize("case", [case for case in CASES if case.unit], ids=str)
def test_no_bar_is_drawn_where_stderr_is_no_terminal(stage: Stages, tmp_path: Path, case: Case) -> None:
    plain = stage(case.stage)
    expected = _at(plain, {"COLUMNS": "200", "LINES": "24"}).run(*_line(case, plain))
    deployment, err = stage(case.stage), tmp_path / "err"
    with terminal(deployment, *_line(case, deployment), window=Window(columns=200), stderr=err) as seen:
        code = seen.wait()

    assert code == expected.code
    _assert_same_lines(seen.lines, Result(code=code, out=expected.out, err=""))
    _assert_same_lines(err.read_text().splitlines(), Result(code=code, out="", err=expected.err))


def test_a_bar_may_be_forced_into_a_pipe(stage: Stages) -> None:
    run = _at(stage("fresh"), {"TQDM_MININTERVAL": "0"}).start("upload", "photos", "--user", OWNER, "--progress")
    result, err = run.wait(), run.err.read_bytes().decode()

    assert "14 files, 1 failed, " in err
    assert re.search(r"\rfailed photos/lost.jpg: [^\r\n]+\n", err)
    assert result.out.startswith("14 files: ")


def _line(case: Case, deployment: Deployment) -> list[str]:
    image = str(deployment.images()[0].id) if IMAGE in case.line else ""
    return [image if one == IMAGE else one for one in case.line]


def _at(deployment: Deployment, environment: dict[str, str]) -> Deployment:
    return Deployment(
        directory=deployment.directory,
        catalog_url=deployment.catalog_url,
        store=deployment.store,
        settings=deployment.settings | environment,
    )


def _rows(deployment: Deployment) -> list[tuple[object, ...]]:
    if not (deployment.directory / "catalog.db").exists():
        return []
    return sorted(
        (one.sha256 or b"", one.status, one.storage_class, *(bool(one.key(variant)) for variant in Variant))
        for one in deployment.images()
    )


def _assert_same_lines(lines: list[str], expected: Result) -> None:
    """Assert that the screen holds the complete lines of both streams, each in its order, and nothing else."""
    screen = _squeezed("".join(lines))
    streams = [list(map(_squeezed, text.splitlines())) for text in (expected.err, expected.out)]
    # The possible numbers of lines of each stream so far, and their part of the screen.
    reached = {(0, 0): 0}
    for err, out in product(*(range(len(stream) + 1) for stream in streams)):
        if (at := reached.get((err, out))) is not None:
            for step, stream, number in (((err + 1, out), streams[0], err), ((err, out + 1), streams[1], out)):
                if number < len(stream) and screen.startswith(stream[number], at):
                    reached[step] = at + len(stream[number])
    whole = (len(streams[0]), len(streams[1]))
    assert reached.get(whole) == len(screen), f"after {screen[: max(reached.values())]!r} something is torn: {lines}"


def _squeezed(text: str) -> str:
    return VARYING.sub("", re.sub(r"\s+", "", text))
