"""Signed links end with the session credentials that signed them; a warning reports it."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from imgctl.config.catalog_store import StoreSettings
from imgctl.config.settings import Settings
from imgctl.ops.support.links import link_warning

BUCKET = Settings(store=StoreSettings(url="s3://bucket"))


@pytest.fixture
def environ(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Credentials of a user in the environment only."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def _session(environ: pytest.MonkeyPatch, ends_in: timedelta | None) -> None:
    environ.setenv("AWS_SESSION_TOKEN", "token")
    if ends_in is not None:
        environ.setenv("AWS_CREDENTIAL_EXPIRATION", (datetime.now(UTC) + ends_in).isoformat())


def test_links_of_an_access_key_have_no_warning(environ: pytest.MonkeyPatch) -> None:
    assert link_warning(BUCKET, 7 * 86400) == ""


def test_links_of_a_directory_have_no_warning(environ: pytest.MonkeyPatch) -> None:
    _session(environ, timedelta(hours=1))

    assert link_warning(Settings(), 7 * 86400) == ""


@pytest.mark.parametrize(("hours", "warned"), [(1, False), (5, False), (7, True), (168, True)])
def test_a_link_that_outlives_the_session_has_a_warning(
    environ: pytest.MonkeyPatch, hours: int, *, warned: bool
) -> None:
    _session(environ, timedelta(hours=6))

    assert ("expire sooner than the link" in link_warning(BUCKET, hours * 3600)) is warned


def test_a_link_of_a_session_without_an_end_has_a_warning(environ: pytest.MonkeyPatch) -> None:
    _session(environ, None)

    assert "whose end is unknown" in link_warning(BUCKET, 60)


def test_credentials_of_a_profile_are_checked_too(environ: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        environ.delenv(name)
    file = tmp_path / "credentials"
    file.write_text("[default]\naws_access_key_id=key\naws_secret_access_key=secret\naws_session_token=token\n")
    environ.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))

    assert "whose end is unknown" in link_warning(BUCKET, 60)
