"""A catalog that is a standby: commands that read work, those that write end with an error and the next step."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from imgctl.store.catalog.engine import open_catalog
from imgctl.store.catalog.upgrade import upgrade
from tests.parts.postgres import postgres_server, restart
from tests.whole.conftest import photo, place_of
from tests.whole.deployment import USER, Deployment

OWNER = f"--user {USER}"
READS = (
    "find", "show {image}", "stats", "history", "top --once", "cost actual", "audit", f"verify {{album}} {OWNER}",
    f"export {OWNER} --out bag", "get {image} --out .", f"upload {{new}} {OWNER} --dry-run", "backfill --dry-run",
    "transition --to GLACIER --older-than 0d --dry-run", "repair", f"erase {OWNER}",
)  # fmt: skip
RECORDED = {"audit", "export", "get"}
WRITES = (f"upload {{new}} {OWNER}", "work --drain", f"hold {OWNER} --reason case", "erase {image} --yes")


def test_a_standby_serves_commands_that_read(
    embedded: Deployment, album: dict[Path, bytes], tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "1.jpg").write_bytes(photo(77))
    # A short path: the server puts its socket elsewhere if the path is too long for one, and `restart` finds it by the socket.
    with postgres_server(tmp_path_factory.mktemp("db")) as url:
        with closing(open_catalog(url)) as catalog:
            upgrade(catalog)
        deployment = replace(embedded, catalog_url=url).with_settings(SERVE_SECRET="secret")
        for line in (f"upload {place_of(album)} {OWNER}", "work --drain"):
            assert deployment.run(*line.split()).code == 0
        named = {"image": deployment.images()[0].id, "album": place_of(album), "new": tmp_path / "new"}
        restart(url, standby=True)
        reads, writes = (
            {line: deployment.run(*line.format(**named).split()) for line in lines} for lines in (READS, WRITES)
        )

    assert {line: result.err for line, result in reads.items() if result.code} == {}
    assert {line.split()[0] for line, result in reads.items() if "is not recorded" in result.err} == RECORDED
    assert {line: result.code for line, result in writes.items()} == dict.fromkeys(WRITES, 1)
    assert all("use the primary" in result.err.splitlines()[-1] for result in writes.values())
