"""The lab page put together from its parts: nothing in it is loaded from anywhere."""

import json
from importlib.resources import files
from pathlib import Path

from imgctl.errors import StateError
from imgctl.ops.cost.lab.data import page_data
from imgctl.pricing.plan import Plan, Profile
from imgctl.pricing.prices import Card
from imgctl.run.scratch import atomic_write

PARTS = {"style": "style.css", "model": "model.js", "drawing": "drawing.js", "page": "page.js"}


def lab_page(card: Card, plan: Plan, *, profile: Profile = Profile.AWS, origin: str = "") -> str:
    """The whole HTML file; `origin` says whose figures it starts from."""
    place = files("imgctl.ops.cost.lab")
    page = (place / "lab.html").read_text("utf-8")
    for name, file in PARTS.items():
        page = page.replace(f"/*{{{name}}}*/", (place / file).read_text("utf-8"))
    data = json.dumps(page_data(card, plan, profile=profile, origin=origin), ensure_ascii=False)
    # A text of a card must not end the element that holds it.
    return page.replace("/*{data}*/", data.replace("<", "\\u003c"))


def write_page(file: Path, page: str) -> None:
    """Write the page; StateError when it cannot be written."""
    try:
        with atomic_write(file) as new:
            new.write_text(page, encoding="utf-8")
    except OSError as error:
        raise StateError(f"{file}: {(error.strerror or str(error)).lower()}", hint="choose another --out") from None
