"""Limits stop a task that exceeds them, and not a large picture within them."""

import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from imgctl.run import limits
from imgctl.run.limits import clock_stopped, time_limit

HONEST = """
import threading, resource
from imgctl.run.limits import limit_memory
limit_memory(512 * 2**20)
import pyvips
threads = [threading.Thread(target=threading.Event().wait, daemon=True) for _ in range(16)]
[thread.start() for thread in threads]
picture = pyvips.Image.gaussnoise(6000, 4000).cast("uchar").bandjoin([100, 200]).copy(interpretation="srgb")
data = picture.jpegsave_buffer()
print(pyvips.Image.thumbnail_buffer(data, 2048).jpegsave_buffer()[:2].hex())
"""

HOG = """
from imgctl.run.limits import limit_memory
limit_memory(512 * 2**20)
import pyvips
picture = pyvips.Image.black(40000, 40000, bands=3)
try:
    picture.copy_memory()
except pyvips.Error:
    print("refused")
"""


@pytest.mark.parametrize(("program", "output"), [(HONEST, "ffd8\n"), (HOG, "refused\n")], ids=["honest", "hog"])
def test_the_memory_limit_stops_only_programs_above_it(program: str, output: str) -> None:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert done.stdout == output, done.stderr


def test_time_with_a_stopped_clock_does_not_count_towards_limits() -> None:
    def left() -> float:
        return signal.getitimer(signal.ITIMER_REAL)[0]

    with time_limit(100), time_limit(50):
        with clock_stopped():
            assert left() == 0
        assert 0 < left() <= 50

    with clock_stopped():
        assert left() == 0
    assert left() == 0


@pytest.mark.parametrize(
    ("elapsed", "worked", "idle"), [(1.0, 0.1, True), (1.0, 0.9, False), (1.0, 1.8, False), (0.001, 0.0, False)]
)
def test_a_process_is_idle_while_it_takes_less_than_half_of_a_core(
    monkeypatch: pytest.MonkeyPatch, *, elapsed: float, worked: float, idle: bool
) -> None:
    monotonic, process_time = iter((100.0, 100.0 + elapsed)), iter((7.0, 7.0 + worked))
    clocks = SimpleNamespace(monotonic=lambda: next(monotonic), process_time=lambda: next(process_time))
    monkeypatch.setattr(limits, "time", clocks)
    idleness = limits.Idleness()

    assert idleness.is_idle() is idle


@pytest.mark.parametrize(
    ("own", "quotas", "cores"),
    [
        ("0::/\n", {"": "150000 100000"}, 2),
        ("0::/\n", {}, limits.NO_QUOTA),
        ("0::/system.slice/imgctl-work.service\n", {"system.slice/imgctl-work.service": "300000 100000"}, 3),
        (
            "0::/a.slice/b.service\n",
            {"": "max 100000", "a.slice": "100000 100000", "a.slice/b.service": "800000 100000"},
            1,
        ),
        ("0::/a.slice/b.service\n", {"a.slice/b.service": "10000 100000"}, 1),
        ("1:cpu:/a\n", {"a": "100000 100000"}, limits.NO_QUOTA),
        # A container that sees the path on its host, and its own quota at the root.
        ("0::/kubepods/pod1/c2\n", {"": "400000 100000"}, 4),
    ],
)
def test_the_smallest_quota_of_a_group_and_those_above_it_counts(
    tmp_path: Path, own: str, quotas: dict[str, str], cores: int
) -> None:
    (place := tmp_path / "cgroup").write_text(own)
    for group, text in quotas.items():
        (tmp_path / "groups" / group).mkdir(parents=True, exist_ok=True)
        (tmp_path / "groups" / group / "cpu.max").write_text(f"{text}\n")

    assert limits._quota(tmp_path / "groups", place) == cores
