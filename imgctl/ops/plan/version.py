"""Telling whether a row is still the one that was looked at."""

from hashlib import blake2b

from imgctl.model import Image

DIGEST_BYTES = 8


def row_version(image: Image) -> str:
    """A digest of the columns that decide what may be done to an image, in 16 hex digits.

    Leases and attempts are not among them: they say who works on a row and not what it is.
    """
    columns = (
        image.status,
        image.original_key,
        image.thumb_key,
        image.medium_key,
        image.full_key,
        image.storage_class,
        image.bytes,
        None if image.sha256 is None else image.sha256.hex(),
        image.recipe,
    )
    text = "\0".join("" if one is None else f"={one}" for one in columns)
    return blake2b(text.encode(), digest_size=DIGEST_BYTES).hexdigest()
