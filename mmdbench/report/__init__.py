"""Graded replies → one `Tables` object → console, Markdown, JSON."""
