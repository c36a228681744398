"""The number of a run's requests that go to the canary, and its records in manifests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mmdbench.run.canary import ROUND

__all__ = ["CanaryShare", "canary_share", "earlier_checks", "is_settled"]

_LEAST, _MOST = 2 * ROUND, 1000
_SHARE = 0.02
_MOST_AFTER = 14


@dataclass(frozen=True, slots=True)
class CanaryShare:
    """Numbers of the canary's requests before, during and after a call's own requests."""

    before: int = 0
    during: int = 0
    after: int = 0

    @property
    def total(self) -> int:
        """The number of all requests; a wrong answer is asked again beside them."""
        return self.before + self.during + self.after


def canary_share(
    planned: int, to_ask: int, earlier: Mapping[str, Any], fingerprint: str, generation: int = 0
) -> CanaryShare:
    """The numbers of the canary's requests of a call.

    A run spends 2 % of its plan on them, 14 at least and 1000 at most. A call that resumes a run spends
    2 % of what it asks, within what the run has left. As many as possible come late, when a cache is full.

    Args:
        planned: Number of requests of the plan.
        to_ask: Number of requests that the call asks.
        earlier: The canary's record in the manifest of earlier calls.
        fingerprint: The digest of the model's fingerprint.
        generation: The number of the replies' generation.

    Returns:
        The numbers; all 0 if nothing is asked.
    """
    if not to_ask:
        return CanaryShare()
    used = sum(len(c["probes"]) for c in earlier_checks(earlier) if c.get("generation", 0) == generation)
    left = min(max(_LEAST, int(_SHARE * planned)), _MOST) - used
    total = max(0, min(left, int(_SHARE * to_ask)))
    if not is_settled(earlier, fingerprint):
        total = max(_LEAST, total)
    before = ROUND * min(2, total // _LEAST)
    late = total - before
    after = min(_MOST_AFTER, (late + 1) // 2)
    return CanaryShare(before, late - after, after)


def is_settled(earlier: Mapping[str, Any], fingerprint: str) -> bool:
    """True if a manifest's record says that this server passed, or that its model does not read digits."""
    return earlier.get("fingerprint") == fingerprint and earlier.get("verdict") in ("passed", "unclear")


def earlier_checks(earlier: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The checks in a manifest's record; that of an early version is one check before the run."""
    if "checks" in earlier:
        yield from earlier["checks"]
    elif "probes" in earlier:
        yield {"moment": "before", "verdict": earlier.get("verdict"), "probes": earlier["probes"]}
