"""`imgctl url`: a link to a picture."""

from datetime import UTC, datetime, timedelta

import click

from imgctl.cli.base import Session, subcommand
from imgctl.errors import ExitCode, UsageError
from imgctl.keys import ORIGINAL
from imgctl.model import Variant


@subcommand(
    examples="""
imgctl url 0190b2b4-0000-7000-8000-000000000001 --width 400
imgctl url 0190b2b4 --variant thumb --no-cdn --expires 15m
imgctl url 0190b2b4 --original --expires 1h
""",
    flags={"expires": "links.expires"},
)
@click.argument("image", metavar="ID|KEY|URL")
@click.option("--width", type=click.IntRange(min=1), metavar="PX", help="The smallest variant at least so wide.")
@click.option("--variant", type=click.Choice([one.value for one in Variant]), help="This variant.")
@click.option("--original", is_flag=True, help="The original, always by a signed link.")
@click.option("--expires", metavar="TIME", help="How long a signed link works: 1h, at most 7d. [links] expires")
@click.option("--cdn/--no-cdn", default=None, help="Through the CDN, or signed (default: the CDN if one is set).")
def command(
    session: Session, *, image: str, width: int | None, variant: str | None, original: bool, cdn: bool | None
) -> ExitCode:
    """Print a link to an image: by default to its largest variant.

    A CDN's link names the settings that built the variant, so that a rebuilt one is fetched anew. An original that is
    archived has no link that works: the error says what to do.
    """
    from imgctl.ops.lookup import find_image
    from imgctl.ops.parts import open_parts
    from imgctl.ops.support.links import Linker, Need

    if sum((width is not None, variant is not None, original)) > 1:
        raise UsageError("--width, --variant and --original exclude each other", hint="choose one")
    seconds = session.settings.links.expires
    need = Need(width=width, role=ORIGINAL if original else variant, cdn=cdn, expires_seconds=seconds)
    with open_parts(session.settings) as parts:
        found = find_image(parts.catalog, image)
        linker = Linker(session.settings, parts.store)
        expires = datetime.now(UTC) + timedelta(seconds=seconds)
        link = linker.link(found, need)
    session.text(link.url)
    if link.warning:
        session.note(f"warning: {link.warning}")
    session.data(
        {
            "type": "link",
            "id": str(found.id),
            "role": link.role,
            "key": link.key,
            "url": link.url,
            "signed": link.signed,
            "expires_at": expires.isoformat() if link.signed else None,
            "warning": link.warning or None,
        }
    )
    session.data({"type": "summary", "links": 1})
    return ExitCode.DONE
