"""A run: its plan, its folder, and the drivers that ask a model and store every reply."""
