"""Buckets of Google Cloud Storage and containers of Azure as stores: obstore reads, requests of imgctl's own do the rest."""
