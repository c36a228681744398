"""Tables of graded runs: one module for each group of tables, and `collect` for all of them."""
