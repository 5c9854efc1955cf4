"""The frame of every page, and the policy it is served under."""

from html import escape

from fastapi.responses import HTMLResponse

from imgctl.web.face import Face

ASSETS = "/assets"


def page(face: Face, title: str, body: str, *, status: int = 200) -> HTMLResponse:
    """A whole page; `body` is HTML, `title` is text."""
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
    return HTMLResponse(text, status_code=status, headers=_headers(face))


def part(face: Face, body: str) -> HTMLResponse:
    """A part of a page, for the script that fetches it."""
    return HTMLResponse(body, headers=_headers(face))


def badge(status: str) -> str:
    """A state as a coloured word."""
    return f'<span class="badge {escape(status)}">{escape(status)}</span>'


def bar(*items: str) -> str:
    """The line at the top of a page."""
    return f'<header class="bar"><a class="brand" href="/">imgctl</a>{"".join(items)}</header>'


def _headers(face: Face) -> dict[str, str]:
    policy = (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'self'; "
        f"img-src 'self' {face.origin()}; base-uri 'none'; frame-ancestors 'none'"
    )
    return {"Content-Security-Policy": policy, "Cache-Control": "private, no-store"}
