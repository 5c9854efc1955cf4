"""`imgctl url`: prints a link to an image."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from imgctl.cli.common.options import Options, argument, flag, option
from imgctl.cli.common.session import Session, subcommand
from imgctl.errors import ExitCode, UsageError
from imgctl.keys import ORIGINAL
from imgctl.model import Variant
from imgctl.ops.common.lookup import find_image
from imgctl.ops.common.open import open_parts
from imgctl.ops.support.links import Need, link


@dataclass(frozen=True, slots=True, kw_only=True)
class Args(Options):
    image: str = argument("ID|KEY|URL")
    width: int | None = option(None, "The smallest variant of at least this width.", metavar="PX")
    variant: Variant | None = option(None, "A link to this variant.")
    original: bool = flag("A link to the original, never through the CDN.")
    cdn: bool | None = option(
        None, "A CDN link, or a signed one (default: the CDN if one is set).", name="--cdn/--no-cdn"
    )


@subcommand(
    Args,
    changes=lambda args: args.original,
    examples="""
imgctl url 0190b2b4-0000-7000-8000-000000000001 --width 400
imgctl url 0190b2b4 --variant thumb --no-cdn --expires 15m
imgctl url 0190b2b4 --original --expires 1h
""",
    settings={"links.expires": "How long a signed link works: 1h, at most 7d."},
)
def command(session: Session, args: Args) -> ExitCode:
    """Print a link to an image: by default to its largest variant.

    A CDN link contains a digest of the settings that built the variant, so that caches fetch a rebuilt one again. For an
    original that is archived by its row there is no link until it is restored: the error shows the next step. A link to a
    file of a directory is not signed and does not expire. `imgctl history` lists who asked for a link to an original.
    """
    if sum((args.width is not None, args.variant is not None, args.original)) > 1:
        raise UsageError("--width, --variant and --original exclude each other", hint="choose one")
    seconds = session.settings.links.expires
    need = Need(
        width=args.width, role=ORIGINAL if args.original else args.variant, cdn=args.cdn, expires_seconds=seconds
    )
    with open_parts(session.settings) as parts:
        found = find_image(parts.catalog, args.image)
        expires = datetime.now(UTC) + timedelta(seconds=seconds)
        made = link(session.settings, parts.store, found, need)
    session.text(made.url)
    if made.warning:
        session.note(f"warning: {made.warning}")
    about = {"id": found.id, "role": made.role, "key": made.key, "url": made.url, "signed": made.signed}
    until = expires if made.signed else None
    session.data({"type": "link", **about, "expires_at": until, "warning": made.warning or None})
    session.data({"type": "summary", "links": 1})
    return ExitCode.DONE
