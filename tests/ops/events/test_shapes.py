"""What is read of each shape in which servers tell of objects."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgctl.ops.events.shapes import BadEvent, Event, events_in

KEY = "inbox/0190b2b4/süß & (1).jpg"
ENCODED = "inbox/0190b2b4/s%C3%BC%C3%9F+%26+%281%29.jpg"


def record(key: str = ENCODED, name: str = "ObjectCreated:Put", **more: Any) -> dict[str, Any]:
    found = {"key": key, "size": 9, "eTag": "e", "sequencer": "00A1", "versionId": "v"}
    return {"eventSource": "aws:s3", "eventName": name, "s3": {"bucket": {"name": "photos"}, "object": found}, **more}


def eventbridge(kind: str = "Object Created") -> dict[str, Any]:
    found = {"key": KEY, "size": 9, "etag": "e", "sequencer": "00A1", "version-id": "v"}
    return {"source": "aws.s3", "detail-type": kind, "detail": {"bucket": {"name": "photos"}, "object": found}}


def by_sns(said: object) -> dict[str, Any]:
    return {"Type": "Notification", "MessageId": "1", "TopicArn": "arn:aws:sns:::t", "Message": json.dumps(said)}


WANTED = Event(bucket="photos", key=KEY, sequencer="00A1", version_id="v")
CEPH = record(KEY, "ObjectCreated:Put", eventSource="ceph:s3")
MINIO = {"EventName": "s3:ObjectCreated:Put", "Key": "photos/x", "Records": [record(name="s3:ObjectCreated:Put")]}


@pytest.mark.parametrize(
    "said",
    [{"Records": [record()]}, by_sns({"Records": [record()]}), eventbridge(), by_sns(eventbridge()), MINIO, {"Records": [CEPH]}],
    ids=["s3", "sns", "eventbridge", "eventbridge by sns", "minio", "ceph"],
)  # fmt: skip
def test_every_shape_tells_the_same(said: object) -> None:
    assert events_in(json.dumps(said)) == [WANTED]


def test_the_filer_of_seaweedfs_tells_a_path_below_its_buckets() -> None:
    said = {"key": f"/buckets/photos/{KEY}", "event_type": "create", "message": {"new_entry": {}}}

    assert events_in(json.dumps(said)) == [Event(bucket="photos", key=KEY)]
    assert not events_in(json.dumps(said | {"event_type": "delete"}))[0].created


@pytest.mark.parametrize("name", ["ObjectRemoved:Delete", "s3:ObjectRestore:Completed", "LifecycleTransition"])
def test_what_is_no_creation_is_told_as_such(name: str) -> None:
    assert [one.created for one in events_in(json.dumps({"Records": [record(name=name)]}))] == [False]
    assert [one.created for one in events_in(json.dumps(eventbridge("Object Deleted")))] == [False]


def test_the_test_message_of_s3_has_no_event() -> None:
    said = {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "photos"}

    assert events_in(json.dumps(said)) == events_in(json.dumps(by_sns(said))) == []


def test_a_message_of_several_records_tells_of_each() -> None:
    assert len(events_in(json.dumps({"Records": [record(), record("a"), record("b")]}))) == 3


@pytest.mark.parametrize(
    "body",
    ["", "{", "[]", "1", '"text"', "null", "{}", '{"Records": [1]}', '{"Records": [{"s3": {}}]}', "[" * 100_000,
     json.dumps({"Records": [record("")]}), json.dumps(by_sns(by_sns(by_sns(by_sns(by_sns({})))))),
     '{"Type": "Notification", "Message": "no json"}', '{"detail-type": "Object Created", "detail": {}}'],
)  # fmt: skip
def test_what_is_no_event_is_said_to_be_none(body: str) -> None:
    with pytest.raises(BadEvent):
        events_in(body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["Records", "s3", "object", "key", "detail", "Message", "Type"]) | st.text(), inner),
)  # fmt: skip


@given(JSON)
def test_no_json_raises_anything_else(said: object) -> None:
    with suppress(BadEvent):
        events_in(json.dumps(said))


def test_sequencers_of_other_lengths_sort_as_if_filled_up_on_the_right() -> None:
    def order(text: str) -> str:
        return Event(bucket="b", key="k", sequencer=text).order

    assert order("0055") == order("00550") < order("005501") < order("0056")
