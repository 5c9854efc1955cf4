"""URLs of variants and of exports: the CDN's, the store's signed ones, or (for a directory) this server's own signed ones."""

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
        return self._check(
            f"{image_id}/{variant}/{expires}", expires, signature, hint="GET /images/{id} gives a new one"
        )

    def export(self, user_id: UUID, variants: Sequence[Variant], *, seconds: int) -> tuple[str, int]:
        """Where everything of a user can be downloaded, and until when: seconds since 1970."""
        expires = int(time.time()) + seconds
        also = "".join(f"variants={one}&" for one in variants)
        signature = self._signature(f"export/{user_id}/{','.join(variants)}/{expires}")
        return f"/exports/{user_id}?{also}expires={expires}&signature={signature}", expires

    def check_export(self, user_id: UUID, variants: Sequence[Variant], *, expires: int, signature: str) -> None:
        """Refusal for a link to an export that this server did not sign, or that has expired."""
        hint = "ask whoever gave you the link for a new one"
        self._check(f"export/{user_id}/{','.join(variants)}/{expires}", expires, signature, hint=hint)

    def _check(self, text: str, expires: int, signature: str, *, hint: str) -> int:
        if not hmac.compare_digest(self._signature(text).encode(), signature.encode(errors="replace")):
            raise Refusal(403, "this link was not signed here", hint=hint)
        left = expires - int(time.time())
        if left <= 0:
            raise Refusal(403, "this link has expired", hint=hint)
        return left

    def _signed(self, image: Image, variant: Variant) -> str:
        # The same URL for half of its life: browsers need not fetch a picture again with each page.
        expires = (self.window() + 2) * (self.seconds // 2)
        signature = self._signature(f"{image.id}/{variant}/{expires}")
        version = f"&v={image.recipe}" if image.recipe else ""
        return f"/blobs/{image.id}/{variant}?expires={expires}&signature={signature}{version}"

    def _signature(self, text: str) -> str:
        return hmac.new(self._secret, text.encode(), hashlib.sha256).hexdigest()
