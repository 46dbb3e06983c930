"""The report: leaderboard, figures, sheets of photos, one HTML page, and the table of a pull request."""
