"""The HTML of galleries and of one image: the frame of every page, tiles, and the details of an image for support."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from urllib.parse import urlencode
from uuid import UUID

from fastapi.responses import HTMLResponse

from imgctl.model import Image, Status, Variant, is_archived
from imgctl.ops.support.overview import Moment, ObservedBlob, Overview
from imgctl.store.catalog.queries.holds import LegalHold
from imgctl.units import count_of, format_bytes
from imgctl.web.app_state import AppState
from imgctl.web.auth import Caller

ASSETS = "/assets"


def page(state: AppState, title: str, body: str, *, status: int = 200) -> HTMLResponse:
    """Return a whole page; `body` is HTML, `title` is text."""
    text = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(title)}</title>
<link rel="icon" href="{ASSETS}/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="{ASSETS}/gallery.css">
<script src="{ASSETS}/gallery.js" defer></script>
</head>
<body>
{body}
</body>
</html>
"""
    return HTMLResponse(text, status_code=status, headers=_headers(state))


def part(state: AppState, body: str) -> HTMLResponse:
    """Return a part of a page, for the script that fetches it."""
    return HTMLResponse(body, headers=_headers(state))


def badge(status: str) -> str:
    """Return a state as a coloured word."""
    return f'<span class="badge {escape(status)}">{escape(status)}</span>'


def notice(holds: Iterable[LegalHold], caller: Caller, *, erasing: int = 0) -> str:
    """Return notices of the holds on a user's images (without reasons for a token of one user) and of erasures."""
    lines = [one.line if caller.user_id is None else one.brief for one in holds]
    words = [f"{badge('held')} {escape(line.removeprefix('held '))}" for line in dict.fromkeys(lines)]
    words += [f"{badge('erasing')} {count_of(erasing, 'image')} of this user"] if erasing else []
    return "".join(f'<p class="notice">{one}</p>' for one in words)


def marks(image: Image) -> str:
    """Return the badges of an image: that it is not ready, or that its original is archived."""
    found = [] if image.status is Status.READY else [badge(image.status)]
    return "".join([*found, badge("archived")] if is_archived(image.storage_class) else found)


def bar(*items: str) -> str:
    """Return the line at the top of a page."""
    return f'<header class="bar"><a class="brand" href="/">imgctl</a>{"".join(items)}</header>'


def _headers(state: AppState) -> dict[str, str]:
    policy = (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'self'; "
        f"img-src 'self' {state.origin()}; base-uri 'none'; frame-ancestors 'none'"
    )
    return {"Content-Security-Policy": policy, "Cache-Control": "private, no-store"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """The filter of a gallery, as in the query of its URL."""

    status: Status | None = None
    since: str = ""
    until: str = ""
    name: str = ""

    @property
    def query(self) -> dict[str, str]:
        """The filter as query parameters."""
        found = {"status": self.status or "", "name": self.name, "since": self.since, "until": self.until}
        return {name: str(value) for name, value in found.items() if value}


def gallery(state: AppState, user_id: UUID, chosen: Filter, images: Sequence[Image], *, more: bool, above: str) -> str:
    """Return the gallery of one user as HTML; `above` is the notice above it, as HTML."""
    title = f'<h1 class="who" title="{user_id}"><span class="soft">user</span> {user_id}</h1>'
    # Each page gets a new link, so it may expire early.
    all_of_it, _ = state.links.export(user_id, (), seconds=state.links.seconds)
    title += f'<a class="back" href="{escape(all_of_it)}" title="Originals, metadata and checksums as a ZIP file">Download all</a>'
    shown = tiles(state, user_id, chosen, images, more=more)
    empty = "" if images else f'<p class="nothing">{_nothing(chosen)}</p>'
    return f"""{bar(title)}{above}
{_form(user_id, chosen)}
<main id="gallery" data-user="{user_id}">
<ul class="tiles" aria-label="Images, newest first">{shown}</ul>{empty}
<p id="live" class="hidden" role="status" aria-live="polite"></p>
</main>
<dialog id="detail" tabindex="-1" aria-label="Image"></dialog>"""


def tiles(state: AppState, user_id: UUID, chosen: Filter, images: Sequence[Image], *, more: bool) -> str:
    """Return some tiles, and a link to the next ones."""
    shown = "".join(tile(state, image) for image in images)
    if not more:
        return shown
    query = urlencode(chosen.query | {"before": str(images[-1].id)})
    return f'{shown}<li class="older"><a id="older" rel="next" href="/users/{user_id}?{escape(query)}">Older</a></li>'


def tile(state: AppState, image: Image) -> str:
    """Return the tile of one image: its thumbnail if there is one, and its badges."""
    words = title_of(image)
    mark = marks(image)
    return (
        f'<li class="tile" id="i-{image.id}" data-id="{image.id}" data-status="{image.status}">'
        f'<a href="/view/{image.id}" title="{escape(_brief(words))}">{_thumb(state, image, words)}{mark}</a></li>'
    )


def title_of(image: Image) -> str:
    """Return the caption of an image, or else its day of capture, its name, or its day of upload."""
    if image.caption:
        return image.caption
    if image.taken_at is not None:
        return f"Photo of {image.taken_at.day} {image.taken_at:%B %Y}"
    return image.name or f"Uploaded {image.uploaded_at.day} {image.uploaded_at:%B %Y}"


def _thumb(state: AppState, image: Image, words: str) -> str:
    url = state.links.variant(image, Variant.THUMB)
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
<label>Name <input type="search" name="name" maxlength="255" value="{escape(chosen.name)}" placeholder="IMG_47*" spellcheck="false"></label>
<label>From <input type="date" name="since" value="{escape(chosen.since)}"></label>
<label>To <input type="date" name="until" value="{escape(chosen.until)}"></label>
<button type="submit">Show</button>{clear}
</form>"""


def detail_page(state: AppState, seen: Overview, caller: Caller) -> str:
    """Return the page of one image."""
    image = seen.image
    back = f'<a class="back" href="/users/{image.user_id}">All images of this user</a>'
    return f'{bar(back)}<main class="single">{article(state, seen, caller)}</main>'


def article(state: AppState, seen: Overview, caller: Caller) -> str:
    """Return everything about one image as HTML; the script watches `data-status`."""
    image = seen.image
    return f"""<article class="detail" data-id="{image.id}" data-status="{image.status}">
{_picture(state, image)}
<div class="facts">
<h2>{escape(title_of(image))}</h2>
<p class="state">{badge(image.status)} {badge("archived") if is_archived(image.storage_class) else ""} {_advice(seen)}</p>{notice(seen.holds, caller)}
{_facts(image)}
<h3>Blobs</h3>
{_blobs(seen.blobs)}
<h3>History</h3>
{_history(seen.history)}
<h3>Cost</h3>
<p class="cost">{escape(seen.cost.text(seen.billing))}</p>
</div>
</article>"""


def _picture(state: AppState, image: Image) -> str:
    small, large = state.links.variant(image, Variant.MEDIUM), state.links.variant(image, Variant.FULL)
    if small is None:
        why = "being built" if image.status is Status.PROCESSING else image.status.value
        return f'<div class="frame"><p class="blank">No picture: {why}</p></div>'
    size = f' width="{image.width}" height="{image.height}"' if image.width and image.height else ""
    picture = f'<img src="{escape(small)}" alt="{escape(title_of(image))}"{size}>'
    return f'<div class="frame"><a href="{escape(large or small)}" title="Full size">{picture}</a></div>'


def _advice(seen: Overview) -> str:
    advice = seen.advice
    command = f'<code class="repair">{escape(advice.command)}</code>' if advice.command else ""
    return f'<span class="{"fine" if advice.ok else "wrong"}">{escape(advice.text)}</span>{command}'


def _facts(image: Image) -> str:
    pixels = f"{image.width:,} × {image.height:,}" if image.width and image.height else None
    facts = {
        "Id": f"<code>{image.id}</code>",
        "Name": escape(image.name) if image.name else None,
        "Owner": f'<a href="/users/{image.user_id}"><code>{image.user_id}</code></a>',
        "Uploaded": f"{image.uploaded_at:%Y-%m-%d %H:%M:%S} UTC",
        "Taken": f"{image.taken_at:%Y-%m-%d %H:%M:%S} UTC" if image.taken_at else None,
        "Original": " · ".join(
            filter(None, (pixels, format_bytes(image.bytes or 0), escape(image.content_type or "")))
        ),
        "SHA-256": f"<code>{image.sha256.hex()}</code>" if image.sha256 else None,
        "Class": escape(image.storage_class or "STANDARD"),
        "Attempts": str(image.attempts) if image.attempts else None,
        # The error of a failed image is shown above, in the advice.
        "Damage": escape(image.error) if image.error and image.status is not Status.FAILED else None,
    }
    rows = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in facts.items() if value)
    return f"<dl>{rows}</dl>"


def _blobs(blobs: Iterable[ObservedBlob]) -> str:
    rows = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in _cells(one))}</tr>" for one in blobs)
    head = "<tr><th scope=col>Blob<th scope=col>Size<th scope=col>Class<th scope=col>Written</tr>"
    return f'<div class="wide"><table><thead>{head}</thead><tbody>{rows}</tbody></table></div>'


def _cells(one: ObservedBlob) -> tuple[str, ...]:
    role = f'<span title="{escape(one.key or "")}">{escape(one.role)}</span>'
    blob = one.blob
    if blob is None:
        return role, '<span class="wrong">missing</span>' if one.named else '<span class="soft">none</span>', "", ""
    size = format_bytes(blob.size) if blob.size else '<span class="wrong">empty</span>'
    restored = f" until {blob.restored_until:%Y-%m-%d}" if blob.restored_until else ""
    kind = escape(blob.storage_class) + (" (restoring)" if blob.restoring else restored)
    return role, size, kind, f"{blob.modified_at:%Y-%m-%d %H:%M}"


def _history(moments: Iterable[Moment]) -> str:
    rows = "".join(
        f"<li><time>{f'{one.at:%Y-%m-%d %H:%M:%S}' if one.at else '–'}</time> {escape(one.what)}</li>"
        for one in moments
    )
    return f'<ol class="history">{rows}</ol>'
