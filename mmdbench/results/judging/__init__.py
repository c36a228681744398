"""Asking a judge model about the rows that no rule decides."""
