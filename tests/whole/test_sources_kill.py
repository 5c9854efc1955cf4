"""`kill -9` during uploads from a bucket or ZIP files, then the same command: nothing lost, doubled or read twice."""

import random
import sqlite3
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import pytest

from imgctl.model import Status
from tests.parts.proxy import Fault, fault_proxy
from tests.parts.seaweed import S3Server
from tests.soak import rounds
from tests.whole.conftest import photo
from tests.whole.deployment import Deployment, Run, assert_whole, kill_at_a_request, kill_when
from tests.whole.test_sources import zipped

PHOTOS = 60
KILLS = rounds(3, 50)
FILES = {f"{number % 7}/{number}.jpg": photo(number) for number in range(PHOTOS)}


def journaled(deployment: Deployment, scope: int) -> int:
    """Return how many files of this owner are in the journal; each of the `scope` owners before has all files there."""
    file = deployment.directory / ".local/state/imgctl/journal.db"
    if not file.exists():
        return 0
    with sqlite3.connect(file) as journal:
        found = journal.execute("SELECT count(*) FROM sqlite_master WHERE name = 'files'").fetchone()[0]
        count = int(journal.execute("SELECT count(*) FROM files").fetchone()[0]) if found else 0
    journal.close()
    return count - scope * PHOTOS


def confirmed(deployment: Deployment, user: UUID) -> int:
    return sum(image.user_id == user and image.status is Status.PROCESSING for image in deployment.images())


@pytest.fixture
def bucket(seaweed: S3Server) -> str:
    name = seaweed.new_bucket()
    for key, data in FILES.items():
        seaweed.client().put_object(Bucket=name, Key=key, Body=data)
    return name


@dataclass(slots=True, kw_only=True)
class Watch:
    """Counts the objects requested from the source, and kills the run at the chosen request to any server."""

    bucket: str
    chosen: int
    running: list[Run] = field(default_factory=list)
    requested: Counter[str] = field(default_factory=Counter)

    def __call__(self, _method: str, path: str, number: int) -> Fault | None:
        if path.startswith(f"/{self.bucket}/") and "list-type=2" not in path:
            self.requested[path] += 1
        if not self.running or number < self.chosen:
            return None
        self.running[0].kill()
        return Fault.RESET


def test_a_killed_upload_from_a_bucket_is_finished_by_the_next(
    servers: Deployment, seaweed: S3Server, bucket: str
) -> None:
    rng = random.Random("bucket")
    servers.run("init")
    for number in range(KILLS):
        user, watch = UUID(int=number + 1), Watch(bucket=bucket, chosen=rng.randrange(2 * PHOTOS))
        with fault_proxy(seaweed.endpoint_url, policy=watch) as proxy:
            source = {"SOURCE_OLD_URL": f"s3://{bucket}", "SOURCE_OLD_ENDPOINT_URL": proxy.url}
            deployment = servers.through(proxy.url).with_settings(**source)
            command = ("upload", "source:old", "--user", str(user))
            watch.running.append(deployment.start(*command))
            kill_when(watch.running[0], lambda: False)
            assert watch.running.pop().process.exitcode == -9
            known, safe = journaled(servers, number), confirmed(servers, user)
            watch.requested.clear()
            again = deployment.run(*command)

        assert again.code == 0, again.err
        # Files in the journal were safe and are not read again; the second run reads nothing twice.
        assert known <= safe
        assert (watch.requested.total(), max(watch.requested.values(), default=1)) == (PHOTOS - known, 1)

    assert_whole(servers, FILES.values(), status=Status.PROCESSING, users=KILLS)


def test_a_killed_upload_from_zip_files_is_finished_by_the_next(servers: Deployment, tmp_path: Path) -> None:
    rng, files = random.Random("zip"), list(FILES.items())
    parts = [zipped(tmp_path / f"{part}.zip", files[part::3]) for part in range(3)]
    servers.run("init")
    for number in range(KILLS):
        user = UUID(int=number + 1)
        command = ["upload", *map(str, parts), "--user", str(user)]
        kill_at_a_request(servers, command, PHOTOS, rng)
        again = servers.run(*command)

        assert again.code == 0, again.err
        assert journaled(servers, number) == PHOTOS

    assert_whole(servers, FILES.values(), status=Status.PROCESSING, users=KILLS)
