"""Dispatch of a run's requests to a pool, by the dispatcher of its engine."""

from __future__ import annotations

from mmdbench.run.engines.local_dispatcher import LocalDispatcher
from mmdbench.run.engines.local_pool import LocalPool
from mmdbench.run.engines.pool import WorkerPool, Workload
from mmdbench.run.engines.ray_dispatcher import RayDispatcher
from mmdbench.run.engines.ray_pool import RayPool

__all__ = ["dispatch"]


def dispatch(pool: WorkerPool, workload: Workload) -> None:
    """Ask every request; returns early, with the requests in flight finished, when the budget is spent.

    Raises ModelError if the model fails everywhere, or if a worker exits again and again before it replies.
    """
    if isinstance(pool, LocalPool):
        LocalDispatcher(pool, workload).run()
    elif isinstance(pool, RayPool):
        RayDispatcher(pool, workload).run()
    else:
        raise TypeError(f"no dispatcher for {type(pool).__name__}")
