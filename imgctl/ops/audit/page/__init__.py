"""Findings as a page: one file that opens in any browser from disk and asks nobody for anything but pictures."""
