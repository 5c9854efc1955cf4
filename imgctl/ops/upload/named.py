"""The files of an upload that a list, a manifest or a bag names one by one."""

import os
import stat
import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from typing import BinaryIO

from imgctl.errors import UsageError
from imgctl.ops.ingest.manifest import BadLine
from imgctl.ops.ingest.outcome import Fate, FileOutcome, Reason
from imgctl.ops.sources.base import Chosen, Source, SourceFile
from imgctl.ops.sources.members import Damaged
from imgctl.ops.sources.open import Sources, in_archive, is_named
from imgctl.ops.sources.walk import classified, name_of, refused, stat_of, walk
from imgctl.ops.upload.bags import METADATA, Bag, is_payload
from imgctl.ops.upload.lists import Entry, entries, listed, opened
from imgctl.ops.upload.order import STDIN, Selection
from imgctl.ops.upload.rules import SelectionRules, system_junk


def _entries(file: BinaryIO, selection: Selection) -> Iterator[tuple[int, Entry | BadLine]]:
    owned = selection.user_id is not None or selection.user_from is not None
    return entries(file, owned=owned, users=selection.users)


def _is_regular(name: str, option: str) -> bool:
    """Whether the file can be opened twice; UsageError when there is none."""
    if name == STDIN:
        return False
    try:
        mode = os.stat(name).st_mode  # noqa: PTH116  # a str keeps bytes that are no UTF-8
    except OSError as error:
        said = (error.strerror or str(error)).lower()
        raise UsageError(f"{option} {name}: {said}", hint="check the path") from error
    if stat.S_ISDIR(mode):
        raise UsageError(f"{option} {name} is a directory", hint="name a file")
    return stat.S_ISREG(mode)


def from_bag(bag: Bag, selection: Selection, sources: Sources) -> Chosen:
    """The originals that a bag's metadata names; its checksums are compared, and all that is said of them is said there."""
    try:
        yield from _from_bag(bag, selection, sources)
    except Damaged as error:
        where = f"{bag.path}/{bag.root}{METADATA}"
        yield FileOutcome(path=where, fate=Fate.FAILED, reason=Reason.UNREADABLE, detail=str(error))


def _from_bag(bag: Bag, selection: Selection, sources: Sources) -> Chosen:
    # Its names are photos', whatever they look like.
    rules = SelectionRules(replace(selection, junk_filter=False))
    owned = selection.user_id is not None or selection.user_from is not None
    with bag.metadata() as file:
        for number, entry in entries(file, owned=owned, users=selection.users):
            where = f"{bag.path}/{METADATA}:{number}"
            if isinstance(entry, BadLine):
                yield _bad(where, entry.detail)
            elif not is_payload(entry.path):
                yield _bad(where, f"{entry.path} lies outside of the bag")
            else:
                mine = replace(entry, user_id=None) if owned else entry
                if bag.members is None:
                    found = _entered(mine, bag.path, where, rules, sources)
                else:
                    found = bag.members.named(bag.root + mine.path, rules, user_id=mine.user_id)
                yield found if isinstance(found, FileOutcome) else replace(found.described_by(mine), alone=True)


def from_list(name: str, rules: SelectionRules, sources: Sources) -> Chosen:
    """The files and directories that a list names; UsageError at once for one that cannot be read."""
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
                away = rules.own_store(path) or rules.listed_away(path, place)
                yield away or classified(path, place, info, rules, sources.local)


def _listed_directory(path: str, place: str, rules: SelectionRules, source: Source) -> Chosen:
    below = f"{place.rstrip('/')}/" if place else ""
    away = rules.own_store(path) or rules.junk(path, system_junk(name_of(path), directory=True), directory=True)
    away = away or rules.excluded(path, below, directory=True)
    if away is not None:
        yield away
    else:
        yield from walk(path, rules, source, place=below)


def from_manifest(name: str, rules: SelectionRules, sources: Sources, selection: Selection) -> Chosen:
    """The files that a manifest names; UsageError at once for a header that cannot be meant."""
    if _is_regular(name, "--manifest"):
        with opened(name, "--manifest") as file:
            next(_entries(file, selection), None)
    return _from_manifest(name, rules, sources, selection)


def _from_manifest(name: str, rules: SelectionRules, sources: Sources, selection: Selection) -> Chosen:
    # A manifest travels with its archive: what it names lies beside it.
    base = "" if name == STDIN else os.path.dirname(name)  # noqa: PTH120
    with opened(name, "--manifest") as file:
        for number, entry in _entries(file, selection):
            where = f"{name}:{number}"
            if isinstance(entry, BadLine):
                yield _bad(where, entry.detail)
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
        return _bad(where, f"{entry.path} is a directory; name its files")
    if (away := rules.own_store(path) or rules.listed_away(path, place)) is not None:
        return away
    if not stat.S_ISREG(info.st_mode):
        return classified(path, place, info, rules, sources.local)
    return rules.judge(path, place, stat_of(info, sources.local), user_id=entry.user_id)


def _found(path: str, *, follow_links: bool) -> tuple[str, os.stat_result]:
    """A listed path as it stands on the disk, and what the system says of it; raises OSError, ValueError.

    Lists are written on one system and read on another: what is not there to the letter may be there with its accents
    composed or apart (Unicode's NFC and NFD), each name by itself.
    """
    try:
        return path, os.stat(path, follow_symlinks=follow_links)  # noqa: PTH116  # a str keeps bytes that are no UTF-8
    except FileNotFoundError:
        spelt = _spelt(path)
        if spelt is None:
            raise
        return spelt, os.stat(spelt, follow_symlinks=follow_links)  # noqa: PTH116


def _spelt(path: str) -> str | None:
    """The path of what is there under these names in other forms; None when nothing is, or the names have no other."""
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


def _bad(where: str, detail: str) -> FileOutcome:
    return FileOutcome(path=where, fate=Fate.FAILED, reason=Reason.BAD_LINE, detail=detail)


def _place(path: str) -> str:
    """Where a path in a list stands for the patterns: as written, without `./` or `/` before it."""
    while path.startswith(("./", "/")):
        path = path.removeprefix(".").lstrip("/")
    return "" if path == "." else path
