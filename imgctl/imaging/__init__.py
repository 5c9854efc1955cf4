"""Image processing on bytes: recognising and describing pictures (probe), building variants (render)."""
