"""The lab page put together from its parts: nothing in it is loaded from anywhere."""

import json
from dataclasses import fields
from datetime import date
from importlib.resources import files
from pathlib import Path

from imgctl.pricing.lines import as_json
from imgctl.pricing.plan import PRESETS, ROW_BYTES, Plan, Profile, month_lengths
from imgctl.pricing.prices import STANDARD, Card
from imgctl.run.scratch import whole_file

PARTS = {"style": "style.css", "model": "model.js", "drawing": "drawing.js", "page": "page.js"}
MONTHS_OFFERED = 36


def lab_page(card: Card, plan: Plan, *, profile: Profile = Profile.AWS, origin: str = "") -> str:
    """The whole HTML file; `origin` says whose figures it starts from."""
    place = files("imgctl.ops.cost.lab")
    page = (place / "lab.html").read_text("utf-8")
    for name, file in PARTS.items():
        page = page.replace(f"/*{{{name}}}*/", (place / file).read_text("utf-8"))
    # A text of a card must not end the element that holds it.
    return page.replace("/*{data}*/", page_data(card, plan, profile=profile, origin=origin).replace("<", "\\u003c"))


def page_data(card: Card, plan: Plan, *, profile: Profile = Profile.AWS, origin: str = "") -> str:
    """All the page knows, as JSON: the card with the classes that originals may be moved to, the lengths of months,
    the plan to start from, and the decisions it offers. Prices and ratios are text, so that no reader rounds them.
    """
    start = plan.start or date(card.as_of.year, card.as_of.month, 1)
    classes = {name: one for name, one in card.classes.items() if name == STANDARD or one.transition is not None}
    data = {
        "card": _fields(card) | {"classes": classes, "row_bytes": ROW_BYTES},
        "days": [days for _, days in month_lengths(start, max(MONTHS_OFFERED, plan.months))],
        "start": start.isoformat()[:7],
        "plan": _fields(plan),
        "profile": profile,
        "origin": origin,
        "presets": PRESETS,
    }
    return json.dumps(data, ensure_ascii=False, default=as_json)


def _fields(value: Card | Plan) -> dict[str, object]:
    return {one.name: getattr(value, one.name) for one in fields(value)}


def write_page(file: Path, page: str) -> None:
    """Write the page; StateError when it cannot be written."""
    with whole_file(file, hint="choose another --out") as out:
        out.write(page)
