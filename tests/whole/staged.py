"""Restores on the moto server that stay in progress until the test finishes or expires them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from moto.moto_api import state_manager
from moto.s3.models import FakeKey, s3_backends

from tests.parts.seaweed import S3Server
from tests.whole.deployment import Deployment

ACCOUNT = "123456789012"
MODEL = "s3::keyrestore"


@dataclass(frozen=True, slots=True, kw_only=True)
class Frozen:
    """A deployment on moto whose restores progress only on command."""

    deployment: Deployment
    bucket: str

    def hold(self) -> None:
        """Let restores requested from now on stay in progress."""
        self._set_status("IN_PROGRESS")

    def finish(self) -> None:
        """Finish the restores in progress: the originals are readable from now on."""
        self._set_status("RESTORED")

    def expire(self) -> None:
        """Expire the readable copies of all restored originals."""
        for key in self._keys():
            key.set_expiry(datetime.now(UTC) - timedelta(hours=1))

    def _set_status(self, status: str) -> None:
        for key in self._keys():
            key.status = status

    def _keys(self) -> list[FakeKey]:
        keys = s3_backends[ACCOUNT]["aws"].buckets[self.bucket].keys
        return [keys[name] for name in list(keys)]


def frozen_on(server: S3Server, directory: Path, catalog_url: str) -> Frozen:
    """Return a deployment with its own bucket on the moto server of this process."""
    directory.mkdir()
    bucket = server.new_bucket()
    deployment = Deployment(directory=directory, catalog_url=catalog_url, store=server.settings(bucket))
    return Frozen(deployment=deployment, bucket=bucket)


@pytest.fixture
def frozen(tmp_path: Path, postgres_url: str, moto_s3: S3Server) -> Iterator[Frozen]:
    """Postgres, and moto with restores that progress only on command."""
    state_manager.set_transition(MODEL, {"progression": "manual", "times": 10**9})
    yield frozen_on(moto_s3, tmp_path / "run", postgres_url)
    state_manager.unset_transition(MODEL)
