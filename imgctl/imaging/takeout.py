"""What Google Takeout says of a photo in the JSON file beside it, and how it names that file."""

import json
import re
import unicodedata
from collections.abc import Iterator
from datetime import datetime, timedelta

from imgctl.dates import EPOCH
from imgctl.imaging.formats import format_by_name, is_film
from imgctl.imaging.metadata.facts import NO_FACTS, Facts, dates_of

LONGEST = 2**20
# Takeout cuts the name of its file to 51 UTF-16 units, `.json` among them, and a photo's to as many.
_LONGEST_STEM = 46
_LONGEST_PHOTO = 51
_SHORTEST_CUT = 8
_SUFFIX = ".supplemental-metadata"
# Elsewhere than at 46 units too, where exports were unpacked by other tools: `.suppl`, `.s`, `.`.
_SUPPLEMENT = r"(?is)(.+)\.([a-z-]*)(\(\d{1,5}\))?"
# What Google Photos adds to the name of an edited copy, in the language of its owner. The first two lines are seen in
# exports: English, then Polish, German, Dutch, Japanese, Italian, French, Spanish and Catalan (the lists of
# GooglePhotosTakeoutHelper, lib/extras.dart, and of PhotoMigrator). The third is what other tools list without a sample
# (immich-go's takeout notes); a wrong one does no harm, as a JSON of the whole name is preferred.
_EDITED = (
    "|edited|effects|smile|mix|collage|animation|motion|"
    "edytowane|bearbeitet|bewerkt|編集済み|modificato|modifié|ha editado|editat|"
    "editado|redigeret|redigert|redigerad|muokattu|upravené|отредактировано|відредаговано|编辑|편집됨|"
)
# What phones add to the name of a copy.
_COPY = r"(?s)(.+)~\d{1,2}"
_NUMBERED = r"(?s)(.+)(\(\d{1,5}\))"
# What the still of a Live or Motion Photo, or the original of an edited JPEG, may be.
_STILLS = (".HEIC", ".jpg", ".JPG", ".jpeg", ".JPEG", ".png", ".heic", ".dng")


def sidecar_names(photo: str) -> list[str]:
    """The names that Takeout may have given the JSON file of a photo of this name, likeliest first.

    `a.jpg` has `a.jpg.supplemental-metadata.json` (since 2024, cut where too long) or `a.jpg.json`, or either without
    `.jpg`; the number of `a(1).jpg` moves to the end of the name; `a-edited.jpg` shares that of `a.jpg` unless it has
    its own, and so does the film of a Live Photo.
    """
    stem, dot, extension = photo.rpartition(".")
    if not stem:
        stem, dot, extension = photo, "", ""
    ending = f"{dot}{extension}"
    names = [*_names(*_numbered(stem), ending)]
    originals = [*_originals(stem, ending)]
    for one in (ending, *_STILLS):
        names += (name for bare, number in originals for name in _names(bare, number, one))
    if extension.lower() in {"jpg", "jpeg"}:
        names += _names(*_numbered(stem), ".jpeg" if extension.lower() == "jpg" else ".jpg")
    if is_film(photo) or format_by_name(photo) is None:
        names += (name for still in _STILLS for whole in (stem, photo) for name in _names(*_numbered(whole), still))
    # The copies of an edited one are numbered though its original is not.
    names += (name for bare, number in originals if number for name in _names(bare, "", ending))
    return [f"{name}.json" for name in dict.fromkeys(names)]


def cut_names(photo: str) -> list[str]:
    """The names that the JSON file has where something else cut them: they prove nothing but by the `title` in it."""
    stem, dot, extension = photo.rpartition(".")
    bare, number = _numbered(stem) if stem else (photo, "")
    whole = f"{bare}{dot}{extension}"
    return [f"{whole[:length]}{number}.json" for length in range(len(whole) - 1, _SHORTEST_CUT - 1, -1)]


def without_supplement(name: str) -> str:
    """The name of a JSON file as if Takeout had not added `.supplemental-metadata`, in however many letters."""
    found = re.fullmatch(_SUPPLEMENT, name[: -len(".json")]) if name.lower().endswith(".json") else None
    if found is None or not _SUFFIX.startswith(f".{found[2].lower()}"):
        return name
    return f"{found[1]}{found[3] or ''}.json"


def is_titled(facts: Facts, photo: str) -> bool:
    """Whether the file of this name may be the photo of that title: cut, and without what no file name may hold."""
    bare, _ = _numbered(photo.rpartition(".")[0] or photo)
    return bool(bare) and _plain(facts.title).startswith(_plain(bare))


def still_names(photo: str) -> list[str]:
    """The name itself, and for a film those that the still of its Live Photo may have."""
    stem = photo.rpartition(".")[0]
    return [photo, *(stem + still for still in _STILLS if stem and is_film(photo))]


def _numbered(stem: str) -> tuple[str, str]:
    found = re.fullmatch(_NUMBERED, stem)
    return (found[1], found[2]) if found else (stem, "")


def _originals(stem: str, ending: str) -> Iterator[tuple[str, str]]:
    """The stem without what tells an edited copy, which stands before its number or behind that of the original."""
    bare, number = _numbered(unicodedata.normalize("NFC", stem))
    original, _, word = bare.rpartition("-")
    # A name that Takeout cut ends within the word.
    end = "" if _units(bare + ending) >= _LONGEST_PHOTO else "|"
    if original and word and f"|{word.lower()}{end}" in _EDITED:
        yield (original, number) if number else _numbered(original)
    if found := re.fullmatch(_COPY, bare):
        yield found[1], number


def _names(bare: str, number: str, ending: str) -> Iterator[str]:
    for cut in (_cut_units, _cut_characters):
        for name in (bare + ending, bare):
            yield cut(name + _SUFFIX) + number
            yield cut(name) + number
        if number:
            yield cut(bare + number + ending + _SUFFIX)
            yield cut(bare + number + ending)
            yield cut(bare + number + ending) + number
        if number and cut(bare + ending) != bare + ending:
            # The number told photos apart whose names were cut to the same; the JSON's own name was cut shorter.
            yield cut(bare + ending)


def _plain(name: str) -> str:
    return re.sub(r"[^\w.]", "_", unicodedata.normalize("NFC", name)).casefold()


def _units(name: str) -> int:
    return len(name.encode("utf-16-le", "surrogatepass")) // 2


def _cut_units(name: str) -> str:
    """A name as Takeout counts it, in UTF-16 units; half a character is none."""
    units = name.encode("utf-16-le", "surrogatepass")
    if len(units) <= 2 * _LONGEST_STEM:
        return name
    cut = units[: 2 * _LONGEST_STEM].decode("utf-16-le", "surrogatepass")
    return cut[:-1] if "\ud800" <= cut[-1] <= "\udbff" else cut


def _cut_characters(name: str) -> str:
    return name[:_LONGEST_STEM]


def read_takeout(data: bytes) -> Facts:
    """Read a photo's JSON file; one that is damaged, or not of Takeout, reads as absence."""
    try:
        value: object = json.loads(data) if len(data) <= LONGEST else None
    except (ValueError, RecursionError):
        return NO_FACTS
    if not isinstance(value, dict) or "photoTakenTime" not in value:
        return NO_FACTS
    description = value.get("description")
    text = description.strip() if isinstance(description, str) else ""
    title = value.get("title")
    return Facts(
        dates=dates_of(_moment(value["photoTakenTime"])),
        caption=text or None,
        trashed=value.get("trashed") is True,
        hidden=value.get("archived") is True,
        title=title if isinstance(title, str) else "",
    )


def _moment(time: object) -> datetime | None:
    """Seconds since 1970 as text, in an object; 0 is what Takeout writes for want of a date."""
    stamp = time.get("timestamp") if isinstance(time, dict) else None
    if isinstance(stamp, bool) or not isinstance(stamp, str | int):
        return None
    try:
        seconds = int(stamp)
        return EPOCH + timedelta(seconds=seconds) if seconds else None
    except (ValueError, OverflowError):
        return None
