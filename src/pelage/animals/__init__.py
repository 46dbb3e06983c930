"""Animals: from matches to individuals. Evidence, clusters, decisions of people, what to ask next, counts, exchange."""
