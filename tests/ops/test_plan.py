"""Plan files: written whole or not at all, read whole or refused by line."""

import json
from dataclasses import replace
from pathlib import Path
from threading import Event
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgctl.errors import UsageError
from imgctl.model import IMAGE_COLUMNS, Image, Status
from imgctl.ops.plan import Action, PlanWriter, read_plan, row_version
from tests.store.catalog.rows import NOON, USER

IMAGE = Image(
    id=UUID(int=1),
    user_id=USER,
    uploaded_at=NOON,
    promised_at=NOON,
    status=Status.READY,
    original_key="a",
    bytes=1,
    sha256=b"\1",
)


def action(number: int) -> Action:
    return Action(
        do="transition",
        id=UUID(int=number),
        key=f"{number}-ö.jpg",
        etag="e",
        row="0123456789abcdef",
        parameters={"to": "GLACIER", "days": number, "from": None},
    )


def written(file: Path, count: int) -> list[str]:
    with PlanWriter(file, command="transition", stop=Event()) as plan:
        for number in range(count):
            plan.add(action(number))
        plan.conclude({"bytes": 7})
    return file.read_text().splitlines()


def test_a_plan_reads_back_as_it_was_written(tmp_path: Path) -> None:
    lines = written(tmp_path / "plan.jsonl", 3)
    plan = read_plan(tmp_path / "plan.jsonl")

    assert [json.loads(line)["type"] for line in lines] == ["plan", "action", "action", "action", "summary"]
    assert json.loads(lines[0])["version"] == 1
    assert (plan.command, plan.actions, plan.summary["bytes"]) == ("transition", 3, 7)
    assert list(plan.stream()) == [action(number) for number in range(3)]
    assert [one.count("days") for one in plan.stream()] == [0, 1, 2]
    with pytest.raises(UsageError, match="has no from"):
        action(0).text("from")


def test_a_plan_that_failed_leaves_no_file(tmp_path: Path) -> None:
    with (
        pytest.raises(ZeroDivisionError),
        PlanWriter(tmp_path / "plan.jsonl", command="transition", stop=Event()) as plan,
    ):
        plan.add(action(1))
        _ = 1 // 0

    assert list(tmp_path.iterdir()) == []


def test_a_plan_whose_run_was_stopped_leaves_no_file(tmp_path: Path) -> None:
    stop = Event()
    with PlanWriter(tmp_path / "plan.jsonl", command="transition", stop=stop) as plan:
        plan.add(action(1))
        stop.set()

    assert list(tmp_path.iterdir()) == []


def test_a_plan_is_not_overwritten(tmp_path: Path) -> None:
    written(tmp_path / "plan.jsonl", 1)

    with pytest.raises(UsageError, match="exists"):
        PlanWriter(tmp_path / "plan.jsonl", command="transition", stop=Event())
    with pytest.raises(UsageError, match="no such file"):
        PlanWriter(tmp_path / "nowhere" / "plan.jsonl", command="transition", stop=Event())


@given(st.data())
def test_a_plan_that_lost_lines_is_refused(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    file = tmp_path_factory.mktemp("plan") / "plan.jsonl"
    lines = written(file, 4)
    kept = data.draw(st.lists(st.sampled_from(range(6)), max_size=5, unique=True))
    file.write_text("".join(f"{lines[number]}\n" for number in sorted(kept)))

    with pytest.raises(UsageError, match=r"plan\.jsonl"):
        read_plan(file)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("not json", ":2 is not JSON"),
        ("[]", ":2 is not a line of a plan"),
        ("[" * 100_000, ":2 is not JSON"),
        ('{"type":"action"}', ":2 has no id"),
        ('{"type":"action","id":"00000000-0000-0000-0000-000000000001"}', ":2 has no do"),
        ('{"type":"plan"}', ":2 is out of place"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, complaint: str) -> None:
    file = tmp_path / "plan.jsonl"
    lines = written(file, 1)
    file.write_text("\n".join([lines[0], line, lines[2]]))

    with pytest.raises(UsageError, match=complaint):
        read_plan(file)


def test_a_binary_file_is_not_a_plan(tmp_path: Path) -> None:
    (file := tmp_path / "plan.jsonl").write_bytes(b"\x1f\x8b\xff\n")

    with pytest.raises(UsageError, match=":1 is not JSON"):
        read_plan(file)


def test_a_row_version_changes_with_the_deciding_columns_only() -> None:
    changes = {
        "status": Status.FAILED,
        "original_key": "b",
        "thumb_key": "t",
        "medium_key": "m",
        "full_key": "f",
        "storage_class": "GLACIER",
        "bytes": 2,
        "sha256": b"\2",
        "recipe": "01234567",
    }
    beside = {"caption": "c", "attempts": 3, "forgiven": 1, "leased_until": NOON, "error": "e", "restored_until": NOON}
    versions = [row_version(replace(IMAGE, **{name: value})) for name, value in changes.items()]  # type: ignore[arg-type]

    assert len({row_version(IMAGE), *versions}) == len(changes) + 1
    assert row_version(replace(IMAGE, **beside)) == row_version(IMAGE)  # type: ignore[arg-type]
    assert set(changes) | set(beside) < set(IMAGE_COLUMNS)
