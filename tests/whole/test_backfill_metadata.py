"""`imgctl backfill --metadata`: it fills missing values of rows from the stored originals, and changes nothing else."""

import json
import random
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import update

from imgctl.imaging.formats import Format
from imgctl.model import Image, StorageClass
from imgctl.store.catalog.engine import open_catalog
from imgctl.store.catalog.schema import images
from tests.imaging.containers import HEIGHT, WIDTH, Metadata, heic, jpeg, png, short_entry, text_entry, tiff_file, webp
from tests.imaging.films import of_format
from tests.parts.proxy import fault_proxy
from tests.whole.cold import archive
from tests.whole.conftest import photo
from tests.whole.deployment import USER, Deployment, Result, kill_at_a_request

DAY = datetime(1987, 6, 5, 12, tzinfo=UTC)
METADATA = Metadata(
    primary=(text_entry(0x010E, b"Print 17"), short_entry(0x0112, 6)),
    exif=(text_entry(0x9003, b"1987:06:05 12:00:00"),),
)
LARGE = replace(METADATA, pixels=9 * 2**20)
FORMATS = {"a.jpg": jpeg, "b.png": png, "c.webp": webp, "d.heic": heic, "e.tif": tiff_file}
FACTS = ("caption", "taken_at", "width", "height")
READ = ("backfill", "--metadata", "--yes", "--json")


def uploaded(deployment: Deployment, files: dict[str, bytes], **facts: object) -> list[Image]:
    """Upload files, then clear their rows' metadata, as if an older version had uploaded them."""
    place = deployment.directory / "photos"
    place.mkdir()
    for name, data in files.items():
        (place / name).write_bytes(data)
    result = deployment.run("upload", place, "--user", str(USER))
    assert result.code == 0, result.err
    setting(deployment, **(dict.fromkeys(FACTS) | facts))
    return deployment.images()


def setting(deployment: Deployment, **values: object) -> None:
    catalog = open_catalog(deployment.catalog_url)
    with catalog.write() as connection:
        connection.execute(update(images).values(**values))
    catalog.close()


def blank(image: Image) -> Image:
    return replace(image, caption=None, taken_at=None, width=None, height=None)


def fates(result: Result) -> dict[str, object]:
    names = ("changed", "unchanged", "planned", "needs_restore", "failed", "gone")
    return {name: result.summary[name] for name in names if result.summary[name]}


def takeout(text: str) -> bytes:
    return json.dumps({"description": text, "photoTakenTime": {"timestamp": str(int(DAY.timestamp()))}}).encode()


def test_what_rows_lack_is_filled_from_the_originals_and_nothing_else_changes(deployment: Deployment) -> None:
    before = uploaded(deployment, {name: write(METADATA) for name, write in FORMATS.items()})

    first = deployment.run(*READ)
    again = deployment.run(*READ)

    assert (first.code, again.code) == (0, 0), first.err + again.err
    assert (fates(first), fates(again)) == ({"changed": 5}, {})
    after = deployment.images()
    assert {(row.caption, row.taken_at, row.width, row.height) for row in after} == {("Print 17", DAY, HEIGHT, WIDTH)}
    assert [blank(row) for row in after] == before
    assert first.summary["facts"] == {"caption": 5, "taken_at": 5, "size": 5}
    records = {str(record["id"]): record for record in first.of("image")}
    for row in after:
        assert records[str(row.id)]["taken_from"] == "exif"
        assert records[str(row.id)]["changes"] == {
            "caption": {"before": None, "after": "Print 17"},
            "taken_at": {"before": None, "after": DAY.isoformat()},
            "width": {"before": None, "after": HEIGHT},
            "height": {"before": None, "after": WIDTH},
        }


def test_values_of_a_row_are_kept_without_overwrite(deployment: Deployment) -> None:
    uploaded(deployment, {"a.jpg": jpeg(METADATA)}, caption="by hand", width=WIDTH, height=HEIGHT)

    kept = deployment.run(*READ)
    [filled] = deployment.images()
    sized = deployment.run(*READ, "--overwrite", "size")
    [turned] = deployment.images()
    captioned = deployment.run(*READ, "--overwrite", "caption", "--overwrite", "taken_at")
    [last] = deployment.images()

    assert [run.code for run in (kept, sized, captioned)] == [0, 0, 0]
    assert (filled.caption, filled.taken_at, filled.width) == ("by hand", DAY, WIDTH)
    assert (turned.caption, turned.width, turned.height) == ("by hand", HEIGHT, WIDTH)
    assert last.caption == "Print 17"
    assert captioned.summary["facts"] == {"caption": 1}


def test_a_weak_date_never_overwrites_another(embedded: Deployment) -> None:
    edited = Metadata(primary=(text_entry(0x0132, b"2020:01:01 00:00:00"),))
    uploaded(embedded, {"a.jpg": jpeg(edited)}, taken_at=DAY)

    embedded.run(*READ, "--overwrite", "taken_at")
    [kept] = embedded.images()
    setting(embedded, taken_at=None)
    embedded.run(*READ)
    [filled] = embedded.images()

    assert (kept.taken_at, filled.taken_at) == (DAY, datetime(2020, 1, 1, tzinfo=UTC))


def test_sidecars_of_a_source_tree_are_matched_by_content(deployment: Deployment, tmp_path: Path) -> None:
    uploaded(deployment, {f"{number}.jpg": photo(number) for number in range(3)})
    tree = tmp_path / "takeout" / "Photos from 1987"
    tree.mkdir(parents=True)
    (tree / "IMG_1-bearbeitet.jpg").write_bytes(photo(1))
    (tree / "IMG_1.jpg.supplemental-metadata.json").write_bytes(takeout("the ferry"))
    (tree / "nothing beside.jpg").write_bytes(photo(2))

    result = deployment.run(*READ, "--sidecars-from", tmp_path / "takeout")

    assert result.code == 0, result.err
    assert result.summary["sidecars"] == 1
    assert sorted((row.caption or "", row.taken_at) for row in deployment.images() if row.caption) == [
        ("the ferry", DAY)
    ]
    assert {row.width for row in deployment.images()} == {96}
    assert [record["taken_from"] for record in result.of("image") if record["taken_from"]] == ["takeout"]


def test_archived_originals_are_counted_and_only_their_sidecars_read(embedded: Deployment, tmp_path: Path) -> None:
    rows = uploaded(embedded, {f"{number}.jpg": photo(number) for number in range(3)})
    archive(embedded, [row.original_key or "" for row in rows])
    setting(embedded, storage_class=StorageClass.GLACIER)
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "a.jpg").write_bytes(photo(1))
    (tmp_path / "tree" / "a.jpg.json").write_bytes(takeout("the ferry"))

    result = embedded.run(*READ, "--sidecars-from", tmp_path / "tree")
    strict = embedded.run(*READ, "--require-all")

    assert (result.code, strict.code) == (0, 3)
    assert fates(result) == {"changed": 1, "needs_restore": 2}
    assert {row.caption for row in embedded.images()} == {None, "the ferry"}
    assert {row.storage_class for row in embedded.images()} == {StorageClass.GLACIER}


def test_an_original_that_is_archived_behind_the_rows_back_is_counted(embedded: Deployment) -> None:
    [row] = uploaded(embedded, {"a.jpg": photo(1)})
    archive(embedded, [row.original_key or ""])

    assert fates(embedded.run(*READ)) == {"needs_restore": 1}


def test_reading_that_is_billed_is_priced_and_needs_consent(servers: Deployment) -> None:
    before = uploaded(servers, {name: write(METADATA) for name, write in FORMATS.items()})

    with fault_proxy(servers.store.endpoint_url) as proxy:
        run = servers.through(proxy.url).run
        refused = run("backfill", "--metadata", "--json")
        planned = run("backfill", "--metadata", "--dry-run", "--json", "--user", str(USER), "--since", "2020-01-01")
        asked = proxy.requests.total()
        shown = run("backfill", "--metadata", "--dry-run", "--yes", "--json")

    assert (refused.code, planned.code, shown.code) == (2, 0, 0)
    assert "reading the metadata of 5 originals costs about" in refused.err
    [estimate] = planned.of("estimate")
    assert estimate["originals"] == 5
    assert asked == 0
    assert (fates(planned), fates(shown)) == ({"planned": 5}, {"changed": 5})
    assert servers.images() == before


def test_a_film_is_priced_as_two_reads_because_its_metadata_may_lie_behind_its_pictures(servers: Deployment) -> None:
    uploaded(servers, {"1.mp4": of_format(Format.MP4), "1.jpg": photo(1)})

    planned = servers.run("backfill", "--metadata", "--dry-run", "--overwrite", "size", "--json")

    [estimate] = planned.of("estimate")
    lines = estimate["lines"]
    assert isinstance(lines, list)
    assert [Decimal(line["quantity"]) for line in lines if str(line["name"]).startswith("GET")] == [3]


def test_a_large_original_costs_a_few_requests(servers: Deployment) -> None:
    uploaded(servers, {name: write(LARGE) for name, write in FORMATS.items()})

    with fault_proxy(servers.store.endpoint_url) as proxy:
        result = servers.through(proxy.url).run(*READ)

    assert fates(result) == {"changed": 5}
    assert {(row.caption, row.taken_at) for row in servers.images()} == {("Print 17", DAY)}
    assert proxy.requests["HEAD"] == 5
    assert proxy.requests["GET"] <= 3 * 5


def test_a_missing_original_is_reported_and_the_others_continue(deployment: Deployment) -> None:
    rows = uploaded(deployment, {f"{number}.jpg": photo(number) for number in range(3)})
    deployment.open_store().delete([rows[1].original_key or ""])

    result = deployment.run(*READ)

    assert result.code == 3
    assert fates(result) == {"changed": 2, "failed": 1}
    assert f"failed {rows[1].id}: the original {rows[1].original_key} is not in the store" in result.err


def test_a_run_that_was_stopped_goes_on_where_it_ended(deployment: Deployment) -> None:
    rows = uploaded(deployment, {f"{number}.jpg": photo(number) for number in range(5)})

    first = deployment.run(*READ, "--limit", "2")
    second = deployment.run(*READ, "--limit", "2")
    last = deployment.run(*READ)
    anew = deployment.run(*READ)

    read = [[str(record["id"]) for record in run.of("image")] for run in (first, second, last, anew)]
    ids = [str(row.id) for row in rows]
    # Noise has no metadata: these rows still lack a caption.
    assert read == [ids[:2], ids[2:4], ids[4:], ids]
    assert f"continuing an unfinished run after {ids[1]}" in second.err


def test_a_killed_run_is_finished_by_the_next(servers: Deployment) -> None:
    before = uploaded(servers, {f"{number}.tif": tiff_file(replace(METADATA, pixels=number)) for number in range(8)})
    for number in range(4):
        setting(servers, **dict.fromkeys(FACTS))
        kill_at_a_request(servers, list(READ), 16, random.Random(number))

        again = servers.run(*READ)

        assert again.code == 0, again.err
        assert {(row.caption, row.taken_at) for row in servers.images()} == {("Print 17", DAY)}
        assert [blank(row) for row in servers.images()] == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--metadata", "--stale"), "--stale has no effect"),
        (("--metadata", "--restore", "bulk"), "--restore has no effect"),
        (("--overwrite", "size"), "--overwrite is for --metadata"),
        (("--metadata", "--sidecars-from", "nowhere"), "is not a directory"),
        (("--metadata", "--overwrite", "id"), "is not one of"),
    ],
)
def test_options_that_contradict_are_refused(embedded: Deployment, arguments: tuple[str, ...], message: str) -> None:
    result = embedded.run("backfill", *arguments)

    assert (result.code, message in result.err) == (2, True), result.err


def test_rows_are_chosen_as_by_other_commands(embedded: Deployment, tmp_path: Path) -> None:
    rows = uploaded(embedded, {f"{number}.jpg": photo(number) for number in range(4)})
    listed = tmp_path / "ids"
    listed.write_text(f"{rows[1].id}\n{rows[3].original_key}\nnonsense\n")

    result = embedded.run(*READ, "--ids-from", listed)
    halves = [embedded.run(*READ, "--overwrite", "size", "--shard", f"{one}/2") for one in (1, 2)]

    assert result.code == 3
    assert {record["id"] for record in result.of("image")} == {str(rows[1].id), str(rows[3].id)}
    assert sum(len(half.of("image")) for half in halves) == 4
