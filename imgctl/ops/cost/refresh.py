"""Fetching the public price list (no credentials) and writing a card of it."""

import json
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from imgctl.errors import ImgctlError, UsageError
from imgctl.pricing.card import card_toml
from imgctl.pricing.prices import Card
from imgctl.pricing.refresh import OFFERS, Offer, Refreshed, read_offer, refreshed
from imgctl.run.scratch import whole_file

# The bulk price list, as of November 2026; a regional file of S3 has about 400 KB.
PRICE_LIST_URL = "https://pricing.us-east-1.amazonaws.com/offers/v1.0/aws"
MOST_BYTES = 128 * 2**20
TIMEOUT_SECONDS = 30


def refresh_card(card: Card, *, out: Path, region: str, url: str = PRICE_LIST_URL) -> Refreshed:
    """Write to `out` the card with today's prices of a region; ImgctlError without a network or a price list there."""
    if not url.startswith(("http://", "https://")):
        raise UsageError(f"--url {url!r} is not an address", hint="write https://…/offers/v1.0/aws")
    offers = {name: _offer(f"{url.rstrip('/')}/{name}/current/{region}/index.json") for name in OFFERS}
    found = refreshed(card, offers, region=region, source=url)
    with whole_file(out, hint="choose another --out") as file:
        file.write(card_toml(found.card))
    return found


def _offer(url: str) -> Offer:
    hint = "the card in force stays; it needs a network, or --url of a mirror"
    try:
        with urlopen(Request(url, headers={"User-Agent": "imgctl"}), timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310 - http(s) only
            body = answer.read(MOST_BYTES + 1)
    except HTTPError as error:
        raise ImgctlError(f"{url}: the price list answers {error.code}", hint=hint) from None
    except (URLError, OSError, HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise ImgctlError(f"{url}: cannot be fetched: {reason}", hint=hint) from None
    if len(body) > MOST_BYTES:
        raise ImgctlError(f"{url}: is longer than any price list", hint=hint)
    try:
        table = json.loads(body)
    except ValueError:
        raise ImgctlError(f"{url}: is not JSON", hint=hint) from None
    return read_offer(table, source=url)
