"""Hands the moves over to AWS: a lifecycle rule of the bucket, or a job of S3 Batch Operations."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import chain

from imgctl.config.settings import Settings
from imgctl.errors import UsageError
from imgctl.ops.parts import Parts
from imgctl.ops.retry import StopSignal, write
from imgctl.ops.transition.eligibility import Verdict
from imgctl.ops.transition.move import seen_of
from imgctl.ops.transition.order import DAY_SECONDS, TransitionOrder
from imgctl.ops.transition.survey import Judges
from imgctl.pricing.moves import Origin, break_even_bytes
from imgctl.pricing.prices import STANDARD
from imgctl.store.aws.batch import Job, create_copy_job, write_manifest
from imgctl.store.aws.lifecycle import LifecyclePlan, planned
from imgctl.store.catalog.storage_class import promise_moves
from imgctl.units import count_of

# Rows of a job are not looked at again before it had this time; then `transition` confirms or moves each.
JOB_SECONDS = 86_400.0
DIRECTORY = "imgctl-batch"


@dataclass(frozen=True, slots=True, kw_only=True)
class HandedOver:
    """A job that was created: its id at AWS, the manifest's key, and how many originals are in it."""

    job_id: str
    manifest_key: str
    originals: int


def rule_of(settings: Settings, order: TransitionOrder, *, older_than_seconds: float) -> LifecyclePlan:
    """What a rule with this order's age, class and smallest size would change in the bucket; ConfigError where none can
    be: originals need a prefix of their own. UsageError for a move that never pays.
    """
    policy = order.policy
    source = Origin(storage_class=STANDARD)
    least = policy.min_size
    if least is None:
        least = break_even_bytes(policy.card, source=source, to=policy.to, stay_days=policy.stay_days)
    if least is None:
        raise UsageError(f"{policy.to} pays for no size within {count_of(policy.stay_days, 'day')}", hint="--stay 365d")
    days = math.ceil(older_than_seconds / DAY_SECONDS)
    return planned(settings.store, to=policy.to, days=days, min_size=least)


def by_batch(judges: Judges, order: TransitionOrder, *, parts: Parts, role_arn: str, stop: StopSignal) -> HandedOver:
    """Promise the moves in the rows, write the manifest, create the job; its moves begin once it is confirmed at AWS.

    Where that ends early the rows keep the promise for a day, and the next transition after that puts them right.
    """
    now = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    key, count = f"{DIRECTORY}/{now}-{order.policy.to}.csv", 0

    def keys() -> Iterator[str]:
        nonlocal count
        for name in chain.from_iterable(_promised(block, order, parts, stop) for block in judges.blocks()):
            count += 1
            yield name
            if count == order.limit:
                return

    settings = parts.settings.store
    manifest = write_manifest(settings, key, keys())
    job = Job(role_arn=role_arn, report_prefix=f"{DIRECTORY}/{now}-report", description=f"imgctl to {order.policy.to}")
    job_id = create_copy_job(settings, manifest, job, to=order.policy.to)
    return HandedOver(job_id=job_id, manifest_key=key, originals=count)


def _promised(block: list[Verdict], order: TransitionOrder, parts: Parts, stop: StopSignal) -> list[str]:
    passed = [verdict.image for verdict in block if verdict.refusal is None]
    if not passed:
        return []
    seen = [seen_of(image) for image in passed]
    promises = partial(promise_moves, rows=seen, to=order.policy.to, lease_seconds=JOB_SECONDS)
    promised = write(parts.catalog, promises, stop=stop)
    return [image.original_key or "" for image in passed if image.id in promised]
