"""The events parsed from each format in which servers report objects."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgctl.ops.events.event_formats import BadEvent, Event, events_in

KEY = "inbox/0190b2b4/süß & (1).jpg"
ENCODED = "inbox/0190b2b4/s%C3%BC%C3%9F+%26+%281%29.jpg"


def record(key: str = ENCODED, name: str = "ObjectCreated:Put", **more: Any) -> dict[str, Any]:
    found = {"key": key, "size": 9, "eTag": "e", "sequencer": "00A1", "versionId": "v"}
    return {"eventSource": "aws:s3", "eventName": name, "s3": {"bucket": {"name": "photos"}, "object": found}, **more}


def eventbridge(kind: str = "Object Created") -> dict[str, Any]:
    found = {"key": KEY, "size": 9, "etag": "e", "sequencer": "00A1", "version-id": "v"}
    return {"source": "aws.s3", "detail-type": kind, "detail": {"bucket": {"name": "photos"}, "object": found}}


def by_sns(message: object) -> dict[str, Any]:
    return {"Type": "Notification", "MessageId": "1", "TopicArn": "arn:aws:sns:::t", "Message": json.dumps(message)}


WANTED = Event(bucket="photos", key=KEY, sequencer="00A1", version_id="v")
CEPH = record(KEY, "ObjectCreated:Put", eventSource="ceph:s3")
MINIO = {"EventName": "s3:ObjectCreated:Put", "Key": "photos/x", "Records": [record(name="s3:ObjectCreated:Put")]}


@pytest.mark.parametrize(
    "message",
    [{"Records": [record()]}, by_sns({"Records": [record()]}), eventbridge(), by_sns(eventbridge()), MINIO, {"Records": [CEPH]}],
    ids=["s3", "sns", "eventbridge", "eventbridge by sns", "minio", "ceph"],
)  # fmt: skip
def test_every_shape_is_parsed_to_the_same_event(message: object) -> None:
    assert events_in(json.dumps(message)) == [WANTED]


def test_the_filer_of_seaweedfs_sends_paths_below_its_buckets() -> None:
    message = {"key": f"/buckets/photos/{KEY}", "event_type": "create", "message": {"new_entry": {}}}

    assert events_in(json.dumps(message)) == [Event(bucket="photos", key=KEY)]
    assert not events_in(json.dumps(message | {"event_type": "delete"}))[0].created


@pytest.mark.parametrize("name", ["ObjectRemoved:Delete", "s3:ObjectRestore:Completed", "LifecycleTransition"])
def test_events_other_than_creations_are_marked(name: str) -> None:
    assert [one.created for one in events_in(json.dumps({"Records": [record(name=name)]}))] == [False]
    assert [one.created for one in events_in(json.dumps(eventbridge("Object Deleted")))] == [False]


def test_the_test_message_of_s3_has_no_event() -> None:
    message = {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "photos"}

    assert events_in(json.dumps(message)) == events_in(json.dumps(by_sns(message))) == []


def test_a_message_of_several_records_has_an_event_for_each() -> None:
    assert len(events_in(json.dumps({"Records": [record(), record("a"), record("b")]}))) == 3


@pytest.mark.parametrize(
    "body",
    ["", "{", "[]", "1", '"text"', "null", "{}", '{"Records": [1]}', '{"Records": [{"s3": {}}]}', "[" * 100_000,
     json.dumps({"Records": [record("")]}), json.dumps(by_sns(by_sns(by_sns(by_sns(by_sns({})))))),
     '{"Type": "Notification", "Message": "no json"}', '{"detail-type": "Object Created", "detail": {}}'],
)  # fmt: skip
def test_a_message_without_an_event_raises_bad_event(body: str) -> None:
    with pytest.raises(BadEvent):
        events_in(body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["Records", "s3", "object", "key", "detail", "Message", "Type"]) | st.text(), inner),
)  # fmt: skip


@given(JSON)
def test_any_json_raises_bad_event_or_nothing(message: object) -> None:
    with suppress(BadEvent):
        events_in(json.dumps(message))


def test_sequencers_of_different_lengths_sort_as_if_padded_on_the_right() -> None:
    def order(text: str) -> str:
        return Event(bucket="b", key="k", sequencer=text).order

    assert order("0055") == order("00550") < order("005501") < order("0056")
