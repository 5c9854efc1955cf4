"""Commands for support: they look up, hand out, hold and erase images."""
