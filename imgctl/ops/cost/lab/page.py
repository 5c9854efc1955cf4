"""Builds the lab page from its parts: one file that loads nothing."""

import json
from collections.abc import Mapping
from dataclasses import fields
from datetime import date
from importlib.resources import files
from pathlib import Path

from imgctl.pricing.lines import as_json
from imgctl.pricing.other_provider import lacks, like
from imgctl.pricing.plan import PRESETS, ROW_BYTES, Plan, Profile, month_lengths
from imgctl.pricing.prices import CLASSES, STANDARD, Card
from imgctl.run.scratch import whole_file

PARTS = {
    "style": "style.css",
    "model": "model.js",
    "drawing": "drawing.js",
    "providers": "providers.js",
    "page": "page.js",
}
MONTHS_OFFERED = 36


def lab_page(cards: Mapping[str, Card], plan: Plan, *, profile: Profile = Profile.AWS, origin: str = "") -> str:
    """Return the whole HTML file, which starts with the first card; `origin` is a line on the source of its figures."""
    place = files("imgctl.ops.cost.lab")
    page = (place / "lab.html").read_text("utf-8")
    for name, file in PARTS.items():
        page = page.replace(f"/*{{{name}}}*/", (place / file).read_text("utf-8"))
    # A card's text must not close its HTML element.
    return page.replace("/*{data}*/", page_data(cards, plan, profile=profile, origin=origin).replace("<", "\\u003c"))


def page_data(cards: Mapping[str, Card], plan: Plan, *, profile: Profile = Profile.AWS, origin: str = "") -> str:
    """Return the page's data as JSON: the cards by their --card names, the lengths of months, the plan to start from,
    and the presets. Prices and ratios are text, so that no parser rounds them.
    """
    first = next(iter(cards.values()))
    start = plan.start or date(first.as_of.year, first.as_of.month, 1)
    data = {
        "cards": {name: _card(card) for name, card in cards.items()},
        "days": [days for _, days in month_lengths(start, max(MONTHS_OFFERED, plan.months))],
        "start": start.isoformat()[:7],
        "plan": _fields(plan),
        "profile": profile,
        "origin": origin,
        "presets": PRESETS,
    }
    return json.dumps(data, ensure_ascii=False, default=as_json)


def _card(card: Card) -> dict[str, object]:
    """Return a card with the classes that originals may be moved to, the nearest class to each, and the missing features."""
    classes = {name: one for name, one in card.classes.items() if name == STANDARD or one.transition is not None}
    nearest = {name: like(name, card) for name in CLASSES}
    return _fields(card) | {"classes": classes, "row_bytes": ROW_BYTES, "like": nearest, "lacks": lacks(card)}


def _fields(value: Card | Plan) -> dict[str, object]:
    return {one.name: getattr(value, one.name) for one in fields(value)}


def write_page(file: Path, page: str) -> None:
    """Write the page; StateError when it cannot be written."""
    with whole_file(file, hint="choose another --out") as out:
        out.write(page)
