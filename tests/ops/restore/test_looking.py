"""The state of originals: listings and HEADs agree, and the cheaper of the two is used."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from imgctl.config.catalog_store import StoreSettings
from imgctl.keys import key_of, new_id
from imgctl.model import Image, Status
from imgctl.ops.common.row_blobs import FEW, LISTED_FOR_A_HEAD, BlobLooker
from imgctl.ops.common.spend import Terms
from imgctl.ops.restore.options import RestoreOrder, State
from imgctl.ops.restore.state import originals, seen
from imgctl.pricing.card_files import load_card
from imgctl.pricing.estimate import Billing
from imgctl.run.threads import thread_pool
from imgctl.store.blobs.base import Tier
from imgctl.store.blobs.open import open_store
from tests.parts.proxy import fault_proxy
from tests.parts.seaweed import S3Server
from tests.soak import rounds

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
KINDS = ("missing", "STANDARD", "GLACIER_IR", "GLACIER", "DEEP_ARCHIVE", "restored")
STATES = {
    "missing": State.MISSING,
    "STANDARD": State.READABLE,
    "GLACIER_IR": State.READABLE,
    "GLACIER": State.ARCHIVED,
    "DEEP_ARCHIVE": State.ARCHIVED,
    "restored": State.RESTORED,
}


def _image(number: int) -> Image:
    at = NOON + timedelta(seconds=number)
    image = new_id(at)
    key = key_of(image, "original", "jpg")
    return Image(id=image, user_id=UUID(int=1), uploaded_at=at, promised_at=at, status=Status.READY, original_key=key)


@contextmanager
def _looker(place: StoreSettings, order: RestoreOrder) -> Iterator[BlobLooker]:
    with thread_pool(4, name="test") as pool:
        yield originals(open_store(place), place, lists_restores=order.lists_restores, pool=pool, stop=Event())


@settings(max_examples=rounds(4, 30))
@given(st.lists(st.tuples(st.sampled_from(KINDS), st.booleans()), min_size=FEW + 2, max_size=60))
def test_a_listing_has_the_same_states_as_heads(kinds: list[tuple[str, bool]]) -> None:
    images = [_image(number) for number in range(len(kinds))]
    wanted = [image for image, (_, chosen) in zip(images, kinds, strict=True) if chosen]
    with TemporaryDirectory() as directory:
        place = StoreSettings(url=f"file://{Path(directory)}/blobs")
        store, cold = open_store(place), open_store(place)
        for image, (kind, _) in zip(images, kinds, strict=True):
            key = image.original_key or ""
            if kind == "missing":
                continue
            store.create(key, b"original", content_type="image/jpeg")
            store.replace(key_of(image.id, "thumb", "jpg"), b"variant", content_type="image/jpeg")
            if kind != "STANDARD":
                head = cold.details(key)
                assert head is not None
                cold.move(key, to="GLACIER" if kind == "restored" else kind, etag=head.etag)
            if kind == "restored":
                cold.restore(key, tier=Tier.BULK, days=1)
        with _looker(place, RestoreOrder()) as looker:
            looked = [seen(row) for row in looker.look(wanted)]
            headed = [seen(looker.look_at(image)) for image in wanted]

    assert [one.image for one in looked] == wanted
    assert [(one.state, one.blob) for one in looked] == [(one.state, one.blob) for one in headed]
    assert [one.state for one in looked] == [STATES[kind] for kind, chosen in kinds if chosen]


# One listing of the originals, and one that detects the order of the server's listings.
LISTINGS = 2


def _requests(server: S3Server, *, between: int, lists_restores: bool) -> Counter[str]:
    """Count the requests for the state of originals with this many other objects between them."""
    bucket = server.new_bucket()
    client, images = server.client(), [_image(number) for number in range(FEW + 5)]
    for image in images:
        key = image.original_key or ""
        client.put_object(Bucket=bucket, Key=key, Body=b"x", StorageClass="GLACIER")
    for number in range(between):
        client.put_object(Bucket=bucket, Key=f"{images[FEW // 2].original_key}{number}", Body=b"x")
    with fault_proxy(server.endpoint_url) as proxy:
        place = StoreSettings(url=f"s3://{bucket}", endpoint_url=proxy.url)
        terms = Terms(bill=Billing.AWS if lists_restores else Billing.OTHER, card=load_card())
        with _looker(place, RestoreOrder(terms=terms)) as looker:
            looked = [seen(row) for row in looker.look(images)]
        requests = Counter(proxy.requests)

    assert {one.state for one in looked} == {State.ARCHIVED}
    return requests


def test_originals_close_together_are_listed(moto_s3: S3Server) -> None:
    requests = _requests(moto_s3, between=60, lists_restores=True)

    assert requests == {"GET": LISTINGS}


def test_originals_are_headed_one_by_one_if_listings_lack_restores(moto_s3: S3Server) -> None:
    requests = _requests(moto_s3, between=0, lists_restores=False)

    assert requests == {"GET": LISTINGS, "HEAD": FEW + 5}


def test_originals_far_apart_are_headed_where_listing_costs_more(moto_s3: S3Server) -> None:
    requests = _requests(moto_s3, between=LISTED_FOR_A_HEAD * (FEW + 5), lists_restores=True)

    assert requests["GET"] == LISTINGS
    assert 0 < requests["HEAD"] < FEW + 5
