"""Google Takeout's metadata of a photo, in the JSON file beside it, and the names of that file."""

import re
import unicodedata
from collections.abc import Iterator
from datetime import datetime, timedelta

from imgctl.dates import EPOCH
from imgctl.imaging.formats import format_by_name, is_film
from imgctl.imaging.metadata.facts import NO_FACTS, Facts, dates_of
from imgctl.jsontext import parse_json

LONGEST = 2**20
# Takeout cuts the JSON file's name to 51 UTF-16 units, including `.json`, and a photo's to as many.
_LONGEST_STEM = 46
_LONGEST_PHOTO = 51
_SHORTEST_CUT = 8
# That of a file; an archive may hold longer ones.
_LONGEST_NAME = 255
_SUFFIX = ".supplemental-metadata"
# Not only at 46 units: other tools that unpack exports cut at other places: `.suppl`, `.s`, `.`.
_SUPPLEMENT = r"(?is)(.+)\.([a-z-]*)(\(\d{1,5}\))?"
# The suffix of an edited copy in Google Photos, in its owner's language. The first two lines occur in
# exports: English, then Polish, German, Dutch, Japanese, Italian, French, Spanish and Catalan (the lists of
# GooglePhotosTakeoutHelper, lib/extras.dart, and of PhotoMigrator). Other tools list the third without a sample
# (immich-go's takeout notes); a wrong suffix is harmless, as a JSON file of the whole name is preferred.
_EDITED = (
    "|edited|effects|smile|mix|collage|animation|motion|"
    "edytowane|bearbeitet|bewerkt|編集済み|modificato|modifié|ha editado|editat|"
    "editado|redigeret|redigert|redigerad|muokattu|upravené|отредактировано|відредаговано|编辑|편집됨|"
)
# Suffixes that phones add to the name of a copy.
_COPY = r"(?s)(.+)~\d{1,2}"
_NUMBERED = r"(?s)(.+)(\(\d{1,5}\))"
# Possible extensions of the still of a Live or Motion Photo, or of the original of an edited JPEG.
_STILLS = (".HEIC", ".jpg", ".JPG", ".jpeg", ".JPEG", ".png", ".heic", ".dng")


def sidecar_names(photo: str) -> list[str]:
    """Return the possible names of a photo's JSON file, likeliest first.

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
    # Copies of an edited photo are numbered although the original isn't.
    names += (name for bare, number in originals if number for name in _names(bare, "", ending))
    return [f"{name}.json" for name in dict.fromkeys(names)]


def cut_names(photo: str) -> list[str]:
    """Return the JSON file's possible names when another tool cut them: they match only if the `title` in it agrees."""
    stem, dot, extension = photo.rpartition(".")
    bare, number = _numbered(stem) if stem else (photo, "")
    whole = f"{bare}{dot}{extension}"
    longest = min(len(whole) - 1, _LONGEST_NAME)
    return [f"{whole[:length]}{number}.json" for length in range(longest, _SHORTEST_CUT - 1, -1)]


def without_supplement(name: str) -> str:
    """Return a JSON file's name without `.supplemental-metadata`, complete or cut."""
    found = re.fullmatch(_SUPPLEMENT, name[: -len(".json")]) if name.lower().endswith(".json") else None
    if found is None or not _SUFFIX.startswith(f".{found[2].lower()}"):
        return name
    return f"{found[1]}{found[3] or ''}.json"


def is_titled(facts: Facts, photo: str) -> bool:
    """Whether a file of this name may be the photo with that title: cut, and with characters replaced."""
    bare, _ = _numbered(photo.rpartition(".")[0] or photo)
    return bool(bare) and _plain(facts.title).startswith(_plain(bare))


def still_names(photo: str) -> list[str]:
    """Return the name itself, and for a film the possible names of its Live Photo's still."""
    stem = photo.rpartition(".")[0]
    return [photo, *(stem + still for still in _STILLS if stem and is_film(photo))]


def _numbered(stem: str) -> tuple[str, str]:
    found = re.fullmatch(_NUMBERED, stem)
    return (found[1], found[2]) if found else (stem, "")


def _originals(stem: str, ending: str) -> Iterator[tuple[str, str]]:
    """Yield the stem without an edited copy's suffix, which stands before its number or after the original's number."""
    bare, number = _numbered(unicodedata.normalize("NFC", stem))
    original, _, word = bare.rpartition("-")
    # A name that Takeout cut may end within the word.
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
            # The number separates photos with the same cut name; the JSON file's name was cut shorter.
            yield cut(bare + ending)


def _plain(name: str) -> str:
    return re.sub(r"[^\w.]", "_", unicodedata.normalize("NFC", name)).casefold()


def _units(name: str) -> int:
    return len(name.encode("utf-16-le", "surrogatepass")) // 2


def _cut_units(name: str) -> str:
    """Cut a name in UTF-16 units, as Takeout does; half a character is dropped."""
    units = name.encode("utf-16-le", "surrogatepass")
    if len(units) <= 2 * _LONGEST_STEM:
        return name
    cut = units[: 2 * _LONGEST_STEM].decode("utf-16-le", "surrogatepass")
    return cut[:-1] if "\ud800" <= cut[-1] <= "\udbff" else cut


def _cut_characters(name: str) -> str:
    return name[:_LONGEST_STEM]


def read_takeout(data: bytes) -> Facts:
    """Read a photo's JSON file; a damaged one, or one not from Takeout, gives empty facts."""
    try:
        value: object = parse_json(data) if len(data) <= LONGEST else None
    except ValueError:
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
    """Read seconds since 1970 as text, in an object; Takeout writes 0 when there is no date."""
    stamp = time.get("timestamp") if isinstance(time, dict) else None
    if isinstance(stamp, bool) or not isinstance(stamp, str | int):
        return None
    try:
        seconds = int(stamp)
        return EPOCH + timedelta(seconds=seconds) if seconds else None
    except (ValueError, OverflowError):
        return None
