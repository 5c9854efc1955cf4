"""Building variants of rows that are already `ready`: missing ones, out-of-date ones, or all."""
