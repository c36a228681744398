"""Models under test: the protocols of an adapter, model cards, and the registry that opens them."""

from __future__ import annotations

from mmdbench.models.cards import ModelCard, find_card, known_cards, shipped_cards
from mmdbench.models.registry import (
    AsyncModel,
    Fingerprinted,
    Model,
    adapter_names,
    is_async,
    open_model,
)

__all__ = [
    "AsyncModel",
    "Fingerprinted",
    "Model",
    "ModelCard",
    "adapter_names",
    "find_card",
    "is_async",
    "known_cards",
    "open_model",
    "shipped_cards",
]
