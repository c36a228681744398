"""Sampling of local models: by the probabilities, by each request's seed, and by nothing else."""

from __future__ import annotations

from collections import Counter

import pytest

import torchvision_shim

if reason := torchvision_shim.why_not("torch"):
    pytest.skip(reason, allow_module_level=True)

import torch
from mmdbench.adapters._hf.sampling import SeededSampling

WEIGHTS = torch.tensor([8.0, 4.0, 2.0, 1.0, 0.0])
SCORES = WEIGHTS.log()


def drawn(temperature: float, seeds: list[int]) -> list[int]:
    scores = SCORES.expand(len(seeds), -1)
    return SeededSampling(temperature, seeds)(None, scores).argmax(dim=-1).tolist()


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_tokens_are_drawn_by_their_probabilities(temperature: float) -> None:
    count = 20_000
    found = Counter(drawn(temperature, list(range(count))))
    expected = torch.softmax(SCORES / temperature, dim=-1)
    assert found[4] == 0
    for token, share in enumerate(expected.tolist()):
        spread = (share * (1 - share) / count) ** 0.5
        assert abs(found[token] / count - share) <= 4.5 * spread


def test_a_row_depends_on_its_own_seed_alone() -> None:
    together = SeededSampling(0.6, [3, 4, 5])
    alone = SeededSampling(0.6, [4])
    scores = SCORES.expand(3, -1)
    several = [together(None, scores).argmax(dim=-1).tolist()[1] for _ in range(40)]
    assert several == [alone(None, scores[:1]).argmax(dim=-1).item() for _ in range(40)]
    assert len(set(several)) > 1, "each token uses the next number"


def test_one_token_is_left_so_that_greedy_decoding_takes_it() -> None:
    made = SeededSampling(0.6, [1, 2])(None, SCORES.expand(2, -1))
    assert torch.isfinite(made).sum(dim=-1).tolist() == [1, 1]
