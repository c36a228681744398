"""The whole model: decoder, vision transformer, and the layers between latent tokens and rows."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .language import LanguageModel
from .settings import Architecture
from .vision import Connector, PositionTable, Vision

__all__ = ["GENERATION_KEYS", "TABLE_KEYS", "Bagel"]

TABLE_KEYS = ("vit_pos_embed.pos_embed", "latent_pos_embed.pos_embed")
"""Keys of fixed tables, which are computed if a file leaves them out."""

GENERATION_KEYS = ("_moe_gen", "vae2llm.", "llm2vae.", "time_embedder.", "latent_pos_embed.")
"""Parts of the keys that only restorations need."""

_TIME_WIDTH = 256


class _TimeEmbedder(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        first = nn.Linear(_TIME_WIDTH, width)
        self.mlp = nn.Sequential(first, nn.SiLU(), nn.Linear(width, width))

    def forward(self, t: Tensor) -> Tensor:
        """Noise levels t [count] in 0..1 to rows [count, d]."""
        half = _TIME_WIDTH // 2
        rates = 10000.0 ** (-torch.arange(half, device=t.device).float() / half)
        angles = t.float()[:, None] * rates
        features = torch.cat([angles.cos(), angles.sin()], dim=1)
        embedded: Tensor = self.mlp(features.to(next(self.mlp.parameters()).dtype))
        return embedded


class Bagel(nn.Module):
    """All weights of the main file; without `generation` only those of the understanding expert."""

    def __init__(self, architecture: Architecture, *, generation: bool) -> None:
        super().__init__()
        sizes, width = architecture.sizes, architecture.language.width
        self.language_model = LanguageModel(architecture.language, generation=generation)
        self.vit_model = Vision(architecture.vision, sizes.vit_side**2)
        self.connector = Connector(architecture.vision.width, width)
        self.vit_pos_embed = PositionTable(sizes.vit_side, width)
        if generation:
            self.latent_pos_embed = PositionTable(sizes.latent_side, width)
            self.time_embedder = _TimeEmbedder(width)
            self.vae2llm = nn.Linear(sizes.token_values, width)
            self.llm2vae = nn.Linear(width, sizes.token_values)

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return self.language_model.lm_head.weight.device

    def vit_rows(self, patches: Tensor, ids: Tensor) -> Tensor:
        """Patches [count, patch·patch·3] of a picture to language rows [count, d]."""
        patches, ids = patches.to(self.connector.fc1.weight), ids.to(self.device)
        rows: Tensor = self.connector(self.vit_model(patches, ids)) + self.vit_pos_embed(ids)
        return rows

    def latent_rows(self, tokens: Tensor, t: float | Tensor, ids: Tensor) -> Tensor:
        """Latent tokens to rows of the language model.

        Args:
            tokens: The latent tokens, [count, token values].
            t: Their noise level, 0 to 1, or that of each, [count]; 0 is clean.
            ids: Their position ids, [count].

        Returns:
            The rows, [count, d].
        """
        time = self.time_embedder(torch.as_tensor(t, device=self.device).reshape(-1))
        rows: Tensor = self.vae2llm(tokens.to(self.vae2llm.weight)) + time + self.latent_pos_embed(ids)
        return rows

    def velocity(self, hidden: Tensor) -> Tensor:
        """Final hidden states [..., d] of latent tokens to velocities [..., token values] in float32."""
        velocity: Tensor = self.llm2vae(hidden)
        return velocity.float()
