"""An export is a valid bag by the library's validator, and uploading it gives the same images."""

import csv
import logging
import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from zipfile import ZipFile

import bagit
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgctl.model import Status
from imgctl.ops.common.open import Parts, open_parts
from imgctl.ops.export.bag import LEFT_OUT_CSV, METADATA_CSV
from imgctl.ops.export.job import ExportJob
from imgctl.ops.export.names import folded
from imgctl.ops.export.options import ExportOrder, Fate
from imgctl.ops.export.sinks import BAGIT, DirectorySink
from imgctl.ops.ingest import outcome as ingest
from imgctl.ops.ingest.original import file_name
from imgctl.store.catalog.queries.reservations import confirm
from tests.ops.export.archive import NOON, OTHER, USER, Kept, fill, given_back, images_of, settings_in, values_of
from tests.soak import rounds
from tests.whole.conftest import photo

NASTY = (
    *("IMG_1.JPG", "img_1.jpg", "IMG_1.jpg", "Å.jpg", "A\u030a.jpg", ".hidden.jpg", "CON.jpg", "nul", "a:b?.jpg"),
    *("100%.jpg", "%0A.jpg", " lead.jpg", "trail.jpg ", "dots...", "thumbs.db", "~x.jpg", "-rf", "é" * 120 + ".jpeg"),
    *("../../etc/passwd", "a\\b.jpg", "data", "*.jpg", "'\".jpg", "日本語.jpg", "x.tar.gz", "a\u2028b.jpg"),
)
NAMES = st.none() | st.sampled_from(NASTY).map(file_name) | st.text(min_size=1, max_size=60).map(file_name)
CAPTIONS = st.none() | st.sampled_from(
    ("The lighthouse", 'a "b", c', "two\nlines", "=1+1", "crlf\r\nx", "a\u2028b", "😀")
)
TIMES = st.none() | st.datetimes(datetime(1900, 1, 1), datetime(2026, 1, 1)).map(  # noqa: DTZ001
    lambda one: one.replace(tzinfo=UTC, microsecond=one.microsecond // 1000 * 1000)
)
KEPT = st.builds(
    Kept,
    name=NAMES,
    caption=CAPTIONS,
    taken_at=TIMES,
    uploaded_at=st.integers(0, 10**6).map(lambda seconds: NOON + timedelta(milliseconds=seconds * 1000)),
)


def exported(parts: Parts, out: Path, **order: object) -> ExportJob:
    """Run an export to its end."""
    job = ExportJob(parts=parts, order=ExportOrder(user=USER, out=str(out), **order), stop=Event())  # type: ignore[arg-type]
    list(job.outcomes())
    return job


def validated(out: Path, place: Path) -> bagit.Bag:
    """Return the bag, validated by the Library of Congress's tool; a ZIP file is unpacked first."""
    if out.suffix == ".zip":
        with ZipFile(out) as archive:
            assert archive.testzip() is None
            archive.extractall(place / "unpacked")
        out = place / "unpacked" / out.stem
    logging.getLogger("bagit").setLevel(logging.ERROR)
    bag = bagit.Bag(str(out))
    bag.validate(processes=1)
    return bag


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@settings(max_examples=rounds(8, 300), deadline=None)
@given(kept=st.lists(KEPT, min_size=1, max_size=12), kind=st.sampled_from(["bag", "bag.zip"]))
def test_a_bag_is_valid_and_round_trips(template: Path, kept: list[Kept], kind: str) -> None:
    place = Path(tempfile.mkdtemp())
    here, there = settings_in(place / "here", template), settings_in(place / "there", template)
    with open_parts(here) as parts:
        fill(parts, kept)
        fill(parts, [Kept(name="IMG_1.JPG")], user=OTHER, first=len(kept))

        job = exported(parts, place / kind)
    bag = validated(place / kind, place)
    outcomes = given_back(there, place / kind)

    assert job.complete and job.tally.of(Fate.SAVED) == len(kept)
    paths = list(bag.payload_files())
    assert len({folded(path) for path in paths}) == len(paths) == len(kept)
    assert [one.fate for one in outcomes] == [ingest.Fate.UPLOADED] * len(kept), outcomes
    assert values_of(images_of(there)) == values_of(images_of(here))
    shutil.rmtree(place)


def test_the_same_rows_have_the_same_names_in_every_target(template: Path, tmp_path: Path) -> None:
    with open_parts(settings_in(tmp_path / "here", template)) as parts:
        fill(parts, [Kept(name=name) for name in NASTY])

        for name in ("one", "two.zip"):
            exported(parts, tmp_path / name)

    one, two = (validated(tmp_path / name, tmp_path).entries for name in ("one", "two.zip"))
    assert {path for path in one if path.startswith("data/")} == {path for path in two if path.startswith("data/")}


def test_a_bag_completed_by_a_second_run_has_no_table_of_left_out_images(
    template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, out = settings_in(tmp_path / "here", template), tmp_path / "bag"
    put = DirectorySink.put

    def killed(sink: DirectorySink, path: str, *arguments: object, **named: object) -> object:
        if path == BAGIT:
            raise KeyboardInterrupt
        return put(sink, path, *arguments, **named)  # type: ignore[arg-type]

    with open_parts(here) as parts:
        fill(parts, [Kept(name="a.jpg"), Kept(name="b.jpg", whole=False)])
        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(DirectorySink, "put", killed)
            exported(parts, out)
        assert (out / LEFT_OUT_CSV).exists()
        (late,) = (one for one in images_of(here) if one.status is Status.UPLOADING)
        parts.store.create(late.original_key or "", photo(1), content_type="image/jpeg")
        with parts.catalog.write() as connection:
            confirm(connection, [late.id])

        exported(parts, out)

    assert not (out / LEFT_OUT_CSV).exists()
    assert len(list(validated(out, tmp_path).payload_files())) == 2


def test_a_changed_file_of_a_bag_is_not_uploaded(template: Path, tmp_path: Path) -> None:
    here, there = settings_in(tmp_path / "here", template), settings_in(tmp_path / "there", template)
    with open_parts(here) as parts:
        fill(parts, [Kept(name="a.jpg", caption="A")])
        exported(parts, tmp_path / "bag")

    (tmp_path / "bag" / "data" / "originals" / "2024" / "05" / "a.jpg").write_bytes(b"\xff\xd8changed")
    (outcome,) = given_back(there, tmp_path / "bag")

    assert (outcome.fate, outcome.reason) != (ingest.Fate.UPLOADED, ingest.Reason.NONE)
    assert images_of(there) == []


@pytest.mark.parametrize("kind", ["bag", "bag.zip"])
def test_files_added_to_a_bag_are_uploaded(template: Path, tmp_path: Path, kind: str) -> None:
    here, there = settings_in(tmp_path / "here", template), settings_in(tmp_path / "there", template)
    out, names = tmp_path / kind, ("data/originals/2024/05/new.jpg", "beside.jpg", "data/thumb/2024/05/a.jpg.jpg")
    with open_parts(here) as parts:
        fill(parts, [Kept(name="a.jpg", caption="A"), Kept(name="thumbs.db")])
        exported(parts, out)
    for number, name in enumerate((*names, ".hidden.jpg"), 100):
        if kind == "bag":
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            (out / name).write_bytes(photo(number))
        else:
            with ZipFile(out, "a") as archive:
                archive.writestr(f"bag/{name}", photo(number))
    if kind == "bag.zip":
        with pytest.warns(UserWarning, match="Duplicate name"), ZipFile(out, "a") as archive:
            archive.writestr("bag/data/originals/2024/05/a.jpg", photo(200))

    outcomes = given_back(there, out)

    fates = sorted((one.fate, one.path.rpartition("/")[2]) for one in outcomes)
    again = [(ingest.Fate.UPLOADED, "a.jpg")] * (kind == "bag.zip")
    assert fates == sorted(
        [
            (ingest.Fate.SKIPPED, ".hidden.jpg"),
            *((ingest.Fate.UPLOADED, name) for name in ("a.jpg", "beside.jpg", "new.jpg", "thumbs.db")),
            *again,
        ]
    )


FORMULAS = ("=1+1", "'=1+1", "+1", "-1", "@SUM(A1)", "'tis", "-rf.jpg")


def test_tables_of_a_bag_contain_no_formula_and_round_trip(template: Path, tmp_path: Path) -> None:
    here, there = settings_in(tmp_path / "here", template), settings_in(tmp_path / "there", template)
    with open_parts(here) as parts:
        fill(parts, [Kept(name=one.strip(), caption=one) for one in FORMULAS])
        fill(parts, [Kept(name="=2", caption="=2", whole=False)], first=len(FORMULAS))
        exported(parts, tmp_path / "bag")
    tables = [
        list(csv.reader((tmp_path / "bag" / name).read_text().splitlines())) for name in (METADATA_CSV, LEFT_OUT_CSV)
    ]

    outcomes = given_back(there, manifest=tmp_path / "bag" / METADATA_CSV)

    assert [len(table) for table in tables] == [len(FORMULAS) + 1, 2]
    assert not [cell for table in tables for line in table for cell in line if cell.startswith(tuple("=+-@\t\r\n"))]
    assert {one.fate for one in outcomes} == {ingest.Fate.UPLOADED}
    whole = [one for one in images_of(here) if one.status is not Status.UPLOADING]
    assert values_of(images_of(there)) == values_of(whole)


def test_a_line_with_a_path_outside_the_bag_is_refused(template: Path, tmp_path: Path) -> None:
    there = settings_in(tmp_path / "there", template)
    secret = tmp_path / "secret.jpg"
    secret.write_bytes(b"\xff\xd8")
    bag = tmp_path / "bag"
    bag.mkdir()
    (bag / "bagit.txt").write_text("BagIt-Version: 1.0\n")
    lines = ("../secret.jpg", "data/../../secret.jpg", str(secret), "s3://other/secret.jpg", "data/./x")
    (bag / "metadata.jsonl").write_text("".join(f'{{"path": "{line}"}}\n' for line in lines))

    outcomes = given_back(there, bag)

    assert [one.reason for one in outcomes] == [ingest.Reason.BAD_LINE] * len(lines)
