"""Estimates: the one-off and monthly cost of a command, shown before it acts."""

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
    """The biller of a store: none (a directory), a provider whose card comes with imgctl, or one of unknown prices."""

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
        """The name of the provider's card; None for AWS's, which also serves providers without one."""
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


_NOTHING: Mapping[str, Sized] = {}
# AWS's cards are the default also where nobody knows the prices.
_AWS = "aws"
# The assumed variants of an average photo: their number and their total bytes.
_VARIANTS, _VARIANTS_BYTES = 3, 670_000
_ASSUMED = "variants of about 20, 150 and 500 KB a photo"


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Lines and their sums in US dollars, the card of the prices, and the assumptions."""

    lines: tuple[Line, ...]
    card: str
    as_of: date
    assumptions: tuple[str, ...] = ()

    @property
    def one_off(self) -> Decimal:
        """The total of the one-off lines."""
        return total(self.lines, Period.ONE_OFF)

    @property
    def monthly(self) -> Decimal:
        """The total of the monthly lines."""
        return total(self.lines, Period.MONTHLY)

    def text(self, billing: Billing = Billing.AWS) -> str:
        """Return the estimate as a paragraph; for an unknown provider with AWS's prices."""
        if billing is Billing.NONE:
            return "free: a directory bills nothing"
        parts = [
            f"one-off {dollars(self.one_off)}{self._briefs(Period.ONE_OFF)}",
            f"then {dollars(self.monthly)} a month{self._briefs(Period.MONTHLY)}",
        ]
        assumed = f"; assumes {', '.join(self.assumptions)}" if self.assumptions else ""
        return f"{caveat(self.card, billing)}{', '.join(parts)}; prices {self.card} as of {self.as_of}{assumed}"

    def record(self, billing: Billing = Billing.AWS) -> dict[str, Json]:
        """Return the estimate for JSON, with exact amounts as text."""
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
    """Return the biller of a store, by its URL's scheme and its endpoint (empty for the cloud itself)."""
    own = _OWN.get(store_url.partition("://")[0])
    if own is None:
        return Billing.NONE
    host = urlsplit(endpoint_url).hostname or ""
    known = (one for ending, one in _HOSTS.items() if f".{host}".endswith(ending))
    return next(known, Billing.OTHER) if endpoint_url else own


def caveat(card: str, billing: Billing) -> str:
    """Return what precedes a price by this card: at an endpoint of unknown prices AWS's are only what AWS would charge."""
    if billing is not Billing.OTHER or not card.startswith(_AWS):
        return ""
    return f"price unknown for this endpoint; {card.replace(_AWS, 'AWS', 1)} would charge "


def upload_estimate(card: Card, *, files: int, size: int) -> Estimate:
    """Estimate putting `files` originals of `size` bytes in total, building their variants, and storing both."""
    puts = request_cost(card, STANDARD, Operation.PUT, files)
    return estimated(card, (puts, *_kept(card, files, size)), _ASSUMED)


def insert_estimate(
    card: Card,
    *,
    files: int,
    size: int,
    gets: int,
    sources: Mapping[str, Sized] = _NOTHING,
    assumptions: tuple[str, ...] = (),
) -> Estimate:
    """Estimate copying `files` blobs of `size` bytes in total within a bucket, with two HEADs and `gets` GETs each.

    Both copies are stored from then on. `sources` are the blobs by class: one with retrieval fees bills them twice, for
    the read and for the copy.
    """
    requests = (
        request_cost(card, STANDARD, Operation.HEAD, 2 * files),
        request_cost(card, STANDARD, Operation.GET, files * gets),
        request_cost(card, STANDARD, Operation.COPY, files),
    )
    retrieved = (
        line
        for name, one in sources.items()
        if name in card.every() and INSTANT in card.of(name).retrieval
        for line in retrieval_cost(card, name, INSTANT, one + one)
        if line.amount
    )
    return estimated(card, (*requests, *retrieved, *_kept(card, files, size)), *assumptions, _ASSUMED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reads:
    """Originals of one class to read: a HEAD each, `gets` GETs in total, and the bytes of these GETs."""

    originals: int = 0
    gets: int = 0
    size: int = 0


def reading_estimate(card: Card, reads: Mapping[str, Reads], *, assumptions: tuple[str, ...] = ()) -> Estimate:
    """Estimate reading parts of originals, by class: requests, and retrieval from classes that are readable at once."""
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
    """Estimate exporting originals, by class, and variants: the reads, then the puts into a bucket beside the store.

    Any other target adds transfer to the internet at the first tier's price: the free allowance may already be used.
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
    """Return the lines of building variants once, and of a month's storage of originals and variants."""
    built = Sized(objects=files * _VARIANTS, size=files * _VARIANTS_BYTES)
    return (
        *monthly_storage(card, STANDARD, Sized(objects=files, size=size)),
        request_cost(card, STANDARD, Operation.PUT, built.objects, name="PUT of variants"),
        request_cost(card, STANDARD, Operation.GET, files, name="GET to render"),
        *monthly_storage(card, STANDARD, built, stored_bytes=size, of="variants"),
    )


def estimated(card: Card, lines: Iterable[Line], *assumptions: str) -> Estimate:
    """Return the estimate of these lines, with their card."""
    return Estimate(lines=tuple(lines), card=card.name, as_of=card.as_of, assumptions=assumptions)
