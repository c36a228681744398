"""Results of a stored run: its folder read into graded arms, scored again, measured and exported."""
