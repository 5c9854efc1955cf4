"""Findings round-trip through their records, invalid records are refused, and results keep their order."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgctl.errors import UsageError
from imgctl.ops.audit.findings import Code, Finding, Why, from_record
from imgctl.ops.audit.segments import in_order

TEXTS = st.none() | st.text(min_size=1, max_size=20)
MOMENTS = st.none() | st.datetimes(datetime(1970, 1, 1), datetime(2999, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
FINDINGS = st.builds(
    Finding,
    code=st.sampled_from(Code),
    detail=st.text(max_size=20),
    id=st.none() | st.uuids(),
    key=TEXTS,
    user_id=st.none() | st.uuids(),
    uploaded_at=MOMENTS,
    promised_at=MOMENTS,
    modified_at=MOMENTS,
    role=TEXTS,
    bytes=st.none() | st.integers(0, 2**40),
    why=st.none() | st.sampled_from(Why),
)


@given(finding=FINDINGS)
def test_a_finding_reads_back_from_its_record(finding: Finding) -> None:
    assert from_record(finding.record()) == finding


@pytest.mark.parametrize("record", [{}, {"code": "lost"}, {"code": "failed", "id": "x"}])
def test_an_invalid_record_is_refused(record: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="not a finding"):
        from_record(record)


def test_results_keep_the_order_of_tasks() -> None:
    def work(task: int) -> Iterator[list[int]]:
        yield from ([number, task] for number in range(10 - task))

    results = list(in_order(iter(range(8)), work, at_once=3))
    expected = [(task, [number, task]) for task in range(8) for number in range(10 - task)]

    assert [one for one in results if one[1] is not None] == expected
    assert [task for task, batch in results if batch is None] == list(range(8))


def test_an_error_of_a_task_is_raised_after_the_results_before_it() -> None:
    def work(task: int) -> Iterator[list[int]]:
        yield [task]
        if task == 2:
            raise ValueError("broken")

    results = in_order(iter(range(8)), work, at_once=4)
    received = [next(results)[1] for _ in range(5)]

    assert received == [[0], None, [1], None, [2]]
    with pytest.raises(ValueError, match="broken"):
        next(results)
