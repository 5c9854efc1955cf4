"""Uploads that meet what nobody means: one file for two users, lists that are also outputs, odd names and numbers."""

from pathlib import Path
from uuid import UUID

from tests.whole.deployment import USER, Deployment

UPLOAD = ("upload", "--user", str(USER))


def test_a_file_that_the_journal_knows_of_one_user_is_uploaded_for_another(
    embedded: Deployment, album: dict[Path, bytes]
) -> None:
    photo, other = next(iter(album)), UUID("0190b2b4-0000-7000-8000-000000000002")
    manifest = embedded.directory / "two.csv"
    manifest.write_text(f"path,user_id\n{photo},{USER}\n{photo},{other}\n{photo},{USER}\n")
    embedded.run(*UPLOAD, photo)

    first = embedded.run("upload", "--manifest", manifest, "--json")
    second = embedded.run("upload", "--manifest", manifest, "--json")

    assert {image.user_id for image in embedded.images()} == {USER, other}
    assert (first.summary["uploaded"], first.summary["present"]) == (1, 2)
    assert second.summary["present"] == 3
