"""A report as one HTML page: charts and tables of its numbers, and replies beside their pictures.

The page needs no network and no server. Its numbers are those of `Tables`, by their path in
`Tables.as_dict()`; its pictures are made again from the benchmarks by the recipes of the run.
"""

from __future__ import annotations

from mmdbench.report.page.writing import PageSummary, write_page

__all__ = ["PageSummary", "write_page"]
