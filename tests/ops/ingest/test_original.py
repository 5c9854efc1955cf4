"""The file name that a row keeps."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgctl.ops.ingest.original import file_name


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("IMG_4711.JPG", "IMG_4711.JPG"),
        ("/mnt/nas/2019/IMG_4711.JPG", "IMG_4711.JPG"),
        ("C:\\Users\\Ann\\sea.heic", "sea.heic"),
        ("archive/2019/", None),
        ("..", None),
        ("", None),
        ("a\nb.jpg", "a\ufffdb.jpg"),
        ("\udcff.jpg", "\ufffd.jpg"),
        ("é" * 200 + ".jpeg", "é" * 125 + ".jpeg"),
        ("x" * 300, "x" * 255),
        ("." + "x" * 300, "." + "x" * 254),
    ],
)
def test_a_name_is_kept_without_characters_that_databases_or_file_systems_reject(path: str, name: str | None) -> None:
    assert file_name(path) == name


@given(st.text(st.characters(codec=None)))
def test_every_name_fits_and_stays_as_it_is(path: str) -> None:
    name = file_name(path)

    assert name is None or (0 < len(name.encode()) <= 255 and "/" not in name and name.isprintable())
    assert name is None or file_name(name) == name
