"""Comparisons: one file each. They take logits, generations or sessions, and return figures and a verdict."""
