"""The gallery: pages rendered on the server, with a small script."""
