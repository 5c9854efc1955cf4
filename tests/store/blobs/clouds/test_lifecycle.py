"""Lifecycle rules of Google and Azure: with responses from the reference of the JSON API (Buckets: get, patch).

fake-gcs-server drops lifecycle rules, which imgctl detects; Azurite has no Azure Resource Manager. The
management policy has the format of Management Policies - Create Or Update (Azure Storage Resource Provider).
"""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgctl.config.catalog_store import StoreSettings
from imgctl.errors import ConfigError, StoreError
from imgctl.model import StorageClass
from imgctl.store.blobs.clouds.lifecycle import MOST_RULES, merged, planned, put
from imgctl.store.lifecycle import Lifecycle, Rule, Transition
from tests.parts.clouds import CloudServer
from tests.parts.recorded import RecordedResponse, Stub

FOREIGN: Rule = {"action": {"type": "Delete"}, "condition": {"age": 30, "matchesPrefix": ["logs/"]}}
OURS: Rule = {
    "action": {"type": "SetStorageClass", "storageClass": "COLDLINE"},
    "condition": {"age": 90, "matchesPrefix": ["photos/originals/"]},
}
TRANSITIONS = st.builds(
    Transition,
    prefix=st.sampled_from(["a/", "b/c/"]),
    to=st.sampled_from([StorageClass.NEARLINE, StorageClass.ARCHIVE]),
    days=st.integers(0, 999),
)


def bucket(*rules: Rule, generation: int) -> bytes:
    return json.dumps({"lifecycle": {"rule": rules}, "metageneration": str(generation)}).encode()


@pytest.fixture
def settings(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> StoreSettings:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", stub.url)
    return StoreSettings(url="gs://bk/photos", originals_prefix="originals/", retries=0)


@given(foreign=st.lists(st.integers(0, 99), max_size=4), first=TRANSITIONS, second=TRANSITIONS)
def test_foreign_rules_are_unchanged_and_imgctls_are_not_repeated(
    foreign: list[int], first: Transition, second: Transition
) -> None:
    rules = tuple({**FOREIGN, "condition": {"age": age}} for age in foreign)

    after = merged(merged(Lifecycle(rules=rules), first), second)

    assert after.rules[: len(rules)] == rules
    same = (first.prefix, first.to) == (second.prefix, second.to)
    assert len(after.rules) == len(rules) + (1 if same else 2)
    assert merged(after, second) == after


def test_more_rules_than_a_bucket_can_have_are_rejected() -> None:
    full = Lifecycle(rules=tuple({"condition": {"age": age}} for age in range(MOST_RULES)))

    with pytest.raises(StoreError, match="would have 101"):
        merged(full, Transition(prefix="a/", to=StorageClass.ARCHIVE, days=90))


def test_a_rule_is_merged_into_those_of_an_unchanged_bucket(
    settings: StoreSettings, stub: Stub, responses: list[RecordedResponse]
) -> None:
    responses += [
        ("GET", "/b/bk", 200, {}, bucket(FOREIGN, generation=7)),
        ("GET", "/b/bk", 200, {}, bucket(FOREIGN, generation=7)),
        ("PATCH", "/b/bk", 200, {}, b"{}"),
        # The server may return rules in any order.
        ("GET", "/b/bk", 200, {}, bucket(OURS, FOREIGN, generation=8)),
        ("GET", "/b/bk", 200, {}, bucket(OURS, FOREIGN, generation=8)),
    ]

    plan = planned(settings, to=StorageClass.COLDLINE, days=90, min_size=140_000)
    put(settings, plan)

    [patch] = [one for one in stub.requests if one[0] == "PATCH"]
    assert patch[2] == {"ifMetagenerationMatch": "7"}
    assert json.loads(patch[4]) == {"lifecycle": {"rule": [FOREIGN, OURS]}}
    assert not [line for line in plan.diff.splitlines()[2:] if line.startswith("-")]
    assert "cannot filter by size: originals below 137 KiB move too" in plan.notes[0]
    assert planned(settings, to=StorageClass.COLDLINE, days=90).diff == ""


@pytest.mark.parametrize("when", ["before it is read again", "before it is written"])
def test_a_bucket_whose_rules_changed_since_is_not_written(
    settings: StoreSettings, stub: Stub, responses: list[RecordedResponse], when: str
) -> None:
    changed = (FOREIGN,) if when == "before it is read again" else ()
    responses += [
        ("GET", "/b/bk", 200, {}, bucket(generation=7)),
        ("GET", "/b/bk", 200, {}, bucket(*changed, generation=8)),
        ("PATCH", "/b/bk", 412, {}, b'{"error": {"code": 412, "message": "conditionNotMet"}}'),
    ]
    plan = planned(settings, to=StorageClass.COLDLINE, days=90)

    with pytest.raises(StoreError, match="changed since"):
        put(settings, plan)
    assert len([one for one in stub.requests if one[0] == "PATCH"]) == (0 if changed else 1)


def test_a_server_that_drops_the_rule_is_detected(gcs: CloudServer) -> None:
    name = gcs.new_bucket()
    settings = StoreSettings(url=f"gs://{name}", endpoint_url=gcs.endpoint_url, originals_prefix="originals/")

    with pytest.raises(StoreError, match="differ from the written ones"):
        put(settings, planned(settings, to=StorageClass.ARCHIVE, days=90))


def test_originals_without_a_prefix_of_their_own_get_no_rule() -> None:
    for url in ("gs://bk", "az://cc"):
        with pytest.raises(ConfigError, match="no prefix of their own"):
            planned(StoreSettings(url=url), to=StorageClass.ARCHIVE, days=90)


def test_the_policy_of_an_azure_account_is_printed_for_its_owner() -> None:
    settings = StoreSettings(url="az://cc/photos", originals_prefix="originals/")

    plan = planned(settings, to=StorageClass.AZURE_ARCHIVE, days=90)

    [rule] = json.loads(plan.by_hand)["rules"]
    assert rule.pop("name").startswith("imgctl-AZURE-ARCHIVE-")
    assert rule == {
        "enabled": True,
        "type": "Lifecycle",
        "definition": {
            "actions": {
                "baseBlob": {
                    "tierToArchive": {"daysAfterModificationGreaterThan": 90, "daysAfterLastTierChangeGreaterThan": 7}
                }
            },
            "filters": {"blobTypes": ["blockBlob"], "prefixMatch": ["cc/photos/originals/"]},
        },
    }
    assert "replaces the account's whole policy" in plan.notes[0]
