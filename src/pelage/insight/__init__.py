"""Insight: what a trained network looks at, and what it takes an individual to be."""
