"""Repairs as plans: written, applied, and refused where a row has changed since."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event

import pytest

from imgctl.model import Status
from imgctl.ops.apply import apply
from imgctl.ops.common.open import open_parts
from imgctl.ops.plan import Fate, PlanWriter, Site, read_plan
from imgctl.ops.repair import pipeline
from imgctl.ops.repair.options import RepairOrder
from imgctl.ops.repair.start import action_of
from imgctl.run.budgets import RateLimit
from imgctl.run.stop import Stop
from tests.ops.repair.conftest import Archive
from tests.parts.proxy import fault_proxy


def written(archive: Archive, file: Path) -> Path:
    with PlanWriter(file, command="repair", stop=Event()) as plan:
        for outcome in archive.repair(apply=False, delete_orphans=True):
            action = action_of(outcome.decision, RepairOrder())
            assert action is not None
            plan.add(action)
    return file


@dataclass(slots=True)
class Waits:
    """A stop signal that is never set and does not wait."""

    seconds: list[float] = field(default_factory=list)

    def is_set(self) -> bool:
        return False

    def wait(self, timeout: float | None = None) -> bool:
        self.seconds.append(timeout or 0.0)
        return False


def test_the_rate_limits_the_requests_of_an_applied_plan(
    served: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served.promised(0)
    served.promised(1, put=False)
    medium = served.ready(2)
    served.write(medium, medium_key=None)
    served.parts.store.delete([served.ready(3).thumb_key or ""])
    served.orphan(4)
    file = written(served, tmp_path / "repairs.jsonl")
    limits: list[RateLimit] = []

    def at_once(rate: int) -> RateLimit:
        limits.append(RateLimit(rate, clock=lambda: 0.0))
        return limits[-1]

    monkeypatch.setattr(pipeline, "RateLimit", at_once)
    requests: list[str] = []

    def policy(method: str, path: str, _number: int) -> None:
        requests.append(f"{method} {path}")

    settings, stop = served.parts.settings, Waits()
    with fault_proxy(settings.store.endpoint_url, policy=policy) as proxy:
        near = replace(settings, store=replace(settings.store, endpoint_url=proxy.url))
        with open_parts(near) as parts:
            parts.store.test_put_if_absent()
            requests.clear()
            fates = {one.fate for one in apply(read_plan(file), Site(parts=parts, stop=stop, concurrency=2, rate=10))}

    assert fates == {Fate.DONE}
    [limit] = limits
    # The time at which the next request may be sent.
    assert round(10 * limit.reserve(1)) >= len(requests), requests
    assert max(stop.seconds) >= 1


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
