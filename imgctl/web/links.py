"""URLs of variants and of exports: the CDN's, the store's signed ones, or (for a directory) this server's own signed ones."""

import hashlib
import hmac
import time
from collections.abc import Mapping, Sequence
from typing import TypeAlias
from urllib.parse import urlsplit
from uuid import UUID

from imgctl.config.settings import Settings
from imgctl.model import Image, Variant
from imgctl.ops.support.links import cdn_url, offers
from imgctl.store.blobs.base import BlobStore
from imgctl.web.problem import Refusal

Json: TypeAlias = "str | int | bool | Sequence[Json] | Mapping[str, Json] | None"
Variants: TypeAlias = dict[str, dict[str, str | int | None]]

_PROBE_KEY = "1970/01/01/probe"


class Links:
    """Creates URLs that are valid for `[serve] links`, and checks those that this server signed.

    `key` signs without `[serve] secret`.
    """

    def __init__(self, settings: Settings, store: BlobStore, *, key: bytes) -> None:
        self.seconds = int(settings.serve.links)
        self.recipe = settings.variants.recipe()
        self._secret = settings.serve.secret.encode() or key
        self.own = settings.store.url.startswith("file://") and not settings.links.cdn
        self._cdn = settings.links.cdn
        self._store = store

    def variant(self, image: Image, variant: Variant) -> str | None:
        """Return the URL of a variant, None if the image does not have it."""
        key = image.key(variant)
        if key is None:
            return None
        if self.own:
            return self._signed(image, variant)
        return cdn_url(self._cdn, key, image.recipe) if self._cdn else self._store.sign(key, seconds=self.seconds)

    def variants(self, image: Image) -> Variants:
        """Return the URL of each existing variant, with its width and height if known."""
        return {
            one.variant.value: {
                "url": self.variant(image, one.variant),
                "width": one.width or None,
                "height": one.height or None,
            }
            for one in offers(image, self.recipe)
        }

    def window(self) -> int:
        """Return a number that changes before links issued under it expire; part of ETags of responses with links."""
        return int(time.time()) // (self.seconds // 2)

    def origin(self) -> str:
        """Return the origin of picture URLs for a Content-Security-Policy; empty if this server serves them."""
        if self.own:
            return ""
        parts = urlsplit(self._cdn or self._store.sign(_PROBE_KEY, seconds=1))
        return f"{parts.scheme}://{parts.netloc}"

    def check(self, image_id: UUID, variant: Variant, *, expires: int, signature: str) -> int:
        """Return the seconds until a link expires; Refusal for a link that has expired or has another signature."""
        return self._check(
            f"{image_id}/{variant}/{expires}", expires, signature, hint="GET /images/{id} gives a new one"
        )

    def export(self, user_id: UUID, variants: Sequence[Variant], *, seconds: int) -> tuple[str, int]:
        """Return the URL of an export of a user, and its expiry in seconds since 1970."""
        expires = int(time.time()) + seconds
        also = "".join(f"variants={one}&" for one in variants)
        signature = self._signature(f"export/{user_id}/{','.join(variants)}/{expires}")
        return f"/exports/{user_id}?{also}expires={expires}&signature={signature}", expires

    def check_export(self, user_id: UUID, variants: Sequence[Variant], *, expires: int, signature: str) -> None:
        """Raise Refusal for a link to an export that this server did not sign, or that has expired."""
        hint = "ask the sender of the link for a new one"
        self._check(f"export/{user_id}/{','.join(variants)}/{expires}", expires, signature, hint=hint)

    def _check(self, text: str, expires: int, signature: str, *, hint: str) -> int:
        if not hmac.compare_digest(self._signature(text).encode(), signature.encode(errors="replace")):
            raise Refusal(403, "this server did not sign this link", hint=hint)
        left = expires - int(time.time())
        if left <= 0:
            raise Refusal(403, "this link has expired", hint=hint)
        return left

    def _signed(self, image: Image, variant: Variant) -> str:
        # The same URL for half of its lifetime, so that browsers can cache the picture.
        expires = (self.window() + 2) * (self.seconds // 2)
        signature = self._signature(f"{image.id}/{variant}/{expires}")
        version = f"&v={image.recipe}" if image.recipe else ""
        return f"/blobs/{image.id}/{variant}?expires={expires}&signature={signature}{version}"

    def _signature(self, text: str) -> str:
        return hmac.new(self._secret, text.encode(), hashlib.sha256).hexdigest()
