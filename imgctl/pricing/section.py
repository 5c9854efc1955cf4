"""A table of a TOML file, read strictly: each value is taken once, and what nobody took is refused."""

from datetime import date
from decimal import Decimal
from types import TracebackType
from typing import Self, TypeAlias

from imgctl.errors import ConfigError

Value: TypeAlias = "str | int | Decimal | bool | date | list[Value] | dict[str, Value]"


class Section:
    """A table of price card `card` at `place`; as a context it ends by refusing what is left.

    A misspelt name must not pass: its price would be missing from every sum. Every method raises ConfigError.
    """

    def __init__(self, table: dict[str, Value], *, card: str, place: str = "") -> None:
        self._table = dict(table)
        self._card = card
        self._place = place

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        left = next(iter(self._table), None)
        if kind is None and left is not None:
            raise self.wrong(left, "is unknown")

    def names(self) -> list[str]:
        """The names not yet taken, in their order."""
        return list(self._table)

    def text(self, name: str) -> str:
        """A text that is not empty."""
        value = self._take(name)
        if not isinstance(value, str) or not value:
            raise self.wrong(name, "is not a text")
        return value

    def day(self, name: str) -> date:
        """A date."""
        value = self._take(name)
        if not isinstance(value, date):
            raise self.wrong(name, "is not a date like 2026-10-03")
        return value

    def number(self, name: str, default: Decimal | None = None) -> Decimal:
        """A number from 0 on."""
        return default if default is not None and name not in self._table else self._number(name, self._take(name))

    def count(self, name: str) -> int:
        """A whole number from 0 on."""
        found = self.number(name)
        if found != int(found):
            raise self.wrong(name, "is not a whole number")
        return int(found)

    def span(self, name: str) -> tuple[Decimal, Decimal]:
        """A pair of numbers, the least and the most."""
        value = self._take(name)
        numbers = [self._number(name, item) for item in value] if isinstance(value, list) else []
        if len(numbers) != 2 or numbers[0] > numbers[1]:
            raise self.wrong(name, "is not [least, most]")
        return numbers[0], numbers[1]

    def section(self, name: str, *, optional: bool = False) -> "Section":
        """A table within; an absent optional one is empty."""
        value = {} if optional and name not in self._table else self._take(name)
        if not isinstance(value, dict):
            raise self.wrong(name, "is not a table")
        return Section(value, card=self._card, place=self._path(name))

    def sections(self, name: str) -> list["Section"]:
        """A list of tables."""
        value = self._take(name)
        tables = [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
        if not tables or tables != value:
            raise self.wrong(name, "is not a list of tables")
        path = self._path(name)
        return [Section(table, card=self._card, place=f"{path}[{number}]") for number, table in enumerate(tables)]

    def wrong(self, name: str, what: str) -> ConfigError:
        """The error that says which value of which card is wrong."""
        return ConfigError(f"price card {self._card}: {self._path(name)} {what}", hint="correct the card")

    def _take(self, name: str) -> Value:
        if name not in self._table:
            raise self.wrong(name, "is missing")
        return self._table.pop(name)

    def _number(self, name: str, value: Value) -> Decimal:
        if isinstance(value, bool) or not isinstance(value, int | Decimal) or not Decimal(value).is_finite():
            raise self.wrong(name, "is not a number")
        if value < 0:
            raise self.wrong(name, "is negative")
        return Decimal(value)

    def _path(self, name: str) -> str:
        return f"{self._place}.{name}" if self._place else name
