"""The cards of the other clouds: each estimate matches the hand computation in its comment to the cent."""

from collections.abc import Callable
from datetime import date
from decimal import Decimal

import pytest

from imgctl.config.catalog_store import StoreSettings
from imgctl.config.settings import CostSettings, Settings
from imgctl.model import Sized
from imgctl.ops.common.spend import card_in_force
from imgctl.pricing.card_files import card_names, card_toml, load_card
from imgctl.pricing.costs import (
    Operation,
    early_delete,
    monthly_internet,
    monthly_storage,
    request_cost,
    retrieval_cost,
)
from imgctl.pricing.estimate import Billing, billing, upload_estimate
from imgctl.pricing.lines import Line, total
from imgctl.pricing.moves import Origin, transition_estimate
from imgctl.pricing.prices import Card

GIB = 2**30
# 10,000 photos of 100 GiB; their variants are 10,000 × 670,000 bytes = 6.239891 GiB = 6.7 GB.
PHOTOS = Sized(objects=10_000, size=100 * GIB)
Bill = Callable[[Card], tuple[Decimal, Decimal]]


def upload(card: Card) -> tuple[Decimal, Decimal]:
    found = upload_estimate(card, files=PHOTOS.objects, size=PHOTOS.size)
    return found.one_off, found.monthly


def move(to: str) -> Bill:
    def bill(card: Card) -> tuple[Decimal, Decimal]:
        found = transition_estimate(card, to=to, moved={Origin(storage_class="STANDARD", age_days=90): PHOTOS})
        return found.one_off, found.monthly

    return bill


def once(lines: Callable[[Card], tuple[Line, ...]]) -> Bill:
    return lambda card: (total(lines(card)), Decimal(0))


def early(name: str, age_days: int) -> Bill:
    return once(lambda card: early_delete(card, name, PHOTOS, age_days=age_days))


def read_back(name: str, tier: str) -> Bill:
    return once(lambda card: retrieval_cost(card, name, tier, PHOTOS))


def sent(size: int) -> Bill:
    return once(lambda card: monthly_internet(card, size))


def listed(requests: int) -> Bill:
    return once(lambda card: (request_cost(card, "STANDARD", Operation.LIST, requests),))


def kept(size: int) -> Bill:
    return once(lambda card: monthly_storage(card, "STANDARD", Sized(objects=1, size=size)))


CASES: list[tuple[str, Bill, str, str]] = [
    # 40,000 puts × .005 + 10,000 gets × .0004, per 1,000; 106.239891 × .020
    ("gs-us-central1", upload, "0.20", "2.12"),
    # 10,000 × (.01 moved + .0004 looked at before + .001 after) / 1,000; 100 × .010
    ("gs-us-central1", move("NEARLINE"), "0.11", "1.00"),
    # 10,000 × (.02 + .0004 + .01) / 1,000; 100 × .004
    ("gs-us-central1", move("COLDLINE"), "0.30", "0.40"),
    # 10,000 × (.05 + .0004 + .05) / 1,000; 100 × .0012
    ("gs-us-central1", move("ARCHIVE"), "1.00", "0.12"),
    # 100 × .010 × 20 of 30 days
    ("gs-us-central1", early("NEARLINE", 10), "0.67", "0.00"),
    # 100 × .05
    ("gs-us-central1", read_back("ARCHIVE", "INSTANT"), "5.00", "0.00"),
    # 1,024 × .12 + 976 × .11
    ("gs-us-central1", sent(2000 * GIB), "230.24", "0.00"),
    # 100,000 pages × .005 / 1,000
    ("gs-us-central1", listed(100_000), "0.50", "0.00"),
    # As of Google's; 106.239891 × .0184
    ("az-eastus2", upload, "0.20", "1.95"),
    # 10,000 × (.01 + .0004 + .001) / 1,000; 100 × .01
    ("az-eastus2", move("COOL"), "0.11", "1.00"),
    # 10,000 × (.018 + .0004 + .01) / 1,000; 100 × .0036
    ("az-eastus2", move("COLD"), "0.28", "0.36"),
    # 10,000 × (.01 + .0004 + .0004) / 1,000; 100 × .002
    ("az-eastus2", move("AZURE_ARCHIVE"), "0.11", "0.20"),
    # 100 × .002 × 135 of 30 days
    ("az-eastus2", early("AZURE_ARCHIVE", 45), "0.90", "0.00"),
    # 10,000 × .5 / 1,000 + 100 × .02
    ("az-eastus2", read_back("AZURE_ARCHIVE", "STANDARD"), "7.00", "0.00"),
    # 10,000 × 5 / 1,000 + 100 × .10
    ("az-eastus2", read_back("AZURE_ARCHIVE", "EXPEDITED"), "60.00", "0.00"),
    # (2,000 − 100) × .087
    ("az-eastus2", sent(2000 * GIB), "165.30", "0.00"),
    # 51,200 × .0184 + 10,240 × .0177
    ("az-eastus2", kept(60 * 1024 * GIB), "1123.33", "0.00"),
    # 40,000 × .0045 + 10,000 × .00036, per 1,000; 114.074182 GB × .015
    ("r2", upload, "0.18", "1.71"),
    ("r2", sent(2000 * GIB), "0.00", "0.00"),
    # 10,000 × .0004 / 1,000; 114.074182 × .00695
    ("b2", upload, "0.00", "0.79"),
    # 100 GB × .01
    ("b2", sent(100 * 10**9), "1.00", "0.00"),
    # 106.239891 × 7.99 / 1,024
    ("wasabi", upload, "0.00", "0.83"),
    # 100 × 7.99 / 1,024 × 60 of 30 days
    ("wasabi", early("STANDARD", 30), "1.56", "0.00"),
    # 114.074182 × .0053064
    ("hetzner", upload, "0.00", "0.61"),
    # (2,000 − 1,000) × .0011
    ("hetzner", sent(2 * 10**12), "1.10", "0.00"),
]


@pytest.mark.parametrize(("card", "bill", "one_off", "monthly"), CASES)
def test_an_estimate_agrees_to_the_cent_with_the_arithmetic(card: str, bill: Bill, one_off: str, monthly: str) -> None:
    found = bill(load_card(card))

    assert [f"{one:.2f}" for one in found] == [one_off, monthly]


def test_each_cloud_has_eight_estimates() -> None:
    for cloud in ("gs-us-central1", "az-eastus2"):
        assert len([case for case in CASES if case[0] == cloud]) >= 8


@pytest.mark.parametrize("name", card_names())
def test_every_card_has_a_date_and_a_source_and_round_trips(
    name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    card = load_card(name)
    file = tmp_path_factory.mktemp("cards") / "card.toml"
    file.write_text(card_toml(card))

    assert card.as_of >= date(2024, 12, 6)
    assert card.source.startswith("https://")
    assert load_card(file) == card


@pytest.mark.parametrize(
    ("url", "endpoint_url", "bill", "card"),
    [
        ("gs://b", "", Billing.GOOGLE, "gs us-central1"),
        ("az://c", "", Billing.AZURE, "az eastus2"),
        ("az://c", "http://127.0.0.1:10000/devstoreaccount1", Billing.OTHER, "az eastus2"),
        ("s3://b", "https://a.r2.cloudflarestorage.com", Billing.R2, "r2"),
        ("s3://b", "https://s3.us-west-004.backblazeb2.com", Billing.B2, "b2"),
        ("s3://b", "https://s3.eu-central-1.wasabisys.com", Billing.WASABI, "wasabi"),
        ("s3://b", "https://fsn1.your-objectstorage.com", Billing.HETZNER, "hetzner"),
        ("s3://b", "http://127.0.0.1:8333", Billing.OTHER, "aws us-east-1"),
    ],
)
def test_the_card_is_that_of_the_provider_of_the_store(url: str, endpoint_url: str, bill: Billing, card: str) -> None:
    settings = Settings(store=StoreSettings(url=url, endpoint_url=endpoint_url))

    assert billing(url, endpoint_url) is bill
    assert card_in_force(settings).name == card
    assert card_in_force(Settings(store=settings.store, cost=CostSettings(card="wasabi"))).name == "wasabi"
