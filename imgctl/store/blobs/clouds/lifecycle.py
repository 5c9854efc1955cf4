"""Lifecycle rules: merged into those of a Google bucket; for Azure a management policy, which imgctl only prints.

Google's rules have no names: imgctl's is the one that moves this prefix to this class. Neither cloud filters by size.
"""

import hashlib
import json
from collections.abc import Callable
from typing import TypeVar, cast

from imgctl.config.catalog_store import StoreSettings
from imgctl.errors import BlobExists, StoreError
from imgctl.model import StorageClass
from imgctl.store.blobs.address import bucket_and_prefix
from imgctl.store.blobs.clouds.google import Google
from imgctl.store.blobs.errors import Target
from imgctl.store.blobs.retries import Calls
from imgctl.store.lifecycle import Lifecycle, LifecyclePlan, Rule, Transition, originals_prefix, same
from imgctl.units import format_bytes

T = TypeVar("T")

# Object Lifecycle Management, Cloud Storage documentation: the most rules of one bucket.
MOST_RULES = 100
# How long a rehydrated blob stays: without this the policy archives it again within a day.
_BACK_DAYS = 7
_TIERS = {
    StorageClass.COOL: "tierToCool",
    StorageClass.COLD: "tierToCold",
    StorageClass.AZURE_ARCHIVE: "tierToArchive",
}
_BY_HAND = (
    "to set it: az storage account management-policy create --policy @FILE; it replaces the account's whole policy: "
    "if there is one, add this rule to the output of management-policy show"
)


def planned(settings: StoreSettings, *, to: StorageClass, days: int, min_size: int = 0) -> LifecyclePlan:
    """Plan the rule; ConfigError unless originals have a prefix of their own. An operator must write Azure's by hand."""
    if settings.url.startswith("az://"):
        return _policy(settings, to=to, days=days, min_size=min_size)
    bucket, prefix = _place(settings)
    wanted = Transition(prefix=prefix + originals_prefix(settings), to=to, days=days)
    before = _read(settings, bucket)[0]
    return LifecyclePlan(before=before, after=merged(before, wanted), notes=_all_sizes(min_size))


def put(settings: StoreSettings, plan: LifecyclePlan) -> None:
    """Write the whole plan; StoreError if the bucket's rules changed since, or differ when they are read back."""
    if not plan.diff:
        return
    bucket = _place(settings)[0]
    found, generation = _read(settings, bucket)
    changed = StoreError(f"the lifecycle rules of {bucket} changed since they were planned", hint="plan again")
    if not same(found, plan.before):
        raise changed
    google = Google(settings, bucket)
    try:
        _call(settings, bucket, lambda: google.set_lifecycle(plan.after.rules, generation))
    except BlobExists:
        # The condition failed: another program wrote in between.
        raise changed from None
    if difference := LifecyclePlan(before=plan.after, after=_read(settings, bucket)[0]).changes:
        hint = f"check them: gcloud storage buckets describe gs://{bucket}"
        raise StoreError(f"the lifecycle rules of {bucket} differ from the written ones: {difference}", hint=hint)


def merged(before: Lifecycle, wanted: Transition) -> Lifecycle:
    """Return the configuration with imgctl's rule for this prefix and class; other rules are unchanged."""
    action = {"type": "SetStorageClass", "storageClass": str(wanted.to)}
    ours = {"action": action, "condition": {"age": wanted.days, "matchesPrefix": [wanted.prefix]}}
    places = [at for at, rule in enumerate(before.rules) if _is_ours(rule, action, wanted.prefix)]
    first = places[0] if places else len(before.rules)
    rules = [rule for at, rule in enumerate(before.rules) if at not in places]
    rules.insert(first, ours)
    if len(rules) > MOST_RULES:
        hint = "remove unused rules"
        raise StoreError(f"a bucket can have {MOST_RULES} lifecycle rules; this one would have {len(rules)}", hint=hint)
    return Lifecycle(rules=tuple(rules))


def _policy(settings: StoreSettings, *, to: StorageClass, days: int, min_size: int) -> LifecyclePlan:
    """Return the rule as a management policy of the account, set by Azure Resource Manager and not the Blob service."""
    container, prefix = _place(settings)
    below = f"{container}/{prefix}{originals_prefix(settings)}"
    after = {"daysAfterModificationGreaterThan": days}
    if to is StorageClass.AZURE_ARCHIVE:
        after["daysAfterLastTierChangeGreaterThan"] = _BACK_DAYS
    definition = {
        "actions": {"baseBlob": {_TIERS[to]: after}},
        "filters": {"blobTypes": ["blockBlob"], "prefixMatch": [below]},
    }
    name = f"imgctl-{str(to).replace('_', '-')}-{hashlib.sha256(below.encode()).hexdigest()[:8]}"
    rule: Rule = {"enabled": True, "name": name, "type": "Lifecycle", "definition": definition}
    return LifecyclePlan(
        before=Lifecycle(),
        after=Lifecycle(rules=(rule,)),
        notes=(
            *_all_sizes(min_size),
            _BY_HAND,
        ),
        by_hand=json.dumps({"rules": [rule]}, indent=2),
    )


def _is_ours(rule: Rule, action: Rule, prefix: str) -> bool:
    condition = cast("Rule", rule.get("condition") or {})
    return rule.get("action") == action and condition.get("matchesPrefix") == [prefix]


def _all_sizes(least: int) -> tuple[str, ...]:
    note = (
        f"this cloud's rules cannot filter by size: originals below {format_bytes(least)} move too, which does not pay"
    )
    return (note,) if least else ()


def _read(settings: StoreSettings, bucket: str) -> tuple[Lifecycle, str]:
    """Return the bucket's rules and their metageneration."""
    found, generation = _call(settings, bucket, Google(settings, bucket).lifecycle)
    return Lifecycle(rules=tuple(found)), generation


def _place(settings: StoreSettings) -> tuple[str, str]:
    return bucket_and_prefix(settings.url.partition("://")[2])


def _call(settings: StoreSettings, bucket: str, request: Callable[[], T]) -> T:
    def target(key: str) -> Target:
        return Target(bucket=bucket, key=key, endpoint=Google(settings, bucket).endpoint, cloud=Google.cloud)

    return Calls(settings.retries, target).call("", request)
