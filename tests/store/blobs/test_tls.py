"""A private CA: one setting for all clients, and errors that name the certificate."""

import ssl
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import trustme

from imgctl.config.catalog_store import StoreSettings
from imgctl.errors import ConfigError, StoreUnavailable
from imgctl.store.blobs.base import BlobStore
from imgctl.store.blobs.open import open_store
from tests.parts.middlebox import middlebox
from tests.parts.seaweed import S3Server

JPEG = "image/jpeg"
KEY = "2026/11/22/019aa-original.jpg"


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    """A CA that no client trusts."""
    return trustme.CA()


@pytest.fixture
def secure(
    ca: trustme.CA, moto_s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[StoreSettings]:
    """A bucket with a certificate of that CA; ca.pem is the CA's PEM file."""
    for name in ("AWS_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    with middlebox(moto_s3.endpoint_url, tls=context) as box:
        yield StoreSettings(url=f"s3://{moto_s3.new_bucket()}", endpoint_url=box.url, retries=0, timeout=20)


def both_clients_work(store: BlobStore) -> bool:
    store.create(KEY, b"photo", content_type=JPEG)  # obstore
    return store.get(KEY) == b"photo" and store.details(KEY) is not None  # boto3


@pytest.mark.parametrize("way", ["setting", "AWS_CA_BUNDLE", "AWS config", "SSL_CERT_FILE"])
def test_one_way_to_name_the_ca_is_enough_for_both_clients(
    way: str, secure: StoreSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "ca.pem"
    if way == "setting":
        secure = replace(secure, ca_bundle=str(file))
    elif way == "AWS config":
        (tmp_path / "config").write_text(f"[default]\nca_bundle = {file}\n")
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    else:
        monkeypatch.setenv(way, str(file))

    assert both_clients_work(open_store(secure))


def test_the_setting_wins_over_the_environment(
    secure: StoreSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "other.pem"))

    assert both_clients_work(open_store(replace(secure, ca_bundle=str(tmp_path / "ca.pem"))))


@pytest.mark.parametrize("client", ["obstore", "boto3"])
def test_the_error_of_an_unknown_ca_is_about_the_certificate(client: str, secure: StoreSettings) -> None:
    store = open_store(secure)

    with pytest.raises(StoreUnavailable, match=r"certificate of .* is not trusted") as caught:
        store.details(KEY) if client == "boto3" else store.create(KEY, b"photo", content_type=JPEG)
    assert "[store] ca_bundle" in caught.value.hint
    assert "reached" not in caught.value.line


@pytest.mark.parametrize("client", ["obstore", "boto3"])
def test_a_certificate_of_another_host_is_named(
    client: str, ca: trustme.CA, moto_s3: S3Server, secure: StoreSettings, tmp_path: Path
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("s3.example.test").configure_cert(context)
    with middlebox(moto_s3.endpoint_url, tls=context) as box:
        store = open_store(replace(secure, endpoint_url=box.url, ca_bundle=str(tmp_path / "ca.pem")))

        with pytest.raises(StoreUnavailable, match=r"certificate of .* is not trusted"):
            store.details(KEY) if client == "boto3" else store.create(KEY, b"photo", content_type=JPEG)


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_bundle_that_cannot_be_used_is_named(content: str | None, secure: StoreSettings, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "none.pem").write_text(content)

    with pytest.raises(ConfigError, match=r"none\.pem"):
        open_store(replace(secure, ca_bundle=str(tmp_path / "none.pem"))).get(KEY)
