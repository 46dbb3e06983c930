"""Losses: what a good embedding is, as a number to lower."""
