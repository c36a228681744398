"""A run's report as one HTML file: its numbers drawn, and its answers beside their pictures.

The file needs no network and no server. Its numbers are those of `Tables`, by their path in
`Tables.as_dict()`; its pictures are made again from the benchmarks by the recipes of the run.
"""

from __future__ import annotations

from mmdbench.report.page.writing import PageSummary, write_page

__all__ = ["PageSummary", "write_page"]
