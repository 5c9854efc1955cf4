"""URLs of variants: the CDN's, the store's signed ones, or (for a directory) this server's own signed ones."""

import hashlib
import hmac
import os
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
SECRET_BYTES = 32


class Links:
    """Makes URLs that live for `[serve] links`, and checks those that this server signed."""

    def __init__(self, settings: Settings, store: BlobStore) -> None:
        self.seconds = int(settings.serve.links)
        self.recipe = settings.variants.recipe()
        self._secret = settings.serve.secret.encode() or os.urandom(SECRET_BYTES)
        self.own = settings.store.url.startswith("file://") and not settings.links.cdn
        self._cdn = settings.links.cdn
        self._store = store

    def variant(self, image: Image, variant: Variant) -> str | None:
        """Where a variant can be fetched, None while it is not there."""
        key = image.key(variant)
        if key is None:
            return None
        if self.own:
            return self._signed(image, variant)
        return cdn_url(self._cdn, key, image.recipe) if self._cdn else self._store.sign(key, seconds=self.seconds)

    def variants(self, image: Image) -> Variants:
        """Where each variant that is there can be fetched, and its width and height where they are known."""
        return {
            one.variant.value: {
                "url": self.variant(image, one.variant),
                "width": one.width or None,
                "height": one.height or None,
            }
            for one in offers(image, self.recipe)
        }

    def window(self) -> int:
        """A number that changes before any link handed out under it dies: part of the version of what holds links."""
        return int(time.time()) // (self.seconds // 2)

    def origin(self) -> str:
        """Where pictures come from when not from here, for a Content-Security-Policy; empty when from here."""
        if self.own:
            return ""
        parts = urlsplit(self._cdn or self._store.sign(_PROBE_KEY, seconds=1))
        return f"{parts.scheme}://{parts.netloc}"

    def check(self, image_id: UUID, variant: Variant, *, expires: int, signature: str) -> int:
        """Seconds that a link of this server still lives; Refusal for one that it did not sign or that has expired."""
        wanted = self._signature(image_id, variant, expires)
        if not hmac.compare_digest(wanted.encode(), signature.encode(errors="replace")):
            raise Refusal(403, "this link was not signed here", hint="GET /images/{id} gives a new one")
        left = expires - int(time.time())
        if left <= 0:
            raise Refusal(403, "this link has expired", hint="GET /images/{id} gives a new one")
        return left

    def _signed(self, image: Image, variant: Variant) -> str:
        # The same URL for half of its life: browsers need not fetch a picture again with each page.
        expires = (self.window() + 2) * (self.seconds // 2)
        signature = self._signature(image.id, variant, expires)
        version = f"&v={image.recipe}" if image.recipe else ""
        return f"/blobs/{image.id}/{variant}?expires={expires}&signature={signature}{version}"

    def _signature(self, image_id: UUID, variant: Variant, expires: int) -> str:
        text = f"{image_id}/{variant}/{expires}"
        return hmac.new(self._secret, text.encode(), hashlib.sha256).hexdigest()
