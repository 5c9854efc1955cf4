"""One image from all sides, as support sees it."""

from collections.abc import Iterable
from html import escape

from imgctl.model import Image, Status, Variant
from imgctl.ops.support.overview import Moment, ObservedBlob, Overview
from imgctl.units import format_bytes
from imgctl.web.face import Face
from imgctl.web.gallery.html import badge, bar


def detail_page(face: Face, seen: Overview) -> str:
    """A page about one image."""
    image = seen.image
    back = f'<a class="back" href="/users/{image.user_id}">All images of this user</a>'
    return f'{bar(back)}<main class="single">{article(face, seen)}</main>'


def article(face: Face, seen: Overview) -> str:
    """Everything about one image; `data-status` is for the script that waits for it to change."""
    image = seen.image
    name = escape(image.caption) if image.caption else f"Photo of {(image.taken_at or image.uploaded_at):%d %B %Y}"
    return f"""<article class="detail" data-id="{image.id}" data-status="{image.status}">
{_picture(face, image)}
<div class="facts">
<h2>{name}</h2>
<p class="state">{badge(image.status)} {_advice(seen)}</p>
{_facts(image)}
<h3>Blobs</h3>
{_blobs(seen.blobs)}
<h3>History</h3>
{_history(seen.history)}
<h3>Cost</h3>
<p class="cost">{escape(seen.cost.text(seen.billing))}</p>
</div>
</article>"""


def _picture(face: Face, image: Image) -> str:
    small, large = face.links.variant(image, Variant.MEDIUM), face.links.variant(image, Variant.FULL)
    if small is None:
        why = "being built" if image.status is Status.PROCESSING else image.status.value
        return f'<div class="frame"><p class="blank">No picture: {why}</p></div>'
    size = f' width="{image.width}" height="{image.height}"' if image.width and image.height else ""
    words = escape(image.caption or f"Photo of {image.uploaded_at:%d %B %Y}")
    picture = f'<img src="{escape(small)}" alt="{words}"{size}>'
    return f'<div class="frame"><a href="{escape(large or small)}" title="Full size">{picture}</a></div>'


def _advice(seen: Overview) -> str:
    advice = seen.advice
    mend = f'<code class="mend">{escape(advice.command)}</code>' if advice.command else ""
    return f'<span class="{"fine" if advice.ok else "wrong"}">{escape(advice.text)}</span>{mend}'


def _facts(image: Image) -> str:
    pixels = f"{image.width:,} × {image.height:,}" if image.width and image.height else None
    facts = {
        "Id": f"<code>{image.id}</code>",
        "Owner": f'<a href="/users/{image.user_id}"><code>{image.user_id}</code></a>',
        "Uploaded": f"{image.uploaded_at:%Y-%m-%d %H:%M:%S} UTC",
        "Taken": f"{image.taken_at:%Y-%m-%d %H:%M:%S} UTC" if image.taken_at else None,
        "Original": " · ".join(
            filter(None, (pixels, format_bytes(image.bytes or 0), escape(image.content_type or "")))
        ),
        "SHA-256": f"<code>{image.sha256.hex()}</code>" if image.sha256 else None,
        "Class": escape(image.storage_class or "STANDARD"),
        "Attempts": str(image.attempts) if image.attempts else None,
        # What made it fail is said above.
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
