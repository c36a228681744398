"""Variants of a question: the design that draws them, their recipes, codecs and restorers."""
