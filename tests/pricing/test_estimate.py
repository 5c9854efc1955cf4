"""Estimates: the sums, the text and the JSON record."""

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgctl.pricing.card_files import load_card
from imgctl.pricing.estimate import Billing, Estimate, billing, insert_estimate, upload_estimate
from imgctl.pricing.lines import dollars, plain

CARD = load_card()
GIB = 2**30


def amounts(found: Estimate) -> dict[str, str]:
    return {line.name: plain(line.amount) for line in found.lines if line.name != "STANDARD variants"}


def test_an_upload_costs_its_puts_and_a_month_of_storage_with_variants() -> None:
    found = upload_estimate(CARD, files=10_000, size=100 * GIB)

    # 10,000 × .005 / 1,000, three times that for the variants, and a GET each to render.
    assert amounts(found) == {"PUT": "0.05", "STANDARD": "2.3", "PUT of variants": "0.15", "GET to render": "0.004"}
    assert found.one_off == Decimal("0.204")
    # 10,000 × 670,000 bytes are 6.2399 GiB.
    assert f"{found.monthly:.4f}" == "2.4435"
    assert found.assumptions == ("variants of about 20, 150 and 500 KB a photo",)


def test_variants_are_billed_in_addition_to_originals() -> None:
    found = upload_estimate(CARD, files=1000, size=50 * 1024 * GIB)

    variants = next(line for line in found.lines if line.name == "STANDARD variants")
    assert variants.unit_price == Decimal("0.022")


def test_an_insert_costs_two_heads_a_get_and_a_copy_per_image() -> None:
    found = insert_estimate(CARD, files=1_000_000, size=100 * GIB, gets=2)

    assert amounts(found) == {
        "HEAD": "0.8", "GET": "0.8", "COPY": "5", "STANDARD": "2.3", "PUT of variants": "15", "GET to render": "0.4",
    }  # fmt: skip


def test_the_text_has_the_totals_their_parts_and_the_date() -> None:
    text = upload_estimate(CARD, files=10_000, size=100 * GIB).text()

    assert text == (
        "one-off $0.204 (10,000 PUT, 30,000 PUT of variants, 10,000 GET to render), "
        "then $2.44 a month (100 GiB STANDARD, 6.2 GiB STANDARD variants); "
        f"prices aws us-east-1 as of {CARD.as_of}; assumes variants of about 20, 150 and 500 KB a photo"
    )


def test_the_parts_of_the_record_add_up_to_its_total() -> None:
    record = json.loads(json.dumps(upload_estimate(CARD, files=12_345, size=77 * GIB).record()))

    sums = {period: Decimal(0) for period in ("one_off", "monthly")}
    for line in record["lines"]:
        sums[line["period"]] += Decimal(line["amount"])
    assert sums == {period: Decimal(record[period]) for period in sums}
    assert record["as_of"] == CARD.as_of.isoformat()


@pytest.mark.parametrize(
    ("url", "endpoint_url", "expected"),
    [
        ("file:///srv/blobs", "", Billing.NONE),
        ("s3://photos", "", Billing.AWS),
        ("s3://photos", "https://s3.eu-central-1.amazonaws.com", Billing.AWS),
        ("s3://photos", "http://127.0.0.1:8333", Billing.OTHER),
        ("s3://photos", "https://amazonaws.com.example.org", Billing.OTHER),
    ],
)
def test_the_billing_provider_is_derived_from_the_store(url: str, endpoint_url: str, expected: Billing) -> None:
    assert billing(url, endpoint_url) is expected


def test_other_endpoints_have_unknown_prices() -> None:
    found = upload_estimate(CARD, files=1, size=1)

    assert found.text(Billing.NONE) == "free: a directory bills nothing"
    assert found.text(Billing.OTHER).startswith("price unknown for this endpoint; AWS us-east-1 would charge one-off")
    assert found.record(Billing.OTHER)["billing"] == "other"


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        ("0", "$0.00"),
        ("0.000", "$0.00"),
        ("0.001319", "$0.00132"),
        ("0.004", "$0.004"),
        ("0.5", "$0.50"),
        ("0.123456", "$0.123"),
        ("0.0000000012345", "$0.00000000123"),
        ("0.9994", "$0.999"),
        ("0.9996", "$1.00"),
        ("-0.001319", "$-0.00132"),
        ("1", "$1.00"),
        ("1.004", "$1.00"),
        ("1234.5", "$1,234.50"),
    ],
)
def test_amounts_are_shown_to_the_cent_and_below_a_dollar_to_three_digits(amount: str, shown: str) -> None:
    assert dollars(Decimal(amount)) == shown


@given(amount=st.decimals(min_value=Decimal("1e-12"), max_value=Decimal("0.98"), places=16))
def test_amounts_below_a_dollar_one_per_cent_apart_are_shown_differently(amount: Decimal) -> None:
    assert dollars(amount) != dollars(amount * Decimal("1.01"))
    assert dollars(amount) != "$0.00"
    assert abs(Decimal(dollars(amount)[1:]) - amount) <= amount * Decimal("0.005")
