"""Names of model cards."""

from __future__ import annotations

from mmdbench.models.cards import known_cards

__all__ = ["known_cards"]
