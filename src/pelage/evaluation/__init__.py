"""Evaluation: every method judged by the same code, on the same queries, with the same intervals."""
