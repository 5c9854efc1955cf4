"""Only runs that use a cloud import its modules."""

import subprocess
import sys

import pytest

_CLOUDS = {"azure", "google", "urllib3", "imgctl.store.blobs.clouds"}


@pytest.mark.parametrize(
    ("url", "brought"),
    [
        ("file:///tmp/blobs", set()),
        ("s3://bucket", set()),
        # The HTTP client is imported before files are read: in the first put the import would compete with the reads.
        ("gs://bucket", {"imgctl.store.blobs.clouds", "urllib3"}),
        ("az://container", {"imgctl.store.blobs.clouds", "urllib3"}),
    ],
)
def test_opening_a_store_imports_no_sdk_and_no_other_cloud(url: str, brought: set[str]) -> None:
    program = (
        "import sys; from imgctl.config.catalog_store import StoreSettings; from imgctl.store.blobs.open import open_store;"
        f"open_store(StoreSettings(url={url!r})); print(*(set(sys.modules) & {_CLOUDS!r}))"
    )

    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert set(ran.stdout.split()) == brought


def test_help_imports_no_cloud() -> None:
    program = f"import sys; import imgctl.cli.main; print(*(set(sys.modules) & {_CLOUDS | {'obstore', 'boto3'}!r}))"

    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert ran.stdout.split() == []
