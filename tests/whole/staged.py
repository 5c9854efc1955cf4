"""Restores of the moto server that take their time: under way until the test says that they are done, or over."""

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
    """A deployment on moto whose restores go on only when told."""

    deployment: Deployment
    bucket: str

    def hold(self) -> None:
        """Restores asked for from now on stay under way."""
        self._set_status("IN_PROGRESS")

    def finish(self) -> None:
        """What is under way is readable from now on."""
        self._set_status("RESTORED")

    def expire(self) -> None:
        """The readable copies of all that was restored are gone."""
        for key in self._keys():
            key.set_expiry(datetime.now(UTC) - timedelta(hours=1))

    def _set_status(self, status: str) -> None:
        for key in self._keys():
            key.status = status

    def _keys(self) -> list[FakeKey]:
        keys = s3_backends[ACCOUNT]["aws"].buckets[self.bucket].keys
        return [keys[name] for name in list(keys)]


def frozen_on(server: S3Server, directory: Path, catalog_url: str) -> Frozen:
    """A deployment with a bucket of its own on the moto server of this process."""
    directory.mkdir()
    bucket = server.new_bucket()
    deployment = Deployment(directory=directory, catalog_url=catalog_url, store=server.settings(bucket))
    return Frozen(deployment=deployment, bucket=bucket)


@pytest.fixture
def frozen(tmp_path: Path, postgres_url: str, moto_s3: S3Server) -> Iterator[Frozen]:
    """Postgres, and moto with restores that go on only when told."""
    state_manager.set_transition(MODEL, {"progression": "manual", "times": 10**9})
    yield frozen_on(moto_s3, tmp_path / "run", postgres_url)
    state_manager.unset_transition(MODEL)
