"""Choosing the files of an upload: every file comes once, with its owner, or as an outcome that says why not."""

import os
import stat
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain

from imgctl.errors import UsageError
from imgctl.ops.ingest.manifest import BadLine
from imgctl.ops.ingest.outcome import Fate, FileOutcome, Reason
from imgctl.ops.upload.lists import Entry, entries, listed, opened
from imgctl.ops.upload.order import STDIN, Selection, check
from imgctl.ops.upload.rules import SelectionRules, system_junk
from imgctl.ops.upload.walk import LocalFile, classified, name_of, refused, walk

__all__ = ["Selection", "chosen"]

Chosen = Iterator[LocalFile | FileOutcome]


def chosen(selection: Selection) -> Chosen:
    """Every file of the selection, its owner set, and an outcome for each that is left out; streams.

    A directory that is left out by name is one outcome. Raises UsageError at once for a selection that cannot be meant,
    and later where only reading on shows that a list or a manifest is none.
    """
    check(selection)
    rules = SelectionRules(selection)
    if selection.manifest is not None:
        _look_into(selection.manifest, owned=_owned(selection))
        return _from_manifest(selection.manifest, rules, owned=_owned(selection))
    if selection.files_from is None:
        return _from_paths(selection.paths, rules)
    if _is_regular(selection.files_from, "--files-from"):
        opened(selection.files_from, "--files-from").__exit__(None, None, None)
    return chain(_from_paths(selection.paths, rules), _from_list(selection.files_from, rules))


def _owned(selection: Selection) -> bool:
    return selection.user_id is not None or selection.user_from is not None


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


def _look_into(manifest: str, *, owned: bool) -> None:
    """Raise UsageError for a header that cannot be meant, before anything is uploaded."""
    if _is_regular(manifest, "--manifest"):
        with opened(manifest, "--manifest") as file:
            next(entries(file, owned=owned), None)


def _from_paths(paths: Iterable[str], rules: SelectionRules) -> Chosen:
    for path in paths:
        name = name_of(path)
        try:
            info = os.stat(path)  # noqa: PTH116
        except (OSError, ValueError) as error:
            yield refused(path, error)
            continue
        directory = stat.S_ISDIR(info.st_mode)
        # What a user names is taken though it is hidden, but `upload *` also names what systems left there.
        if (away := rules.junk(path, system_junk(name, directory=directory), directory=directory)) is not None:
            yield away
        elif directory:
            yield from walk(path, rules)
        else:
            yield rules.excluded(path, name) or classified(path, name, info, rules)


def _from_list(name: str, rules: SelectionRules) -> Chosen:
    with opened(name, "--files-from") as file:
        for written in listed(file):
            path, place = written, _place(written)
            try:
                path, info = _found(path, follow_links=rules.follow_links)
            except (OSError, ValueError) as error:
                yield refused(path, error)
                continue
            if stat.S_ISDIR(info.st_mode):
                yield from _listed_directory(path, place, rules)
            else:
                yield rules.listed_away(path, place) or classified(path, place, info, rules)


def _listed_directory(path: str, place: str, rules: SelectionRules) -> Chosen:
    below = f"{place.rstrip('/')}/" if place else ""
    away = rules.junk(path, system_junk(name_of(path), directory=True), directory=True)
    away = away or rules.excluded(path, below, directory=True)
    if away is not None:
        yield away
    else:
        yield from walk(path, rules, place=below)


def _from_manifest(name: str, rules: SelectionRules, *, owned: bool) -> Chosen:
    # A manifest travels with its archive: what it names lies beside it.
    base = "" if name == STDIN else os.path.dirname(name)  # noqa: PTH120
    with opened(name, "--manifest") as file:
        for number, entry in entries(file, owned=owned):
            where = f"{name}:{number}"
            yield _bad(where, entry.detail) if isinstance(entry, BadLine) else _entered(entry, base, where, rules)


def _entered(entry: Entry, base: str, where: str, rules: SelectionRules) -> LocalFile | FileOutcome:
    path, place = os.path.join(base, entry.path), _place(entry.path)  # noqa: PTH118
    try:
        path, info = _found(path, follow_links=rules.follow_links)
    except (OSError, ValueError) as error:
        return refused(path, error)
    if stat.S_ISDIR(info.st_mode):
        return _bad(where, f"{entry.path} is a directory; name its files")
    if (away := rules.listed_away(path, place)) is not None:
        return away
    if not stat.S_ISREG(info.st_mode):
        return classified(path, place, info, rules)
    found = rules.judge(path, place, info, user_id=entry.user_id)
    if isinstance(found, FileOutcome):
        return found
    return replace(found, caption=entry.caption, name=entry.name, uploaded_at=entry.uploaded_at)


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
