"""Animals: from matches to individuals. Evidence, clusters, people's decisions, what to ask next; then counts."""
