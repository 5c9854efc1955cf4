"""Reports of requests that are retried."""

import logging
import random

import pytest

from imgctl.config.catalog_store import StoreSettings
from imgctl.errors import StoreUnavailable
from imgctl.store.blobs import retries
from imgctl.store.blobs.open import open_store
from tests.parts.proxy import Fault, fault_proxy
from tests.parts.seaweed import S3Server

WARNED = retries._MANY_TRIES  # how many tries are made in silence


@pytest.fixture(autouse=True)
def prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry at once."""
    monkeypatch.setattr(random, "uniform", lambda *_: 0.0)


def reports(caplog: pytest.LogCaptureFixture, seaweed: S3Server, *, faults: int, allowed: int) -> list[tuple[int, str]]:
    """The level and text of each report of two requests, the first of which fails so often."""
    caplog.set_level(logging.DEBUG, logger=retries.__name__)

    def fails(_method: str, _path: str, number: int) -> Fault | None:
        return Fault.SERVICE_UNAVAILABLE if number < faults else None

    with fault_proxy(seaweed.endpoint_url, policy=fails) as proxy:
        settings = StoreSettings(url=f"s3://{seaweed.new_bucket()}", endpoint_url=proxy.url, retries=allowed)
        open_store(settings).head("a.jpg")
        open_store(settings).head("b.jpg")
    return [(one.levelno, one.getMessage()) for one in caplog.records if one.name == retries.__name__]


def test_a_few_retries_are_details(caplog: pytest.LogCaptureFixture, seaweed: S3Server) -> None:
    found = reports(caplog, seaweed, faults=WARNED - 1, allowed=8)

    assert [level for level, _ in found] == [logging.DEBUG] * (WARNED - 1)
    assert found[0][1].endswith("; retry 1 of 8")
    assert "a.jpg" in found[0][1]


def test_a_request_that_keeps_failing_is_reported_once_a_minute(
    caplog: pytest.LogCaptureFixture, seaweed: S3Server
) -> None:
    found = reports(caplog, seaweed, faults=WARNED + 3, allowed=8)

    assert [level for level, _ in found].count(logging.WARNING) == 1
    assert found[WARNED - 1][0] == logging.WARNING
    assert found[WARNED - 1][1].endswith(f"; retry {WARNED} of 8")


def test_the_last_failure_is_an_error_and_no_report(caplog: pytest.LogCaptureFixture, seaweed: S3Server) -> None:
    with pytest.raises(StoreUnavailable):
        reports(caplog, seaweed, faults=10, allowed=1)

    assert [one.getMessage()[-14:] for one in caplog.records if one.name == retries.__name__] == ["; retry 1 of 1"]
