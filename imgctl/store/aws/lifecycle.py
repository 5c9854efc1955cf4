"""Lifecycle rules of a bucket: ours merged into what is there by rule id, shown as a diff, put, and looked at again."""

import difflib
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias, cast

from imgctl.config.settings import StoreSettings
from imgctl.errors import ConfigError, StoreError
from imgctl.model import StorageClass
from imgctl.store.blobs.s3_bucket import Bucket, bucket_of
from imgctl.store.blobs.s3_errors import code_of

Rule: TypeAlias = Mapping[str, object]

# S3 User Guide: the most rules of one configuration.
MOST_RULES = 1000
_ABORT_DAYS = 7
_SMALLEST = "TransitionDefaultMinimumObjectSize"
# What it is where nobody set it: told only by the server's answer, so that it does not count as a difference.
_DEFAULT_SMALLEST = "all_storage_classes_128K"


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """What is to become of the objects under `prefix`: the class after a number of days; from `min_size` bytes on, 0 is all.

    With 0 the bucket's default holds: nothing below 128 KiB is moved, unless it says `varies_by_storage_class`.
    """

    prefix: str
    to: StorageClass
    days: int
    min_size: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifecycle:
    """A bucket's lifecycle configuration; `smallest` is its TransitionDefaultMinimumObjectSize, empty where unsaid."""

    rules: tuple[Rule, ...] = ()
    smallest: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LifecyclePlan:
    """A configuration as it is and as it would be; `diff` is for people, empty where nothing changes."""

    before: Lifecycle
    after: Lifecycle

    @property
    def diff(self) -> str:
        """What changes, in lines of a unified diff."""
        lines = difflib.unified_diff(_lines(self.before), _lines(self.after), "bucket", "planned", lineterm="")
        return "\n".join(lines)


def planned(settings: StoreSettings, *, to: StorageClass, days: int, min_size: int = 0) -> LifecyclePlan:
    """What writing the rule would change; ConfigError unless originals have a prefix of their own in a bucket."""
    if not settings.originals_prefix:
        hint = "set [store] originals_prefix before the first upload: a rule chooses objects by how their keys begin"
        raise ConfigError("originals have no prefix of their own, so that no lifecycle rule can mean them", hint=hint)
    bucket = bucket_of(settings)
    prefix = bucket.prefix + settings.originals_prefix
    before = read(bucket)
    return LifecyclePlan(
        before=before, after=merged(before, Transition(prefix=prefix, to=to, days=days, min_size=min_size))
    )


def put(settings: StoreSettings, plan: LifecyclePlan) -> None:
    """Write a plan whole; StoreError when the bucket's rules changed since, or are not as written when read again.

    S3 knows no condition for it: what somebody else writes in the instant between is lost.
    """
    if not plan.diff:
        return
    bucket = bucket_of(settings)
    if not same(read(bucket), plan.before):
        raise StoreError(f"the lifecycle rules of {bucket.name} changed since they were planned", hint="plan again")
    _write(bucket, plan.after)
    if difference := LifecyclePlan(before=plan.after, after=read(bucket)).diff:
        hint = f"look at them: aws s3api get-bucket-lifecycle-configuration --bucket {bucket.name}"
        changed = "; ".join(line for line in difference.splitlines()[2:] if line[:1] in ("-", "+"))
        raise StoreError(f"the lifecycle rules of {bucket.name} are not what was written: {changed}", hint=hint)


def merged(before: Lifecycle, wanted: Transition) -> Lifecycle:
    """The configuration with our two rules for this prefix and class in place; all others as they were."""
    if not wanted.prefix:
        raise ConfigError("a lifecycle rule without a prefix would move the whole bucket", hint="set originals_prefix")
    ours = {str(rule["ID"]): rule for rule in (_transition(wanted), _abort(wanted.prefix))}
    kept = tuple(ours.pop(str(rule.get("ID")), rule) for rule in before.rules)
    rules = kept + tuple(ours.values())
    if len(rules) > MOST_RULES:
        hint = "take rules away that nobody needs"
        raise StoreError(f"the bucket allows {MOST_RULES} lifecycle rules, and would have {len(rules)}", hint=hint)
    return Lifecycle(rules=rules, smallest=before.smallest)


def read(bucket: Bucket) -> Lifecycle:
    """The bucket's configuration; none is an empty one."""
    answer = bucket.call("", partial(_read, bucket))
    rules = cast("Sequence[Rule]", answer.get("Rules", ()))
    return Lifecycle(rules=tuple(rules), smallest=str(answer.get(_SMALLEST, "")))


def same(one: Lifecycle, other: Lifecycle) -> bool:
    """Whether two configurations say the same, in whatever order."""
    return _lines(one) == _lines(other)


def _transition(wanted: Transition) -> Rule:
    chosen: dict[str, object] = {"Prefix": wanted.prefix}
    if wanted.min_size:
        # The filter says "greater than", imgctl "at least".
        chosen = {"And": {"Prefix": wanted.prefix, "ObjectSizeGreaterThan": wanted.min_size - 1}}
    return {
        "ID": _id(str(wanted.to), wanted.prefix),
        "Status": "Enabled",
        "Filter": chosen,
        "Transitions": [{"Days": wanted.days, "StorageClass": str(wanted.to)}],
    }


def _abort(prefix: str) -> Rule:
    """What uploads that were killed left behind is billed until somebody ends it."""
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
    smallest = {_SMALLEST: wanted.smallest} if wanted.smallest else {}
    configuration = {"Rules": list(wanted.rules)}
    put = bucket.client.put_bucket_lifecycle_configuration
    bucket.call("", put, Bucket=bucket.name, LifecycleConfiguration=configuration, **smallest)


def _lines(lifecycle: Lifecycle) -> list[str]:
    rules = sorted(lifecycle.rules, key=lambda rule: str(rule.get("ID", "")))
    said = lifecycle.smallest not in ("", _DEFAULT_SMALLEST)
    shown = {"Rules": rules} | ({_SMALLEST: lifecycle.smallest} if said else {})
    return json.dumps(shown, indent=1, sort_keys=True, default=str).splitlines()
