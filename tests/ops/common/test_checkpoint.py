"""Checkpoints: an interrupted run continues where it stopped."""

from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from imgctl.errors import StateError
from imgctl.model import Variant
from imgctl.ops.audit.checkpoint import Checkpoint as AuditCheckpoint
from imgctl.ops.audit.options import AuditOrder
from imgctl.ops.backfill.checkpoint import Checkpoint, Reached
from imgctl.ops.backfill.options import BackfillOrder, Mode, Selection
from imgctl.ops.common.checkpoint import load_state, save_state, state_file

REACHED = UUID(int=7)


def _file(order: BackfillOrder, place: str = "a") -> Path:
    return state_file("backfill", (place, repr(order)))


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


def test_a_device_is_no_state(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="not a regular file"):
        load_state(Path("/dev/zero"), dict)
    link = tmp_path / "state"
    link.symlink_to("/dev/zero")
    order = AuditOrder(checkpoint=link)
    with pytest.raises(StateError, match="is not a file"):
        AuditCheckpoint(order, {})
    assert not (tmp_path / "state.findings").exists()


def test_a_checkpoint_is_of_one_kind_of_run() -> None:
    order = BackfillOrder(selection=Selection(mode=Mode.FORCE, recipe="0badcafe"))
    other = replace(order, selection=replace(order.selection, variants=(Variant.THUMB,)))
    first = Checkpoint(_file(order))
    first.count(failed=2, cold=1)
    first.save(REACHED, now=True)

    again = Checkpoint(_file(order))
    assert again.resumed == Reached(after=REACHED, failed=2, cold=1)
    assert Checkpoint(_file(order), anew=True).resumed == Reached()
    assert Checkpoint(_file(other)).resumed == Reached()
    assert Checkpoint(_file(order, "b")).resumed == Reached()


def test_a_resumed_run_adds_to_what_failed_before_and_a_whole_one_leaves_nothing(tmp_path: Path) -> None:
    file = tmp_path / "state" / "run.json"
    Checkpoint(file).end(REACHED, whole=False)
    second = Checkpoint(file)
    second.count(failed=1)
    second.end(REACHED, whole=False)
    third = Checkpoint(file)
    third.count(failed=1, cold=3)
    third.end(REACHED, whole=False)

    last = Checkpoint(file)
    assert last.resumed == Reached(after=REACHED, failed=2, cold=3)
    last.end(REACHED, whole=True)
    assert Checkpoint(file).resumed == Reached()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"after": "x", "failed": 0, "cold": 0}',
        '{"after": 5, "failed": 0, "cold": 0}',
        f'{{"after": "{REACHED}", "failed": null, "cold": 0}}',
        f'{{"after": "{REACHED}", "failed": 0, "cold": -1}}',
        f'{{"after": "{REACHED}", "failed": 0, "cold": {"9" * 5000}}}',
        "[" * 100_000,
        "\x00",
    ],
)
def test_a_damaged_checkpoint_is_none(tmp_path: Path, text: str) -> None:
    file = tmp_path / "run.json"
    file.write_text(text)

    assert Checkpoint(file).resumed == Reached()


def test_without_a_file_nothing_is_kept(tmp_path: Path) -> None:
    nothing = Checkpoint(None)
    nothing.save(REACHED, now=True)
    nothing.end(REACHED, whole=False)

    assert (nothing.resumed, list(tmp_path.iterdir())) == (Reached(), [])


def test_an_unreadable_or_unwritable_state_is_an_error_with_the_next_step(tmp_path: Path) -> None:
    damaged, under_a_file = tmp_path / "damaged.json", tmp_path / "file" / "state.json"
    damaged.write_text("{")
    (tmp_path / "file").touch()

    with pytest.raises(StateError, match=r"damaged\.json cannot be read") as read:
        load_state(damaged, dict)
    with pytest.raises(StateError, match="cannot be written") as written:
        save_state(under_a_file, {})

    assert (read.value.hint, written.value.hint) == ("delete it to begin anew", "check the rights and the space there")
