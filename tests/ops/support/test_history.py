"""Which operations may have changed an image."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from imgctl.keys import key_of, new_id
from imgctl.model import Image, Status
from imgctl.ops.support.history import may_concern
from imgctl.store.catalog.queries.operations import Operation

NOW = datetime(2026, 5, 4, tzinfo=UTC)
DAY = timedelta(days=1)
IMAGE = Image(id=new_id(NOW), user_id=uuid4(), uploaded_at=NOW, promised_at=NOW, status=Status.READY)
OTHER = new_id(NOW + DAY)


def operation(**typed: object) -> Operation:
    """An operation a day after the upload, with these options."""
    about = {"id": new_id(NOW + DAY), "command": "repair", "who": "alice", "host": "desk", "pid": 4711}
    return Operation(**about, scope=json.dumps(typed, default=str), started_at=NOW + DAY)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "one",
    [
        operation(),
        operation(images=[str(IMAGE.id)]),
        operation(images=[str(OTHER), str(IMAGE.id)[:11].upper()]),
        operation(id=[key_of(IMAGE.id, "thumb", "jpg")]),
        operation(images=[str(OTHER), "…"]),
        operation(ids_from="ids.txt"),
        operation(images=["receipts/erased.jsonl"], again=True),
        operation(since=NOW, until=NOW + DAY),
        replace(operation(), user_id=IMAGE.user_id),
        replace(operation(), ended_at=NOW + DAY),
    ],
)
def test_an_operation_that_names_or_selects_the_image_may_concern_it(one: Operation) -> None:
    assert may_concern(one, IMAGE.id, IMAGE)


@pytest.mark.parametrize(
    "one",
    [
        operation(images=[str(OTHER)]),
        operation(since=NOW + DAY),
        operation(until=NOW),
        replace(operation(), user_id=uuid4()),
        replace(operation(), ended_at=NOW - DAY),
    ],
)
def test_an_operation_on_other_images_or_at_another_time_does_not_concern_it(one: Operation) -> None:
    assert not may_concern(one, IMAGE.id, IMAGE)


def test_a_deleted_image_is_concerned_by_operations_that_name_it_or_no_user() -> None:
    assert may_concern(operation(images=[str(IMAGE.id)]), IMAGE.id, None)
    assert may_concern(operation(), IMAGE.id, None)
    assert not may_concern(replace(operation(), user_id=uuid4()), IMAGE.id, None)
