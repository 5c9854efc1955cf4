"""A restore put together from the settings: who bills it, what it costs, how fast it may ask."""

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from imgctl.config import Settings
from imgctl.ops.lookup import find_image
from imgctl.ops.restore.order import CONCURRENCY, RESTORES_A_SECOND, RestoreOrder, Wanted
from imgctl.ops.rows import Chosen
from imgctl.pricing.card import load_card
from imgctl.pricing.estimate import Billing, billing
from imgctl.pricing.prices import Card
from imgctl.store.blobs.base import Tier
from imgctl.store.catalog.engine import Catalog


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Who bills, by which card."""

    bill: Billing
    card: Card


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What was asked for on the command line."""

    tier: Tier = Tier.BULK
    days: int = 7
    permanent: bool = False
    max_usd: Decimal | None = None
    limit: int | None = None
    rate: int = RESTORES_A_SECOND
    dry_run: bool = False


def terms(settings: Settings, *, endpoint_url: str) -> Terms:
    """Who bills the store, and the price card in force."""
    card = load_card(Path(settings.cost.card).expanduser() if settings.cost.card else None)
    return Terms(bill=billing(settings.store.url, endpoint_url), card=card)


def order_of(request: Request, settings: Settings, found: Terms) -> RestoreOrder:
    """The request as an order."""
    return RestoreOrder(
        tier=request.tier,
        days=request.days,
        permanent=request.permanent,
        concurrency=settings.upload.concurrency or CONCURRENCY,
        rate=request.rate,
        limit=request.limit,
        dry_run=request.dry_run,
        # Of those that speak S3, only AWS is known to list restores.
        lists_restores=found.bill is not Billing.OTHER,
        budget=request.max_usd,
        card=None if found.bill is Billing.NONE else found.card,
    )


def wanted_of(catalog: Catalog, names: tuple[str, ...], chosen: Chosen) -> Wanted:
    """The images named by id, the beginning of one, key or URL; without names those of the scope."""
    return Wanted(ids=tuple(find_image(catalog, name).id for name in names), chosen=chosen)
