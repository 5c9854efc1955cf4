"""Lifecycle rules: imgctl changes only its own, by their ids."""

import pytest
from botocore.stub import Stubber
from hypothesis import given
from hypothesis import strategies as st

from imgctl.config.catalog_store import StoreSettings
from imgctl.errors import ConfigError, StoreError
from imgctl.model import StorageClass
from imgctl.store.aws import lifecycle
from imgctl.store.aws.lifecycle import MOST_RULES, merged, planned, put
from imgctl.store.blobs.s3.bucket import Bucket
from imgctl.store.lifecycle import Lifecycle, Rule, Transition
from tests.parts.seaweed import S3Server

FOREIGN: Rule = {
    "ID": "logs", "Status": "Enabled", "Filter": {"Prefix": "logs/"}, "Expiration": {"Days": 30},
}  # fmt: skip
WANTED = Transition(prefix="photos/originals/", to=StorageClass.GLACIER, days=90)


def settings(server: S3Server, bucket: str) -> StoreSettings:
    return StoreSettings(url=f"s3://{bucket}/photos", endpoint_url=server.endpoint_url, originals_prefix="originals/")


def stubbed(monkeypatch: pytest.MonkeyPatch) -> Stubber:
    """Stub AWS's responses for functions that open a bucket by settings."""
    bucket: Bucket = Bucket(StoreSettings(url="s3://b", retries=0), name="b", prefix="photos/")
    monkeypatch.setattr(lifecycle, "bucket_of", lambda _: bucket)
    stubber = Stubber(bucket.client)
    stubber.activate()
    return stubber


RULES = st.lists(
    st.fixed_dictionaries({"ID": st.text(min_size=1, max_size=9), "Status": st.sampled_from(["Enabled", "Disabled"])}),
    max_size=6, unique_by=lambda rule: rule["ID"],
)  # fmt: skip
TRANSITIONS = st.builds(
    Transition,
    prefix=st.sampled_from(["a/", "b/c/", "originals/"]),
    to=st.sampled_from([StorageClass.GLACIER, StorageClass.DEEP_ARCHIVE]),
    days=st.integers(0, 999),
    min_size=st.integers(0, 2**20),
)


@given(rules=RULES, smallest=st.sampled_from(["", "varies_by_storage_class"]), first=TRANSITIONS, second=TRANSITIONS)
def test_foreign_rules_are_unchanged_and_imgctls_are_not_repeated(
    rules: list[Rule], smallest: str, first: Transition, second: Transition
) -> None:
    before = Lifecycle(rules=tuple(rules), smallest=smallest)

    after = merged(merged(before, first), second)

    assert after.smallest == smallest
    assert after.rules[: len(rules)] == before.rules
    ids = [rule["ID"] for rule in after.rules]
    assert len(set(ids)) == len(ids)
    assert all(str(found).startswith("imgctl-") for found in ids[len(rules) :])
    assert merged(after, second) == after
    assert {str(rule["ID"]) for rule in merged(before, second).rules} <= set(map(str, ids))


def test_a_rule_has_its_filter_age_and_class() -> None:
    found = merged(Lifecycle(), Transition(prefix="originals/", to=StorageClass.DEEP_ARCHIVE, days=90, min_size=2**20))

    transition, abort = found.rules
    assert transition["Filter"] == {"And": {"Prefix": "originals/", "ObjectSizeGreaterThan": 2**20 - 1}}
    assert transition["Transitions"] == [{"Days": 90, "StorageClass": "DEEP_ARCHIVE"}]
    assert abort["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 7}
    assert abort["Filter"] == {"Prefix": "originals/"}


def test_more_rules_than_a_bucket_can_have_are_rejected() -> None:
    full = Lifecycle(rules=tuple({"ID": str(number)} for number in range(MOST_RULES - 1)))

    with pytest.raises(StoreError, match="would have 1001"):
        merged(full, WANTED)


def test_after_a_plan_is_put_the_next_plan_is_empty(moto_s3: S3Server) -> None:
    bucket, client = moto_s3.new_bucket(), moto_s3.client()
    client.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [FOREIGN]})
    where = settings(moto_s3, bucket)

    plan = planned(where, to=StorageClass.GLACIER, days=90)
    put(where, plan)

    assert '"StorageClass": "GLACIER"' in plan.diff
    assert '"photos/originals/"' in plan.diff
    assert not [line for line in plan.diff.splitlines()[2:] if line.startswith("-")]
    rules = client.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    assert rules[0] == FOREIGN
    assert len(rules) == 3
    assert planned(where, to=StorageClass.GLACIER, days=90).diff == ""
    assert "365" in planned(where, to=StorageClass.GLACIER, days=365).diff


def test_a_bucket_whose_rules_changed_since_is_not_written(moto_s3: S3Server) -> None:
    bucket, client = moto_s3.new_bucket(), moto_s3.client()
    where = settings(moto_s3, bucket)
    plan = planned(where, to=StorageClass.GLACIER, days=90)
    client.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [FOREIGN]})

    with pytest.raises(StoreError, match="changed since"):
        put(where, plan)
    assert client.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"] == [FOREIGN]


def test_a_server_that_stores_another_rule_is_detected(moto_s3: S3Server) -> None:
    # moto drops size filters: its rule would move small objects, too.
    where = settings(moto_s3, moto_s3.new_bucket())

    with pytest.raises(StoreError, match=r"differ from the written ones.*ObjectSizeGreaterThan"):
        put(where, planned(where, to=StorageClass.GLACIER, days=90, min_size=2**20))


def test_a_server_without_transitions_is_an_error(seaweed: S3Server) -> None:
    where = settings(seaweed, seaweed.new_bucket())

    with pytest.raises(StoreError, match="NotImplemented"):
        put(where, planned(where, to=StorageClass.GLACIER, days=90))


def test_the_smallest_size_of_the_bucket_is_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    stubber = stubbed(monkeypatch)
    smallest = {"TransitionDefaultMinimumObjectSize": "varies_by_storage_class"}
    wanted = list(merged(Lifecycle(rules=(FOREIGN,)), WANTED).rules)
    for _ in range(2):
        stubber.add_response("get_bucket_lifecycle_configuration", {"Rules": [FOREIGN], **smallest}, {"Bucket": "b"})
    sent = {"Bucket": "b", "LifecycleConfiguration": {"Rules": wanted}, **smallest}
    stubber.add_response("put_bucket_lifecycle_configuration", {}, sent)
    # The server may return rules in any order.
    stubber.add_response("get_bucket_lifecycle_configuration", {"Rules": wanted[::-1], **smallest}, {"Bucket": "b"})
    where = StoreSettings(url="s3://b/photos", originals_prefix="originals/")

    put(where, planned(where, to=StorageClass.GLACIER, days=90))

    stubber.assert_no_pending_responses()


def test_the_default_that_aws_adds_is_not_a_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    stubber = stubbed(monkeypatch)
    wanted = list(merged(Lifecycle(), WANTED).rules)
    for _ in range(2):
        stubber.add_client_error("get_bucket_lifecycle_configuration", "NoSuchLifecycleConfiguration", "", 404)
    stubber.add_response("put_bucket_lifecycle_configuration", {})
    default = {"TransitionDefaultMinimumObjectSize": "all_storage_classes_128K"}
    stubber.add_response("get_bucket_lifecycle_configuration", {"Rules": wanted, **default})
    where = StoreSettings(url="s3://b/photos", originals_prefix="originals/")

    put(where, planned(where, to=StorageClass.GLACIER, days=90))

    stubber.assert_no_pending_responses()


def test_originals_without_a_prefix_of_their_own_get_no_rule() -> None:
    with pytest.raises(ConfigError, match="prefix"):
        planned(StoreSettings(url="s3://b/photos"), to=StorageClass.GLACIER, days=90)
    with pytest.raises(ConfigError, match="whole bucket"):
        merged(Lifecycle(), Transition(prefix="", to=StorageClass.GLACIER, days=90))


def test_a_directory_has_no_rules() -> None:
    with pytest.raises(ConfigError, match="buckets only"):
        planned(StoreSettings(url="file:///x", originals_prefix="originals/"), to=StorageClass.GLACIER, days=90)
