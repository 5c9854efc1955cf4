"""`imgctl get`: downloads an image's blobs as files."""

from dataclasses import dataclass, replace
from pathlib import Path

from imgctl.cli.common.options import Options, arguments, flag, required
from imgctl.cli.common.session import Session, subcommand
from imgctl.cli.common.types import DIRECTORY
from imgctl.errors import ExitCode, ImageMissing, ImgctlError, UsageError
from imgctl.ops.common.lookup import find_image
from imgctl.ops.common.open import open_parts
from imgctl.ops.export.get import fetch
from imgctl.ops.export.job import refuse_own
from imgctl.ops.export.options import LEFT_OUT, Fate, Outcome
from imgctl.ops.export.sinks import make_directory
from imgctl.units import format_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Args(Options):
    images: tuple[str, ...] = arguments("ID|KEY|URL...")
    out: Path = required(Path, "The directory to write to.", kind=DIRECTORY)
    force: bool = flag("Overwrite files that differ, except under an original's file name.")


@subcommand(
    Args,
    changes=lambda _: True,
    examples="""
imgctl get 0190b2b4-0000-7000-8000-000000000001 --out case-4711
imgctl get 0190b2b4 0190b2b5 --out . --json
""",
)
def command(session: Session, args: Args) -> ExitCode:
    """Download originals and the variants that exist, and check them.

    An original must have the size and the SHA-256 of its row. It gets the name of its upload; if another file has that
    name, that file is kept, and the original gets the name in its key. Files are written atomically. Any other existing
    file that differs is kept unless --force, and the exit code is 3; so it is if one of several images is not found.
    """
    fates, unknown = dict.fromkeys((Fate.SAVED, Fate.PRESENT, Fate.FAILED), 0), 0
    refuse_own(session.settings.store, args.out)
    make_directory(args.out)
    with open_parts(session.settings) as parts:
        for text in args.images:
            try:
                image = find_image(parts.catalog, text)
            except (ImageMissing, UsageError) as error:
                if len(args.images) == 1:
                    raise
                session.error(error.line)
                unknown += 1
                continue
            for found in fetch(parts.store, image, args.out, force=args.force):
                # This command restores nothing, so an archived original is a failure.
                one = replace(found, fate=Fate.FAILED) if found.fate in LEFT_OUT else found
                fates[one.fate] += 1
                _show(session, one, path=args.out / one.path)
    session.summary(fates)
    if not any(fates.values()) and not unknown:
        raise ImgctlError("the image has no confirmed blobs yet", hint=f"imgctl show {args.images[0]} shows why")
    return ExitCode.PARTLY if fates[Fate.FAILED] or unknown else ExitCode.DONE


def _show(session: Session, one: Outcome, *, path: Path) -> None:
    session.data(blob_record(one, path=path))
    if one.fate is Fate.FAILED:
        session.error(f"{one.role} of {one.image}: {one.detail}")
    else:
        session.text(f"{one.fate:<7}  {format_bytes(one.bytes):>9}  {path}")


def blob_record(one: Outcome, *, path: object) -> dict[str, object]:
    """Return the outcome for a blob as a JSON record."""
    about = {"id": one.image, "role": one.role, "key": one.key or None, "path": path or None, "fate": one.fate}
    return {"type": "blob", **about, "bytes": one.bytes, "detail": one.detail or None}
