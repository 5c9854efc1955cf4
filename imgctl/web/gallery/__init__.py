"""The gallery: pages rendered here, with a little plain script on top."""
