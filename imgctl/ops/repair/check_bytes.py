"""Checks of a blob's bytes before a row is changed: that a promise was kept, that a variant is usable."""

from dataclasses import replace

from imgctl.errors import BlobMissing, StoreError
from imgctl.imaging.decoders.pillow import PLUGIN, decode, size_of
from imgctl.imaging.recognise import sniff
from imgctl.keys import ORIGINAL
from imgctl.model import Image, Recipe, Variant, fit
from imgctl.ops.common.parts import Parts
from imgctl.ops.common.ranges import sha256_of
from imgctl.ops.repair.order import Decision, Do
from imgctl.store.blobs.base import Blob, BlobStore

LARGEST_VARIANT_BYTES = 256 * 2**20
TOLERANCE_PX = 1


def proven(decision: Decision, parts: Parts) -> Decision:
    """Return the decision if the bytes confirm it, else a safer one; decisions that need no proof are returned unchanged."""
    row = decision.evidence.row
    if row is None or decision.do not in (Do.CONFIRM, Do.REBIND):
        return decision
    try:
        doubt = _doubt(decision, row, parts)
    except StoreError as error:
        return replace(decision, do=Do.LEAVE, detail=error.line)
    if not doubt:
        return decision
    if decision.do is Do.CONFIRM:
        return replace(decision, do=Do.LEAVE, detail=doubt)
    readable = decision.evidence.original is not None and decision.evidence.original.readable
    return replace(decision, do=Do.REQUEUE if readable else Do.LEAVE, detail=f"built anew: {doubt}")


def _doubt(decision: Decision, row: Image, parts: Parts) -> str:
    key = decision.key or ""
    blob = parts.store.head(row.original_key or "") if decision.do is Do.CONFIRM else parts.store.head(key)
    if blob is None:
        raise BlobMissing(f"there is no blob {key}", hint="audit again")
    if decision.do is Do.CONFIRM:
        same = row.sha256 is None or sha256_of(parts.store, blob) == row.sha256
        return "" if same else "the blob is not the promised picture: its SHA-256 differs"
    return variant_doubt(parts.store, blob, row, Variant(decision.finding.role or ORIGINAL), parts)


def variant_doubt(store: BlobStore, blob: Blob, row: Image, variant: Variant, parts: Parts) -> str:
    """Return why a blob is not this variant of an image, or an empty text: it must decode, in the recipe's size."""
    if blob.size > LARGEST_VARIANT_BYTES:
        return "too large for a variant"
    if row.width is None or row.height is None:
        return "the row has no width and height"
    data = store.get(blob.key)
    kind = sniff(data)
    if kind is None or kind not in PLUGIN:
        return "the blob is not a picture"
    size = size_of(data, kind)
    if size is None:
        return "the blob's header cannot be read"
    # Checked before decoding: the file's size in pixels decides how much memory decoding takes.
    wanted = _size(row, variant, parts.settings.variants.recipe())
    if any(abs(found - asked) > TOLERANCE_PX for found, asked in zip(size, wanted, strict=True)):
        return f"the blob has {size[0]}×{size[1]} pixels, not {wanted[0]}×{wanted[1]}"
    try:
        decode(data, kind)
    except Exception as error:  # Pillow's plugins raise any exception.
        return f"the blob does not decode: {error}"
    return ""


def _size(row: Image, variant: Variant, recipe: Recipe) -> tuple[int, int]:
    edge = next(spec.max_edge_px for spec in recipe.variants if spec.variant is variant)
    return fit(row.width or 1, row.height or 1, edge)
