"""Matching: what ranks gallery photos for a query."""
