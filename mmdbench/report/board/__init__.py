"""A leaderboard of submissions: one HTML file that ranks only results that may be compared."""
