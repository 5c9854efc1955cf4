"""Links to blobs, through the CDN if one is set, else signed by the store; and the choice of a variant."""

from dataclasses import dataclass
from urllib.parse import quote

from imgctl.config.settings import Settings
from imgctl.errors import BlobArchived, ImgctlError, UsageError
from imgctl.keys import ORIGINAL
from imgctl.model import Image, Recipe, Status, Variant, fit, is_archived
from imgctl.store.blobs.base import Blob, BlobStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """The blob that a link must lead to: by width in pixels, by role (`original` too), or the largest variant.

    `cdn` None uses the CDN if one is set; `expires_seconds` is for signed links.
    """

    width: int | None = None
    role: str | None = None
    cdn: bool | None = None
    expires_seconds: float = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A link to one blob of an image; `signed` links expire, those of a CDN and of a directory don't.

    `warning` is why it may expire earlier than requested, empty if nothing shortens it.
    """

    url: str
    role: str
    key: str
    signed: bool
    warning: str = ""


def link(settings: Settings, store: BlobStore, image: Image, need: Need) -> Link:
    """Return the link for a need; BlobArchived or ImgctlError, with a hint, if no link is possible.

    Only archived originals cost a request to the store.
    """
    if need.role == ORIGINAL:
        return _original(settings, store, image, need)
    variant = Variant(need.role) if need.role else serving(image, settings.variants.recipe(), width=need.width)
    key, base = image.key(variant), settings.links.cdn
    if key is None:
        raise ImgctlError(
            f"image {image.id} is {image.status} and has no {variant}", hint=f"imgctl show {image.id} says why"
        )
    if need.cdn and not base:
        raise UsageError("no CDN is set", hint="[links] cdn, or leave --cdn out for a signed link")
    if base and need.cdn is not False:
        return Link(url=cdn_url(base, key, image.recipe), role=variant, key=key, signed=False)
    return _signed(settings, store, key, variant, need)


def _original(settings: Settings, store: BlobStore, image: Image, need: Need) -> Link:
    if need.cdn:
        raise UsageError("the CDN serves variants only", hint="leave --cdn out: originals get signed links")
    key = image.original_key
    if key is None or image.status is Status.UPLOADING:
        raise ImgctlError(
            f"image {image.id}: its original is not known to be safe", hint=f"imgctl show {image.id} says why"
        )
    if is_archived(image.storage_class):
        _check_readable(image, store.details(key))
    return _signed(settings, store, key, ORIGINAL, need)


def _check_readable(image: Image, blob: Blob | None) -> None:
    if blob is None or blob.readable:
        return
    if blob.restoring:
        raise BlobArchived(
            f"the original of {image.id} is being restored from {blob.storage_class}",
            hint=f"imgctl restore {image.id} --wait, then the same again",
        )
    raise BlobArchived(
        f"the original of {image.id} lies in {blob.storage_class}",
        hint=f"imgctl restore {image.id} --tier standard, or take a variant: imgctl url {image.id} --variant full",
    )


def _signed(settings: Settings, store: BlobStore, key: str, role: str, need: Need) -> Link:
    seconds = max(1, int(need.expires_seconds))
    warning = link_warning(settings, seconds)
    url = store.sign(key, seconds=seconds)
    return Link(url=url, role=role, key=key, signed=not url.startswith("file://"), warning=warning)


def link_warning(settings: Settings, seconds: float) -> str:
    """Return why links signed now for `seconds` may expire earlier; empty if nothing shortens them."""
    if not settings.store.url.startswith("s3://"):
        return ""
    from imgctl.store.blobs.s3.connect import link_limit

    return link_limit(seconds)


def cdn_url(base: str, key: str, recipe: str | None) -> str:
    """Return a variant's URL at the CDN; the recipe gives a rebuilt variant a new URL, which no cache holds."""
    return f"{base.rstrip('/')}/{quote(key)}" + (f"?v={quote(recipe)}" if recipe else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A variant that the row names, and its width and height in pixels; 0 if the original's size is unknown."""

    variant: Variant
    max_edge_px: int
    width: int = 0
    height: int = 0


def offers(image: Image, recipe: Recipe) -> list[Offer]:
    """Return the variants that the row names, smallest first."""
    found = []
    for spec in sorted(recipe.variants, key=lambda one: one.max_edge_px):
        if image.key(spec.variant) is None:
            continue
        edge = spec.max_edge_px
        width, height = fit(image.width, image.height, edge) if image.width and image.height else (0, 0)
        found.append(Offer(variant=spec.variant, max_edge_px=edge, width=width, height=height))
    return found


def serving(image: Image, recipe: Recipe, *, width: int | None) -> Variant:
    """Return the smallest variant at least `width` pixels wide, else the smallest of the widest; the largest for None.

    If the original's size is unknown, a variant's longest edge counts as its width. ImgctlError without variants.
    """
    there = offers(image, recipe)
    if not there:
        raise ImgctlError(
            f"image {image.id} is {image.status} and has no variants yet", hint=f"imgctl show {image.id} says why"
        )
    if width is None:
        return there[-1].variant
    widths = {one.variant: one.width or one.max_edge_px for one in there}
    wide = [variant for variant in widths if widths[variant] >= width]
    return wide[0] if wide else max(widths, key=lambda variant: widths[variant])
