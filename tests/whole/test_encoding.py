"""Every command refuses a Postgres database that is not UTF-8, in one line with the next step."""

from dataclasses import replace
from pathlib import Path

import pytest

from imgctl.errors import CatalogError
from imgctl.store.catalog.engine import open_catalog
from tests.whole.conftest import place_of
from tests.whole.deployment import USER, Deployment

NOT_UNICODE = pytest.mark.parametrize("encoded_url", ["SQL_ASCII", "LATIN1", "EUC_JP"], indirect=True)
COMMANDS = (
    ["init"],
    ["upload", ".", "--user", str(USER)],
    ["work", "--drain"],
    ["audit"],
    ["ls"],
    ["stats"],
)


@NOT_UNICODE
def test_every_command_reports_it_in_one_line(embedded: Deployment, encoded_url: str) -> None:
    deployment = replace(embedded, catalog_url=encoded_url)

    results = [deployment.run(*command) for command in COMMANDS]

    for result in results:
        assert result.code == 1
        assert "encoding is" in result.err
        assert "ENCODING 'UTF8'" in result.err
        assert len(result.err.splitlines()) == 1


@NOT_UNICODE
def test_doctor_reports_it(embedded: Deployment, encoded_url: str) -> None:
    result = replace(embedded, catalog_url=encoded_url).run("doctor")

    assert result.code == 1
    assert "FAIL  database" in result.out + result.err
    assert "ENCODING 'UTF8'" in result.out + result.err


@pytest.mark.parametrize("encoded_url", ["LATIN1"], indirect=True)
def test_it_is_said_each_time_and_no_connection_is_left(encoded_url: str) -> None:
    catalog = open_catalog(encoded_url)

    for _ in range(2):
        with pytest.raises(CatalogError, match="LATIN1"), catalog.read():
            pass

    catalog.close()


def test_a_client_of_another_encoding_writes_unicode(servers: Deployment, album: dict[Path, bytes]) -> None:
    manifest = place_of(album) / "album.csv"
    manifest.write_text(f"path,user_id,caption\n0/0.jpg,{USER},日本 🌊\n", encoding="utf-8")
    deployment = replace(servers, settings={"PGCLIENTENCODING": "LATIN1"})

    result = deployment.run("upload", "--manifest", manifest)
    listed = deployment.run("ls", "--json")

    assert result.code == 0, result.err
    assert [one["caption"] for one in listed.of("image")] == ["日本 🌊"]
