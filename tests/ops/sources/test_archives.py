"""Archives as sources: every variant of a format is read, and every damage is reported with the members it costs."""

import os
import struct
import tarfile
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from io import BytesIO, RawIOBase
from itertools import islice
from pathlib import Path
from zipfile import ZIP_BZIP2, ZIP_DEFLATED, ZIP_LZMA, ZIP_STORED, ZipFile, ZipInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgctl.config.settings import WorkSettings
from imgctl.ops.ingest.outcome import Fate, FileOutcome, Reason
from imgctl.ops.ingest.recognise import UNFIT, Recogniser
from imgctl.ops.ingest.spool import SpoolDirectory
from imgctl.ops.sources import base, zips
from imgctl.ops.sources.archives import ArchiveFiles, part_of
from imgctl.ops.sources.base import Read, SourceFile
from imgctl.ops.sources.members import COPY_AGAIN, place_of
from imgctl.ops.upload.options import Selection
from imgctl.ops.upload.selection_rules import SelectionRules
from tests.imaging.pictures import encoded, quadrants
from tests.ops.upload.trees import USER

PHOTO = encoded(quadrants(), "JPEG")
OWNER, OTHER = "0190b2b4-0000-7000-8000-000000000001", "0190b2b4-0000-7000-8000-000000000002"
RULES = SelectionRules(Selection(user_id=USER))
RECOGNISER = Recogniser(WorkSettings())
Opened = Callable[..., ArchiveFiles]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    """Opens archives as one source."""
    made: list[ArchiveFiles] = []
    spools = SpoolDirectory(str(tmp_path / "spool"))

    def open_(*paths: Path) -> ArchiveFiles:
        made.append(ArchiveFiles([part_of(str(path)) for path in paths], spools))
        return made[-1]

    yield open_
    for one in made:
        one.close()
    spools.close()


def ended(source: ArchiveFiles) -> dict[str, str]:
    """Return the fate of each file, by the last two names of its path: `read`, or the reason and the detail."""
    found = {}
    for one in source.entries(RULES):
        done: SourceFile | Read | FileOutcome | Exception = one
        if isinstance(one, SourceFile):
            try:
                done = source.read(one, RECOGNISER)
            except UNFIT as error:
                done = error
        name = "/".join(one.path.split("/")[-2:])
        if isinstance(done, Read):
            assert done.size == len(PHOTO) or done.spool is not None
            found[name] = "read"
            if done.spool is not None:
                assert isinstance(done.body, Path) and done.body.stat().st_size == done.size
                done.spool.close()
                assert not done.body.exists()
        else:
            found[name] = f"{done.reason}: {done.detail}" if isinstance(done, FileOutcome) else type(done).__name__
    return found


class Unseekable(RawIOBase):
    """A file without seek: a ZIP written to it has the sizes of a member behind its data."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        assert isinstance(data, bytes | memoryview)
        return self._file.write(data)

    def close(self) -> None:
        self._file.close()
        super().close()


@pytest.mark.parametrize("method", [ZIP_STORED, ZIP_DEFLATED, ZIP_BZIP2, ZIP_LZMA])
def test_every_method_of_packing_is_read(method: int, tmp_path: Path, opened: Opened) -> None:
    with ZipFile(tmp_path / "a.zip", "w", method) as archive:
        archive.writestr("a.jpg", PHOTO)

    assert ended(opened(tmp_path / "a.zip")) == {"a.zip/a.jpg": "read"}


def test_a_zip_that_was_written_to_a_pipe_is_read(tmp_path: Path, opened: Opened) -> None:
    with Unseekable(tmp_path / "a.zip") as pipe, ZipFile(pipe, "w", ZIP_DEFLATED) as archive:
        archive.writestr("a.jpg", PHOTO)

    assert ended(opened(tmp_path / "a.zip")) == {"a.zip/a.jpg": "read"}


def test_a_zip64_is_read(tmp_path: Path, opened: Opened) -> None:
    with ZipFile(tmp_path / "a.zip", "w") as archive, archive.open("a.jpg", "w", force_zip64=True) as member:
        member.write(PHOTO)

    assert ended(opened(tmp_path / "a.zip")) == {"a.zip/a.jpg": "read"}


def test_names_are_read_in_utf_8_and_in_the_old_code_page(tmp_path: Path, opened: Opened) -> None:
    with ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("été.jpg", PHOTO)
        archive.writestr("x.jpg", PHOTO)
    data = (tmp_path / "a.zip").read_bytes()
    (tmp_path / "a.zip").write_bytes(data.replace(b"x.jpg", b"\x82.jpg"))

    assert ended(opened(tmp_path / "a.zip")) == {"a.zip/été.jpg": "read", "a.zip/é.jpg": "read"}


def test_one_damaged_entry_of_a_directory_costs_no_other_member(tmp_path: Path, opened: Opened) -> None:
    with ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("a.jpg", "\u00e9.jpg", "extra.jpg", "large.jpg", "future.jpg", "z.jpg"):
            info = ZipInfo(name)
            info.extra = struct.pack("<HH", 0xCAFE, 1) + b"x" if name in ("extra.jpg", "large.jpg") else b""
            archive.writestr(info, PHOTO)
    data = bytearray((tmp_path / "a.zip").read_bytes().replace("\u00e9.jpg".encode(), b"\xff\xfe.jpg"))
    at = data.index(b"PK\1\2")
    while at >= 0:
        entry = data[at + 46 : at + 46 + int.from_bytes(data[at + 28 : at + 30], "little")]
        if bytes(entry) in (b"extra.jpg", b"large.jpg"):
            # The length in the extra field is larger than the field.
            data[at + 46 + len(entry) + 2] = 9
        if entry == b"large.jpg":
            data[at + 24 : at + 28] = b"\xff" * 4
        if entry == b"future.jpg":
            data[at + 6] = 99
        at = data.find(b"PK\1\2", at + 1)
    (tmp_path / "a.zip").write_bytes(data)

    found = ended(opened(tmp_path / "a.zip"))

    large, future = found.pop("a.zip/large.jpg"), found.pop("a.zip/future.jpg")
    assert large == "unreadable: damaged in the archive's directory (corrupt extra field cafe (size=9)): " + COPY_AGAIN
    assert "unreadable" in future
    assert found == dict.fromkeys(("a.zip/a.jpg", "a.zip/\udcff\udcfe.jpg", "a.zip/extra.jpg", "a.zip/z.jpg"), "read")


def test_an_archive_that_is_cut_off_behind_an_archive_in_it_is_damaged(tmp_path: Path, opened: Opened) -> None:
    with ZipFile(tmp_path / "inner.zip", "w") as archive:
        archive.writestr("a.jpg", PHOTO)
    with ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(tmp_path / "inner.zip")
        archive.writestr("b.jpg", PHOTO)
    data = (tmp_path / "a.zip").read_bytes()
    (tmp_path / "a.zip").write_bytes(data[:-150])

    (found,) = ended(opened(tmp_path / "a.zip")).values()

    assert "bytes after its end" in found


def test_the_end_of_a_zip_is_found_behind_its_mark_in_a_comment_and_before_other_bytes(
    tmp_path: Path, opened: Opened
) -> None:
    with ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.jpg", PHOTO)
        archive.comment = b"PK\5\6" + b"trap" * 10
    with ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("b.jpg", PHOTO)
    with (tmp_path / "b.zip").open("ab") as file:
        file.write(bytes(100))

    assert ended(opened(tmp_path / "a.zip", tmp_path / "b.zip")) == {"a.zip/a.jpg": "read", "b.zip/b.jpg": "read"}


@pytest.mark.parametrize(("at", "value", "what"), [(4, 2, "one of several disks"), (10, 3, "its end counts 3")])
def test_a_zip_of_which_a_part_is_not_there_is_damaged(
    at: int, value: int, what: str, tmp_path: Path, opened: Opened
) -> None:
    with ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.jpg", PHOTO)
    data = bytearray((tmp_path / "a.zip").read_bytes())
    data[data.index(b"PK\5\6") + at] = value
    (tmp_path / "a.zip").write_bytes(data)

    assert what in ended(opened(tmp_path / "a.zip"))[f"{tmp_path.name}/a.zip"]


def test_a_file_that_is_named_like_a_directory_is_read(tmp_path: Path, opened: Opened) -> None:
    with ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.jpg/", PHOTO)
        archive.writestr("d/", b"")

    assert ended(opened(tmp_path / "a.zip")) == {"a.zip/a.jpg": "read"}


@pytest.mark.parametrize("mtime", ["nan", "inf", "-inf", "1e40", "-1e40", "-5.5"])
def test_a_member_of_a_tar_may_have_any_time(mtime: str, tmp_path: Path, opened: Opened) -> None:
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        info = header("a.jpg")
        info.pax_headers = {"mtime": mtime}
        archive.addfile(info, BytesIO(PHOTO))

    assert ended(opened(tmp_path / "a.tar")) == {"a.tar/a.jpg": "read"}


def test_a_member_without_a_name_costs_no_other_member(tmp_path: Path, opened: Opened) -> None:
    with ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("x.jpg", PHOTO)
        archive.writestr("a.jpg", PHOTO)
    (tmp_path / "a.zip").write_bytes((tmp_path / "a.zip").read_bytes().replace(b"x.jpg", b"\0.jpg"))

    assert ended(opened(tmp_path / "a.zip")) == {"a.zip/": "read", "a.zip/a.jpg": "read"}


@pytest.mark.parametrize("path", ["", "\u00e0.jpg"])
def test_a_name_in_utf_8_is_read_without_its_flag(path: str, tmp_path: Path, opened: Opened) -> None:
    info, name = ZipInfo("\u00e9.jpg"), path.encode()
    if path:
        # Info-ZIP's Unicode path.
        info.extra = struct.pack("<HHBL", 0x7075, 5 + len(name), 1, zlib.crc32("\u00e9.jpg".encode())) + name
    with ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(info, PHOTO)
    data = bytearray((tmp_path / "a.zip").read_bytes())
    for mark, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        data[data.index(mark) + flags + 1] &= ~0x08
    (tmp_path / "a.zip").write_bytes(data)

    assert ended(opened(tmp_path / "a.zip")) == {f"a.zip/{path or info.filename}": "read"}


def test_backslashes_of_windows_programs_separate_directories(tmp_path: Path, opened: Opened) -> None:
    info = ZipInfo("2023\\a.jpg")
    info.create_system = 0
    with ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(info, PHOTO)

    assert ended(opened(tmp_path / "a.zip")) == {"2023/a.jpg": "read"}


@pytest.mark.parametrize("name", ["../../a.jpg", "/a.jpg", "./a.jpg", "x/../a.jpg", "../a.jpg"])
def test_no_name_leads_out_of_the_archive(name: str, tmp_path: Path, opened: Opened) -> None:
    with ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(name, PHOTO)
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        tar.addfile(header(name), BytesIO(PHOTO))
    (source,) = {*ended(opened(tmp_path / "a.zip", tmp_path / "a.tar")).values()}

    assert source == "read"


@given(st.text())
def test_a_place_has_no_part_that_leads_elsewhere(name: str) -> None:
    place = place_of(name)

    assert os.path.normpath(f"/tree/{place}").startswith("/tree")
    assert place_of(place) == place


def test_a_symbolic_link_and_an_encrypted_member_are_reported(tmp_path: Path, opened: Opened) -> None:
    link = ZipInfo("link.jpg")
    link.create_system, link.external_attr = 3, 0o120777 << 16
    with ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(link, "a.jpg")
        archive.writestr("secret.jpg", PHOTO)
        archive.writestr("a.jpg", PHOTO)
    data = bytearray((tmp_path / "a.zip").read_bytes())
    at = data.rindex(b"secret.jpg") - 46 + 8
    data[at] |= 1
    (tmp_path / "a.zip").write_bytes(data)

    assert ended(opened(tmp_path / "a.zip")) == {
        "a.zip/link.jpg": "link: a symbolic link is not followed",
        "a.zip/secret.jpg": "unreadable: encrypted: extract it with its password",
        "a.zip/a.jpg": "read",
    }


def test_a_damaged_member_is_reported_and_the_others_are_read(tmp_path: Path, opened: Opened) -> None:
    with ZipFile(tmp_path / "a.zip", "w", ZIP_DEFLATED) as archive:
        for name in ("a.jpg", "b.jpg", "c.jpg"):
            archive.writestr(name, PHOTO)
    data = bytearray((tmp_path / "a.zip").read_bytes())
    middle = data.index(b"b.jpg") + 200
    data[middle : middle + 8] = b"\xff" * 8
    (tmp_path / "a.zip").write_bytes(data)

    found = ended(opened(tmp_path / "a.zip"))

    assert (found["a.zip/a.jpg"], found["a.zip/c.jpg"]) == ("read", "read")
    assert found["a.zip/b.jpg"].startswith("unreadable: damaged in its archive")


@pytest.mark.parametrize("keep", [0, 3, 0.2, 0.5, 0.98])
def test_a_truncated_zip_is_reported(keep: float, tmp_path: Path, opened: Opened) -> None:
    with ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.jpg", PHOTO)
    data = (tmp_path / "a.zip").read_bytes()
    (tmp_path / "a.zip").write_bytes(data[: int(keep * len(data)) if 0 < keep < 1 else int(keep)])

    (what,) = ended(opened(tmp_path / "a.zip")).values()

    assert what.startswith("unreadable: damaged, cut off or not a ZIP")


@pytest.mark.parametrize("step", [1, 100, 2**18])
@pytest.mark.parametrize("before", [b"", b"#!/bin/sh what unpacks it\n"])
@pytest.mark.parametrize("comment", [b"", b"PK", bytes(65535)])
def test_a_directory_is_listed_in_slices_as_zipfile_lists_it_whole(
    step: int, before: bytes, comment: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.zip").write_bytes(before)
    with ZipFile(tmp_path / "a.zip", "a") as archive:
        for number in range(40):
            info = ZipInfo(f"{'x' * number}/é{number}.jpg", (2023, 1, 1 + number % 28, 0, 0, 0))
            info.comment, info.extra = b"c" * (number % 7), b"UT\5\0\1" + struct.pack("<i", number)
            archive.writestr(info, os.urandom(number))
        archive.mkdir("folder")
        archive.comment = comment
    monkeypatch.setattr(zips, "_SLICE", step)

    found = [
        (one.name, one.offset, one.packed, one.crc, one.mtime_ns)
        for one in zips.ZipPart(str(tmp_path / "a.zip")).members()
    ]

    with ZipFile(tmp_path / "a.zip") as archive:
        infos = [info for info in archive.infolist() if not info.is_dir()]
    assert [one[:4] for one in found] == [
        (one.filename, one.header_offset, one.compress_size, one.CRC) for one in infos
    ]
    assert [one[4] for one in found] == [number * 10**9 for number in range(40)]


def test_a_zip_of_more_members_than_its_first_format_counts_is_listed_in_bounded_memory(tmp_path: Path) -> None:
    with ZipFile(tmp_path / "a.zip", "w") as archive:
        for number in range(70_000):
            archive.writestr(f"2023/IMG_{number:07d}.jpg", b"")
    part = zips.ZipPart(str(tmp_path / "a.zip"))
    tracemalloc.start()
    try:
        # Tracing costs ten times the listing itself.
        traced = sum(1 for _ in islice(part.members(), 25_000))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert sum(1 for _ in part.members()) == 70_000
    assert traced == 25_000
    # The traced ones at once take 10 MB.
    assert peak < 6 * 2**20


def test_a_damaged_directory_is_reported(tmp_path: Path, opened: Opened) -> None:
    with ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("a.jpg", "b.jpg", "c.jpg"):
            archive.writestr(name, PHOTO)
    data = bytearray((tmp_path / "a.zip").read_bytes())
    data[data.rindex(b"PK\1\2")] ^= 1
    (tmp_path / "a.zip").write_bytes(data)

    (what,) = ended(opened(tmp_path / "a.zip")).values()

    assert what.startswith("unreadable: damaged, cut off or not a ZIP (bad magic number")


def header(name: str, kind: bytes = tarfile.REGTYPE, size: int = len(PHOTO)) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, size
    return info


def three(file: Path) -> bytes:
    """Create a TAR of three photos, compressed by its extension."""
    with tarfile.open(file, "w:gz" if file.suffix == ".tgz" else "w") as archive:
        for name in ("a.jpg", "b.jpg", "c.jpg"):
            archive.addfile(header(name), BytesIO(PHOTO))
    return file.read_bytes()


def test_members_of_a_tar_that_are_not_files_are_reported(tmp_path: Path, opened: Opened) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.addfile(header("a.jpg"), BytesIO(PHOTO))
        for name, kind in (("hard", tarfile.LNKTYPE), ("soft", tarfile.SYMTYPE), ("pipe", tarfile.FIFOTYPE)):
            info = header(name, kind, 0)
            info.linkname = "a.jpg"
            archive.addfile(info)
        archive.addfile(header("folder", tarfile.DIRTYPE, 0))

    assert ended(opened(tmp_path / "a.tar")) == {
        "a.tar/a.jpg": "read",
        "a.tar/hard": "link: a hard link to a.jpg, which is read itself",
        "a.tar/soft": "link: a symbolic link is not followed",
        "a.tar/pipe": "not_a_file: a device or a pipe is not a file",
    }


@pytest.mark.parametrize("target", ["@eaDir/a.jpg", f"{OTHER}/a.jpg"])
def test_a_hard_link_to_a_file_that_is_not_uploaded_for_its_owner_fails(
    target: str, tmp_path: Path, opened: Opened
) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.addfile(header(target), BytesIO(PHOTO))
        archive.addfile(header(f"{OWNER}/a.jpg"), BytesIO(PHOTO))
        for name, linked in (("b.jpg", target), ("c.jpg", f"{OWNER}/a.jpg")):
            info = header(f"{OWNER}/{name}", tarfile.LNKTYPE, 0)
            info.linkname = linked
            archive.addfile(info)
    rules = SelectionRules(Selection(paths=("a.tar",), user_from="{user}/**"))

    found = {one.path.rpartition("/")[2]: one for one in opened(tmp_path / "a.tar").entries(rules)}

    lost, kept = found["b.jpg"], found["c.jpg"]
    assert isinstance(lost, FileOutcome) and isinstance(kept, FileOutcome)
    assert (lost.fate, kept.fate) == (Fate.FAILED, Fate.SKIPPED)
    assert lost.detail == f"a hard link to {target}, which is not uploaded for its owner: extract it"


@pytest.mark.parametrize("name", ["a.tar", "a.tgz"])
def test_a_hard_link_is_judged_by_the_size_of_its_target(name: str, tmp_path: Path, opened: Opened) -> None:
    with tarfile.open(tmp_path / name, "w:gz" if name == "a.tgz" else "w") as archive:
        for owner, size in ((OTHER, len(PHOTO)), (OWNER, 10)):
            archive.addfile(header(f"{owner}/a.jpg", size=size), BytesIO(PHOTO))
        soft = header("soft.jpg", tarfile.SYMTYPE, 0)
        soft.linkname = "elsewhere"
        archive.addfile(soft)
        for link, target in (("b", f"{OTHER}/a"), ("c", f"{OWNER}/a"), ("d", "nowhere"), ("e", "soft")):
            info = header(f"{OWNER}/{link}.jpg", tarfile.LNKTYPE, 0)
            info.linkname = f"{target}.jpg"
            archive.addfile(info)
    rules = SelectionRules(Selection(paths=(name,), user_from="{user}/**", min_size=11))

    outcomes = [one for one in opened(tmp_path / name).entries(rules) if isinstance(one, FileOutcome)]

    assert {one.path.rpartition("/")[2][0]: (one.fate, one.reason) for one in outcomes if OWNER in one.path} == {
        "a": (Fate.SKIPPED, Reason.TOO_SMALL),
        "b": (Fate.FAILED, Reason.LINK),
        "c": (Fate.SKIPPED, Reason.TOO_SMALL),
        "d": (Fate.FAILED, Reason.LINK),
        "e": (Fate.SKIPPED, Reason.LINK),
    }


@pytest.mark.parametrize("name", ["a.tar", "a.tgz"])
def test_a_tar_is_read_to_where_it_is_cut(name: str, tmp_path: Path, opened: Opened) -> None:
    data = three(tmp_path / name)
    whole = zlib.decompress(data, 31) if name == "a.tgz" else data
    block = tarfile.BLOCKSIZE
    photo_blocks = -(-len(PHOTO) // block) + 1
    for kept in (photo_blocks * block, photo_blocks * block + 100, photo_blocks * block + block + 10):
        cut = whole[:kept]
        (tmp_path / name).write_bytes(compressed(cut) if name == "a.tgz" else cut)

        found = ended(opened(tmp_path / name))

        assert found.pop(f"{name}/a.jpg") == "read"
        assert any("damaged or cut off" in what for what in found.values()), (kept, found)


def compressed(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=31)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize("keep", [1, 5, 0.3, 0.7, 0.99])
def test_a_truncated_compressed_tar_is_reported(keep: float, tmp_path: Path, opened: Opened) -> None:
    data = three(tmp_path / "a.tgz")
    (tmp_path / "a.tgz").write_bytes(data[: int(keep * len(data)) if keep < 1 else int(keep)])

    found = ended(opened(tmp_path / "a.tgz"))

    assert any("damaged or cut off" in what for what in found.values())


def test_a_compressed_tar_with_a_wrong_checksum_is_reported(tmp_path: Path, opened: Opened) -> None:
    data = bytearray(three(tmp_path / "a.tgz"))
    data[-8] ^= 1
    (tmp_path / "a.tgz").write_bytes(data)

    assert any("damaged or cut off" in what for what in ended(opened(tmp_path / "a.tgz")).values())


def test_a_damaged_header_in_the_middle_is_not_taken_for_the_end(tmp_path: Path, opened: Opened) -> None:
    data = bytearray(three(tmp_path / "a.tar"))
    at = data.index(b"b.jpg")
    data[at + 148 : at + 156] = b"nonsense"
    (tmp_path / "a.tar").write_bytes(data)

    found = ended(opened(tmp_path / "a.tar"))

    assert found.pop("a.tar/a.jpg") == "read"
    (what,) = found.values()
    assert "damaged or cut off after a.jpg" in what


def test_a_file_that_unpacks_to_a_thousand_times_its_size_is_refused(tmp_path: Path, opened: Opened) -> None:
    with ZipFile(tmp_path / "a.zip", "w", ZIP_DEFLATED) as archive, archive.open("a.jpg", "w") as member:
        member.write(PHOTO)
        for _ in range(80):
            member.write(bytes(2**20))

    (what,) = ended(opened(tmp_path / "a.zip")).values()

    assert what.startswith("unreadable: compressed ")
    assert not any(path.is_file() for path in (tmp_path / "spool").rglob("*"))


def test_more_bytes_than_a_member_declares_are_never_unpacked(tmp_path: Path, opened: Opened) -> None:
    with ZipFile(tmp_path / "a.zip", "w", ZIP_DEFLATED) as archive:
        archive.writestr("a.jpg", PHOTO + bytes(2**22))
    data = bytearray((tmp_path / "a.zip").read_bytes())
    at = data.rindex(b"a.jpg") - 46 + 24
    data[at : at + 4] = struct.pack("<I", len(PHOTO))
    (tmp_path / "a.zip").write_bytes(data)

    (what,) = ended(opened(tmp_path / "a.zip")).values()

    assert what.startswith("unreadable: damaged in its archive")


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tgz"])
def test_a_large_member_is_spooled_unless_it_is_not_a_picture(
    name: str, tmp_path: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "STREAM_ABOVE", 2**20)
    large = {"a.jpg": PHOTO + os.urandom(3 * 2**20), "b.bin": os.urandom(3 * 2**20)}
    if name == "a.zip":
        with ZipFile(tmp_path / name, "w") as archive:
            for member, data in large.items():
                archive.writestr(member, data)
    else:
        with tarfile.open(tmp_path / name, "w:gz" if name == "a.tgz" else "w") as tar:
            for member, data in large.items():
                tar.addfile(header(member, size=len(data)), BytesIO(data))

    assert ended(opened(tmp_path / name)) == {f"{name}/a.jpg": "read", f"{name}/b.bin": "NotAnImage"}
    assert not any(path.is_file() for path in (tmp_path / "spool").rglob("*"))


def test_an_earlier_member_of_a_stream_is_found_again(tmp_path: Path, opened: Opened) -> None:
    three(tmp_path / "a.tgz")
    source = opened(tmp_path / "a.tgz")

    found = [one for one in source.entries(RULES) if isinstance(one, SourceFile)]
    read = [source.read(one, RECOGNISER) for one in reversed(found)]

    assert [one.body for one in read if isinstance(one, Read)] == [PHOTO] * 3


def test_a_missing_archive_is_reported(tmp_path: Path, opened: Opened) -> None:
    (outcome,) = opened(tmp_path / "a.zip").entries(RULES)

    assert isinstance(outcome, FileOutcome)
    assert (outcome.fate, outcome.reason) == (Fate.FAILED, Reason.NOT_FOUND)


def raw_header(kind: bytes, size: bytes) -> bytes:
    """A header of a TAR with this type, and any bytes as its size."""
    data = bytearray(tarfile.TarInfo("a.jpg").tobuf(tarfile.GNU_FORMAT))
    data[124:136], data[156:157], data[148:156] = size.ljust(12, b"\0"), kind, b" " * 8
    data[148:156] = b"%06o\0 " % sum(data)
    return bytes(data)


def pax(records: bytes, kind: bytes = tarfile.XHDTYPE) -> bytes:
    return raw_header(kind, b"%011o" % len(records)) + records + bytes(-len(records) % 512)


def record(key: str, value: str) -> bytes:
    """A PAX record: its own length, which counts the digits of itself, a key and a value."""
    rest = f" {key}={value}\n".encode()
    length = len(rest) + 1
    while len(f"{length}") + len(rest) != length:
        length += 1
    return f"{length}".encode() + rest


BACKWARDS = b"\xff" * 10 + b"\xfc\0"
PLAIN = raw_header(tarfile.REGTYPE, b"%011o" % 0)
CRAFTED_TARS = {
    "a size that leads backwards": raw_header(tarfile.REGTYPE, BACKWARDS),
    "a size of an unknown type that leads backwards": raw_header(b"Q", BACKWARDS),
    "a size beyond any file": raw_header(tarfile.REGTYPE, b"\x80" + b"\x7f" * 11),
    "a PAX size that leads backwards": pax(record("size", "-1024")) + PLAIN,
    "a PAX size beyond any file": pax(record("size", "9" * 30)) + PLAIN,
    "a sparse size below zero": pax(record("GNU.sparse.size", "-1")) + PLAIN,
    "a PAX header of many digits": pax(b"1" * 500_000) + PLAIN,
    "a PAX value of many digits": pax(record("comment", "1" * 500_000)) + PLAIN,
    "PAX headers in a row": pax(record("a", "b")) * 1000 + PLAIN,
    "long names in a row": (raw_header(tarfile.GNUTYPE_LONGNAME, b"%011o" % 512) + bytes(512)) * 1000 + PLAIN,
    "global headers of any number": pax(b"".join(record(f"key{n}", "") for n in range(99)), tarfile.XGLTYPE) + PLAIN,
    "a sparse map that is cut off": raw_header(tarfile.GNUTYPE_SPARSE, b"0")[:482] + b"\1",
    **{
        f"a header {kind!r} of a gibibyte": raw_header(kind, b"%011o" % 2**30) + bytes(2**22)
        for kind in (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE)
    },
}


@pytest.mark.parametrize("name", ["a.tar", "a.tgz"])
@pytest.mark.parametrize("crafted", CRAFTED_TARS)
def test_a_crafted_header_ends_a_tar_as_damage_does(crafted: str, name: str, tmp_path: Path, opened: Opened) -> None:
    with tarfile.open(tmp_path / "whole.tar", "w") as archive:
        archive.addfile(header("first.jpg"), BytesIO(PHOTO))
    whole = (tmp_path / "whole.tar").read_bytes()
    data = whole[: 512 - (-len(PHOTO) // 512) * 512] + CRAFTED_TARS[crafted] + bytes(1024)
    (tmp_path / name).write_bytes(compressed(data) if name == "a.tgz" else data)
    tracemalloc.start()
    try:
        found = ended(opened(tmp_path / name))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert found.pop(f"{name}/first.jpg") == "read"
    (what,) = found.values()
    assert what.startswith("unreadable: damaged or cut off after first.jpg (") and what.endswith(COPY_AGAIN)
    assert peak < 16 * 2**20


@pytest.mark.parametrize("name", ["a.tar", "a.tgz"])
def test_a_member_of_terabytes_ends_with_its_archive(name: str, tmp_path: Path, opened: Opened) -> None:
    data = raw_header(tarfile.REGTYPE, b"\x80" + bytes(5) + b"\7" + bytes(5)) + PHOTO
    (tmp_path / name).write_bytes(compressed(data) if name == "a.tgz" else data)

    found = ended(opened(tmp_path / name))

    assert set(found) == {f"{name}/a.jpg", f"{tmp_path.name}/{name}"}
    assert all(what.startswith("unreadable: damaged or cut off") for what in found.values())


def test_a_long_name_and_its_records_are_read(tmp_path: Path, opened: Opened) -> None:
    long = "/".join("d" * 200 for _ in range(15)) + "/a.jpg"
    for number, form in enumerate((tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)):
        with tarfile.open(tmp_path / f"{number}.tar", "w", format=form) as archive:
            info = header(long)
            info.pax_headers = {"SCHILY.xattr.user.comment": "x" * 300_000, "comment": "7" * 200}
            archive.addfile(info, BytesIO(PHOTO))

        assert list(ended(opened(tmp_path / f"{number}.tar")).values()) == ["read"]


@pytest.mark.parametrize("field", [0, 8, 16])
@pytest.mark.parametrize("value", [2**62, 2**63, 2**64 - 1])
def test_an_impossible_number_in_a_zip64_costs_one_member(
    field: int, value: int, tmp_path: Path, opened: Opened
) -> None:
    with ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("a.jpg", "b.jpg"):
            archive.writestr(name, PHOTO)
    data = (tmp_path / "a.zip").read_bytes()
    at, end = data.index(b"PK\1\2"), data.rindex(b"PK\5\6")
    numbers = bytearray(struct.pack("<HHQQQ", 1, 24, len(PHOTO), len(PHOTO), 0))
    numbers[4 + field : 12 + field] = value.to_bytes(8, "little")
    record = bytearray(data[at : at + 51] + numbers)
    record[20:28], record[42:46], record[30:32] = b"\xff" * 8, b"\xff" * 4, len(numbers).to_bytes(2, "little")
    directory = bytes(record) + data[at + 51 : end]
    tail = bytearray(data[end:])
    tail[12:16] = len(directory).to_bytes(4, "little")
    (tmp_path / "a.zip").write_bytes(data[:at] + directory + tail)
    source = opened(tmp_path / "a.zip")

    source.index()
    found = ended(source)

    assert found["a.zip/b.jpg"] == "read"
    assert found["a.zip/a.jpg"].startswith("unreadable: ")


@pytest.mark.parametrize("method", [ZIP_DEFLATED, ZIP_BZIP2, ZIP_LZMA])
def test_packed_bytes_that_are_damaged_cost_one_member(method: int, tmp_path: Path, opened: Opened) -> None:
    with ZipFile(tmp_path / "a.zip", "w", method) as archive:
        for name in ("a.jpg", "b.jpg"):
            archive.writestr(name, PHOTO)
    data = bytearray((tmp_path / "a.zip").read_bytes())
    data[60:90] = b"\xa5" * 30
    (tmp_path / "a.zip").write_bytes(data)

    found = ended(opened(tmp_path / "a.zip"))

    assert found["a.zip/b.jpg"] == "read"
    assert found["a.zip/a.jpg"].startswith("unreadable: damaged in its archive (")


def test_a_zip_whose_members_share_their_bytes_is_damaged(tmp_path: Path, opened: Opened) -> None:
    with ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("0.jpg", PHOTO)
    data = (tmp_path / "a.zip").read_bytes()
    at, end = data.index(b"PK\1\2"), data.rindex(b"PK\5\6")
    directory = b"".join(data[at:end].replace(b"0.jpg", b"%d.jpg" % number) for number in range(9))
    tail = bytearray(data[end:])
    tail[8:12], tail[12:16] = struct.pack("<HH", 9, 9), len(directory).to_bytes(4, "little")
    (tmp_path / "a.zip").write_bytes(data[:at] + directory + tail)

    found = ended(opened(tmp_path / "a.zip"))

    assert found.pop("a.zip/0.jpg") == "read"
    (what,) = found.values()
    assert what.startswith("unreadable: damaged, cut off or not a ZIP (its members overlap)")


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tgz"])
def test_a_name_longer_than_any_path_costs_one_member(name: str, tmp_path: Path, opened: Opened) -> None:
    # Bringing this into a form of Unicode takes seconds in a ZIP, and an hour at the length that a TAR may have.
    long = "a" + "\u0301\u0323" * 16_000 + ".jpg"
    if name == "a.zip":
        with ZipFile(tmp_path / name, "w") as file:
            file.writestr(long, PHOTO)
            file.writestr("b.jpg", PHOTO)
    else:
        with tarfile.open(tmp_path / name, "w:gz" if name == "a.tgz" else "w") as archive:
            archive.addfile(header(long), BytesIO(PHOTO))
            archive.addfile(header("b.jpg"), BytesIO(PHOTO))

    found = ended(opened(tmp_path / name))

    assert found.pop(f"{name}/b.jpg") == "read"
    ((place, what),) = found.items()
    assert len(place) < 200 and what.startswith("unreadable: a name of 32,005 characters: rename it")


@pytest.mark.parametrize("name", ["a.tar", "a.tgz"])
def test_what_follows_the_end_of_a_tar_is_reported(name: str, tmp_path: Path, opened: Opened) -> None:
    data = three(tmp_path / "one.tar") * 2
    (tmp_path / name).write_bytes(compressed(data) if name == "a.tgz" else data)

    found = ended(opened(tmp_path / name))

    assert found.pop(f"{tmp_path.name}/{name}").startswith("unreadable: more data follows its end")
    assert found == {f"{name}/{one}.jpg": "read" for one in "abc"}


def test_a_zip_that_precedes_another_is_reported(tmp_path: Path, opened: Opened) -> None:
    for name in ("a", "b"):
        with ZipFile(tmp_path / f"{name}.zip", "w") as archive:
            archive.writestr(f"{name}.jpg", PHOTO)
    (tmp_path / "ab.zip").write_bytes((tmp_path / "a.zip").read_bytes() + (tmp_path / "b.zip").read_bytes())

    found = ended(opened(tmp_path / "ab.zip"))

    assert found.pop("ab.zip/b.jpg") == "read"
    ((_, what),) = found.items()
    assert "another zip precedes it" in what
