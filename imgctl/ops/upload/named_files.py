"""The files of an upload from a list, a manifest or a bag, which name each file."""

import os
import stat
import unicodedata
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import BinaryIO

from imgctl.errors import UsageError, usable
from imgctl.ops.ingest.manifest import BadLine
from imgctl.ops.ingest.outcome import FileOutcome, Reason
from imgctl.ops.sources.base import Chosen, Source, SourceFile
from imgctl.ops.sources.members import Damaged
from imgctl.ops.sources.open import Sources, in_archive, is_named
from imgctl.ops.sources.walk import classified, name_of, refused, stat_of, walk
from imgctl.ops.upload.bags import METADATA, Bag, NamedFiles, is_payload
from imgctl.ops.upload.lists import Entry, entries, listed, opened
from imgctl.ops.upload.options import STDIN, Selection
from imgctl.ops.upload.selection_rules import SelectionRules, system_junk


def _entries(file: BinaryIO, selection: Selection) -> Iterator[tuple[int, Entry | BadLine]]:
    owned = selection.user_id is not None or selection.user_from is not None
    return entries(file, owned=owned, users=selection.users)


def _is_regular(name: str, option: str) -> bool:
    """Whether a list is a regular file, which can be opened twice; UsageError if it doesn't exist."""
    if name == STDIN:
        return False
    with usable(f"{option} {name}", "check the path"):
        mode = os.stat(name).st_mode  # noqa: PTH116  # a str keeps bytes that are no UTF-8
    if stat.S_ISDIR(mode):
        raise UsageError(f"{option} {name} is a directory", hint="name a file")
    return stat.S_ISREG(mode)


def from_bag(bag: Bag, selection: Selection, sources: Sources) -> Chosen:
    """Yield the originals in a bag's metadata, then other files in the bag.

    The metadata is the only source of an original's description, and its checksum is verified.
    """
    try:
        yield from _from_bag(bag, selection, sources)
    except Damaged as error:
        where = f"{bag.path}/{bag.root}{METADATA}"
        yield FileOutcome.failed(where, Reason.UNREADABLE, str(error))


def _from_bag(bag: Bag, selection: Selection, sources: Sources) -> Chosen:
    # Every payload file is a photo, even if its name looks like junk.
    rules = SelectionRules(replace(selection, junk_filter=False))
    with closing(NamedFiles(bag)) as named:
        for found in _named_in(bag, rules, selection, sources):
            named.add(found)
            yield found
        # Files that were added to the bag later are not in its metadata, but may be photos.
        rest = SelectionRules(selection)
        listed = walk(bag.path, rest, sources.local) if bag.members is None else bag.members.entries(rest)
        yield from (one for one in listed if not named.has(one))


def _named_in(bag: Bag, rules: SelectionRules, selection: Selection, sources: Sources) -> Chosen:
    owned = selection.user_id is not None or selection.user_from is not None
    with bag.metadata() as file:
        for number, entry in entries(file, owned=owned, users=selection.users):
            where = f"{bag.path}/{METADATA}:{number}"
            if isinstance(entry, BadLine):
                yield FileOutcome.failed(where, Reason.BAD_LINE, entry.detail)
            elif not is_payload(entry.path):
                yield FileOutcome.failed(where, Reason.BAD_LINE, f"{entry.path} lies outside of the bag")
            else:
                mine = replace(entry, user_id=None) if owned else entry
                if bag.members is None:
                    found = _entered(mine, bag.path, where, rules, sources)
                else:
                    found = bag.members.named(bag.root + mine.path, rules, user_id=mine.user_id)
                yield found if isinstance(found, FileOutcome) else replace(found.described_by(mine), alone=True)


def from_list(name: str, rules: SelectionRules, sources: Sources) -> Chosen:
    """Yield the files of a list, and those below its directories; UsageError at once for an unreadable list."""
    if _is_regular(name, "--files-from"):
        opened(name, "--files-from").__exit__(None, None, None)
    return _from_list(name, rules, sources)


def _from_list(name: str, rules: SelectionRules, sources: Sources) -> Chosen:
    with opened(name, "--files-from") as file:
        for written in listed(file):
            if is_named(written):
                yield sources.one(written, rules)
                continue
            path, place = written, _place(written)
            try:
                path, info = _found(path, follow_links=rules.follow_links)
            except (OSError, ValueError) as error:
                yield in_archive(path) or refused(path, error)
                continue
            if stat.S_ISDIR(info.st_mode):
                yield from _listed_directory(path, place, rules, sources.local)
            else:
                skipped = rules.own_store(path) or rules.skip_listed(path, place)
                yield skipped or classified(path, place, info, rules, sources.local)


def _listed_directory(path: str, place: str, rules: SelectionRules, source: Source) -> Chosen:
    below = f"{place.rstrip('/')}/" if place else ""
    skipped = rules.own_store(path) or rules.junk(path, system_junk(name_of(path), directory=True), directory=True)
    skipped = skipped or rules.excluded(path, below, directory=True)
    if skipped is not None:
        yield skipped
    else:
        yield from walk(path, rules, source, place=below)


def from_manifest(name: str, rules: SelectionRules, sources: Sources, selection: Selection) -> Chosen:
    """Yield the files of a manifest; UsageError at once for an invalid header."""
    if _is_regular(name, "--manifest"):
        with opened(name, "--manifest") as file:
            next(_entries(file, selection), None)
    return _from_manifest(name, rules, sources, selection)


def _from_manifest(name: str, rules: SelectionRules, sources: Sources, selection: Selection) -> Chosen:
    # Paths are relative to the manifest, because it is moved together with its files.
    base = "" if name == STDIN else os.path.dirname(name)  # noqa: PTH120
    with opened(name, "--manifest") as file:
        for number, entry in _entries(file, selection):
            where = f"{name}:{number}"
            if isinstance(entry, BadLine):
                yield FileOutcome.failed(where, Reason.BAD_LINE, entry.detail)
            else:
                found = _entered(entry, base, where, rules, sources)
                yield found if isinstance(found, FileOutcome) else found.described_by(entry)


def _entered(entry: Entry, base: str, where: str, rules: SelectionRules, sources: Sources) -> SourceFile | FileOutcome:
    if is_named(entry.path):
        return sources.one(entry.path, rules, user_id=entry.user_id)
    path, place = os.path.join(base, entry.path), _place(entry.path)  # noqa: PTH118
    try:
        path, info = _found(path, follow_links=rules.follow_links)
    except (OSError, ValueError) as error:
        return refused(path, error)
    if stat.S_ISDIR(info.st_mode):
        return FileOutcome.failed(where, Reason.BAD_LINE, f"{entry.path} is a directory; name its files")
    if (skipped := rules.own_store(path) or rules.skip_listed(path, place)) is not None:
        return skipped
    if not stat.S_ISREG(info.st_mode):
        return classified(path, place, info, rules, sources.local)
    return rules.judge(path, place, stat_of(info, sources.local), user_id=entry.user_id)


def _found(path: str, *, follow_links: bool) -> tuple[str, os.stat_result]:
    """Return a listed path as spelt on the disk, and its stat result; raises OSError, ValueError.

    A list may come from another system: if the exact path doesn't exist, each name is also tried in Unicode's NFC and
    NFD, with composed and decomposed accents.
    """
    try:
        return path, os.stat(path, follow_symlinks=follow_links)  # noqa: PTH116  # a str keeps bytes that are no UTF-8
    except FileNotFoundError:
        spelt = _spelt(path)
        if spelt is None:
            raise
        return spelt, os.stat(spelt, follow_symlinks=follow_links)  # noqa: PTH116


def _spelt(path: str) -> str | None:
    """Return the existing path that differs only in Unicode form; None if there is none, or if the path is ASCII."""
    if path.isascii():
        return None
    found = "/" if path.startswith("/") else ""
    for name in filter(None, path.split("/")):
        forms = dict.fromkeys((name, *(unicodedata.normalize(form, name) for form in ("NFC", "NFD"))))
        there = next((form for form in forms if os.path.lexists(found + form)), None)
        if there is None:
            return None
        found += f"{there}/"
    return found.removesuffix("/")


def _place(path: str) -> str:
    """Return a listed path as patterns see it: as written, without a leading `./` or `/`."""
    while path.startswith(("./", "/")):
        path = path.removeprefix(".").lstrip("/")
    return "" if path == "." else path
