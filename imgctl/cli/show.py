"""`imgctl show`: all that is known of one image."""

import click

from imgctl.cli.base import Session, subcommand
from imgctl.errors import ExitCode


@subcommand(
    examples="""
imgctl show 0190b2b4-0000-7000-8000-000000000001
imgctl show 0190b2b4 --json
imgctl show 2026/11/22/0190b2b4-0000-7000-8000-000000000001-thumb.jpg
""",
)
@click.argument("image", metavar="ID")
def command(session: Session, image: str) -> ExitCode:
    """Show the row of an image, by its id, the beginning of one, or one of its keys."""
    from imgctl.ops.lookup import find_image, record
    from imgctl.ops.parts import open_parts

    with open_parts(session.settings) as parts:
        found = record(find_image(parts.catalog, image))
    width = max(map(len, found))
    for name, value in found.items():
        session.text(f"{name:<{width}}  {'-' if value is None else value}")
    session.data({"type": "image", **found})
    session.data({"type": "summary", "images": 1})
    return ExitCode.DONE
