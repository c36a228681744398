"""Calls to a judge about the rows that no rule decides, and their journal."""
