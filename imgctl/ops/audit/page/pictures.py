"""A picture for each finding: the smallest variant its row knows that is not itself what is missing."""

from collections.abc import Iterable, Sequence
from urllib.parse import quote, urlsplit
from uuid import UUID

from imgctl.dates import EPOCH
from imgctl.keys import ORIGINAL, key_of, new_id
from imgctl.model import Image, Variant
from imgctl.ops.audit.findings import Code, Finding
from imgctl.ops.parts import Parts
from imgctl.ops.support.links import cdn_url
from imgctl.store.catalog.lookups import by_ids

# A signed link is longer than all the rest of a finding.
MOST_SIGNED = 2000
_GONE = frozenset({Code.MISSING_VARIANT, Code.EMPTY_BLOB})
_PLAIN = frozenset({Variant.THUMB, Variant.MEDIUM})


class Pictures:
    """Where the pictures of findings are: at a CDN or in a directory below `base`, else by signed links (the first 2,000).

    `source` is the only place that the page may load pictures from.
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
        """Whether any of them was signed, and so expires."""
        return self._signed > 0

    def of(self, findings: Sequence[Finding]) -> list[str | None]:
        """A picture for each finding where there is one: a URL, or what is to be put behind `base`."""
        rows = self._rows(one.id for one in findings)
        return [self._of(one, rows.get(one.id)) if one.id else None for one in findings]

    def _rows(self, ids: Iterable[UUID | None]) -> dict[UUID, Image]:
        wanted = {one for one in ids if one is not None}
        if not wanted:
            return {}
        with self._parts.catalog.read() as connection:
            return by_ids(connection, wanted)

    def _of(self, finding: Finding, row: Image | None) -> str | None:
        gone = finding.role if finding.code in _GONE else None
        variants = [one for one in Variant if one in _PLAIN and one != gone] if row else []
        key = next((key for one in variants if row and (key := row.variant_key(one))), None)
        if key is None or row is None:
            return None
        if self.base is not None:
            whole = cdn_url(self.base, key, row.recipe if self._parts.settings.links.cdn else None)
            return whole.removeprefix(self.base)
        if self._signed >= MOST_SIGNED:
            return None
        self._signed += 1
        return self._parts.store.sign(key, seconds=int(self._parts.settings.links.expires))


def _origin(url: str) -> str:
    """What a policy calls the place of a URL: scheme and host, or the scheme of files."""
    parts = urlsplit(url)
    return "file:" if parts.scheme == "file" else f"{parts.scheme}://{parts.netloc}"
