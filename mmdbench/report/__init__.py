"""Reports: graded runs as one `Tables` object, and its renderings."""
