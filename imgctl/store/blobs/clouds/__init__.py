"""Buckets of Google Cloud Storage and containers of Azure as stores: obstore reads; imgctl makes the other requests itself."""
