"""`imgctl erase`: deletes images for good, with a receipt."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import click

from imgctl.cli.common.options import Options, arguments, flag, option, order_of, stdin_file
from imgctl.cli.common.session import Running, Session, running, subcommand
from imgctl.errors import ExitCode, UsageError
from imgctl.model import Sized
from imgctl.ops.common.lookup import page_mark
from imgctl.ops.common.open import Parts, open_parts
from imgctl.ops.common.spend import Terms, agree
from imgctl.ops.common.tally import Tally, Totals
from imgctl.ops.erase.options import HOUR_SECONDS, UNDONE, EraseOrder, Fate, Outcome
from imgctl.ops.erase.receipt import default_file, make_place, write_receipt
from imgctl.ops.erase.start import check_secret, erase
from imgctl.ops.erase.survey import Survey, survey
from imgctl.run.scratch import Seen, whole_file
from imgctl.units import count_of, counts_of, format_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Args(Options):
    images: tuple[str, ...] = arguments("[ID|KEY|URL|FILE...]")
    user: UUID | None = option(None, "All images of this user.")
    confirm_user: UUID | None = option(None, "Repeat the user's id; required with --user and --yes.")
    ids_from: Path | None = option(
        None,
        "The images in this file: on each line an id, a key or a JSON object with an id.",
        kind=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
        metavar="FILE|-",
    )
    again: bool = flag("Erase again the images in the receipts FILE...; for a restored database.")
    unfinished: bool = flag("Finish what earlier runs began, for all users.")
    yes: bool = flag("Delete, and agree to the estimated cost.")
    receipt: Path | None = option(None, "Write the receipt to FILE (default: receipts/ in the state directory).")
    purge_urls: Path | None = option(None, "Add the links that a CDN may have cached to FILE.")
    wait: float = option(120.0, "Wait this long for workers and uploads to release images.", text="2m")
    grace: float = option(HOUR_SECONDS, "How long after its promise an upload may still put its bytes.", text="1h")

    def check(self) -> None:
        """Raise UsageError for options that exclude each other."""
        ways = (bool(self.images), self.user is not None, self.ids_from is not None, self.unfinished)
        if sum(ways) != 1:
            raise UsageError(
                "images must be chosen in exactly one way", hint="use ID..., --user, --ids-from or --unfinished"
            )
        if self.again and not self.images:
            raise UsageError("--again needs receipts", hint="imgctl erase --again receipts/*.jsonl")
        if self.user is not None and self.yes and self.confirm_user != self.user:
            raise UsageError(
                "erasing all images of a user needs --confirm-user with the same id", hint=f"--confirm-user {self.user}"
            )
        if self.confirm_user is not None and self.user is None:
            raise UsageError("--confirm-user belongs to --user", hint="leave it out")


@subcommand(
    Args,
    changes=lambda args: args.yes,
    examples="""
imgctl erase --user 0190b2b4-0000-7000-8000-000000000001
imgctl erase --user 0190b2b4-0000-7000-8000-000000000001 --purge-urls urls
imgctl erase 0190b2b4-0000-7000-8000-000000000001 --yes --receipt erased.jsonl
imgctl erase --ids-from ids.txt --yes --json
imgctl erase --again receipts/*.jsonl --yes
imgctl erase --unfinished --yes
""",
    main="--user --confirm-user --ids-from --again --yes --receipt --purge-urls",
    settings={"upload.concurrency": "Requests in flight; 0: 16."},
)
def command(session: Session, args: Args) -> ExitCode:
    """Delete images for good: rows, blobs of every version and class, variants, trash, unfinished uploads.

    Shows first what would be deleted and the cost of leaving a storage class early; deletes with --yes. Rows disappear
    from all listings, links and queues at once; then the blobs are deleted, and a check confirms that they are gone. A
    tombstone (id, a keyed hash of the user, times, counts) stays, and a receipt is written, signed with [serve] secret.
    The same command finishes a killed run. Exit code 3: an image was not erased, because its user is on hold, the bucket has
    locked a blob, or a worker or an upload may still put one; or no image has the id.
    """
    args.check()
    terms = session.terms
    if args.yes or args.again:
        check_secret(session.settings.serve.secret)
    with open_parts(session.settings) as parts, running(session, unit="images") as run, _ids_file(args) as ids_from:
        order = order_of(
            EraseOrder,
            args,
            user_id=args.user,
            ids=() if args.again else tuple(page_mark(parts.catalog, text) for text in args.images),
            ids_from=ids_from,
            receipts=tuple(map(Path, args.images)) if args.again else (),
            secret=session.settings.serve.secret,
            wait_seconds=args.wait,
            grace_seconds=args.grace,
            concurrency=parts.requests,
        )
        found = _survey(run, parts, order, args.purge_urls)
        _show(run, found, terms)
        if run.stop.is_set():
            return ExitCode.INTERRUPTED
        agree("erasing", found.estimate(terms).one_off, terms, yes=args.yes, dry_run=not args.yes)
        if not args.yes:
            again = f" --confirm-user {args.user}" if args.user else ""
            step = f"add --yes{again} to delete"
            step += "; held images need `imgctl release` first" if found.held else ""
            session.summary(None, f"nothing was deleted: {step}", **_counts(found))
            return ExitCode.DONE
        return _erase(run, parts, order, args.receipt or default_file(datetime.now(UTC)))


@contextmanager
def _ids_file(args: Args) -> Iterator[Path | None]:
    """Yield the file of ids; standard input is copied to a file that can be read twice."""
    if args.ids_from is not None and str(args.ids_from) == "-":
        with stdin_file("--ids-from") as file:
            yield file
    else:
        yield args.ids_from


def _survey(run: Running, parts: Parts, order: EraseOrder, urls: Path | None) -> Survey:
    if urls is None:
        return survey(parts, order, stop=run.stop, tell_url=lambda _: None)
    with closing(Seen()) as seen, whole_file(urls) as out:

        def add(url: str) -> None:
            if seen.add(url.encode()):
                out.write(f"{url}\n")

        # Keep the links of an earlier run, whose images may be gone by now.
        if urls.is_file():
            with urls.open(encoding="utf-8") as before:
                for line in before:
                    add(line.rstrip("\n"))
        return survey(parts, order, stop=run.stop, tell_url=add)


def _show(run: Running, found: Survey, terms: Terms) -> None:
    """Print what would be deleted, its cost, and the holds."""
    estimate = found.estimate(terms)
    run.session.data({"type": "estimate", **_counts(found), **estimate.record(terms.bill)})
    run.say(f"{count_of(found.images, 'image')}, {_sized(found.whole)}: {_classes(found.classes) or 'no blobs'}")
    if found.erasing:
        run.say(f"{count_of(found.erasing, 'image is', 'images are')} half erased by an earlier run")
    for name, what in (
        ("old versions", found.old_versions),
        ("blobs without a row", found.leftovers),
        ("in the trash", found.trash),
    ):
        if what:
            run.say(f"{name}: {_classes(what)}")
    more = {"delete marker": found.markers, "unfinished upload": found.unfinished_uploads}
    for noun, count in more.items():
        if count:
            run.say(count_of(count, noun))
    if found.classes or found.old_versions or found.trash:
        run.say(f"deleting costs: {estimate.text(terms.bill)}")
    if found.urls:
        run.say(f"a CDN may have cached {count_of(found.urls, 'link')}: --purge-urls FILE writes them")
    for user, hold in found.held.items():
        run.say(f"user {user} is {hold.line}: none of their images are deleted", always=True)


def _counts(found: Survey) -> dict[str, object]:
    def sizes(totals: Totals[str]) -> dict[str, object]:
        return {name: {"blobs": one.objects, "bytes": one.size} for name, one in sorted(totals.items())}

    return {
        "images": found.images,
        "erasing": found.erasing,
        "blobs": found.whole.objects,
        "bytes": found.whole.size,
        "classes": sizes(found.classes),
        "old_versions": sizes(found.old_versions),
        "leftovers": sizes(found.leftovers),
        "trash": sizes(found.trash),
        "delete_markers": found.markers,
        "unfinished_uploads": found.unfinished_uploads,
        "purge_urls": found.urls,
        "held": {str(user): hold.line for user, hold in found.held.items()},
    }


def _sized(one: Sized) -> str:
    return f"{count_of(one.objects, 'blob')}, {format_bytes(one.size)}"


def _classes(totals: Totals[str]) -> str:
    return "; ".join(f"{_sized(one)} {name}" for name, one in sorted(totals.items()))


def _erase(run: Running, parts: Parts, order: EraseOrder, file: Path) -> ExitCode:
    session, tally = run.session, Tally(Fate)
    make_place(file)
    for outcome in erase(parts, order, stop=run.stop):
        tally.count(outcome.fate, size=outcome.bytes)
        _tell(run, outcome)
    receipt = None if run.stop.is_set() else write_receipt(parts, order, file, stop=run.stop)
    if receipt is None:
        session.summary(tally.fates, "interrupted: run the same command again to finish and to write the receipt")
        return ExitCode.INTERRUPTED
    session.data({"type": "receipt", "file": receipt.file, "sha256": receipt.sha256, "images": receipt.images})
    session.note(f"receipt for {count_of(receipt.images, 'image')}: {receipt.file}, sha256 {receipt.sha256}")
    sentence = counts_of(tally.fates, named={Fate.ALREADY: "erased before"}, none="nothing to erase")
    sentence += f"; {_sized(Sized(objects=receipt.blobs, size=receipt.bytes))} by the receipt"
    session.summary(tally.fates, sentence, receipt=receipt.file)
    return run.exit_code(partly=tally.of(*UNDONE) > 0)


def _tell(run: Running, one: Outcome) -> None:
    undone = one.fate in UNDONE
    about = {"id": one.subject, "fate": one.fate, "detail": one.detail or None, "blobs": one.blobs, "bytes": one.bytes}
    run.item(
        {"type": "image", **about},
        failed=undone,
        size=one.bytes,
        line=f"{one.fate} {one.subject}: {one.detail}" if undone else "",
    )
