"""Azure accounts with a hierarchical namespace, which no emulator has: directories are entries of their own.

A name cannot be both a file and a directory (409 PathConflict), and listings descend into a directory where its name
sorts: `a/b` before `a-b`, by the documentation of Data Lake Storage.
"""

from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import unquote, urlsplit
from urllib.request import Request, urlopen
from xml.etree.ElementTree import fromstring, tostring

import pytest

from imgctl.errors import StoreError, StoreUnavailable
from imgctl.store.blobs.base import BlobStore
from imgctl.store.blobs.open import open_store
from imgctl.store.blobs.traits import Level, verdicts
from tests.parts.clouds import CloudServer
from tests.parts.middlebox import Reply, Rule, Seen, middlebox, s3_error


def hierarchical(upstream_url: str) -> Rule:
    """Make Azurite list and reject as such an account does."""
    upstream, names = urlsplit(upstream_url).netloc, set[str]()

    def rule(seen: Seen) -> Reply | None:
        name = unquote(urlsplit(seen.path).path)
        if seen.method == "PUT" and "comp=" not in seen.path:
            if any(f"{one}/".startswith(f"{name}/") or f"{name}/".startswith(f"{one}/") for one in names - {name}):
                return s3_error(409, "PathConflict", "an element of the path exists, and is of another type")
            names.add(name)
        if seen.method != "GET" or "comp=list" not in seen.path:
            return None
        with urlopen(Request(f"http://{upstream}{seen.path}", headers=seen.headers)) as response:
            root = fromstring(response.read())
        blobs = root.find("Blobs")
        assert blobs is not None
        blobs[:] = sorted(blobs, key=lambda blob: (blob.findtext("Name") or "").split("/"))
        return Reply(body=tostring(root), headers={"Content-Type": "application/xml"})

    return rule


@pytest.fixture
def store(azurite: CloudServer) -> Iterator[BlobStore]:
    """A container of a hierarchical account."""
    with middlebox(azurite.endpoint_url, rule=hierarchical(azurite.endpoint_url)) as box:
        url = f"{box.url}{urlsplit(azurite.endpoint_url).path}"
        yield open_store(replace(azurite.settings(azurite.new_bucket()), endpoint_url=url))


def test_the_listing_of_a_hierarchical_account_is_out_of_order(store: BlobStore) -> None:
    found = {one.name: one.level for one in verdicts(store.traits())}

    assert found == {"put-if-absent": Level.OK, "checksum": Level.OK, "order": Level.FAIL, "if-match": Level.OK}


def test_a_listing_that_is_out_of_order_ends_with_an_error(store: BlobStore) -> None:
    for key in ("a/b.jpg", "a-b.jpg"):
        store.create(key, b"1", content_type="image/jpeg")

    with pytest.raises(StoreError, match="out of byte order"):
        list(store.scan())


def test_a_name_that_is_a_directory_is_rejected_at_once(store: BlobStore) -> None:
    store.create("a/b.jpg", b"1", content_type="image/jpeg")

    with pytest.raises(StoreError, match="PathConflict") as caught:
        store.create("a", b"1", content_type="image/jpeg")

    assert not isinstance(caught.value, StoreUnavailable)
