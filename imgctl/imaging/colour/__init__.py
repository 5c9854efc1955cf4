"""What colours mean, and their way into sRGB."""
