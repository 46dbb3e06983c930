"""Study: the systems of a replication study, built from their parts and judged like any other method."""
