"""Dispatch of a run's requests to a pool, by the dispatcher of its engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mmdbench.records import Reply
from mmdbench.run.budget import Spending
from mmdbench.run.engines.local_dispatcher import LocalDispatcher
from mmdbench.run.engines.local_pool import LocalPool
from mmdbench.run.engines.pool import WorkerPool
from mmdbench.run.engines.ray_dispatcher import RayDispatcher
from mmdbench.run.engines.ray_pool import RayPool
from mmdbench.run.plan import Planned

__all__ = ["dispatch"]


def dispatch(
    pool: WorkerPool,
    todo: Sequence[Planned],
    spending: Spending,
    keep: Callable[[Reply], None],
    notify: Callable[[str], None],
) -> None:
    """Ask every request; returns early, with the requests in flight finished, when the budget is spent.

    Args:
        pool: The workers.
        todo: The requests, in order.
        spending: The run's budget.
        keep: Called in this process, once for each reply.
        notify: Called with messages for the user.

    Raises:
        ModelError: The model fails everywhere, or a worker exits again and again before it replies.
    """
    if isinstance(pool, LocalPool):
        LocalDispatcher(pool, todo, spending, keep, notify).run()
    elif isinstance(pool, RayPool):
        RayDispatcher(pool, todo, spending, keep, notify).run()
    else:
        raise TypeError(f"no dispatcher for {type(pool).__name__}")
