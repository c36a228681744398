"""`merge`: the shards of a run, made on several machines, as one run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmdbench.library.options import local_path
from mmdbench.run.merge import MergeSummary, merge_runs

__all__ = ["MergeSummary", "merge"]


def merge(shards: Sequence[str | Path], out: str | Path, *, prefer: str = "") -> MergeSummary:
    """Merge the shards of a run; the same call resumes.

    Args:
        shards: Folders of the shards.
        out: Folder of the run.
        prefer: The answer that counts if two shards answered one request differently: `first` (of the shard
            named first) or `newest`. Without it that is an error.

    Returns:
        The numbers of runs and replies.

    Raises:
        MmdbenchError: The shards are of different runs, or contradict each other.
    """
    return merge_runs([Path(shard) for shard in shards], local_path(out), prefer)
