"""What the lab page is given: the card, the lengths of months, the plan to start from, and the decisions it offers."""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal

from imgctl.pricing.lines import Json, plain
from imgctl.pricing.plan import PRESETS, ROW_BYTES, Plan, Profile, month_lengths
from imgctl.pricing.prices import STANDARD, Card, ClassPrices, Tiers

MONTHS_OFFERED = 36


def page_data(card: Card, plan: Plan, *, profile: Profile = Profile.AWS, origin: str = "") -> dict[str, Json]:
    """All the page knows; prices and ratios are text, so that no reader rounds them. `origin` says whose figures it starts with."""
    start = plan.start or date(card.as_of.year, card.as_of.month, 1)
    offered = max(MONTHS_OFFERED, plan.months)
    return {
        "card": card_data(card),
        "days": [days for _, days in month_lengths(start, offered)],
        "start": start.isoformat()[:7],
        "plan": plan_data(plan),
        "profile": profile.value,
        "origin": origin,
        "presets": [
            {"name": one.name, "label": one.label, "cdn": one.cdn, "originals": one.originals, "drop": list(one.drop)}
            for one in PRESETS
        ],
    }


def plan_data(plan: Plan) -> dict[str, Json]:
    """A plan as the page keeps it."""
    return {
        "uploads_per_day": plan.uploads_per_day,
        "views_per_upload": plain(plan.views_per_upload),
        "sizes": dict(plan.sizes),
        "originals": plan.originals,
        "archive_after_days": plan.archive_after_days,
        "cdn": plan.cdn,
        "hit_ratio": plain(plan.hit_ratio),
        "months": plan.months,
        "tags": plan.tags,
        "audits": plan.audits,
        "stock": plan.stock,
        "stock_class": plan.stock_class,
    }


def card_data(card: Card) -> dict[str, Json]:
    """A card as the page reads it: the classes that originals may be moved to, delivery, and the rest it needs."""
    classes: Mapping[str, Json] = {
        name: _class(prices)
        for name, prices in card.classes.items()
        if name == STANDARD or prices.transition is not None
    }
    return {
        "name": card.name,
        "as_of": card.as_of.isoformat(),
        "source": card.source,
        "gb_bytes": str(card.gb_bytes),
        "classes": classes,
        "list": plain(card.requests.list),
        "transfer": {
            "internet": _tiers(card.transfer.internet),
            "internet_free_gb": plain(card.transfer.internet_free_gb),
            "to_cdn": plain(card.transfer.to_cdn),
        },
        "cdn": {
            "internet": _tiers(card.cdn.internet),
            "free_gb": plain(card.cdn.free_gb),
            "free_requests": card.cdn.free_requests,
            "https": plain(card.cdn.https),
        },
        "tags": plain(card.extras.tags),
        "database_gb": plain(card.database.gb),
        "row_bytes": ROW_BYTES,
    }


def _class(prices: ClassPrices) -> dict[str, Json]:
    return {
        "storage": _tiers(prices.storage),
        "put": plain(prices.put or Decimal(0)),
        "get": plain(prices.get or Decimal(0)),
        "transition": plain(prices.transition or Decimal(0)),
        "minimum_days": prices.minimum_days,
        "minimum_bytes": prices.minimum_bytes,
        "overhead_bytes": prices.overhead_bytes,
        "overhead_standard_bytes": prices.overhead_standard_bytes,
        "monitoring": plain(prices.monitoring),
        "monitored_bytes": prices.monitored_bytes,
        "retrieval": {
            tier: {"gb": plain(one.gb), "requests": plain(one.requests), "hours": [plain(hour) for hour in one.hours]}
            for tier, one in prices.retrieval.items()
        },
    }


def _tiers(tiers: Tiers) -> list[Json]:
    return [
        {"price": plain(tier.price), "up_to_gb": None if tier.up_to_gb is None else plain(tier.up_to_gb)}
        for tier in tiers
    ]
