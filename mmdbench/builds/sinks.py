"""Opens the sink of an output by the name of its format."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mmdbench.builds.folder_output import FolderSink
from mmdbench.builds.output_format import Sink, SinkPlan
from mmdbench.builds.parquet_output import ParquetSink
from mmdbench.builds.tsv_output import TsvSink
from mmdbench.builds.webdataset_output import WebdatasetSink

__all__ = ["open_sink"]

_SINKS: dict[str, Callable[[SinkPlan, Mapping[str, Any] | None], Sink]] = {
    "tsv": TsvSink,
    "folder": FolderSink,
    "parquet": ParquetSink,
    "webdataset": WebdatasetSink,
}


def open_sink(kind: str, plan: SinkPlan, state: Mapping[str, Any] | None = None) -> Sink:
    """Open the sink of one output.

    Args:
        kind: One of `FORMATS`.
        plan: The output and the folder to write to.
        state: `Sink.state()` of an interrupted sink to resume; None for a new one.

    Returns:
        The open sink.

    Raises:
        DamagedPartError: An unfinished file differs from its record in `state`.
        MissingExtraError: The format needs a package that is not installed.
    """
    return _SINKS[kind](plan, state)
