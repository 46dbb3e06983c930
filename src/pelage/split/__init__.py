"""The split that no encounter can leak through, and how it is read."""
