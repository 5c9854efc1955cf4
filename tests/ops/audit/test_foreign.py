"""With any foreign keys in the store, an audit ends, finds each one under its exact name, and changes none."""

import csv
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event
from urllib.parse import quote_plus

import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from imgctl.config.catalog_store import StoreSettings
from imgctl.errors import StoreDenied
from imgctl.ops.audit.findings import Code, from_record
from imgctl.ops.audit.options import AuditOrder, Tally
from imgctl.ops.audit.report import csv_file
from imgctl.ops.common.rows import Chosen
from imgctl.ops.repair.options import Fate, RepairOrder
from imgctl.ops.repair.pipeline import repair
from imgctl.ops.repair.trash import undelete
from imgctl.store.blobs.base import Blob
from imgctl.store.blobs.s3.store import S3Store
from imgctl.store.catalog.engine import open_catalog
from imgctl.store.catalog.queries.lookups import Scope
from tests.ops.audit.archive import AT_ONCE, USER, Archive, archive_of, local
from tests.parts.moto_server import fill
from tests.parts.seaweed import S3Server
from tests.soak import rounds

WAYS = (AT_ONCE, replace(AT_ONCE, classes=True), replace(AT_ONCE, deep=True))
OF_USER = replace(AT_ONCE, chosen=Chosen(scope=Scope(user_id=USER)))
# The audits that HEAD blobs one by one, or read them.
HEADING = (OF_USER, replace(OF_USER, classes=True), replace(OF_USER, deep=True))
# Listed because random texts seldom contain them: keys that clients, consoles and mounts leave behind.
PECULIAR = (
    "2024/", "a//b", "/lead", "/", "//", "../up", "./dot", "x/..", "x/./y", "tab\there", "del\x7f", "cr\rx", "esc\x1bx",
    "nul\0x", "\ufffe", "\x85", " lead", "trail ", "a?b#c", "<&>\"'", "%2F+ %", "\U0010ffff" * 3, "d", "d/", "d/e",
    "é" * 512, "/2024/01/01/0190b2b4-0000-7000-8000-000000000001-thumb.jpg",
    "2024/01/01/0190b2b4-0000-7000-8000-000000000001-thumb.jpg/x", "2024//01/01/x", "2024/01/01/\t", "trash", "10/",
)  # fmt: skip
SEGMENT = st.sampled_from(["", ".", "..", "a", "2024", "01", "%", "trash", "~"]) | st.text(max_size=8)
KEYS = st.text(min_size=1, max_size=1024) | st.lists(SEGMENT, min_size=2, max_size=6).map("/".join)


# One or two valid path components of Linux.
NAMES = (
    st.lists(
        st.binary(min_size=1, max_size=40).filter(lambda name: not set(name) & {0, 47} and name not in (b".", b"..")),
        min_size=1,
        max_size=2,
    )
    .map(b"/".join)
    .filter(lambda name: not name.startswith((b".", b"trash/", b"imgctl-batch/")))
)
PROPERTY = settings(
    max_examples=rounds(4, 100),
    print_blob=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def allowed(key: str) -> bool:
    """Whether S3 accepts this key (User Guide: 1 to 1,024 bytes of UTF-8) and audits don't skip its prefix."""
    return 0 < len(key.encode(errors="replace")) <= 1024 and not key.startswith(
        ("trash/", ".imgctl-check/", "imgctl-batch/")
    )


@contextmanager
def archive(template: Path, store: StoreSettings | None = None) -> Iterator[tuple[Archive, Path]]:
    """Two intact photos in a store, and a directory for files of the test."""
    with TemporaryDirectory() as place:
        directory = Path(place)
        shutil.copy(template, directory / "catalog.db")
        with closing(open_catalog(f"sqlite:///{directory}/catalog.db")) as catalog:
            found = archive_of(catalog, store or local(directory))
            found.add(2)
            yield found, directory


def foreign(found: Archive, order: AuditOrder) -> list[str]:
    """Return the keys that an audit reports as unknown; it reports nothing else."""
    findings = found.audit(order)
    assert {one.code for one in findings} <= {Code.UNKNOWN_KEY}
    return sorted(one.key or "" for one in findings)


def others(server: S3Server, bucket: str, keys: list[str]) -> list[str]:
    """Put the keys that the server accepts and return those it lists: SeaweedFS alters some, both reject some."""
    client = server.client()

    def listed() -> set[str]:
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        return {one["Key"] for page in pages for one in page.get("Contents", ())}

    ours = listed()
    for key in keys:
        with suppress(ClientError):
            client.put_object(Bucket=bucket, Key=key, Body=b"x")
    return sorted(listed() - ours)


@PROPERTY
@given(keys=st.lists(KEYS.filter(allowed), min_size=1, max_size=5, unique=True))
@example(keys=list(PECULIAR))
def test_every_key_in_a_bucket_is_a_finding(moto_s3: S3Server, template: Path, keys: list[str]) -> None:
    bucket = moto_s3.new_bucket()
    with archive(template, moto_s3.settings(bucket)) as (found, _):
        theirs = others(moto_s3, bucket, keys)

        assert all(foreign(found, order) == theirs for order in WAYS)
        assert all(foreign(found, order) == [] for order in HEADING)


@PROPERTY
@given(keys=st.lists(KEYS.filter(allowed), min_size=1, max_size=5, unique=True))
@example(keys=list(PECULIAR))
# SeaweedFS sorts segment by segment: `a/b` before `a-b`.
@example(keys=["a/b", "a-b", "a", "2024/01-x", "2024/01/x", "2024/01/é"])
@example(keys=["\x08/b", "\x08-b"])
def test_every_key_that_seaweed_takes_is_a_finding(seaweed: S3Server, template: Path, keys: list[str]) -> None:
    bucket = seaweed.new_bucket()
    with archive(template, seaweed.settings(bucket)) as (found, _):
        # SeaweedFS strips a leading slash, which may move a key to a prefix that audits skip.
        theirs = [key for key in others(seaweed, bucket, keys) if allowed(key)]

        assert keys != list(PECULIAR) or len(theirs) > len(PECULIAR) // 2
        assert all(foreign(found, order) == theirs for order in WAYS)


@PROPERTY
@given(names=st.lists(NAMES, min_size=1, max_size=5, unique=True))
@example(
    names=[
        b"line\nfeed",
        b"esc\x1b[31m",
        b"\xff\xfe",
        b"caf\xe9/\xc3",
        b"a/b",
        b"a-b",
        b"2024/01/\xff",
        b"tab\t",
        b"\n",
        b"x" * 255,
    ]
)
def test_every_name_in_a_directory_is_a_finding(template: Path, names: list[bytes]) -> None:
    with archive(template) as (found, directory):
        theirs = []
        for name in names:
            path = os.fsencode(directory / "blobs") + b"/" + name
            with suppress(OSError):
                os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120
                with open(path, "xb") as file:  # noqa: PTH123
                    file.write(b"x")
                theirs.append(os.fsdecode(name))

        assert all(foreign(found, order) == sorted(theirs) for order in WAYS)


def assert_named_keys_are_findings(found: Archive, keys: list[str]) -> None:
    """Assert that rows which name foreign keys, as variant or original, are findings that a repair leaves alone."""
    for key, photo in zip(keys, found.add(len(keys)), strict=True):
        found.set(photo, thumb_key=key)
    for key, photo in zip(keys, found.add(len(keys)), strict=True):
        found.set(photo, original_key=key)
    for order in (replace(AT_ONCE, classes=True), *HEADING):
        findings = [one for one in found.audit(order) if one.code is Code.UNKNOWN_KEY and one.id]
        assert sorted(one.key or "" for one in findings) == sorted([*keys, *keys])
    outcomes = repair(findings, RepairOrder(apply=True), found.parts, stop=Event())
    assert {one.fate for one in outcomes} == {Fate.LEFT}


@PROPERTY
@given(keys=st.lists(KEYS.filter(allowed), min_size=1, max_size=5, unique=True))
@example(keys=list(PECULIAR))
def test_every_key_that_a_row_names_is_a_finding(template: Path, keys: list[str]) -> None:
    with archive(template) as (found, _):
        assert_named_keys_are_findings(found, keys)


@pytest.mark.parametrize("kind", ["moto_s3", "seaweed"])
def test_keys_that_rows_name_and_servers_refuse_are_findings(
    kind: str, request: pytest.FixtureRequest, template: Path
) -> None:
    server: S3Server = request.getfixturevalue(kind)
    with archive(template, server.settings(server.new_bucket())) as (found, _):
        assert_named_keys_are_findings(found, list(PECULIAR[:12]))


def test_a_bucket_listed_by_path_segment_is_audited_in_byte_order(seaweed: S3Server, template: Path) -> None:
    bucket = seaweed.new_bucket()
    with archive(template, seaweed.settings(bucket, prefix="one")) as (found, _):
        day, name = found.photos[0].keys["thumb"].removesuffix("-thumb.jpg").rsplit("/", 1)
        theirs = others(
            seaweed,
            bucket,
            ["one/a/b", "one/a-b", "one/a.txt", f"one/{day}/{name}/x", f"one/{day}.txt", f"one/{day}/{name[:8]}/y"],
        )

        assert all(foreign(found, order) == [key.removeprefix("one/") for key in theirs] for order in WAYS)


@pytest.mark.parametrize("body", [b"", b"x"])
def test_a_key_of_ours_with_a_trailing_slash_is_foreign(body: bytes, moto_s3: S3Server, template: Path) -> None:
    bucket = moto_s3.new_bucket()
    with archive(template, moto_s3.settings(bucket)) as (found, _):
        lost = found.photos[0].keys["thumb"]
        found.delete(lost)
        moto_s3.client().put_object(Bucket=bucket, Key=f"{lost}/", Body=body)

        reported = {(one.code, one.key) for one in found.audit()}

        assert reported == {(Code.MISSING_VARIANT, lost), (Code.UNKNOWN_KEY, f"{lost}/")}


def test_the_folder_marker_of_the_prefix_is_not_a_finding(moto_s3: S3Server, template: Path) -> None:
    bucket = moto_s3.new_bucket()
    with archive(template, moto_s3.settings(bucket, prefix="archive/one")) as (found, _):
        for key in ("archive/one/", "archive/one//x", "archive/one/2024/", "archive/one-more/x"):
            moto_s3.client().put_object(Bucket=bucket, Key=key, Body=b"")

        assert all(foreign(found, order) == ["/x", "2024/"] for order in WAYS)


def test_a_folder_marker_does_not_hide_a_missing_variant(moto_s3: S3Server, template: Path) -> None:
    bucket = moto_s3.new_bucket()
    with archive(template, moto_s3.settings(bucket)) as (found, _):
        lost = found.photos[0].keys["thumb"]
        found.delete(lost)
        for key in ("2024/", f"/{lost}", f"{lost}/", "a//b"):
            moto_s3.client().put_object(Bucket=bucket, Key=key, Body=b"x")

        reported = {(one.code, one.key) for one in found.audit()}

        assert (Code.MISSING_VARIANT, lost) in reported
        assert {key for code, key in reported if code is Code.UNKNOWN_KEY} == {"2024/", f"/{lost}", f"{lost}/", "a//b"}


def test_foreign_keys_on_many_listing_pages_are_all_found(moto_s3: S3Server, template: Path) -> None:
    bucket = moto_s3.new_bucket()
    with archive(template, moto_s3.settings(bucket)) as (found, _):
        theirs = [f"{top}{number:04}/" for top in ("1/", "x") for number in range(510)]
        fill(bucket, theirs)
        tally = Tally()

        assert sorted(one.key or "" for one in found.audit(tally=tally)) == theirs
        assert tally.lists <= 8


def test_foreign_keys_of_an_inventory_are_findings(moto_s3: S3Server, template: Path) -> None:
    bucket = moto_s3.new_bucket()
    with archive(template, moto_s3.settings(bucket)) as (found, directory):
        theirs = others(moto_s3, bucket, list(PECULIAR))
        manifest = inventory(moto_s3, bucket, directory)

        assert foreign(found, replace(AT_ONCE, inventory=str(manifest))) == theirs


def inventory(server: S3Server, bucket: str, directory: Path) -> Path:
    """An S3 Inventory report of the bucket as it is now."""
    rows = [
        f'"{bucket}","{quote_plus(one["Key"])}","{one["Size"]}","{one["LastModified"].isoformat()}"'
        for one in server.client().list_objects_v2(Bucket=bucket)["Contents"]
    ]
    (directory / "data.csv").write_text("\n".join(rows))
    manifest = {
        "sourceBucket": bucket,
        "creationTimestamp": str(int(datetime.now(UTC).timestamp() * 1000) + 60_000),
        "fileFormat": "CSV",
        "fileSchema": "Bucket, Key, Size, LastModifiedDate",
        "files": [{"key": "data.csv"}],
    }
    (directory / "manifest.json").write_text(json.dumps(manifest))
    return directory / "manifest.json"


@pytest.mark.parametrize("kind", ["file", "moto"])
def test_repair_keeps_foreign_keys(kind: str, moto_s3: S3Server, template: Path) -> None:
    bucket = moto_s3.new_bucket()
    with archive(template, moto_s3.settings(bucket) if kind == "moto" else None) as (found, directory):
        if kind == "moto":
            theirs = others(moto_s3, bucket, list(PECULIAR))
        else:
            theirs = ["esc\x1b", "line\nfeed", "\udcff"]
            for name in theirs:
                (directory / "blobs" / name).write_bytes(b"x")
        findings = [from_record(json.loads(json.dumps(one.record()))) for one in found.audit()]
        order = RepairOrder(apply=True, delete_orphans=True, orphan_age_seconds=0)

        outcomes = list(repair(findings, order, found.parts, stop=Event()))

        assert sorted(one.decision.key or "" for one in outcomes) == sorted(theirs)
        assert {one.fate for one in outcomes} == {Fate.LEFT}
        assert foreign(found, AT_ONCE) == sorted(theirs)


def test_undelete_reports_foreign_keys_in_the_trash_as_failed_or_left(moto_s3: S3Server, template: Path) -> None:
    bucket = moto_s3.new_bucket()
    with archive(template, moto_s3.settings(bucket)) as (found, _):
        theirs = others(
            moto_s3, bucket, ["trash/", "trash/2024-01-01/a", "trash/2024-01-01/a/", "trash/2024-01-01/b//c"]
        )

        done = list(undelete(found.parts, None, apply=True, stop=Event()))

        assert {one.trashed: one.fate for one in done} == {
            "trash/": Fate.LEFT,
            "trash/2024-01-01/a": Fate.MENDED,
            "trash/2024-01-01/a/": Fate.FAILED,
            "trash/2024-01-01/b//c": Fate.FAILED,
        }
        assert others(moto_s3, bucket, []) == []
        left = {one["Key"] for one in moto_s3.client().list_objects_v2(Bucket=bucket)["Contents"]}
        assert left - {key for photo in found.photos for key in photo.keys.values()} == {*theirs, "a"} - {
            "trash/2024-01-01/a"
        }


def test_a_foreign_key_that_head_denies_is_a_finding(
    moto_s3: S3Server, template: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = moto_s3.new_bucket()
    with archive(template, moto_s3.settings(bucket)) as (found, _):
        others(moto_s3, bucket, ["private/key"])
        seen = type(found.parts.store).head

        def head(store: S3Store, key: str) -> Blob | None:
            if key.startswith("private/"):
                raise StoreDenied("403")
            return seen(store, key)

        monkeypatch.setattr(type(found.parts.store), "head", head)

        assert foreign(found, AT_ONCE) == ["private/key"]


def test_a_csv_report_of_foreign_keys_is_valid_text(template: Path) -> None:
    with archive(template) as (found, directory):
        for name in ("esc\x1b[31m", "line\nfeed", "\udcff", "=cmd"):
            (directory / "blobs" / name).write_bytes(b"x")
        findings = found.audit()
        with csv_file(directory / "findings.csv", stop=Event()) as sink:
            for one in findings:
                sink(one)

        with (directory / "findings.csv").open(encoding="utf-8", newline="") as file:
            assert [row["key"] for row in csv.DictReader(file)] == ["'=cmd", "esc\x1b[31m", "line\nfeed", "\\udcff"]
        assert [from_record(json.loads(json.dumps(one.record()))) for one in findings] == findings
