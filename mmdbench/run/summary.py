"""Progress and result of one call that runs a plan, and their record in the run's manifest."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from mmdbench.models.throttle import Throttle
from mmdbench.records import Cell
from mmdbench.run.generations import time_stamp
from mmdbench.run.inputs import RunSettings

__all__ = ["RunProgress", "RunSummary", "session_record", "throttle_record"]

_TRACE_SHOWN = 200


@dataclass(frozen=True, slots=True)
class RunProgress:
    """Progress of a run, sent after each reply.

    `done` of `total` requests are answered in this call, `failed` of them with an error; `earlier` were
    answered before; `cell` is the latest; `usd` is spent. `note` is a message for the user, sent once.
    """

    done: int
    total: int
    earlier: int
    failed: int
    cell: Cell | None = None
    usd: float = 0.0
    note: str = ""


@dataclass(frozen=True, slots=True)
class RunSummary:
    """Result of one call of `run_plan`.

    `cells` are planned, `asked` in this call, answered `earlier`, `failed`; `seconds` are wall time.
    `stopped` is the reason if not everything was asked, `alarm` a warning about suspicious replies;
    both are empty otherwise. `sent` counts requests with their retries, `tokens` are (read, written);
    `uncounted` replies came with numbers of tokens that cannot be any;
    `throttle` holds limit, cuts and trace, `workers` the replies of each worker and their restarts, `served`
    the numbers of replies by the model's name and system fingerprint as the server gave them, `batches` the
    status of each batch of the run by its id.
    """

    cells: int
    asked: int
    earlier: int
    failed: int
    seconds: float
    stopped: str = ""
    alarm: str = ""
    usd: float = 0.0
    sent: int = 0
    tokens: tuple[int, int] = (0, 0)
    uncounted: int = 0
    throttle: dict[str, Any] = field(default_factory=dict)
    workers: dict[str, Any] = field(default_factory=dict)
    served: dict[str, dict[str, int]] = field(default_factory=dict)
    batches: dict[str, Any] = field(default_factory=dict)


def throttle_record(throttle: Throttle, seconds: float) -> dict[str, Any]:
    """The record of a throttle that was made so many seconds ago."""
    begun = time.monotonic() - seconds  # the throttle's clock is the event loop's, which is this one
    trace = [[round(p.seconds - begun, 2), round(p.limit, 1), p.why] for p in throttle.trace]
    return {"limit": int(throttle.limit), "cuts": throttle.cuts, "trace": trace}


def session_record(begun: datetime, summary: RunSummary, settings: RunSettings) -> dict[str, Any]:
    """The record of one call of `run_plan` for the manifest.

    Args:
        begun: The time at which it began.
        summary: Its result.
        settings: Its settings.

    Returns:
        A JSON-able dict.
    """
    throttle = dict(summary.throttle)
    if throttle:
        throttle["trace"] = throttle["trace"][-_TRACE_SHOWN:]
    return {
        "begun": time_stamp(begun),
        "seconds": round(summary.seconds, 2),
        "asked": summary.asked,
        "answered_before": summary.earlier,
        "failed": summary.failed,
        "requests_sent": summary.sent,
        "tokens": {"read": summary.tokens[0], "written": summary.tokens[1]},
        "cost_usd": summary.usd,
        "stopped": summary.stopped,
        "alarm": summary.alarm,
        "shard": list(settings.shard),
        "throttle": throttle,
        "workers": summary.workers,
        **({"served": summary.served} if summary.served else {}),
        **({"batches": summary.batches} if summary.batches else {}),
    }
