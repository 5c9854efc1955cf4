"""Downloads the public price list (no credentials) and writes a card from it."""

from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode, urlsplit
from urllib.request import Request, urlopen

from imgctl.errors import ImgctlError, UsageError
from imgctl.jsontext import parse_json
from imgctl.pricing.card_files import card_toml
from imgctl.pricing.prices import Card
from imgctl.pricing.refresh import (
    OFFERS,
    PRODUCT,
    Offer,
    Refreshed,
    Value,
    read_meters,
    read_offer,
    refreshed,
    refreshed_azure,
)
from imgctl.run.scratch import whole_file

# The bulk price list, as of November 2026; S3's file for one region has about 400 KB.
PRICE_LIST_URL = "https://pricing.us-east-1.amazonaws.com/offers/v1.0/aws"
MOST_BYTES = 128 * 2**20
TIMEOUT_SECONDS = 30
AZURE_URL = "https://prices.azure.com/api/retail/prices"


def refresh_card(card: Card, *, out: Path, region: str, url: str = PRICE_LIST_URL) -> Refreshed:
    """Write the card with a region's current prices to `out`; ImgctlError without a network or a price list at `url`."""
    if not url.startswith(("http://", "https://")):
        raise UsageError(f"--url {url!r} is not an address", hint="write https://…/offers/v1.0/aws")
    if card.name.startswith("az "):
        source = AZURE_URL if url == PRICE_LIST_URL else url
        meters = read_meters(_azure_pages(source, region), source=source)
        return _written(refreshed_azure(card, meters, region=region, source=source), out)
    if not card.name.startswith("aws "):
        raise UsageError(
            f"{card.name} has no public price list", hint="--card aws-us-east-1 or az-eastus2, or edit the card"
        )
    offers = {name: _offer(f"{url.rstrip('/')}/{name}/current/{region}/index.json") for name in OFFERS}
    return _written(refreshed(card, offers, region=region, source=url), out)


def _written(found: Refreshed, out: Path) -> Refreshed:
    with whole_file(out, hint="choose another --out") as file:
        file.write(card_toml(found.card))
    return found


def _azure_pages(url: str, region: str) -> Iterator[Value]:
    wanted = f"serviceName eq 'Storage' and productName eq '{PRODUCT}' and armRegionName eq '{region}'"
    following = f"{url}?{urlencode({'api-version': '2023-01-01-preview', '$filter': wanted})}"
    while following:
        page = _fetched(following)
        yield page
        link = page.get("NextPageLink") if isinstance(page, dict) else None
        # Follow links to the same host only.
        following = str(link) if link and urlsplit(str(link)).netloc.partition(":")[0] == urlsplit(url).hostname else ""


def _offer(url: str) -> Offer:
    return read_offer(_fetched(url), source=url)


def _fetched(url: str) -> Value:
    hint = "the card in force stays; it needs a network, or --url of a mirror"
    try:
        with urlopen(Request(url, headers={"User-Agent": "imgctl"}), timeout=TIMEOUT_SECONDS) as response:  # noqa: S310 - http(s) only
            body = response.read(MOST_BYTES + 1)
    except HTTPError as error:
        raise ImgctlError(f"{url}: the price list returns HTTP {error.code}", hint=hint) from None
    except (URLError, OSError, HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise ImgctlError(f"{url}: cannot be fetched: {reason}", hint=hint) from None
    if len(body) > MOST_BYTES:
        raise ImgctlError(f"{url}: is longer than any price list", hint=hint)
    try:
        table: Value = parse_json(body)
    except ValueError:
        raise ImgctlError(f"{url}: is not JSON", hint=hint) from None
    return table
