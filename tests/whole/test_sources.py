"""Uploads from buckets and archives: the same rows, the same report and one read for every kind of source."""

import hashlib
import json
import os
import random
import sys
import tarfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from io import BytesIO
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Literal
from urllib.parse import unquote
from zipfile import ZIP_DEFLATED, ZipFile

import pytest

from imgctl.config.catalog_store import StoreSettings
from imgctl.imaging.formats import Format
from imgctl.model import Status
from tests.imaging.films import of_format
from tests.parts.proxy import Fault, fault_proxy
from tests.parts.seaweed import S3Server
from tests.whole.conftest import photo, place_of
from tests.whole.deployment import USER, Deployment, assert_whole

UPLOAD = ("upload", "--user", str(USER), "--json")


@dataclass(slots=True, kw_only=True)
class Old:
    """A bucket at another endpoint, with the requests to it."""

    server: S3Server
    bucket: str
    requests: list[str]
    response_bytes: Counter[str]
    url: str

    def put(self, files: dict[str, bytes], **more: str) -> None:
        for key, data in files.items():
            self.server.client().put_object(Bucket=self.bucket, Key=key, Body=data, **more)

    def of(self, deployment: Deployment, prefix: str = "") -> Deployment:
        """The deployment with this bucket as `source:old`."""
        url = f"s3://{self.bucket}/{prefix}".rstrip("/")
        return deployment.with_settings(SOURCE_OLD_URL=url, SOURCE_OLD_ENDPOINT_URL=self.url)

    def requested(self) -> tuple[int, int]:
        """Return the numbers of listing pages and objects requested since the last call."""
        pages = sum("list-type=2" in one for one in self.requests)
        gets = sum(one.startswith("GET") and "list-type=2" not in one for one in self.requests)
        assert pages + gets == len(self.requests), self.requests
        self.requests.clear()
        return pages, gets


@pytest.fixture
def old(seaweed: S3Server) -> Iterator[Old]:
    requests: list[str] = []

    def policy(method: str, path: str, number: int) -> Fault | None:
        requests.append(f"{method} {path}")
        return None

    with fault_proxy(seaweed.endpoint_url, policy=policy) as proxy:
        yield Old(
            server=seaweed,
            bucket=seaweed.new_bucket(),
            requests=requests,
            response_bytes=proxy.response_bytes,
            url=proxy.url,
        )


def keys_of(album: dict[Path, bytes]) -> dict[str, bytes]:
    return {str(path.relative_to(place_of(album))): data for path, data in album.items()}


def test_a_bucket_is_uploaded_by_one_listing_and_one_get_an_object(
    servers: Deployment, album: dict[Path, bytes], old: Old
) -> None:
    old.put(keys_of(album))
    deployment = old.of(servers)

    first = deployment.run(*UPLOAD, "source:old")
    requested_first = old.requested()
    again = deployment.run(*UPLOAD, "source:old")

    assert (first.code, first.summary["uploaded"], first.summary["present"]) == (0, 20, 2), first.err
    assert (again.code, again.summary["uploaded"], again.summary["present"]) == (0, 0, 22)
    pages = requested_first[0]
    assert requested_first == (pages, 22)
    assert old.requested() == (pages, 0)
    assert_whole(servers, album.values(), status=Status.PROCESSING)
    assert sorted(str(one["path"]) for one in first.of("file")) == sorted(f"source:old/{key}" for key in keys_of(album))


def test_a_changed_object_is_read_again_and_the_others_are_not(servers: Deployment, old: Old) -> None:
    old.put({f"{number}.jpg": photo(number) for number in range(5)})
    deployment = old.of(servers)
    deployment.run(*UPLOAD, "source:old")
    old.put({"3.jpg": photo(9)})
    old.requests.clear()

    again = deployment.run(*UPLOAD, "source:old")

    assert (again.code, again.summary["uploaded"], again.summary["present"]) == (0, 1, 4), again.err
    assert old.requested()[1] == 1


def test_a_list_and_a_manifest_may_name_objects(servers: Deployment, old: Old, tmp_path: Path) -> None:
    old.put({f"a/{number}.jpg": photo(number) for number in range(4)})
    deployment = old.of(servers)
    (tmp_path / "list").write_text("source:old/a/0.jpg\nsource:old/a/none.jpg\nsource:new/a/0.jpg\n")
    (tmp_path / "manifest.csv").write_text(f"path,user_id,caption\nsource:old/a/1.jpg,{USER},The pier\n")

    listed = deployment.run(*UPLOAD, "--files-from", tmp_path / "list")
    entered = deployment.run("upload", "--json", "--manifest", tmp_path / "manifest.csv")

    assert (listed.code, listed.summary["uploaded"], listed.summary["failed"]) == (3, 1, 2), listed.err
    assert {one["reason"] for one in listed.of("file") if one["fate"] == "failed"} == {"not_found", "source"}
    assert (entered.code, entered.summary["uploaded"]) == (0, 1), entered.err
    assert [image.caption for image in servers.images()] == [None, "The pier"]


def test_all_values_of_a_manifest_apply_to_an_object(embedded: Deployment, old: Old, tmp_path: Path) -> None:
    old.put({f"a/{number}.jpg": photo(number) for number in range(2)})
    digest = hashlib.sha256(photo(0)).hexdigest()
    lines = "".join(f"source:old/a/{number}.jpg,{USER},2001-02-03T04:05:06Z,{digest}\n" for number in range(2))
    (tmp_path / "manifest.csv").write_text(f"path,user_id,taken_at,sha256\n{lines}")

    result = old.of(embedded).run("upload", "--json", "--manifest", tmp_path / "manifest.csv")

    assert (result.code, result.summary["reasons"]) == (3, {"content_differs": 1})
    assert [image.taken_at for image in embedded.images()] == [datetime(2001, 2, 3, 4, 5, 6, tzinfo=UTC)]


def test_a_stray_file_of_a_bucket_is_never_taken_for_a_safe_image(embedded: Deployment, old: Old) -> None:
    old.put({"a.jpg": photo(1), "notes.txt": b"nothing to see"})
    deployment = old.of(embedded)
    deployment.run(*UPLOAD, "source:old")
    old.requests.clear()

    again = deployment.run(*UPLOAD, "source:old")
    verified = deployment.run("verify", "source:old", "--user", str(USER), "--json")

    assert (again.code, again.summary["present"], again.summary["skipped"]) == (0, 1, 1)
    assert verified.code == 0, verified.out
    assert {str(one["path"]): one["reason"] for one in again.of("file")}["source:old/notes.txt"] == "not_an_image"


def test_an_excluded_film_is_neither_read_to_its_end_nor_read_again(embedded: Deployment, old: Old) -> None:
    film = of_format(Format.MP4) + bytes(32 * 2**20)
    old.put({"a.jpg": photo(1), "film.mp4": film, "film.jpg": of_format(Format.MOV)})
    deployment = old.of(embedded)
    excluding = (*UPLOAD, "--leave-out", "video", "source:old")

    first = deployment.run(*excluding)
    requested_first, read = old.requested(), old.response_bytes[f"GET /{old.bucket}/film.mp4"]
    again = deployment.run(*excluding)
    requested_again = old.requested()
    included = deployment.run(*UPLOAD, "source:old")

    assert (first.code, first.summary["uploaded"], first.summary["reasons"]) == (0, 1, {"left_out": 2}), first.err
    assert requested_first == (requested_first[0], 3)
    assert read < len(film) / 2
    assert (again.code, again.summary["present"], again.summary["reasons"]) == (
        0,
        1,
        {"already_there": 1, "left_out": 2},
    ), again.err
    assert requested_again == (requested_first[0], 0)
    assert (included.code, included.summary["uploaded"]) == (0, 2), included.err


@pytest.mark.parametrize("flag", ["trashed", "archived"])
def test_a_photo_that_its_sidecar_leaves_out_is_not_read(embedded: Deployment, old: Old, flag: str) -> None:
    trashed = takeout("The pier", **{flag: True})
    old.put({"kept.jpg": photo(1), "binned.jpg": photo(2), "binned.jpg.json": trashed, "cut.jpg": photo(3)[:64]})
    old.put({"cut.jpg.json": trashed, "gone.jpg": photo(4), "gone.jpg.json": trashed})
    deployment = old.of(embedded)
    command = (*UPLOAD, "--no-takeout-archived", "source:old")

    first, again = deployment.run(*command), deployment.run(*command)
    read = {path for path in old.requests if path.endswith(".jpg")}
    old.put({"binned.jpg.json": takeout("The pier")})
    old.server.client().delete_object(Bucket=old.bucket, Key="gone.jpg.json")
    changed = deployment.run(*command)

    left_out = "hidden" if flag == "archived" else flag
    assert (first.code, first.summary["reasons"]) == (0, {"sidecar": 3, left_out: 3}), first.err
    assert (again.code, again.summary["reasons"]) == (0, {"already_there": 1, "sidecar": 3, left_out: 3}), again.err
    assert read == {f"GET /{old.bucket}/kept.jpg"}
    assert (changed.code, changed.summary["uploaded"], changed.summary["skipped"]) == (0, 2, 3), changed.err


def test_what_describes_a_listed_object_is_found(embedded: Deployment, old: Old, tmp_path: Path) -> None:
    old.put(
        {
            "a/IMG(1).jpg": photo(1),
            "a/IMG.jpg(1).json": takeout("The pier"),
            "a/b.jpg": photo(2),
            "a/b.xmp": xmp("A boat"),
        }
    )
    (tmp_path / "list").write_text("source:old/a/IMG(1).jpg\nsource:old/a/b.jpg\n")

    result = old.of(embedded).run(*UPLOAD, "--files-from", tmp_path / "list")

    assert (result.code, result.summary["uploaded"]) == (0, 2), result.err
    assert {image.caption for image in embedded.images()} == {"The pier", "A boat"}


def test_a_listed_member_of_an_archive_has_a_hint(embedded: Deployment, tmp_path: Path) -> None:
    file = zipped(tmp_path / "a.zip", [("in/a.jpg", photo(1)), ("in/b.jpg", b"\xff\xd8 cut off")])

    first = embedded.run(*UPLOAD, file, "--failed-out", tmp_path / "again")
    listed = embedded.run("upload", "--user", str(USER), "--files-from", tmp_path / "again")

    assert (first.code, first.summary["uploaded"]) == (3, 1)
    assert listed.code == 3
    assert f"lies in {file}: upload the archives again" in listed.err


def test_a_source_in_the_store_is_refused(servers: Deployment) -> None:
    inside = servers.with_settings(
        SOURCE_OLD_URL=f"{servers.store.url}/old", SOURCE_OLD_ENDPOINT_URL=servers.store.endpoint_url
    )

    result = inside.run("upload", "source:old", "--user", str(USER))

    assert result.code == 2
    assert "lies in the store itself" in result.err
    assert "imgctl insert" in result.err


def test_a_missing_bucket_fails_by_its_name_and_the_rest_goes_on(
    servers: Deployment, album: dict[Path, bytes], old: Old
) -> None:
    deployment = servers.with_settings(SOURCE_OLD_URL="s3://nobody-made-this", SOURCE_OLD_ENDPOINT_URL=old.url)

    result = deployment.run(*UPLOAD, "source:old", place_of(album))

    assert (result.code, result.summary["uploaded"], result.summary["failed"]) == (3, 20, 1), result.err
    assert "source:old/" in result.err


def tree(place: Path) -> Path:
    """Return photos, sidecars, a stray file, a hidden directory, an empty picture: every kind of line in a report."""
    files = {f"2023/{number}.jpg": photo(number) for number in range(8)}
    files |= {"again/1.jpg": photo(1), "été/日本.jpg": photo(20), "deep/a/b/c.jpg": photo(21)}
    files |= {"2023/3.jpg.json": takeout("The pier"), "2023/4.xmp": xmp("The lighthouse")}
    files |= {"notes.txt": b"nothing to see", "empty.jpg": b"", ".hidden/x.jpg": photo(22), "@eaDir/x.jpg": photo(23)}
    for name, data in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(data)
        os.utime(place / name, (1_700_000_000, 1_700_000_000))
    return place


def takeout(caption: str, **flags: bool) -> bytes:
    said = {"title": "x", "description": caption, "photoTakenTime": {"timestamp": "1500000000"}, **flags}
    return json.dumps(said).encode()


def xmp(caption: str) -> bytes:
    return f"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
      <rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:description><rdf:Alt>
      <rdf:li xml:lang="x-default">{caption}</rdf:li></rdf:Alt></dc:description></rdf:Description></rdf:RDF></x:xmpmeta>""".encode()


def files_of(place: Path) -> list[tuple[str, bytes]]:
    return [(str(path.relative_to(place)), path.read_bytes()) for path in sorted(place.rglob("*")) if path.is_file()]


Told = tuple[Counter[tuple[object, ...]], Counter[tuple[object, ...]], tuple[int, ...], int]


def told(deployment: Deployment, *sources: str | Path) -> Told:
    """Return an upload's result: rows without ids, the report with relative paths, the totals, the exit code."""
    result = deployment.run(*UPLOAD, *sources)
    roots = sorted((f"{str(one).rstrip('/')}/" for one in sources), key=len, reverse=True)
    report = Counter[tuple[object, ...]]()
    for one in result.of("file"):
        path = str(one["path"])
        root = next((root for root in roots if path.startswith(root)), "")
        # The order of two files with the same content is not defined.
        fate = "taken" if one["fate"] in {"uploaded", "present"} else one["fate"]
        reason = None if fate == "taken" else one["reason"]
        report[path.removeprefix(root), fate, reason, one["sha256"], one["bytes"]] += 1
    alike = ("user_id", "sha256", "name", "caption", "taken_at", "bytes", "width", "height", "content_type", "status")
    rows = Counter(tuple(getattr(image, column) for column in alike) for image in deployment.images())
    found = {name: int(str(result.summary[name])) for name in ("uploaded", "present", "skipped", "failed", "files")}
    return rows, report, (found.pop("uploaded") + found.pop("present"), *found.values()), result.code


def zipped(file: Path, files: Iterable[tuple[str, bytes]]) -> Path:
    with ZipFile(file, "w", ZIP_DEFLATED) as archive:
        for name, data in files:
            archive.writestr(name, data)
    return file


def tarred(file: Path, files: Iterable[tuple[str, bytes]], mode: Literal["w", "w:gz"] = "w:gz") -> Path:
    with tarfile.open(file, mode) as archive:
        for name, data in files:
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(data), 1_700_000_000
            archive.addfile(info, BytesIO(data))
    return file


def packed(kind: str, place: Path, files: list[tuple[str, bytes]]) -> list[Path]:
    """Return the sources with these files; if there are parts, the last three files are in a second part."""
    half = len(files) - 3
    match kind:
        case "directory":
            for name, data in files:
                (place / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
                (place / "tree" / name).write_bytes(data)
                os.utime(place / "tree" / name, (1_700_000_000, 1_700_000_000))
            return [place / "tree"]
        case "zip":
            return [zipped(place / "tree.zip", files)]
        case "zips":
            return [zipped(place / "1.zip", files[:half]), zipped(place / "2.ZIP", files[half:])]
        case "tar":
            return [tarred(place / "tree.tar", files, "w")]
        case "tgz":
            return [tarred(place / "tree.tgz", files)]
        case _:
            return [tarred(place / "1.tar.gz", files[:half]), tarred(place / "2.tgz", files[half:])]


@pytest.fixture
def wanted(tmp_path: Path) -> Told:
    """Return the result of an upload of the tree as a directory."""
    found = told(fresh(tmp_path, "directory"), tree(tmp_path / "tree"))
    assert {"The pier", "The lighthouse"} <= {row[3] for row in found[0]}
    return found


def fresh(tmp_path: Path, name: str) -> Deployment:
    place = tmp_path / f"run-{name}"
    place.mkdir()
    return Deployment(
        directory=place,
        catalog_url=f"sqlite:///{place}/catalog.db",
        store=StoreSettings(url=f"file://{place}/blobs"),
    )


@pytest.mark.parametrize("kind", ["seaweed", "rclone", "moto"])
def test_a_bucket_ends_as_the_same_tree_in_a_directory(
    kind: str, tmp_path: Path, wanted: Told, request: pytest.FixtureRequest
) -> None:
    server: S3Server = request.getfixturevalue({"seaweed": "seaweed", "rclone": "rclone_s3", "moto": "moto_s3"}[kind])
    bucket = server.new_bucket()
    for name, data in files_of(tmp_path / "tree"):
        server.client().put_object(Bucket=bucket, Key=f"in/{name}", Body=data)
    requests: list[str] = []

    def policy(method: str, path: str, number: int) -> Fault | None:
        requests.append(f"{method} {path}")
        return None

    with fault_proxy(server.endpoint_url, policy=policy) as proxy:
        there = fresh(tmp_path, kind).with_settings(
            SOURCE_OLD_URL=f"s3://{bucket}/in", SOURCE_OLD_ENDPOINT_URL=proxy.url
        )
        found = told(there, "source:old")
        pages, requested = len(requests), Counter(one for one in requests if "list-type=2" not in one)
        answered = {unquote(one): count for one, count in proxy.response_bytes.items() if "list-type=2" not in one}
        requests.clear()
        assert told(there, "source:old") == wanted

    # An empty object is read again: it fails until it has content.
    assert [one for one in requests if "list-type=2" not in one] == [f"GET /{bucket}/in/empty.jpg"]
    pages -= sum(requested.values())
    assert sum("list-type=2" in one for one in requests) <= pages
    assert found == wanted
    assert set(requested.values()) == {1}
    sizes = {f"GET /{bucket}/in/{name}": len(data) for name, data in files_of(tmp_path / "tree")}
    assert answered == {unquote(one): sizes[unquote(one)] for one in requested}
    assert sum(requested.values()) == sum(
        one[3] is not None or one[2] in {"not_an_image", "sidecar", "empty"} for one in wanted[1]
    )


@pytest.mark.parametrize("kind", ["zip", "zips", "tar", "tgz", "tgzs"])
def test_an_archive_ends_as_the_same_tree_in_a_directory(kind: str, tmp_path: Path, wanted: Told) -> None:
    files = files_of(tmp_path / "tree")
    # The sidecar of a photo is in another part, or after it.
    files.sort(key=lambda one: one[0].endswith((".json", ".xmp")))
    sources = packed(kind, tmp_path, files)

    deployment = fresh(tmp_path, kind)
    found = told(deployment, *sources)
    again = deployment.run(*UPLOAD, *sources)

    assert found == wanted
    assert again.summary["uploaded"] == 0
    assert again.summary["present"] == sum(one[1] == "taken" for one in wanted[1])


def bytes_read(deployment: Deployment, *sources: str | Path) -> int:
    """Return the bytes that an upload reads from files, counted by the kernel."""
    counted = deployment.directory / "bytes-read"
    result = deployment.start(*UPLOAD, *sources, before=partial(count_reads, counted)).wait()
    assert result.code == 0, result.err
    return int(counted.read_text())


def count_reads(told: Path) -> None:
    """Record at the end of this process how many bytes it has read from now on."""
    before = read_so_far()
    Finalize(None, lambda: told.write_text(str(read_so_far() - before)), exitpriority=0)


def read_so_far() -> int:
    return int(Path("/proc/self/io").read_text().split()[1])


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel of Linux counts what a process reads")
@pytest.mark.parametrize(
    ("kind", "passes", "passes_again"),
    [("directory", 1, 0), ("zip", 1, 0), ("zips", 1, 0), ("tar", 1, 0), ("tgz", 2, 1), ("tgzs", 2, 1)],
)
def test_each_byte_of_a_source_is_read_once_and_of_a_packed_tar_once_more_for_sidecars(
    kind: str, passes: int, passes_again: int, tmp_path: Path
) -> None:
    rng = random.Random(kind)
    # The bytes after the end of a JPEG cannot be compressed.
    files = [(f"2023/{number}.jpg", photo(number) + rng.randbytes(2**20)) for number in range(16)]
    files += [(f"2023/{number}.jpg.json", takeout("The pier")) for number in range(16)]
    sources, deployment = packed(kind, tmp_path, files), fresh(tmp_path, kind)
    deployment.run("init")
    size = sum(len(data) for _, data in files)

    first, again = bytes_read(deployment, *sources), bytes_read(deployment, *sources)

    # The catalog, the journal and the kernel's read-ahead for Python count, too.
    assert passes * size <= first < (passes + 0.25) * size
    assert passes_again * size <= again < (passes_again + 0.25) * size
    assert {image.caption for image in deployment.images()} == {"The pier"}


@pytest.mark.parametrize("kind", ["tar", "tgz", "zip"])
def test_an_archive_that_was_copied_again_is_read_again_though_names_sizes_and_dates_are_the_same(
    kind: str, embedded: Deployment, tmp_path: Path
) -> None:
    whole = photo(1)
    damaged = whole[:-40] + bytes([whole[-40] ^ 1]) + whole[-39:]
    archive, *_ = packed(kind, tmp_path, [("a.jpg", damaged), ("b.jpg", photo(2))])
    first = embedded.run(*UPLOAD, archive)
    archive.unlink()
    packed(kind, tmp_path, [("a.jpg", whole), ("b.jpg", photo(2))])

    again = embedded.run(*UPLOAD, archive)
    third = embedded.run(*UPLOAD, archive)

    assert (first.summary["uploaded"], again.summary["uploaded"], again.summary["present"]) == (2, 1, 1)
    assert third.summary["reasons"] == {"already_there": 2}
    assert hashlib.sha256(whole).digest() in {image.sha256 for image in embedded.images()}


def test_a_manifest_may_name_urls_and_their_signatures_are_never_printed(
    embedded: Deployment, seaweed: S3Server, tmp_path: Path
) -> None:
    bucket = seaweed.new_bucket()
    for number in range(3):
        seaweed.client().put_object(Bucket=bucket, Key=f"a b/{number}.jpg", Body=photo(number))
    places = [{"Bucket": bucket, "Key": f"a b/{number}.jpg"} for number in (0, 1, 2, 9)]
    urls = [seaweed.client().generate_presigned_url("get_object", Params=place, ExpiresIn=600) for place in places]
    lines = "".join(f'"{url}",{USER},Photo {number}\n' for number, url in enumerate(urls))
    (tmp_path / "urls.csv").write_text(f"path,user_id,caption\n{lines}http://127.0.0.1:9/x.jpg,{USER},\n")

    result = embedded.run("upload", "--json", "--manifest", tmp_path / "urls.csv", "--exclude", "9.gif")
    again = embedded.run("upload", "--json", "--manifest", tmp_path / "urls.csv")

    assert (result.code, result.summary["uploaded"], result.summary["failed"]) == (3, 3, 2), result.out
    assert (again.summary["uploaded"], again.summary["present"]) == (0, 3)
    assert {image.caption: image.name for image in embedded.images()} == {
        f"Photo {number}": f"{number}.jpg" for number in range(3)
    }
    assert "Signature" not in result.out + result.err and "Credential" not in result.out + result.err
    assert {one["detail"] for one in again.of("file") if one["fate"] == "present"} <= {
        f"processing as {image.id}" for image in embedded.images()
    }


def test_a_web_server_is_no_source_by_itself(embedded: Deployment) -> None:
    result = embedded.run("upload", "https://example.org/photos", "--user", str(USER))

    assert result.code == 2
    assert "--manifest" in result.err


def test_archived_objects_are_counted_in_one_line_and_never_asked_for(
    embedded: Deployment, moto_s3: S3Server, tmp_path: Path
) -> None:
    bucket = moto_s3.new_bucket()
    for number, storage_class in enumerate(["STANDARD", "GLACIER", "DEEP_ARCHIVE", "GLACIER_IR", "GLACIER"]):
        moto_s3.client().put_object(Bucket=bucket, Key=f"{number}.jpg", Body=photo(number), StorageClass=storage_class)
    deployment = embedded.with_settings(SOURCE_OLD_URL=f"s3://{bucket}", SOURCE_OLD_ENDPOINT_URL=moto_s3.endpoint_url)

    result = deployment.run("upload", "source:old", "--user", str(USER), "--failed-out", tmp_path / "again")

    assert result.code == 3
    assert result.err.count("\n") == 1
    assert "3 objects of" in result.err and "in an archive class" in result.err
    assert (tmp_path / "again").read_text().split() == ["source:old/1.jpg", "source:old/2.jpg", "source:old/4.jpg"]
    assert len(embedded.images()) == 2


def test_names_that_no_directory_could_hold_are_read(embedded: Deployment, moto_s3: S3Server) -> None:
    bucket = moto_s3.new_bucket()
    keys = [
        "a//b.jpg",
        "/c.jpg",
        "x/../d.jpg",
        "e\u0301.jpg",
        "f .jpg",
        "g%2F.jpg",
        "h\x01.jpg",
        "./i.jpg",
        "j?#&+.jpg",
    ]
    for number, key in enumerate(keys):
        moto_s3.client().put_object(Bucket=bucket, Key=key, Body=photo(number))
    moto_s3.client().put_object(Bucket=bucket, Key="folder/", Body=b"")
    deployment = embedded.with_settings(SOURCE_OLD_URL=f"s3://{bucket}", SOURCE_OLD_ENDPOINT_URL=moto_s3.endpoint_url)

    result = deployment.run(*UPLOAD, "source:old", "--no-junk-filter")

    assert (result.code, result.summary["uploaded"]) == (0, len(keys)), result.out
    assert {one["path"] for one in result.of("file")} == {f"source:old/{key}" for key in keys}


def test_a_source_that_no_table_names_is_a_usage_error(embedded: Deployment) -> None:
    result = embedded.run("upload", "source:old", "--user", str(USER))

    assert result.code == 2
    assert "[source.old]" in result.err
