"""`imgctl show`: shows everything about one image."""

from dataclasses import dataclass

from imgctl.cli.common.options import Options, argument
from imgctl.cli.common.render import show_table
from imgctl.cli.common.session import Session, subcommand
from imgctl.errors import ExitCode
from imgctl.ops.common.lookup import find_image, record
from imgctl.ops.common.open import open_parts
from imgctl.ops.support.overview import ObservedBlob, Overview, overview
from imgctl.units import format_bytes

_PAIRS = {"live_photo": "Live Photo with", "raw_and_picture": "raw and picture with"}
BLOB_HEADERS = ("BLOB", "SIZE", "CLASS", "WRITTEN", "KEY")


@dataclass(frozen=True, slots=True, kw_only=True)
class Args(Options):
    image: str = argument("ID|KEY|URL")


@subcommand(
    Args,
    examples="""
imgctl show 0190b2b4-0000-7000-8000-000000000001
imgctl show 0190b2b4 --json
imgctl show 2026/11/22/0190b2b4-0000-7000-8000-000000000001-thumb.jpg
""",
)
def command(session: Session, args: Args) -> ExitCode:
    """Show everything about an image: its row, its blobs as they are now, its history, its cost.

    Name it by its id, the beginning of its id, one of its keys, or the URL of one of its blobs. The last lines show what
    is wrong with it, and the command that would repair it.
    """
    with open_parts(session.settings) as parts:
        found = find_image(parts.catalog, args.image)
        seen = overview(parts, found, endpoint_url=session.endpoint_url)
    row = record(found)
    width = max(map(len, row))
    for name, value in row.items():
        session.text(f"{name:<{width}}  {'-' if value is None else value}")
    _say(session, seen)
    advice = {"ok": seen.advice.ok, "advice": seen.advice.text, "mend": seen.advice.command or None}
    pairs = [{"id": one.image.id, "name": one.image.name, "pair": one.pair} for one in seen.pairs]
    about = {
        "now": seen.now,
        "blobs": [*map(_blob_record, seen.blobs)],
        "history": seen.history,
        "pairs": pairs,
        "holds": [one.line for one in seen.holds],
        **advice,
    }
    session.data({"type": "image", **row, **about, "cost": seen.cost.record(seen.billing)})
    session.data({"type": "summary", "images": 1, "ok": seen.advice.ok})
    return ExitCode.DONE


def _say(session: Session, seen: "Overview") -> None:
    session.text("")
    show_table(session, BLOB_HEADERS, map(_cells, seen.blobs))
    session.text("")
    for moment in seen.history:
        when = f"{moment.at:%Y-%m-%d %H:%M:%S}" if moment.at else "-"
        session.text(f"{when:<19}  {moment.what}")
    session.text("")
    for one in seen.pairs:
        session.text(f"{_PAIRS[one.pair]}: {one.image.name or one.image.original_key}  {one.image.id}")
    for hold in seen.holds:
        session.text(f"its owner is {hold.line}")
    session.text(f"cost: {seen.cost.text(seen.billing)}")
    session.text(f"who changed it: imgctl history --id {seen.image.id}")
    session.text(seen.advice.text)
    if seen.advice.command:
        session.text(f"  {seen.advice.command}")


def _cells(one: "ObservedBlob") -> tuple[str, ...]:
    blob = one.blob
    if blob is None:
        return (one.role, "MISSING" if one.named else "-", "", "", one.key or "")
    key = one.key or ""
    return (
        one.role,
        format_bytes(blob.size) if blob.size else "EMPTY",
        f"{blob.storage_class}{_restore(one)}",
        f"{blob.modified_at:%Y-%m-%d %H:%M}",
        key if one.named else f"{key} (not in its row)",
    )


def _restore(one: "ObservedBlob") -> str:
    if one.blob is not None and one.blob.restored_until is not None:
        return f", readable until {one.blob.restored_until:%Y-%m-%d %H:%M}"
    return ", restoring" if one.blob is not None and one.blob.restoring else ""


def _blob_record(one: ObservedBlob) -> dict[str, object]:
    blob = one.blob
    about = ("size", "storage_class", "restoring", "restored_until", "modified_at", "etag")
    seen = {name: getattr(blob, name) if blob else None for name in about}
    return {"role": one.role, "key": one.key, "named": one.named, "present": blob is not None, **seen}
