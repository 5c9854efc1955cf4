"""A user's images as tiles: thumbnails newest first, and the filter above them."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from urllib.parse import urlencode
from uuid import UUID

from imgctl.model import Image, Status, Variant
from imgctl.web.face import Face
from imgctl.web.gallery.html import badge, bar


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """What a gallery is narrowed to, as it stands in the address."""

    status: Status | None = None
    since: str = ""
    until: str = ""

    @property
    def query(self) -> dict[str, str]:
        """The filter as parameters."""
        found = {"status": self.status.value if self.status else "", "since": self.since, "until": self.until}
        return {name: value for name, value in found.items() if value}


def gallery(face: Face, user_id: UUID, chosen: Filter, images: Sequence[Image], *, more: bool) -> str:
    """The gallery of one user as HTML."""
    title = f'<h1 class="who" title="{user_id}"><span class="soft">user</span> {user_id}</h1>'
    shown = tiles(face, user_id, chosen, images, more=more)
    empty = "" if images else f'<p class="nothing">{_nothing(chosen)}</p>'
    return f"""{bar(title)}
{_form(user_id, chosen)}
<main id="gallery" data-user="{user_id}">
<ul class="tiles" aria-label="Images, newest first">{shown}</ul>{empty}
<p id="said" class="hidden" role="status" aria-live="polite"></p>
</main>
<dialog id="detail" tabindex="-1" aria-label="Image"></dialog>"""


def tiles(face: Face, user_id: UUID, chosen: Filter, images: Sequence[Image], *, more: bool) -> str:
    """Some tiles, and where the next ones are."""
    shown = "".join(tile(face, image) for image in images)
    if not more:
        return shown
    query = urlencode(chosen.query | {"before": str(images[-1].id)})
    return f'{shown}<li class="older"><a id="older" rel="next" href="/users/{user_id}?{escape(query)}">Older</a></li>'


def tile(face: Face, image: Image) -> str:
    """One image: its thumbnail where there is one, its state where that is worth a word."""
    words = image.caption or f"Photo of {(image.taken_at or image.uploaded_at):%d %B %Y}"
    state = "" if image.status is Status.READY else badge(image.status)
    return (
        f'<li class="tile" id="i-{image.id}" data-id="{image.id}" data-status="{image.status}">'
        f'<a href="/view/{image.id}" title="{escape(_brief(words))}">{_picture(face, image, words)}{state}</a></li>'
    )


def _picture(face: Face, image: Image, words: str) -> str:
    url = face.links.variant(image, Variant.THUMB)
    if url is None:
        return f'<span class="blank" role="img" aria-label="{escape(words)}, {image.status}"></span>'
    return f'<img src="{escape(url)}" alt="{escape(words)}" loading="lazy" decoding="async">'


def _brief(words: str) -> str:
    return words if len(words) <= 120 else f"{words[:119]}…"


def _nothing(chosen: Filter) -> str:
    return "Nothing fits this filter." if chosen.query else "This user has no images yet."


def _form(user_id: UUID, chosen: Filter) -> str:
    options = "".join(
        f'<option value="{one}"{" selected" if chosen.status is one else ""}>{one}</option>' for one in Status
    )
    clear = f'<a class="clear" href="/users/{user_id}">clear</a>' if chosen.query else ""
    return f"""<form class="filter" id="filter" method="get" action="/users/{user_id}" aria-label="Filter">
<label>State <select name="status"><option value="">all</option>{options}</select></label>
<label>From <input type="date" name="since" value="{escape(chosen.since)}"></label>
<label>To <input type="date" name="until" value="{escape(chosen.until)}"></label>
<button type="submit">Show</button>{clear}
</form>"""
