"""What `imgctl cost` does: the card in force, the bill as it stands, and the bill as it might be."""
