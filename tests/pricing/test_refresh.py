"""Tests of new cards: AWS's price list is read, and written cards read back equal."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from imgctl.errors import ConfigError
from imgctl.pricing.card_files import card_toml, load_card
from imgctl.pricing.prices import Tier
from imgctl.pricing.refresh import OFFERS, Value, read_offer, refreshed

CARD = load_card()
Dimensions = list[tuple[str, str, str]]


def offer(*products: tuple[str, str, Dimensions]) -> Value:
    """Return an offer file: products by usage type and operation, each with (from, to, dollars)."""
    listed: dict[str, Value] = {}
    terms: dict[str, Value] = {}
    for number, (usage, operation, dimensions) in enumerate(products):
        listed[f"SKU{number}"] = {"attributes": {"usagetype": usage, "operation": operation}}
        prices: dict[str, Value] = {
            f"{at}": {"beginRange": low, "endRange": high, "pricePerUnit": {"USD": dollars}}
            for at, (low, high, dollars) in enumerate(dimensions)
        }
        terms[f"SKU{number}"] = {f"SKU{number}.TERM": {"priceDimensions": prices}}
    return {"publicationDate": "2027-02-03T04:05:06Z", "products": listed, "terms": {"OnDemand": terms}}


ONE = [("0", "Inf", "0.0000060000")]
TIERS = [("0", "51200", "0.024"), ("512000", "Inf", "0.022"), ("51200", "512000", "0.023")]
S3 = offer(
    ("EUC1-TimedStorage-ByteHrs", "", TIERS),
    ("EUC1-Requests-Tier1", "PutObject", ONE),
    ("EUC1-Requests-Tier1", "ListBucket", ONE),
    ("EUC1-Requests-Tier2", "", [("0", "Inf", "0.0000004000")]),
    ("EUC1-Requests-Tier3", "S3-GlacierTransition", [("0", "Inf", "0.0000360000")]),
    ("EUC1-Requests-Tier3", "S3-GDATransition", [("0", "Inf", "0.0000600000")]),
    ("EUC1-TimedStorage-SIA-ByteHrs", "a", [("0", "Inf", "0.0130")]),
    ("EUC1-TimedStorage-SIA-ByteHrs", "b", [("0", "Inf", "0.0140")]),
)
TRANSFER = offer(
    ("EUC1-DataTransfer-Out-Bytes", "", [("0", "100", "0"), ("100", "10240", "0.09"), ("10240", "Inf", "0.08")])
)


def read(**given: Value) -> dict[str, Value]:
    return {name: given.get(name, offer()) for name in OFFERS}


def test_prices_in_the_list_are_updated_and_the_others_kept() -> None:
    tables = read(AmazonS3=S3, AWSDataTransfer=TRANSFER)
    offers = {name: read_offer(table, source=name) for name, table in tables.items()}
    found = refreshed(CARD, offers, region="eu-central-1", source="https://prices.example")

    standard = found.card.of("STANDARD")
    assert [tier.price for tier in standard.storage] == [Decimal("0.024"), Decimal("0.023"), Decimal("0.022")]
    assert (standard.put, found.card.requests.list) == (Decimal("0.006"), Decimal("0.006"))
    assert found.card.of("GLACIER").transition == Decimal("0.036")
    assert found.card.of("DEEP_ARCHIVE").transition == Decimal("0.06")
    assert found.card.transfer.internet == (
        Tier(price=Decimal("0.09"), up_to_gb=Decimal(10240)),
        Tier(price=Decimal("0.08")),
    )
    assert (found.card.region, found.card.as_of) == ("eu-central-1", date(2027, 2, 3))
    assert found.confirmed == ("STANDARD.get",)
    # Two prices for one usage type are none.
    assert "STANDARD_IA.storage" in found.kept
    assert found.card.of("STANDARD_IA") == CARD.of("STANDARD_IA")
    assert ("STANDARD.put", "0.005", "0.006") in found.changed


def test_every_price_that_no_list_has_is_named_as_kept() -> None:
    tables = read(AmazonS3=S3, AWSDataTransfer=TRANSFER)
    offers = {name: read_offer(table, source=name) for name, table in tables.items()}

    found = refreshed(CARD, offers, region="eu-central-1", source="https://prices.example")

    assert {"cdn", "extras", "GLACIER.retrieval", "STANDARD_IA.get", "INTELLIGENT_TIERING.access_tiers"} <= {
        *found.kept
    }
    updated = {*found.confirmed, *(name for name, _, _ in found.changed)}
    assert updated.isdisjoint(found.kept)
    assert {f"{name}.storage" for name in CARD.classes} <= updated.union(found.kept)
    assert len(found.kept) == len({*found.kept})


def test_a_written_card_reads_back_equal(tmp_path: Path) -> None:
    file = tmp_path / "card.toml"
    file.write_text(card_toml(CARD), encoding="utf-8")

    assert load_card(file) == CARD


@pytest.mark.parametrize(
    "wrong", [{}, [], None, {"publicationDate": "soon"}, {"publicationDate": "2027-01-01", "products": {}}]
)
def test_an_invalid_price_list_is_refused_in_one_line(wrong: Value) -> None:
    with pytest.raises(ConfigError, match="not a price list"):
        read_offer(wrong, source="somewhere")
