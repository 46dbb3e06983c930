"""Search: gallery crops ranked by the cosine of embeddings, exactly or by an index, and re-ranked."""
