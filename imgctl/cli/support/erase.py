"""`imgctl erase`: delete images for good, with a receipt."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import click

from imgctl.cli.base import Running, Session, running, subcommand
from imgctl.cli.options import Options, arguments, flag, option, order_of, stdin_file
from imgctl.errors import ExitCode, UsageError
from imgctl.model import Sized
from imgctl.ops.erase.order import HOUR_SECONDS, UNDONE, EraseOrder, Fate, Outcome
from imgctl.ops.erase.receipt import default_file, make_place, write_receipt
from imgctl.ops.erase.start import check_secret, erase
from imgctl.ops.erase.survey import Survey, survey
from imgctl.ops.lookup import page_mark
from imgctl.ops.parts import Parts, open_parts
from imgctl.ops.spend import Terms, agree, terms
from imgctl.ops.tally import Tally, Totals
from imgctl.run.scratch import Seen, whole_file
from imgctl.units import count_of, counts_of, format_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked(Options):
    images: tuple[str, ...] = arguments("[ID|KEY|URL|FILE...]")
    user: UUID | None = option(None, "All images of this user.")
    confirm_user: UUID | None = option(None, "The same user once more: with --user and --yes.")
    ids_from: Path | None = option(
        None,
        "The images named here: an id, a key or a JSON object with an id a line.",
        kind=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
        metavar="FILE|-",
    )
    again: bool = flag("What the receipts FILE... say was erased: after a database was restored.")
    unfinished: bool = flag("What earlier runs began and did not end, whosever it is.")
    yes: bool = flag("Delete, and spend what the estimate says.")
    receipt: Path | None = option(None, "Write the receipt here (default: receipts/ in the state directory).")
    purge_urls: Path | None = option(None, "Add the links that a CDN may have kept to FILE.")
    wait: float = option(120.0, "Wait that long for workers and uploads to let go.", text="2m")
    grace: float = option(HOUR_SECONDS, "An upload may put that long after its promise.", text="1h")

    def check(self) -> None:
        """UsageError for what does not fit together."""
        ways = (bool(self.images), self.user is not None, self.ids_from is not None, self.unfinished)
        if sum(ways) != 1:
            raise UsageError("no images are chosen, or in two ways", hint="ID..., --user, --ids-from or --unfinished")
        if self.again and not self.images:
            raise UsageError("--again names no receipts", hint="imgctl erase --again receipts/*.jsonl")
        if self.user is not None and self.yes and self.confirm_user != self.user:
            raise UsageError(
                "all images of a user: needs --confirm-user with the same id", hint=f"--confirm-user {self.user}"
            )
        if self.confirm_user is not None and self.user is None:
            raise UsageError("--confirm-user belongs to --user", hint="leave it out")


@subcommand(
    Asked,
    changes=lambda asked: asked.yes,
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
def command(session: Session, asked: Asked) -> ExitCode:
    """Delete images for good: rows, blobs of every version and class, variants, trash, unfinished uploads.

    Shows first what there is and what leaving a storage class early costs; deletes with --yes. Rows leave every listing,
    link and queue at once; then the blobs are deleted and looked for again; a tombstone (id, a keyed hash of the user,
    times, counts) is left, and a receipt is written, signed with [serve] secret. The same command finishes what a kill
    cut short. Users on hold are refused, what a bucket has locked is named: exit code 3.
    """
    asked.check()
    who = terms(session.settings, endpoint_url=session.endpoint_url)
    if asked.yes or asked.again:
        check_secret(session.settings.serve.secret)
    with open_parts(session.settings) as parts, running(session, unit="images") as run, _ids_file(asked) as ids_from:
        order = order_of(
            EraseOrder,
            asked,
            user_id=asked.user,
            ids=() if asked.again else tuple(page_mark(parts.catalog, text) for text in asked.images),
            ids_from=ids_from,
            receipts=tuple(map(Path, asked.images)) if asked.again else (),
            secret=session.settings.serve.secret,
            wait_seconds=asked.wait,
            grace_seconds=asked.grace,
            concurrency=parts.requests,
        )
        found = _survey(run, parts, order, asked.purge_urls)
        _show(run, found, who)
        if run.stop.is_set():
            return ExitCode.INTERRUPTED
        agree("erasing", found.estimate(who).one_off, who, yes=asked.yes, dry_run=not asked.yes)
        if not asked.yes:
            again = f" --confirm-user {asked.user}" if asked.user else ""
            does = f"--yes{again} does it"
            step = f"{does}, after `imgctl release` also what is held" if found.held else does
            session.summary(None, f"nothing was deleted: {step}", **_counts(found))
            return ExitCode.DONE
        return _erase(run, parts, order, asked.receipt or default_file(datetime.now(UTC)))


@contextmanager
def _ids_file(asked: Asked) -> Iterator[Path | None]:
    """The file of ids: standard input as one that can be read again."""
    if asked.ids_from is not None and str(asked.ids_from) == "-":
        with stdin_file() as file:
            yield file
    else:
        yield asked.ids_from


def _survey(run: Running, parts: Parts, order: EraseOrder, urls: Path | None) -> Survey:
    if urls is None:
        return survey(parts, order, stop=run.stop, tell_url=lambda _: None)
    with closing(Seen()) as seen, whole_file(urls) as out:

        def tell(url: str) -> None:
            if seen.add(url.encode()):
                out.write(f"{url}\n")

        # An earlier run knew links of images that are gone by now.
        if urls.is_file():
            with urls.open(encoding="utf-8") as before:
                for line in before:
                    tell(line.rstrip("\n"))
        return survey(parts, order, stop=run.stop, tell_url=tell)


def _show(run: Running, found: Survey, who: Terms) -> None:
    """What there is, what of it costs, and what is in the way."""
    estimate = found.estimate(who)
    run.session.data({"type": "estimate", **_counts(found), **estimate.record(who.bill)})
    run.say(f"{count_of(found.images, 'image')}, {_sized(found.whole)}: {_classes(found.classes) or 'no blobs'}")
    if found.erasing:
        run.say(f"{count_of(found.erasing, 'image is', 'images are')} half erased by an earlier run")
    for name, what in (
        ("old versions", found.old_versions),
        ("blobs that no row names", found.leftovers),
        ("in the trash", found.trash),
    ):
        if what:
            run.say(f"{name}: {_classes(what)}")
    more = {"delete marker": found.markers, "unfinished upload": found.unfinished_uploads}
    for noun, count in more.items():
        if count:
            run.say(count_of(count, noun))
    if found.classes or found.old_versions or found.trash:
        run.say(f"deleting costs: {estimate.text(who.bill)}")
    if found.urls:
        run.say(f"a CDN may have kept {count_of(found.urls, 'link')}: --purge-urls FILE writes them")
    for user, hold in found.held.items():
        run.say(f"user {user} is {hold.line}: nothing of theirs is deleted", always=True)


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
    if run.stop.is_set():
        session.summary(tally.fates, "interrupted: the same command goes on, and writes the receipt")
        return ExitCode.INTERRUPTED
    receipt = write_receipt(parts, order, file, stop=run.stop)
    session.data({"type": "receipt", "file": receipt.file, "sha256": receipt.sha256, "images": receipt.images})
    session.note(f"receipt for {count_of(receipt.images, 'image')}: {receipt.file}, sha256 {receipt.sha256}")
    told = counts_of(tally.fates, named={Fate.ALREADY: "erased before"}, none="nothing to erase")
    told += f"; {_sized(Sized(objects=receipt.blobs, size=receipt.bytes))} by the receipt"
    session.summary(tally.fates, told, receipt=receipt.file)
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
