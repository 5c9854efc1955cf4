"""Findings as files: CSV, and an HTML page that opens from disk in any browser and loads nothing but pictures.

Both the page and the command show the cost of the audit itself: its requests, priced by the card.
"""

import base64
import csv
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from importlib.resources import files
from pathlib import Path
from typing import Protocol, TextIO
from urllib.parse import quote, urlsplit

from imgctl.config.settings import Settings
from imgctl.dates import EPOCH
from imgctl.keys import ORIGINAL, key_of, new_id
from imgctl.model import Image, Sized, StorageClass, Variant
from imgctl.ops.audit.findings import FIELDS, Code, Finding
from imgctl.ops.audit.options import AuditOrder, Tally
from imgctl.ops.common.csv_cells import guarded
from imgctl.ops.common.open import Parts
from imgctl.ops.common.retry import StopSignal
from imgctl.ops.common.spend import Terms, card_in_force
from imgctl.ops.support.links import cdn_url
from imgctl.pricing.costs import Operation, request_cost
from imgctl.pricing.estimate import Billing, billing, caveat
from imgctl.pricing.lines import Period, dollars, total
from imgctl.run.scratch import whole_file
from imgctl.store.catalog.queries.lookups import by_ids
from imgctl.units import count_of, counts_of, format_bytes

BATCH = 256
# A signed link is longer than all the rest of a finding.
MOST_SIGNED = 2000
_MISSING = frozenset({Code.MISSING_VARIANT, Code.EMPTY_BLOB})
_SHOWN = (Variant.THUMB, Variant.MEDIUM)
# The page's script expects this order; column names in each record would double the file.
_COLUMNS = tuple(name for name in FIELDS if name != "promised_at")


class Sink(Protocol):
    """A consumer of findings, one by one: a table, a CSV file, a page."""

    def __call__(self, finding: Finding) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The content of a page besides findings: the audited parts, the options, the counts, the time, and the stop signal."""

    parts: Parts
    order: AuditOrder
    tally: Tally
    made_at: datetime
    stop: StopSignal


@contextmanager
def csv_file(file: Path, *, stop: StopSignal) -> Iterator[Sink]:
    """Open a CSV file with a header and a line for each finding.

    It gets its name when the block ends without an error, and not where the audit was stopped: it cannot say so.
    """
    with whole_file(file, unless=stop.is_set) as out:
        writer = csv.DictWriter(out, FIELDS, extrasaction="ignore")
        writer.writeheader()
        yield lambda finding: writer.writerow({name: guarded(value) for name, value in finding.record().items()})


@contextmanager
def html_file(file: Path, subject: Subject) -> Iterator[Sink]:
    """Open a page that takes findings one by one; it gets its name when the block ends without an error."""
    with whole_file(file) as out:
        page = _Page(out, subject)
        yield page.add
        page.close()


class _Page:
    """A page being written: the part before the findings, batches of findings, the part after."""

    def __init__(self, out: TextIO, subject: Subject) -> None:
        self._out = out
        self._subject = subject
        self._pictures = _Pictures(subject.parts)
        self._waiting: list[Finding] = []
        self._separator = ""
        style, script = _asset("page.css"), _asset("page.js")
        filled = _asset("page.html").replace("@DATE@", f"{subject.made_at:%Y-%m-%d}")
        filled = filled.replace("@CSP@", _policy(style, script, self._pictures.source))
        filled = filled.replace("@CSS@", style).replace("@JS@", script)
        before, rest = filled.split("@FINDINGS@")
        self._between, self._after = rest.split("@ABOUT@")
        out.write(f"{before}[")

    def add(self, finding: Finding) -> None:
        self._waiting.append(finding)
        if len(self._waiting) >= BATCH:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._out.write(f"\n]{self._between}{_json(self._about())}{self._after}")

    def _flush(self) -> None:
        for finding, picture in zip(self._waiting, self._pictures.of(self._waiting), strict=True):
            record = finding.record()
            self._out.write(f"{self._separator}\n{_json([*(record[name] for name in _COLUMNS), picture])}")
            self._separator = ","
        self._waiting.clear()

    def _about(self) -> dict[str, str | int | bool | None]:
        subject = self._subject
        tally, settings = subject.tally, subject.parts.settings
        cost = cost_of(tally, settings)
        seconds = timedelta(seconds=settings.links.expires)
        expires = datetime.now(UTC) + seconds if self._pictures.signed else None
        return {
            "made_at": f"{subject.made_at:%Y-%m-%d %H:%M} UTC",
            "catalog": subject.parts.catalog.place,
            "store": settings.store.url,
            "scope": _scope(subject.order),
            "interrupted": subject.stop.is_set(),
            "images": tally.rows,
            "young": tally.young,
            "blobs": tally.blobs,
            "cost": None if cost.amount is None else dollars(cost.amount),
            "base": self._pictures.base,
            "expires": f"{expires:%Y-%m-%d %H:%M} UTC" if expires else None,
        }


def _scope(order: AuditOrder) -> str:
    chosen = order.chosen
    filters = [
        f"user {chosen.scope.user_id}" if chosen.scope.user_id else "",
        f"since {chosen.scope.since:%Y-%m-%d %H:%M}" if chosen.scope.since else "",
        f"until {chosen.scope.until:%Y-%m-%d %H:%M}" if chosen.scope.until else "",
        "the images of a list" if chosen.ids_from else "",
    ]
    return ", ".join(one for one in filters if one) or "everything"


def _json(value: object) -> str:
    """Return JSON that cannot close its HTML element, whatever keys and messages contain."""
    text = json.dumps(value, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _policy(style: str, script: str, pictures: str) -> str:
    """Return a content security policy that allows only this style, this script, and pictures from their own origin."""
    rules = (
        "default-src 'none'",
        f"style-src '{_digest(style)}'",
        f"script-src '{_digest(script)}'",
        f"img-src {pictures}",
        "base-uri 'none'",
        "form-action 'none'",
    )
    return "; ".join(rules)


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _asset(name: str) -> str:
    return (files("imgctl.ops.audit") / "page" / name).read_text("utf-8").strip()


class _Pictures:
    """A picture for each finding: the smallest variant that its row names and that is not itself missing.

    Pictures are at a CDN or in a directory, below `base`, else at signed links (for the first 2,000). `source` is the
    only origin that the page may load pictures from.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._signed = 0
        probe = key_of(new_id(EPOCH), ORIGINAL, "jpg")
        sample = parts.store.sign(probe, seconds=1)
        cdn = parts.settings.links.cdn
        if cdn:
            self.base: str | None = f"{cdn.rstrip('/')}/"
        elif sample.startswith("file://"):
            self.base = sample.removesuffix(quote(probe))
        else:
            self.base = None
        self.source = _origin(self.base or sample)

    @property
    def signed(self) -> bool:
        """Whether any link is signed, and so expires."""
        return self._signed > 0

    def of(self, findings: Sequence[Finding]) -> list[str | None]:
        """Return the picture of each finding, or None: a URL, or a path relative to `base`."""
        ids = {one.id for one in findings if one.id}
        with self._parts.catalog.read() as connection:
            rows = by_ids(connection, ids) if ids else {}
        return [self._of(one, rows[one.id]) if one.id in rows else None for one in findings]

    def _of(self, finding: Finding, row: Image) -> str | None:
        missing = finding.role if finding.code in _MISSING else None
        key = next((key for one in _SHOWN if one != missing and (key := row.key(one))), None)
        if key is None:
            return None
        if self.base is not None:
            whole = cdn_url(self.base, key, row.recipe if self._parts.settings.links.cdn else None)
            return whole.removeprefix(self.base)
        if self._signed >= MOST_SIGNED:
            return None
        self._signed += 1
        return self._parts.store.sign(key, seconds=int(self._parts.settings.links.expires))


def _origin(url: str) -> str:
    """Return the origin of a URL for the policy: scheme and host, or `file:`."""
    parts = urlsplit(url)
    return "file:" if parts.scheme == "file" else f"{parts.scheme}://{parts.netloc}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditCost:
    """Requests made, bytes read from classes with retrieval fees, and their price; None for a store that charges nothing."""

    lists: int
    heads: int
    gets: int
    amount: Decimal | None
    card: str = ""
    bill: Billing = Billing.NONE
    retrieved: Mapping[str, int] = field(default_factory=dict)

    @property
    def brief(self) -> str:
        """One line for users."""
        requests = counts_of({"LIST": self.lists, "HEAD": self.heads, "GET": self.gets}, none="no requests")
        if self.amount is None:
            return requests
        requests += "".join(f", {format_bytes(size)} read from {name}" for name, size in self.retrieved.items())
        return f"{requests} = {caveat(self.card.partition(',')[0], self.bill)}{dollars(self.amount)} ({self.card})"


def cost_of(tally: Tally, settings: Settings) -> AuditCost:
    """Price the requests and the retrieval so far; HEADs of variants and unarchived originals are priced as STANDARD."""
    bill = billing(settings.store.url, settings.store.endpoint(os.environ))
    if bill is Billing.NONE:
        return AuditCost(lists=0, heads=0, gets=0, amount=None)
    terms = Terms(bill=bill, card=card_in_force(settings))
    card, fees = terms.card, terms.fees()
    counts = ((Operation.LIST, tally.lists), (Operation.HEAD, tally.heads), (Operation.GET, tally.gets))
    lines = tuple(request_cost(card, StorageClass.STANDARD, what, count) for what, count in counts)
    return AuditCost(
        lists=tally.lists,
        heads=tally.heads,
        gets=tally.gets,
        amount=total(lines, Period.ONE_OFF) + terms.retrieval(tally.read),
        card=f"{card.name}, {card.as_of}",
        bill=bill,
        retrieved={name: one.size for name, one in tally.read.items() if name in fees},
    )


def look_price(images: int, terms: Terms) -> str:
    """Return the maximum price of `--look` for this many images, as a sentence; empty for a store that charges nothing."""
    if terms.bill is Billing.NONE:
        return ""
    count = images * (1 + len(Variant))
    price = terms.quoted(f"{dollars(terms.requests(gets=count, puts=0))} for GET requests")
    return f"--look {images} reads up to {count_of(count, 'blob')}: {price}, plus {terms.beside_requests()}"


def deep_price(budget: int, terms: Terms) -> str:
    """Return what `--deep` pays at most for retrieval, as a sentence; empty for a store without such fees."""
    if not (fees := terms.fees()):
        return ""
    dearest = max(fees, key=lambda name: fees[name])
    most = dollars(terms.retrieval({dearest: Sized(objects=0, size=budget)}))
    price = terms.quoted(f"up to {most}")
    return f"--deep reads up to {format_bytes(budget)}: originals in {', '.join(fees)} cost {price} to retrieve"
