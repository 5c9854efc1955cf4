"""Moving to another provider: both bills and the cost of the move, computed by hand; a card from Azure's price list."""

import json
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from imgctl.errors import UsageError
from imgctl.model import Sized
from imgctl.ops.cost.refresh import refresh_card
from imgctl.pricing.archive_bill import Archive, Held
from imgctl.pricing.card_files import load_card
from imgctl.pricing.lines import total
from imgctl.pricing.other_provider import lacks, like, move_elsewhere
from imgctl.pricing.whatif import Today
from tests.parts.loopback import Handler, serving

GIB = 2**30
AWS, GS = load_card(), load_card("gs-us-central1")


def test_a_move_costs_retrieval_gets_egress_and_puts() -> None:
    originals = {
        "STANDARD": Held(large=Sized(objects=100_000, size=1000 * GIB)),
        "GLACIER": Held(large=Sized(objects=50_000, size=500 * GIB)),
    }
    today = Today(archive=Archive(originals=originals, variants={"thumb": 150_000}, sizes={"thumb": 20_000}))

    found = move_elsewhere(AWS, GS, today)

    # Bulk restores of GLACIER are free. 150,000 gets × .0004/1,000 = .06; (1,500 − 100) GiB × .09 = 126;
    # puts: 100,000 × .005/1,000 = .50 into STANDARD, 50,000 × .05/1,000 = 2.50 into ARCHIVE, 150,000 × .005/1,000 = .75
    # of thumbs, which 150,000 gets × .0004/1,000 = .06 are rendered from.
    assert f"{found.one_off:.2f}" == "129.87"
    # 1,000 × .023, 500 × .0036 with 50,000 × (32 KiB × .0036 + 8 KiB × .023) of overhead; 1,000 × .020, 500 × .0012.
    assert f"{total(found.before['STANDARD']):.2f}" == "23.00"
    assert f"{total(found.before['GLACIER']):.2f}" == "1.81"
    assert (f"{total(found.after['STANDARD']):.2f}", f"{total(found.after['ARCHIVE']):.2f}") == ("20.00", "0.60")
    assert found.worse == (
        "50,000 originals must be restored before the move",
        "an original deleted from ARCHIVE within 365 days is billed for all 365",
    )


@pytest.mark.parametrize(
    ("card", "limit"),
    [
        ("aws-us-east-1", "minimum storage days: 30 in STANDARD_IA, 30 in ONEZONE_IA, 90 in GLACIER_IR, 90 in GLACIER, 180 in DEEP_ARCHIVE"),
        ("aws-us-east-1", "readable only after a restore: GLACIER, DEEP_ARCHIVE"),
        ("gs-us-central1", "no class needs a restore: every original is readable at once"),
        ("gs-us-central1", "minimum storage days: 30 in NEARLINE, 90 in COLDLINE, 365 in ARCHIVE"),
        ("az-eastus2", "readable only after a restore: AZURE_ARCHIVE"),
        ("r2", "no colder class: originals stay in STANDARD"),
        ("wasabi", "minimum storage days: 90 in STANDARD"),
        ("wasabi", "objects below 4.0 KiB are billed as 4.0 KiB"),
        ("wasabi", "not in these figures: 1 TB a month is billed at least"),
        ("b2", "tags, inventories and batch jobs have no price on this card"),
    ],
)  # fmt: skip
def test_limits_of_a_provider_are_read_from_its_card(card: str, limit: str) -> None:
    assert limit in lacks(load_card(card))


def test_a_move_lists_the_limits_of_the_new_provider() -> None:
    held = Held(large=Sized(objects=10, size=GIB))
    today = Today(archive=Archive(originals={"GLACIER": held, "STANDARD": held}, variants={}, sizes={}))

    found = move_elsewhere(AWS, load_card("hetzner"), today)

    assert found.worse == (
        "10 originals must be restored before the move",
        "hetzner has no class like GLACIER: those originals are kept in STANDARD",
        "not in these figures: the base price of 5 euros a month, which holds the first TB: small archives pay it whole",
    )


@pytest.mark.parametrize(
    ("name", "card", "nearest"),
    [
        ("GLACIER", "gs-us-central1", "ARCHIVE"),
        ("GLACIER", "az-eastus2", "AZURE_ARCHIVE"),
        ("COLDLINE", "az-eastus2", "COLD"),
        ("AZURE_ARCHIVE", "aws-us-east-1", "DEEP_ARCHIVE"),
        ("GLACIER", "r2", "STANDARD"),
    ],
)
def test_a_class_maps_to_the_nearest_one_of_the_provider(name: str, card: str, nearest: str) -> None:
    assert like(name, load_card(card)) == nearest


def meter(name: str, price: float, unit: str, least: float = 0.0) -> dict[str, object]:
    """A meter as the API returns it (Azure Retail Prices REST API)."""
    return {
        "currencyCode": "USD", "tierMinimumUnits": least, "retailPrice": price, "unitPrice": price,
        "armRegionName": "westeurope", "effectiveStartDate": "2026-09-01T00:00:00Z", "meterName": name,
        "productName": "General Block Blob v2", "serviceName": "Storage", "unitOfMeasure": unit, "type": "Consumption",
    }  # fmt: skip


@pytest.fixture
def prices() -> Iterator[str]:
    """Two pages of Azure's price list."""
    first = [
        meter("Hot LRS Data Stored", 0.0196, "1 GB/Month"),
        meter("Hot LRS Data Stored", 0.0189, "1 GB/Month", 51200),
    ]
    second = [meter("Hot LRS Write Operations", 0.054, "10K"), meter("Archive LRS Data Stored", 0.0018, "1 GB/Month")]

    class Prices(Handler):
        def do_GET(self) -> None:
            url = f"http://127.0.0.1:{self.headers['Host'].partition(':')[2]}/api"
            page = {"Items": second} if "skip" in self.path else {"Items": first, "NextPageLink": f"{url}?skip=100"}
            self.respond(200, json.dumps(page).encode())

    with serving(Prices) as url:
        yield f"{url}/api"


def test_the_azure_card_is_refreshed_from_the_azure_price_list(prices: str, tmp_path: Path) -> None:
    found = refresh_card(load_card("az-eastus2"), out=tmp_path / "card.toml", region="westeurope", url=prices)

    card = load_card(tmp_path / "card.toml")
    assert (card.name, card.region, card.as_of) == ("az westeurope", "westeurope", date(2026, 9, 1))
    assert [(tier.price, tier.up_to_gb) for tier in card.of("STANDARD").storage] == [
        (Decimal("0.0196"), 51200), (Decimal("0.0189"), None),
    ]  # fmt: skip
    assert card.of("STANDARD").put == Decimal("0.0054")
    assert card.of("AZURE_ARCHIVE").storage[0].price == Decimal("0.0018")
    assert {name for name, _, _ in found.changed} == {"STANDARD.storage", "STANDARD.put", "AZURE_ARCHIVE.storage"}
    assert "COOL.get" in found.kept


def test_a_card_without_a_public_list_is_not_refreshed(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="r2 has no public price list"):
        refresh_card(load_card("r2"), out=tmp_path / "card.toml", region="auto")
