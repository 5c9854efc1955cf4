"""Building variants: claim, render, finish."""
