"""Lifecycle rules of a bucket: imgctl's are merged by rule id, shown as a diff, written, and read back."""

import hashlib
from collections.abc import Mapping, Sequence
from functools import partial
from typing import cast

from imgctl.config.catalog_store import StoreSettings
from imgctl.errors import ConfigError, StoreError
from imgctl.model import StorageClass
from imgctl.store.blobs.errors import code_of
from imgctl.store.blobs.s3.bucket import Bucket, bucket_of
from imgctl.store.lifecycle import SMALLEST, Lifecycle, LifecyclePlan, Rule, Transition, originals_prefix, same

# S3 User Guide: the most rules of one configuration.
MOST_RULES = 1000
_ABORT_DAYS = 7


def planned(settings: StoreSettings, *, to: StorageClass, days: int, min_size: int = 0) -> LifecyclePlan:
    """Plan the rule; ConfigError unless originals have a prefix of their own in a bucket."""
    below = originals_prefix(settings)
    bucket = bucket_of(settings)
    before = read(bucket)
    return LifecyclePlan(
        before=before,
        after=merged(before, Transition(prefix=bucket.prefix + below, to=to, days=days, min_size=min_size)),
    )


def put(settings: StoreSettings, plan: LifecyclePlan) -> None:
    """Write the whole plan; StoreError if the bucket's rules changed since, or differ when they are read back.

    S3 has no conditional put for rules: a concurrent change by another program is lost.
    """
    if not plan.diff:
        return
    bucket = bucket_of(settings)
    if not same(read(bucket), plan.before):
        raise StoreError(f"the lifecycle rules of {bucket.name} changed since they were planned", hint="plan again")
    _write(bucket, plan.after)
    if changed := LifecyclePlan(before=plan.after, after=read(bucket)).changes:
        hint = f"check them: aws s3api get-bucket-lifecycle-configuration --bucket {bucket.name}"
        raise StoreError(f"the lifecycle rules of {bucket.name} differ from the written ones: {changed}", hint=hint)


def merged(before: Lifecycle, wanted: Transition) -> Lifecycle:
    """Return the configuration with imgctl's two rules for this prefix and class; other rules are unchanged."""
    if not wanted.prefix:
        raise ConfigError("a lifecycle rule without a prefix would move the whole bucket", hint="set originals_prefix")
    ours = {str(rule["ID"]): rule for rule in (_transition(wanted), _abort(wanted.prefix))}
    kept = tuple(ours.pop(str(rule.get("ID")), rule) for rule in before.rules)
    rules = kept + tuple(ours.values())
    if len(rules) > MOST_RULES:
        hint = "remove unused rules"
        raise StoreError(f"a bucket can have {MOST_RULES} lifecycle rules; this one would have {len(rules)}", hint=hint)
    return Lifecycle(rules=rules, smallest=before.smallest)


def read(bucket: Bucket) -> Lifecycle:
    """Read the bucket's configuration; empty if there is none."""
    response = bucket.call("", partial(_read, bucket))
    rules = cast("Sequence[Rule]", response.get("Rules", ()))
    return Lifecycle(rules=tuple(rules), smallest=str(response.get(SMALLEST, "")))


def _transition(wanted: Transition) -> Rule:
    chosen: dict[str, object] = {"Prefix": wanted.prefix}
    if wanted.min_size:
        # The filter means "greater than", `min_size` means "at least".
        chosen = {"And": {"Prefix": wanted.prefix, "ObjectSizeGreaterThan": wanted.min_size - 1}}
    return {
        "ID": _id(str(wanted.to), wanted.prefix),
        "Status": "Enabled",
        "Filter": chosen,
        "Transitions": [{"Days": wanted.days, "StorageClass": str(wanted.to)}],
    }


def _abort(prefix: str) -> Rule:
    """A rule that aborts incomplete uploads, which are billed until they are aborted."""
    return {
        "ID": _id("abort-multipart", prefix),
        "Status": "Enabled",
        "Filter": {"Prefix": prefix},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": _ABORT_DAYS},
    }


def _id(what: str, prefix: str) -> str:
    """One id for each purpose and prefix: several stores may share a bucket."""
    return f"imgctl-{what}-{hashlib.sha256(prefix.encode()).hexdigest()[:8]}"


def _read(bucket: Bucket) -> Mapping[str, object]:
    try:
        return bucket.client.get_bucket_lifecycle_configuration(Bucket=bucket.name)
    except Exception as error:
        if code_of(error) == "NoSuchLifecycleConfiguration":
            return {}
        raise


def _write(bucket: Bucket, wanted: Lifecycle) -> None:
    smallest = {SMALLEST: wanted.smallest} if wanted.smallest else {}
    configuration = {"Rules": list(wanted.rules)}
    put = bucket.client.put_bucket_lifecycle_configuration
    bucket.call("", put, Bucket=bucket.name, LifecycleConfiguration=configuration, **smallest)
