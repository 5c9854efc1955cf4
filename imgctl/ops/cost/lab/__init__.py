"""The lab page: one self-contained HTML file that computes a plan's bill as the model does."""
