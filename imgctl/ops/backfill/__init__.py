"""Building variants of rows that are ready already: what is missing, what is out of date, or everything."""
