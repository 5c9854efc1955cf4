"""The digest of a recipe: it changes with every setting that changes pixels, and with no other."""

import hashlib
import json

from imgctl.model import Recipe

PIPELINE_VERSION = 2
"""Incremented whenever the same settings give other pixels than before; marks every variant out of date."""


def digest(recipe: Recipe) -> str:
    """Return eight hex digits over variants (in any order), background, kept metadata and PIPELINE_VERSION."""
    settings = {
        "pipeline": PIPELINE_VERSION,
        "variants": sorted((spec.variant, spec.max_edge_px, spec.quality, spec.format) for spec in recipe.variants),
        "background": recipe.background.lower(),
        "keep": sorted(set(recipe.keep)),
    }
    text = json.dumps(settings, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:8]
