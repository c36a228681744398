"""The rows of a sequence that each row may attend to.

Texts are causal, pictures full inside; both see all earlier segments of their sample, except a noised
picture, which is seen by itself alone. Samples do not see each other.

The mask is an input of the forward pass, so that another one can be tried.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mmdbench.training.clear.segments import PlacedSegment

__all__ = ["attention_mask"]


def attention_mask(placed: Sequence[PlacedSegment]) -> Tensor:
    """The mask of a sequence: bool [rows, rows], True where the row may attend to the column."""
    kept = [p for p in placed if p.segment.rows]
    rows = torch.tensor([p.segment.rows for p in kept])

    def spread(values: list[int]) -> Tensor:
        return torch.tensor(values).repeat_interleave(rows)

    sample, number = spread([p.sample for p in kept]), spread(list(range(len(kept))))
    full = spread([p.segment.kind != "text" for p in kept])
    hidden = spread([p.segment.kind == "vae_noised" for p in kept])
    order = torch.arange(len(sample))
    inside = number[:, None] == number[None, :]
    earlier = (order[None, :] <= order[:, None]) & (inside | ~hidden[None, :])
    return (sample[:, None] == sample[None, :]) & (earlier | (inside & full[:, None]))
