"""Benchmark families: how each groups its rows, grades them and makes its totals."""
