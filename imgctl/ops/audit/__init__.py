"""The audit: every promised photo exists, is whole, has the storage class of its row, and nothing is stuck."""
