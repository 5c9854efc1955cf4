"""A transition put together from what was asked and from the settings."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from imgctl.config import Settings
from imgctl.model import StorageClass
from imgctl.ops.cost.cards import card_in_force
from imgctl.ops.rows import Chosen
from imgctl.ops.transition.order import STAY_DAYS, Policy, TransitionOrder
from imgctl.store.catalog.lookups import Scope

REQUESTS = 16
DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What was asked for: originals of a choice, older than so many seconds, to a class, kept there `stay_seconds`."""

    to: StorageClass
    chosen: Chosen = field(default_factory=Chosen)
    older_than_seconds: float | None = None
    stay_seconds: float = float(STAY_DAYS * DAY_SECONDS)
    min_size: int | None = None
    limit: int | None = None
    rate: int | None = None
    delete_noncurrent: bool = False


def order_of(settings: Settings, request: Request) -> TransitionOrder:
    """The order, its cutoff fixed now: survey and acting see the same rows; ConfigError for a wrong price card."""
    at = datetime.now(UTC)
    card = card_in_force(settings)
    stay_days = max(1, round(request.stay_seconds / DAY_SECONDS))
    return TransitionOrder(
        policy=Policy(to=request.to, card=card, at=at, stay_days=stay_days, min_size=request.min_size),
        chosen=replace(request.chosen, scope=_older(request.chosen.scope, request.older_than_seconds, at)),
        limit=request.limit,
        concurrency=settings.upload.concurrency or REQUESTS,
        rate=request.rate,
        lease_seconds=settings.work.lease,
        delete_noncurrent=request.delete_noncurrent,
    )


def _older(scope: Scope, seconds: float | None, at: datetime) -> Scope:
    # Without an age the cutoff is now: what is uploaded meanwhile is not for this run.
    cutoff = at if seconds is None else at - timedelta(seconds=seconds)
    return replace(scope, promised_before=cutoff)
