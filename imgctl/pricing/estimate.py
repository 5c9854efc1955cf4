"""Estimates: what a command will cost once and every month, told before it acts."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from urllib.parse import urlsplit

from imgctl.model import Sized
from imgctl.pricing.costs import INSTANT, Operation, monthly_storage, request_cost, retrieval_cost
from imgctl.pricing.lines import Json, Line, Period, dollars, plain, total, weighed
from imgctl.pricing.prices import STANDARD, Card


class Billing(StrEnum):
    """Who sends the bill: nobody (a directory), a provider by a card that comes with imgctl, or one of unknown prices."""

    NONE = "none"
    AWS = "aws"
    GOOGLE = "google"
    AZURE = "azure"
    R2 = "r2"
    B2 = "b2"
    WASABI = "wasabi"
    HETZNER = "hetzner"
    OTHER = "other"

    @property
    def card(self) -> str | None:
        """The name of the provider's card; None for AWS's, which stands for all that have none."""
        return _CARDS.get(self)


_CARDS = {
    Billing.GOOGLE: "gs-us-central1",
    Billing.AZURE: "az-eastus2",
    Billing.R2: "r2",
    Billing.B2: "b2",
    Billing.WASABI: "wasabi",
    Billing.HETZNER: "hetzner",
}
_HOSTS = {
    ".amazonaws.com": Billing.AWS,
    ".amazonaws.com.cn": Billing.AWS,
    ".r2.cloudflarestorage.com": Billing.R2,
    ".backblazeb2.com": Billing.B2,
    ".wasabisys.com": Billing.WASABI,
    ".your-objectstorage.com": Billing.HETZNER,
    ".googleapis.com": Billing.GOOGLE,
    ".blob.core.windows.net": Billing.AZURE,
}
_OWN = {"s3": Billing.AWS, "gs": Billing.GOOGLE, "az": Billing.AZURE}


# What is assumed of the variants of an average photo: how many, and their bytes together.
_VARIANTS, _VARIANTS_BYTES = 3, 670_000
_ASSUMED = "variants of about 20, 150 and 500 KB a photo"


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Lines and their sums in US dollars, the card they come from, and what had to be assumed."""

    lines: tuple[Line, ...]
    card: str
    as_of: date
    assumptions: tuple[str, ...] = ()

    @property
    def one_off(self) -> Decimal:
        """What is paid once."""
        return total(self.lines, Period.ONE_OFF)

    @property
    def monthly(self) -> Decimal:
        """What is paid every month from then on."""
        return total(self.lines, Period.MONTHLY)

    def text(self, billing: Billing = Billing.AWS) -> str:
        """The estimate in a paragraph for people; for an unknown provider what AWS would charge."""
        if billing is Billing.NONE:
            return "free: a directory bills nothing"
        parts = [
            f"one-off {dollars(self.one_off)}{self._briefs(Period.ONE_OFF)}",
            f"then {dollars(self.monthly)} a month{self._briefs(Period.MONTHLY)}",
        ]
        assumed = f"; assumes {', '.join(self.assumptions)}" if self.assumptions else ""
        told = f"{', '.join(parts)}; prices {self.card} as of {self.as_of}{assumed}"
        if billing is not Billing.OTHER:
            return told
        return f"price unknown for this endpoint; {self.card.replace('aws', 'AWS', 1)} would charge {told}"

    def record(self, billing: Billing = Billing.AWS) -> dict[str, Json]:
        """The estimate for JSON: exact amounts as text."""
        return {
            "billing": billing.value,
            "one_off": plain(self.one_off),
            "monthly": plain(self.monthly),
            "currency": "USD",
            "card": self.card,
            "as_of": self.as_of.isoformat(),
            "assumptions": list(self.assumptions),
            "lines": [line.record() for line in self.lines],
        }

    def _briefs(self, period: Period) -> str:
        briefs = [line.brief for line in self.lines if line.period is period and line.quantity]
        return f" ({', '.join(briefs)})" if briefs else ""


def billing(store_url: str, endpoint_url: str) -> Billing:
    """Who bills a store: its url says a directory, its endpoint (empty for the cloud itself) says whose bucket."""
    own = _OWN.get(store_url.partition("://")[0])
    if own is None:
        return Billing.NONE
    host = urlsplit(endpoint_url).hostname or ""
    known = (one for ending, one in _HOSTS.items() if f".{host}".endswith(ending))
    return next(known, Billing.OTHER) if endpoint_url else own


def upload_estimate(card: Card, *, files: int, size: int) -> Estimate:
    """Putting `files` originals of `size` bytes in all, building their variants, and keeping all of it."""
    puts = request_cost(card, STANDARD, Operation.PUT, files)
    return estimated(card, (puts, *_kept(card, files, size)), _ASSUMED)


def insert_estimate(card: Card, *, files: int, size: int, gets: int, assumptions: tuple[str, ...] = ()) -> Estimate:
    """Copying `files` blobs of `size` bytes in all within a bucket, each after two HEADs and `gets` GETs, and keeping both."""
    asked = (
        request_cost(card, STANDARD, Operation.HEAD, 2 * files),
        request_cost(card, STANDARD, Operation.GET, files * gets),
        request_cost(card, STANDARD, Operation.COPY, files),
    )
    return estimated(card, (*asked, *_kept(card, files, size)), *assumptions, _ASSUMED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reads:
    """Originals of one class that are looked at: a HEAD each, `gets` GETs together, and the bytes these bring."""

    originals: int = 0
    gets: int = 0
    size: int = 0


def reading_estimate(card: Card, reads: Mapping[str, Reads], *, assumptions: tuple[str, ...] = ()) -> Estimate:
    """Reading parts of originals, by class: the requests, and the retrieval of classes that bill it at once."""
    lines: list[Line] = []
    for name, read in reads.items():
        lines.append(request_cost(card, name, Operation.HEAD, read.originals))
        lines.append(request_cost(card, name, Operation.GET, read.gets))
        if INSTANT in card.of(name).retrieval:
            lines += retrieval_cost(card, name, INSTANT, Sized(objects=read.originals, size=read.size))
    return estimated(card, lines, *assumptions)


def export_estimate(
    card: Card, reads: Mapping[str, Reads], *, variants: Sized, to_bucket: bool, assumptions: tuple[str, ...] = ()
) -> Estimate:
    """Handing over originals, by class, and variants: what reading them costs, then the puts of a bucket beside the store.

    Elsewhere the transfer to the internet, at the price of the first tier: a bill's free allowance may be spent already.
    """
    size = sum(read.size for read in reads.values()) + variants.size
    objects = sum(read.originals for read in reads.values()) + variants.objects
    lines = [*reading_estimate(card, reads).lines, request_cost(card, STANDARD, Operation.GET, variants.objects)]
    if to_bucket:
        lines.append(request_cost(card, STANDARD, Operation.PUT, objects))
        lines += monthly_storage(card, STANDARD, Sized(objects=objects, size=size))
    else:
        price = card.transfer.internet[0].price
        lines.append(weighed(card, "to the internet", size, price, period=Period.ONE_OFF))
    return estimated(card, lines, *assumptions)


def _kept(card: Card, files: int, size: int) -> tuple[Line, ...]:
    """A month of originals and of their variants, which are built once."""
    built = Sized(objects=files * _VARIANTS, size=files * _VARIANTS_BYTES)
    return (
        *monthly_storage(card, STANDARD, Sized(objects=files, size=size)),
        request_cost(card, STANDARD, Operation.PUT, built.objects, name="PUT of variants"),
        request_cost(card, STANDARD, Operation.GET, files, name="GET to render"),
        *monthly_storage(card, STANDARD, built, stored_bytes=size, of="variants"),
    )


def estimated(card: Card, lines: Iterable[Line], *assumptions: str) -> Estimate:
    """The lines, with the card that they come from."""
    return Estimate(lines=tuple(lines), card=card.name, as_of=card.as_of, assumptions=assumptions)
