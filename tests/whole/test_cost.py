"""`imgctl cost` as a process."""

import json
from contextlib import AbstractContextManager
from decimal import Decimal
from functools import partial
from http.server import SimpleHTTPRequestHandler
from importlib.resources import files
from pathlib import Path

import pytest
from sqlalchemy import update

from imgctl.pricing.card_files import load_card
from imgctl.pricing.refresh import OFFERS
from imgctl.store.catalog.engine import open_catalog
from imgctl.store.catalog.schema import images
from tests.parts.loopback import serving
from tests.pricing.test_refresh import S3, offer
from tests.whole.conftest import place_of
from tests.whole.deployment import USER, Deployment, Result
from tests.whole.stock import stock

CARD = load_card()


def amounts(result: Result, **chosen: str) -> Decimal:
    """Return the sum of the lines of a result."""
    lines = [line for line in result.of("line") if all(line[name] == value for name, value in chosen.items())]
    return sum((Decimal(str(line["amount"])) for line in lines), Decimal(0))


def is_one_line(text: str) -> bool:
    return text.count("\n") == 1 and text.startswith("imgctl: ") and "Traceback" not in text


def test_the_lessons_figures_are_printed(embedded: Deployment) -> None:
    result = embedded.run("cost", "model", "--profile", "lesson", "--explain")

    assert result.code == 0, result.err
    for figure in ("155.125 TB", "7.5 TB", "$675.00", "$75.75", "$414.00"):
        assert figure in result.out
    assert f"prices: {CARD.name} as of {CARD.as_of}" in result.out


@pytest.mark.parametrize("profile", ["aws", "lesson"])
def test_the_lines_of_a_model_add_up_to_its_total(embedded: Deployment, profile: str) -> None:
    arguments = ["--originals", "glacier", "--archive-after", "30d", "--tags", "1", "--audits", "2", "--months", "5"]
    result = embedded.run("cost", "model", "--profile", profile, *arguments, "--json")

    assert result.code == 0, result.err
    assert amounts(result) == Decimal(str(result.summary["total"]))
    assert result.summary["as_of"] == CARD.as_of.isoformat()


def test_the_bill_of_an_archive_comes_from_its_catalog(deployment: Deployment, album: dict[Path, bytes]) -> None:
    deployment.run("upload", place_of(album), "--user", str(USER))
    for by in ("class", "user", "month", "variant"):
        result = deployment.run("cost", "actual", "--by", by, "--json")

        assert result.code == 0, result.err
        total = Decimal(str(result.summary["total"]))
        shares = sum((Decimal(str(share["amount"])) for share in result.of("share")), Decimal(0))
        assert amounts(result) == total
        assert abs(shares - total) < Decimal("1e-12")
        assert result.summary["images"] == 20
    text = deployment.run("cost", "actual").out
    assert f"prices: {CARD.name} as of {CARD.as_of}" in text
    assert "(--sizes)" in text


def test_a_move_to_another_provider_names_both_price_cards(embedded: Deployment) -> None:
    there = load_card("gs-us-central1")
    stock(embedded, 1)

    result = embedded.run("cost", "what-if", "--move-to", "gs")

    assert result.code == 0, result.err
    for card in (CARD, there):
        assert f"{card.name} as of {card.as_of}" in result.out


@pytest.mark.parametrize(
    "command", [["actual"], ["what-if", "--drop-variant", "full"], ["lab", "--from-catalog", "--out", "lab.html"]]
)
def test_a_class_without_a_price_is_named_and_the_rest_is_priced(embedded: Deployment, command: list[str]) -> None:
    cold, _ = stock(embedded, 2, size=1000)
    catalog = open_catalog(embedded.catalog_url)
    with catalog.write() as connection:
        connection.execute(update(images).where(images.c.id == cold.id).values(storage_class="SNOW"))
    catalog.close()

    result = embedded.run("cost", *command, "--json")

    assert (result.code, result.err.count("\n")) == (3, 1), result.err
    assert "1 original in SNOW (1000 B)" in result.err
    if command[0] != "lab":
        assert result.summary["unpriced"] == {"SNOW": {"originals": 1, "bytes": 1000}}
        assert result.summary["images"] == 2
        assert amounts(result) > 0


def test_a_change_is_reported_once_with_before_and_after(embedded: Deployment, album: dict[Path, bytes]) -> None:
    embedded.run("upload", place_of(album), "--user", str(USER))
    change = ["--transition", "older-than=0d,to=GLACIER", "--drop-variant", "full", "--format", "webp=0.6", "--cdn"]
    result = embedded.run("cost", "what-if", *change, "--json")

    assert result.code == 0, result.err
    for when, name in (("before", "before"), ("after", "after"), ("once", "one_off")):
        assert amounts(result, when=when) == Decimal(str(result.summary[name]))
    assert result.summary["worse"]
    assert "a month after" in embedded.run("cost", "what-if", *change, "--explain").out


@pytest.mark.parametrize(
    "arguments",
    [
        ["model", "--originals", "COLDEST"],
        ["model", "--profile", "guess"],
        ["model", "--uploads-per-day", "-1"],
        ["model", "--views-per-upload", "-1"],
        ["model", "--views-per-upload", "nan"],
        ["model", "--sizes", "huge=1MB"],
        ["model", "--sizes", "thumb=-1"],
        ["model", "--hit-ratio", "2"],
        ["model", "--months", "0"],
        ["model", "--start", "soon"],
        ["model", "--uploads-per-day", "1" + "0" * 30],
        ["model", "--card", "none.toml"],
        ["actual", "--card", "none.toml"],
        ["actual", "--top", "-1"],
        ["actual", "--by", "colour"],
        ["what-if"],
        ["what-if", "--transition", "to=COLDEST"],
        ["what-if", "--transition", "soon"],
        ["what-if", "--transition", "older-than=1d,older-than=9d,to=GLACIER"],
        ["what-if", "--transition", "older-than=99999999d,to=GLACIER"],
        ["what-if", "--drop-variant", "full", "--views", "9" * 33],
        ["model", "--start", "9999-12", "--months", "3"],
        ["what-if", "--format", "gif"],
        ["what-if", "--format", "webp=2"],
        ["what-if", "--format", "webp=x"],
        ["cards", "refresh"],
        ["cards", "--out", "card.toml"],
        ["cards", "refresh", "--out", "card.toml", "--url", "file:///etc"],
        ["lab"],
        ["lab", "--out", "lab.html", "--originals", "EXPRESS_ONEZONE"],
        ["invoice"],
    ],
)
def test_what_makes_no_sense_is_one_line_and_exit_2(embedded: Deployment, arguments: list[str]) -> None:
    embedded.run("init")
    result = embedded.run("cost", *arguments)

    assert (result.code, result.out) == (2, "")
    assert is_one_line(result.err), result.err


def test_a_wrong_card_is_named_with_its_place(embedded: Deployment) -> None:
    text = (files("imgctl.pricing") / "cards" / "aws-us-east-1.toml").read_text("utf-8")
    (embedded.directory / "wrong.toml").write_text(text.replace("put = 0.05", "put = -0.05"))
    result = embedded.with_settings(COST_CARD="wrong.toml").run("cost", "model")

    assert result.code == 2
    assert "wrong.toml: classes.DEEP_ARCHIVE.put is negative" in result.err
    assert is_one_line(result.err)


def test_a_catalog_without_tables_is_reported(new_embedded: Deployment) -> None:
    result = new_embedded.run("cost", "actual")

    assert result.code == 5
    assert is_one_line(result.err)


def test_a_fresh_card_is_written_and_used(embedded: Deployment, tmp_path: Path) -> None:
    with served(price_list(tmp_path / "list")) as url:
        result = embedded.run("cost", "cards", "refresh", "--out", "new.toml", "--region", "eu-central-1", "--url", url)
    assert result.code == 0, result.err
    assert "STANDARD.put: 0.005 -> 0.006" in result.out
    assert "kept: STANDARD_IA.storage" in result.err

    shown = embedded.run("cost", "cards", "--card", "new.toml", "--json")
    assert shown.summary["region"] == "eu-central-1"
    assert shown.summary["as_of"] == "2027-02-03"
    assert "prices: aws eu-central-1 as of 2027-02-03" in embedded.run("cost", "model", "--card", "new.toml").out


def test_without_a_price_list_the_card_stays(embedded: Deployment, tmp_path: Path) -> None:
    with served(tmp_path) as url:
        missing = embedded.run("cost", "cards", "refresh", "--out", "new.toml", "--url", url)
    gone = embedded.run("cost", "cards", "refresh", "--out", "new.toml", "--url", url)

    assert (missing.code, gone.code) == (1, 1)
    assert "the price list returns HTTP 404" in missing.err
    assert "needs a network" in gone.err
    assert is_one_line(gone.err)
    assert not (embedded.directory / "new.toml").exists()


def price_list(directory: Path) -> Path:
    """Serve the required part of AWS's public price list of one region."""
    for name in OFFERS:
        place = directory / name / "current" / "eu-central-1"
        place.mkdir(parents=True)
        (place / "index.json").write_text(json.dumps(S3 if name == "AmazonS3" else offer()))
    return directory


class Silent(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Log nothing."""


def served(directory: Path) -> AbstractContextManager[str]:
    """Serve the directory over HTTP."""
    return serving(partial(Silent, directory=str(directory)))
