"""Repairs as plans: written, applied, and refused where a row has changed since."""

from pathlib import Path
from threading import Event

from imgctl.model import Status
from imgctl.ops.apply import apply
from imgctl.ops.plan import Fate, PlanWriter, Site, read_plan
from imgctl.ops.repair.options import RepairOrder
from imgctl.ops.repair.start import action_of
from imgctl.run.stop import Stop
from tests.ops.repair.conftest import Archive


def written(archive: Archive, file: Path) -> Path:
    with PlanWriter(file, command="repair", stop=Event()) as plan:
        for outcome in archive.repair(apply=False, delete_orphans=True):
            action = action_of(outcome.decision, RepairOrder())
            assert action is not None
            plan.add(action)
    return file


def applied(archive: Archive, file: Path) -> dict[str, Fate]:
    with Stop() as stop:
        site = Site(parts=archive.parts, stop=stop, concurrency=2)
        return {one.action.do: one.fate for one in apply(read_plan(file), site)}


def test_an_applied_plan_repairs_and_a_second_time_changes_nothing(archive: Archive, tmp_path: Path) -> None:
    archive.parts.store.delete([archive.ready(0).medium_key or ""])
    archive.promised(1, put=False)
    archive.orphan(2)
    file = written(archive, tmp_path / "repairs.jsonl")

    first = applied(archive, file)
    after = (archive.rows(), archive.blobs())
    second = applied(archive, file)

    assert first == dict.fromkeys(["repair_requeue", "repair_drop", "repair_trash"], Fate.DONE)
    assert second == dict.fromkeys(first, Fate.ALREADY)
    assert (archive.rows(), archive.blobs()) == after
    assert [row.status for row in archive.rows()] == [Status.PROCESSING]


def test_a_row_that_changed_since_the_plan_is_refused(archive: Archive, tmp_path: Path) -> None:
    image = archive.ready(0)
    archive.parts.store.delete([image.medium_key or ""])
    file = written(archive, tmp_path / "repairs.jsonl")
    drifted = archive.write(image, recipe="00000000")

    fates = applied(archive, file)

    assert fates == {"repair_requeue": Fate.REFUSED}
    assert archive.rows() == [drifted]
