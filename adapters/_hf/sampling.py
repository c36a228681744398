"""Sampling that depends on a request's own seed, and on no other request of its batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from mmdbench.system.digest import derive_seed

__all__ = ["SeededSampling"]


class SeededSampling:
    """Draws each row's next token from its probabilities at a temperature.

    All other tokens become impossible, so that greedy decoding takes the drawn one. Every row has a generator
    of its own on the CPU and uses one number of it for each token.
    """

    def __init__(self, temperature: float, seeds: Sequence[int]) -> None:
        self._temperature = temperature
        self._generators = [torch.Generator().manual_seed(derive_seed("hf", seed)) for seed in seeds]

    def __call__(self, _input_ids: Any, scores: Any) -> Any:
        """Scores of B×V tokens, of which one for each row is possible."""
        # In float64 a sum over a vocabulary of 150,000 tokens still tells every probability apart.
        sums = torch.softmax(scores.double() / self._temperature, dim=-1).cumsum(dim=-1)
        drawn = [torch.rand((1,), generator=one, dtype=torch.float64) for one in self._generators]
        places = torch.stack(drawn).to(sums.device) * sums[:, -1:]
        tokens = torch.searchsorted(sums, places, right=True).clamp_(max=scores.shape[-1] - 1)
        return torch.full_like(scores, -torch.inf).scatter_(1, tokens, 0.0)
