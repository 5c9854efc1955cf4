"""The packaged price cards, and errors of invalid cards."""

from datetime import date
from decimal import Decimal
from importlib.resources import files
from pathlib import Path

import pytest

from imgctl.errors import ConfigError
from imgctl.pricing.card_files import load_card
from imgctl.pricing.prices import CLASSES

PACKAGED = (files("imgctl.pricing") / "cards" / "aws-us-east-1.toml").read_text("utf-8")


def test_the_packaged_card_has_a_date_and_a_source() -> None:
    card = load_card()

    assert (card.name, card.region, card.gb_bytes) == ("aws us-east-1", "us-east-1", 2**30)
    assert card.as_of >= date(2026, 9, 28)
    assert card.source.startswith("https://")
    assert set(card.classes) < set(CLASSES)


def test_prices_are_decimals_to_the_last_digit() -> None:
    card = load_card()

    assert card.of("DEEP_ARCHIVE").storage[0].price == Decimal("0.00099")
    assert card.of("STANDARD").get == Decimal("0.0004")
    assert [tier.up_to_gb for tier in card.of("STANDARD").storage] == [50 * 1024, 500 * 1024, None]


def test_a_custom_card_is_read(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text(
        PACKAGED.replace("aws us-east-1", "ours").replace("gb_bytes = 1073741824", "gb_bytes = 1_000_000_000")
    )

    card = load_card(own)

    assert (card.name, card.gb_bytes) == ("ours", 10**9)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("gb_bytes = 1073741824", "", "gb_bytes is missing"),
        ("gb_bytes = 1073741824", "gb_bytes = 0", "gb_bytes must be 1 or more"),
        ("put = 0.05", "put = -0.05", "classes.DEEP_ARCHIVE.put is negative"),
        ("put = 0.05", "put = nan", "classes.DEEP_ARCHIVE.put is not a number"),
        ("put = 0.05", "put = true", "classes.DEEP_ARCHIVE.put is not a number"),
        ("put = 0.05", "putt = 0.05", "classes.DEEP_ARCHIVE.putt is unknown"),
        ("[classes.DEEP_ARCHIVE]", "[classes.COLDEST]", "classes.COLDEST is not a storage class"),
        ("[classes.STANDARD]\nstorage = ", "[classes.STANDARD]\nstores = ", "classes.STANDARD.storage is missing"),
        ("as_of = 2026-10-03", 'as_of = "2026"', "as_of is not a date"),
        ("minimum_days = 180", "minimum_days = 0.5", "minimum_days is not a whole number"),
        ("hours = [0, 48]", "hours = [48, 0]", "retrieval.BULK.hours is not"),
        ("up_to_gb = 512000, price = 0.022", "up_to_gb = 5, price = 0.022", "classes.STANDARD.storage must rise"),
        ("kms = 0.003", "", "extras.kms is missing"),
        ("[requests]", "[requests", "not TOML"),
        ("gb_bytes = 1073741824", "gb_bytes = 1e99999999", "gb_bytes is not a price or size"),
        ("put = 0.05", "put = 1e-99999999", "classes.DEEP_ARCHIVE.put is not a price or size"),
        ("put = 0.05", "put = 1e99999999999999999999", "not TOML"),
        ("put = 0.05", f"put = {'[' * 5000}", "not TOML"),
    ],
)
def test_a_wrong_card_is_refused_in_one_line(tmp_path: Path, old: str, new: str, words: str) -> None:
    wrong = tmp_path / "wrong.toml"
    assert old in PACKAGED
    wrong.write_text(PACKAGED.replace(old, new, 1))

    with pytest.raises(ConfigError) as caught:
        load_card(wrong)
    assert words in caught.value.line
    assert "wrong.toml" in caught.value.line


def test_a_missing_card_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load_card(tmp_path / "none.toml")


def test_a_class_without_prices_is_reported() -> None:
    with pytest.raises(ConfigError, match="OUTPOSTS"):
        load_card().of("OUTPOSTS")
