"""Users by their names in another system, on the command line, in paths, in manifests and over HTTP."""

from dataclasses import replace
from pathlib import Path
from uuid import UUID, uuid5

from imgctl.config.catalog_store import CatalogSettings
from imgctl.config.service import ServeSettings
from imgctl.config.settings import Settings, UsersSettings
from tests.web.server import served
from tests.whole.conftest import photo
from tests.whole.deployment import Deployment
from tests.whole.test_watch import ends_with

NAMESPACE = UUID("6d1f6b9c-5a3b-4c7e-9a54-0d2f3b7a1c55")
NAME = "alice@example.org"
ALICE = uuid5(NAMESPACE, NAME)


def test_one_name_is_one_user_everywhere(embedded: Deployment, tmp_path: Path) -> None:
    album = tmp_path / "album"
    (album / NAME).mkdir(parents=True)
    for number, place in enumerate(("0.jpg", f"{NAME}/1.jpg", "2.jpg")):
        (album / place).write_bytes(photo(number))
    (album / "list.csv").write_text(f"path,user_id\n2.jpg,{NAME}\n")
    named = replace(embedded, settings={"IMGCTL_USERS_NAMESPACE": str(NAMESPACE)})

    typed = named.run("upload", album / "0.jpg", "--user", NAME)
    found = named.run("upload", album, "--user-from", "{user}/**", "--include", "1.jpg")
    listed = named.run("upload", "--manifest", album / "list.csv")

    (album / NAME / "5.jpg").write_bytes(photo(5))
    watching = named.start("watch", album, "--user-from", "{user}/**", "--include", "5.jpg", "--settle", "0.1s")
    ends_with(named, watching, 4)

    assert [one.code for one in (typed, found, listed, watching.wait())] == [0, 0, 0, 0]
    for one in (typed, found, listed):
        assert one.err.count(f"user {NAME} is {ALICE}") == 1
    users = UsersSettings(namespace=str(NAMESPACE))
    settings = Settings(
        catalog=CatalogSettings(url=named.catalog_url), store=named.store, users=users, serve=ServeSettings(port=0)
    )
    with served(settings) as server:
        sent = server.client.post("/images", params={"user_id": NAME}, content=photo(3))
        formed = server.client.post("/images", data={"user_id": NAME}, files={"file": ("4.jpg", photo(4))})
        page = server.client.get(f"/users/{NAME}/images").json()["images"]
        home = server.client.get("/", params={"user": NAME})
    assert (sent.json()["user_id"], formed.json()["user_id"]) == (str(ALICE), str(ALICE))
    assert home.headers["location"] == f"/users/{ALICE}"
    assert {UUID(one["user_id"]) for one in page} == {ALICE}
    assert len(named.run("ls", "--user", NAME, "--json").of("image")) == len(page) == 6


def test_a_name_without_a_namespace_is_told_of_the_setting(embedded: Deployment, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.jpg").write_bytes(photo(1))
    (tmp_path / "list.csv").write_text("path,user_id\na/1.jpg,alice\n")

    typed = embedded.run("ls", "--user", "alice")
    found = embedded.run("upload", tmp_path, "--user-from", "{user}/**")
    listed = embedded.run("upload", "--manifest", tmp_path / "list.csv")

    assert [one.code for one in (typed, found, listed)] == [2, 3, 3]
    for one in (typed, found, listed):
        assert "[users] namespace" in one.err
