"""An unexpected error ends the process with exit 1 and one line, with any threads, pools and queues."""

import errno
import shutil
from pathlib import Path

import pytest

from imgctl.model import Status
from imgctl.ops.work.in_flight import BATCH_IMAGES, BATCHES_A_SLOT
from tests.parts.postgres import sqlite_catalog
from tests.whole.conftest import embedded_in, photo, place_of
from tests.whole.deployment import USER, Deployment, Result, assert_whole
from tests.whole.harm import MESSAGE, Harm

LINE = f"imgctl: unexpected Unthought: {MESSAGE} (-v shows where; please report it)"

UPLOAD = (
    "imgctl.cli.common.session.load_settings",
    "imgctl.cli.common.session._session",
    "imgctl.cli.common.session.Stop",
    "imgctl.run.stop.Stop.is_set",
    "imgctl.run.progress._draw",
    "imgctl.run.progress.Progress.advance",
    "imgctl.run.progress.Progress.close",
    "imgctl.run.progress.say",
    "tqdm.std.tqdm.update",
    "tqdm.std.tqdm.refresh",
    "imgctl.cli.ingest.upload.show",
    "imgctl.cli.ingest.upload.FileTally.add",
    "imgctl.cli.ingest.upload._conclude",
    "imgctl.cli.common.session.Session.data",
    "imgctl.ops.upload.start.chosen",
    "imgctl.ops.sources.local.walk",
    "imgctl.ops.sources.walk.classified",
    "imgctl.ops.upload.start.Journal",
    "imgctl.ops.upload.journal.Journal.record",
    "imgctl.ops.upload.journal.Journal.close",
    "imgctl.store.blobs.open.open_store",
    "imgctl.store.catalog.engine.open_catalog",
    "imgctl.store.catalog.engine.Catalog.write",
    "imgctl.store.catalog.engine.Catalog.close",
    "imgctl.ops.upload.unchanged.AlreadyUploaded.split",
    "imgctl.ops.upload.unchanged.AlreadyUploaded.remember",
    "imgctl.ops.upload.prepare_file.prepare",
    "imgctl.ops.upload.prepare_file.new_row",
    "imgctl.ops.ingest.readers.Readers.start",
    "imgctl.ops.ingest.loop.Ingest._offer",
    "imgctl.ops.ingest.loop.Ingest._gather",
    "imgctl.ops.ingest.loop.Ingest._release",
    "imgctl.ops.ingest.loop.Ingest._put_ended",
    "imgctl.ops.ingest.original.Prepared.outcome",
    "imgctl.store.blobs.local.LocalStore.reach",
    "imgctl.store.catalog.queries.reservations.promise",
    "imgctl.store.catalog.queries.reservations.confirm",
    "imgctl.store.catalog.queries.reservations.keep",
    "imgctl.ops.ingest.puts.Putters.submit",
    "imgctl.ops.ingest.puts.Putters.close",
    "imgctl.cli.ingest.upload.Reports",
    "imgctl.ops.ingest.outcome.Reports.add",
    "imgctl.ops.ingest.outcome._newlines_where_possible",
)
WORK = (
    "imgctl.run.progress.Progress.expect",
    "imgctl.run.progress.Progress.advance",
    "tqdm.std.tqdm.update",
    "imgctl.cli.common.session.Running.service_exit_code",
    "imgctl.cli.common.session.Session.data",
    "imgctl.ops.work.driver.open_pool",
    "imgctl.ops.work.queue.work",
    "imgctl.ops.work.queue.Webhook.add",
    "imgctl.ops.work.queue.open_wait",
    "imgctl.ops.work.driver.Leases.hold",
    "imgctl.ops.work.driver.Leases.drop",
    "imgctl.ops.work.in_flight.InFlight.room",
    "imgctl.ops.work.in_flight.InFlight.launch",
    "imgctl.ops.work.in_flight.InFlight.gather",
    "imgctl.ops.work.in_flight.StoreWatch.decided",
    "imgctl.ops.work.queue.claim",
    "imgctl.ops.work.queue.judge",
    "imgctl.ops.work.queue.record",
    "imgctl.ops.work.queue.Processing.committed",
    "imgctl.ops.work.queue.finish",
    "imgctl.store.catalog.lease.end_if_frozen",
    "imgctl.store.catalog.engine.Catalog.write",
    "imgctl.store.catalog.engine.Catalog.close",
    "imgctl.cli.build.work.awaiting_restore",
)
# Two batches in flight, and one image for another claim.
TO_WORK = BATCHES_A_SLOT * BATCH_IMAGES + 1
# Called for (almost) each file.
REPEATED = (
    "is_set", "advance", "update", "_show", "add", "data", "classified", "write", "prepare", "_release", "outcome",
    "new_row", "_offer", "_put_ended",
)  # fmt: skip
WHILE_PUTS_HANG = ("imgctl.ops.ingest.loop.Ingest._gather", "imgctl.ops.ingest.loop.Ingest._offer")


def _assert_ends_at_once(deployment: Deployment, harm: Harm, *arguments: str | Path) -> Result:
    result = deployment.start(*arguments, before=harm).wait()
    assert harm.marker.exists(), f"{harm.raising} was not called {harm.call} times"
    ours = [line for line in result.err.replace("\r", "\n").splitlines() if line.strip().startswith("imgctl:")]
    assert (result.code, ours) == (1, [LINE]), result.err
    assert "Traceback" not in result.err
    return result


def _upload(album: dict[Path, bytes], directory: Path) -> list[str | Path]:
    (place_of(album) / "notes.txt").write_text("no picture")
    failed_out = directory / "failed.txt"
    return ["upload", place_of(album), "--user", str(USER), "--json", "--progress", "--failed-out", failed_out]


def _assert_finishes(deployment: Deployment, album: dict[Path, bytes], *arguments: str | Path) -> None:
    """Assert that nothing is lost: the same command finishes the work."""
    assert deployment.run(*arguments).code == 0
    assert len(deployment.images()) == len(set(album.values()))


@pytest.mark.parametrize("seam", UPLOAD)
def test_an_upload_ends_where_anything_raises(
    embedded: Deployment, album: dict[Path, bytes], tmp_path: Path, seam: str
) -> None:
    command = _upload(album, tmp_path)
    _assert_ends_at_once(embedded, Harm(raising=seam, marker=tmp_path / "raised"), *command)

    _assert_finishes(embedded, album, *command)


@pytest.mark.parametrize("seam", [seam for seam in UPLOAD if seam.endswith(REPEATED)])
def test_an_upload_ends_where_anything_raises_in_the_midst(
    embedded: Deployment, album: dict[Path, bytes], tmp_path: Path, seam: str
) -> None:
    command = _upload(album, tmp_path)
    _assert_ends_at_once(embedded, Harm(raising=seam, call=3, marker=tmp_path / "raised"), *command)

    _assert_finishes(embedded, album, *command)


@pytest.mark.parametrize("seam", WHILE_PUTS_HANG)
def test_an_upload_ends_while_puts_hang(
    embedded: Deployment, album: dict[Path, bytes], tmp_path: Path, seam: str
) -> None:
    command = _upload(album, tmp_path)
    hanging = ("imgctl.store.blobs.local.LocalStore.create",)
    harm = Harm(raising=seam, call=3, marker=tmp_path / "raised", hanging=hanging)
    _assert_ends_at_once(embedded, harm, *command)

    _assert_finishes(embedded, album, *command)


@pytest.fixture(scope="session")
def uploaded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a deployment with some uploaded photos, made once a test process; each test has a copy."""
    place = tmp_path_factory.mktemp("uploaded")
    photos = place / "photos"
    photos.mkdir()
    for number in range(TO_WORK):
        (photos / f"{number}.jpg").write_bytes(photo(number))
    deployment = embedded_in(place / "run")
    sqlite_catalog(deployment.directory)
    done = deployment.run("upload", photos, "--user", str(USER))
    assert done.code == 0, done.err
    return deployment.directory


@pytest.mark.parametrize("scheduler", ["inline", ""])
@pytest.mark.parametrize("seam", WORK)
def test_a_worker_ends_where_anything_raises(uploaded: Path, tmp_path: Path, seam: str, scheduler: str) -> None:
    embedded = embedded_in(tmp_path / "run")
    shutil.copytree(uploaded, embedded.directory, dirs_exist_ok=True)
    deployment = embedded.with_settings(WORK_SCHEDULER=scheduler)
    command = ["work", "--drain", "--json", "--progress"]
    _assert_ends_at_once(deployment, Harm(raising=seam, marker=tmp_path / "raised"), *command)

    assert embedded.run("work", "--drain").code == 0
    assert_whole(embedded, map(photo, range(TO_WORK)), status=Status.READY)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device (free space there; TMPDIR sets"),
        (OSError(errno.EIO, "Input/output error", "/mnt/a.jpg"), "/mnt/a.jpg: Input/output error (check the disk;"),
        (OSError(errno.EMFILE, "Too many open files"), "Too many open files (raise the limit of open files:"),
        (MemoryError(), "Cannot allocate memory (free memory on this machine,"),
    ],
)
def test_a_condition_of_the_machine_has_its_next_step_and_is_no_defect(
    embedded: Deployment, album: dict[Path, bytes], tmp_path: Path, error: Exception, line: str
) -> None:
    command = _upload(album, tmp_path)
    harm = Harm(raising="imgctl.ops.ingest.loop.Ingest._gather", error=error, marker=tmp_path / "raised")

    ended = embedded.start(*command, before=harm).wait()

    last = ended.err.replace("\r", "\n").splitlines()[-1].strip()
    assert ended.code == 1
    assert last.startswith(f"imgctl: {line}"), ended.err
    assert last.endswith("then run the same command again; -v shows where)")
    _assert_finishes(embedded, album, *command)
