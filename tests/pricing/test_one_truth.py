"""Tests that prices are on price cards only."""

import ast
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import imgctl
from imgctl.pricing.card_files import load_card
from imgctl.pricing.prices import Card

SOURCE = Path(imgctl.__file__).parent
THOUSANDTH = Decimal("0.001")
# Pauses and histogram buckets also use quarters.
CHANCE = {0.25, 0.025}
MONEY = re.compile(r"\$\s?\d|\d\s?(?:USD|dollars?|cents?)\b", re.IGNORECASE)


def prices_of(card: Card) -> set[float]:
    """Return the card's prices that are not also timings or ratios: with two digits, or below a thousandth."""
    found = [tier.price for one in card.classes.values() for tier in one.storage]
    found += [price for one in card.classes.values() for price in (one.put, one.get, one.transition) if price]
    found += [tier.price for tiers in (card.transfer.internet, card.cdn.internet) for tier in tiers]
    found += [card.requests.list, card.cdn.https, card.cdn.http, card.database.gb]
    found += [getattr(card.extras, name) for name in type(card.extras).__slots__]
    telling = (price for price in found if len(price.normalize().as_tuple().digits) > 1 or 0 < price < THOUSANDTH)
    return {float(price) for price in telling} - CHANCE


PRICES = prices_of(load_card())


def numbers_and_texts(tree: ast.AST) -> Iterator[tuple[int, float | str]]:
    """Yield every literal with its line: numbers, and texts that are not docstrings."""
    documented = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        if node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or id(node) in documented:
            continue
        if isinstance(node.value, str) or (isinstance(node.value, int | float) and not isinstance(node.value, bool)):
            yield node.lineno, node.value


def is_price(value: float | str) -> bool:
    """Whether a literal is a text with an amount of money, or a number that is a price of the card."""
    if isinstance(value, str):
        try:
            return bool(MONEY.search(value)) or float(value) in PRICES
        except ValueError:
            return False
    return isinstance(value, float) and value in PRICES


def test_no_module_contains_a_price() -> None:
    found = [
        f"{path.relative_to(SOURCE)}:{line}: {value!r}"
        for path in SOURCE.rglob("*.py")
        if "pricing" not in path.parts
        for line, value in numbers_and_texts(ast.parse(path.read_text("utf-8")))
        if is_price(value)
    ]

    assert len(PRICES) > 15
    assert found == []


def test_no_part_of_the_page_contains_a_price() -> None:
    texts = {path.name: path.read_text("utf-8") for path in SOURCE.rglob("*.js")}
    wrong = [
        f"{name}: {number}"
        for name, text in texts.items()
        for number in re.findall(r"(?<![\w.])0\.\d+", text)
        if float(number) in PRICES
    ]

    assert texts
    assert not wrong


def test_a_price_would_be_found() -> None:
    assert [is_price(value) for value in (0.023, "0.0036", "for $3 a month", 0.0125)] == [True] * 4
    assert [is_price(value) for value in (0.5, "0.7", "3 images", 0.25, "${amount}")] == [False] * 5
