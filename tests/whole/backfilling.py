"""Archives to be backfilled: some photos, uploaded and worked."""

from tests.whole.conftest import photo
from tests.whole.deployment import USER, Deployment

PHOTOS = 6


def ready(deployment: Deployment) -> None:
    """Some photos, uploaded and worked."""
    place = deployment.directory / "photos"
    place.mkdir()
    for number in range(PHOTOS):
        (place / f"{number}.jpg").write_bytes(photo(number))
    uploaded = deployment.run("upload", place, "--user", str(USER))
    worked = deployment.run("work", "--drain")
    assert (uploaded.code, worked.code) == (0, 0), uploaded.err + worked.err
