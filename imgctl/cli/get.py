"""`imgctl get`: a picture's blobs as files."""

from pathlib import Path

import click

from imgctl.cli.base import Session, subcommand
from imgctl.errors import ExitCode, ImgctlError
from imgctl.units import format_bytes


@subcommand(
    examples="""
imgctl get 0190b2b4-0000-7000-8000-000000000001 --out case-4711
imgctl get 0190b2b4 0190b2b5 --out . --json
""",
)
@click.argument("images", metavar="ID|KEY|URL...", nargs=-1, required=True)
@click.option(
    "--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="The directory to write to."
)
@click.option("--force", is_flag=True, help="Write over files that differ.")
def command(session: Session, *, images: tuple[str, ...], out: Path, force: bool) -> ExitCode:
    """Download originals and the variants that exist, and check them.

    An original must have the size and the SHA-256 of its row. A file appears whole or not at all; one that is there
    and differs is left alone unless --force, and the exit code is 3.
    """
    from imgctl.ops.lookup import find_image
    from imgctl.ops.parts import open_parts
    from imgctl.ops.support.download import Fate, fetch, make_directory

    fates = dict.fromkeys(Fate, 0)
    make_directory(out)
    with open_parts(session.settings) as parts:
        for text in images:
            for one in fetch(parts.store, find_image(parts.catalog, text), out, force=force):
                fates[one.fate] += 1
                session.data(
                    {
                        "type": "blob",
                        "id": str(one.image),
                        "role": one.role,
                        "key": one.key,
                        "path": str(one.path),
                        "fate": one.fate.value,
                        "bytes": one.bytes,
                        "detail": one.detail or None,
                    }
                )
                if one.fate is Fate.FAILED:
                    session.error(f"{one.role} of {one.image}: {one.detail}")
                else:
                    session.text(f"{one.fate:<7}  {format_bytes(one.bytes):>9}  {one.path}")
    session.data({"type": "summary", **{fate.value: count for fate, count in fates.items()}})
    if not any(fates.values()):
        raise ImgctlError("nothing of it is known to be safe yet", hint=f"imgctl show {images[0]} says why")
    return ExitCode.PARTLY if fates[Fate.FAILED] else ExitCode.DONE
