"""Matching: what ranks gallery photos for a query.

By embeddings (`search`), by keypoints (`local`), by keypoints and matches of networks (`learned`), and by several of
these at once (`fusion`). All write the table of `rankings`.
"""
