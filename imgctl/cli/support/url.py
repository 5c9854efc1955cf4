"""`imgctl url`: a link to a picture."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from imgctl.cli.base import Session, subcommand
from imgctl.cli.options import Options, argument, flag, option
from imgctl.errors import ExitCode, UsageError
from imgctl.keys import ORIGINAL
from imgctl.model import Variant
from imgctl.ops.lookup import find_image
from imgctl.ops.parts import open_parts
from imgctl.ops.support.links import Linker, Need


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked(Options):
    image: str = argument("ID|KEY|URL")
    width: int | None = option(None, "The smallest variant at least that wide.", metavar="PX")
    variant: Variant | None = option(None, "This variant.")
    original: bool = flag("The original, always by a signed link.")
    cdn: bool | None = option(
        None, "Through the CDN, or signed (default: the CDN if one is set).", name="--cdn/--no-cdn"
    )


@subcommand(
    Asked,
    examples="""
imgctl url 0190b2b4-0000-7000-8000-000000000001 --width 400
imgctl url 0190b2b4 --variant thumb --no-cdn --expires 15m
imgctl url 0190b2b4 --original --expires 1h
""",
    settings={"links.expires": "How long a signed link works: 1h, at most 7d."},
)
def command(session: Session, asked: Asked) -> ExitCode:
    """Print a link to an image: by default to its largest variant.

    A CDN's link names the settings that built the variant, so that a rebuilt one is fetched anew. An original that is
    archived has no link that works: the error says what to do.
    """
    if sum((asked.width is not None, asked.variant is not None, asked.original)) > 1:
        raise UsageError("--width, --variant and --original exclude each other", hint="choose one")
    seconds = session.settings.links.expires
    need = Need(
        width=asked.width, role=ORIGINAL if asked.original else asked.variant, cdn=asked.cdn, expires_seconds=seconds
    )
    with open_parts(session.settings) as parts:
        found = find_image(parts.catalog, asked.image)
        linker = Linker(session.settings, parts.store)
        expires = datetime.now(UTC) + timedelta(seconds=seconds)
        link = linker.link(found, need)
    session.text(link.url)
    if link.warning:
        session.note(f"warning: {link.warning}")
    about = {"id": found.id, "role": link.role, "key": link.key, "url": link.url, "signed": link.signed}
    until = expires if link.signed else None
    session.data({"type": "link", **about, "expires_at": until, "warning": link.warning or None})
    session.data({"type": "summary", "links": 1})
    return ExitCode.DONE
