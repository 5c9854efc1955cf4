"""The name of a recipe: what changes pixels changes it, and what does not, does not."""

import hashlib
import json

from imgctl.model import Recipe

PIPELINE_VERSION = 2
"""Raised whenever the same settings would give other pixels than before; makes every variant out of date."""


def digest(recipe: Recipe) -> str:
    """Eight hex digits over the variants in any order, the background, what is kept and PIPELINE_VERSION."""
    settings = {
        "pipeline": PIPELINE_VERSION,
        "variants": sorted((spec.variant, spec.max_edge_px, spec.quality, spec.format) for spec in recipe.variants),
        "background": recipe.background.lower(),
        "keep": sorted(set(recipe.keep)),
    }
    text = json.dumps(settings, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:8]
