"""The cost of an export, estimated before it begins."""

from collections.abc import Mapping
from dataclasses import dataclass

from imgctl.errors import ImageMissing
from imgctl.model import Sized, Variant, is_archived
from imgctl.ops.common.open import Parts
from imgctl.ops.common.range_reads import CHUNK_BYTES
from imgctl.ops.erase.options import owner_digest
from imgctl.ops.export.options import ExportOrder, shares_endpoint
from imgctl.pricing.archive_bill import TYPICAL_SIZES
from imgctl.pricing.estimate import Estimate, Reads, export_estimate
from imgctl.pricing.prices import Card
from imgctl.store.catalog.queries.aggregates import TOTAL, Weights, stored
from imgctl.store.catalog.queries.erased import count_of_owner
from imgctl.store.catalog.queries.lookups import Scope, clock
from imgctl.units import count_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A user's images: originals by class, the requested variants, unfinished uploads.

    `erased` counts the user's erased images, if `[serve] secret` is set: it identifies their owner.
    """

    originals: Mapping[str, Sized]
    variants: Mapping[Variant, int]
    unfinished: int
    erased: int = 0

    @property
    def archived(self) -> int:
        """How many originals are in classes that need a restore before reading."""
        return sum(one.objects for name, one in self.originals.items() if is_archived(name))

    @property
    def whole(self) -> Sized:
        """All originals together."""
        return sum(self.originals.values(), Sized())


def survey(parts: Parts, order: ExportOrder) -> Found:
    """Count what there is to export, in one statement; ImageMissing for a user without images."""
    with parts.catalog.read() as connection:
        weights, now = Weights(byte={}, variants={}), clock(connection)
        rows = [
            one
            for one in stored(connection, recent_since=now, weights=weights, top=0, scope=Scope(user_id=order.user))
            if one.kind == TOTAL
        ]
        secret = parts.settings.serve.secret
        gone = count_of_owner(connection, owner_digest(order.user, secret)) if secret else 0
    found = Found(
        originals={one.storage_class: one.all.both for one in rows if one.all.both.objects},
        variants={variant: sum(one.variants[variant] for one in rows) for variant in order.variants},
        unfinished=sum(one.promised for one in rows),
        erased=gone,
    )
    if not found.originals and not found.unfinished:
        raise ImageMissing(f"user {order.user} has no images", hint="imgctl stats --by user lists users with images")
    return found


def estimate(card: Card, found: Found, order: ExportOrder, *, store_url: str) -> Estimate:
    """Price the requests, the retrieval of cold classes and the transfer: to the internet, or within the store's endpoint.

    From a store at Google or Azure an S3 bucket is on the internet.
    """
    reads = {
        name: Reads(originals=one.objects, gets=one.objects + one.size // CHUNK_BYTES, size=one.size)
        for name, one in found.originals.items()
    }
    variants = Sized(
        objects=sum(found.variants.values()),
        size=sum(TYPICAL_SIZES[variant] * count for variant, count in found.variants.items()),
    )
    typical = (f"{variant} {count_of(TYPICAL_SIZES[variant], 'byte')}" for variant in order.variants)
    assumptions = (f"variants of about {', '.join(typical)}",) if order.variants else ()
    to_bucket = order.out.startswith("s3://")
    if to_bucket and not shares_endpoint(store_url):
        to_bucket, assumptions = False, (*assumptions, "without the requests and the storage of the target bucket")
    return export_estimate(card, reads, variants=variants, to_bucket=to_bucket, assumptions=assumptions)
