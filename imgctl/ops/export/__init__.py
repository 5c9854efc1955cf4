"""The export of one user's images as a bag: originals, metadata, and manifests that prove it is complete."""
