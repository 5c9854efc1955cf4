"""What support asks about one image: its state, its links, its files."""
