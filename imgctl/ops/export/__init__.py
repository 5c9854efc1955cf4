"""Everything of one user handed over as a bag: originals, metadata, and what proves that it is complete."""
