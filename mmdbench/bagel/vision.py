"""The vision transformer (SigLIP) and the connector into the language model.

Modules are named as in the published files, so that keys need no translation.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from .settings import VisionSizes

__all__ = ["Connector", "PositionTable", "Vision", "sincos_table"]


def _gelu(x: Tensor) -> Tensor:
    return functional.gelu(x, approximate="tanh")


class _Embeddings(nn.Module):
    def __init__(self, sizes: VisionSizes, positions: int) -> None:
        super().__init__()
        self.patch_embedding = nn.Linear(sizes.channels * sizes.patch**2, sizes.width)
        self.position_embedding = nn.Embedding(positions, sizes.width)

    def forward(self, patches: Tensor, ids: Tensor) -> Tensor:
        embedded: Tensor = self.patch_embedding(patches) + self.position_embedding(ids)
        return embedded


class _Attention(nn.Module):
    def __init__(self, sizes: VisionSizes) -> None:
        super().__init__()
        self.heads = sizes.heads
        self.q_proj = nn.Linear(sizes.width, sizes.width)
        self.k_proj = nn.Linear(sizes.width, sizes.width)
        self.v_proj = nn.Linear(sizes.width, sizes.width)
        self.out_proj = nn.Linear(sizes.width, sizes.width)

    def forward(self, x: Tensor) -> Tensor:
        """Mix x [rows, width]; every row sees every row."""
        q, k, v = (
            part(x).unflatten(-1, (self.heads, -1)).transpose(0, 1)[None]
            for part in (self.q_proj, self.k_proj, self.v_proj)
        )
        mixed = functional.scaled_dot_product_attention(q, k, v)[0].transpose(0, 1).flatten(1)
        result: Tensor = self.out_proj(mixed)
        return result


class Mlp(nn.Module):
    """Linear, tanh-gelu, linear."""

    def __init__(self, width: int, inner: int, outer: int) -> None:
        """Make the layers.

        Args:
            width: Numbers per row that comes in.
            inner: Numbers per row between the layers.
            outer: Numbers per row that goes out.
        """
        super().__init__()
        self.fc1 = nn.Linear(width, inner)
        self.fc2 = nn.Linear(inner, outer)

    def forward(self, x: Tensor) -> Tensor:
        """Rows [rows, width] to rows [rows, outer]."""
        result: Tensor = self.fc2(_gelu(self.fc1(x)))
        return result


class _Layer(nn.Module):
    def __init__(self, sizes: VisionSizes) -> None:
        super().__init__()
        self.layer_norm1 = nn.LayerNorm(sizes.width, eps=sizes.eps)
        self.self_attn = _Attention(sizes)
        self.layer_norm2 = nn.LayerNorm(sizes.width, eps=sizes.eps)
        self.mlp = Mlp(sizes.width, sizes.mlp_width, sizes.width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.self_attn(self.layer_norm1(x))
        change: Tensor = self.mlp(self.layer_norm2(x))
        return x + change


class _Encoder(nn.Module):
    def __init__(self, sizes: VisionSizes) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_Layer(sizes) for _ in range(sizes.layers))


class _Transformer(nn.Module):
    def __init__(self, sizes: VisionSizes, positions: int) -> None:
        super().__init__()
        self.embeddings = _Embeddings(sizes, positions)
        self.encoder = _Encoder(sizes)
        self.post_layernorm = nn.LayerNorm(sizes.width, eps=sizes.eps)

    def forward(self, patches: Tensor, ids: Tensor) -> Tensor:
        x = self.embeddings(patches, ids)
        for layer in self.encoder.layers:
            x = layer(x)
        result: Tensor = self.post_layernorm(x)
        return result


class Vision(nn.Module):
    """Patches of one picture to features."""

    def __init__(self, sizes: VisionSizes, positions: int) -> None:
        super().__init__()
        self.vision_model = _Transformer(sizes, positions)

    def forward(self, patches: Tensor, ids: Tensor) -> Tensor:
        """Patches [count, patch·patch·channels] at positions `ids` [count] to features [count, width]."""
        features: Tensor = self.vision_model(patches, ids)
        return features


class Connector(Mlp):
    """Vision features [count, vision width] to language rows [count, width]."""

    def __init__(self, vision_width: int, width: int) -> None:
        super().__init__(vision_width, width, width)


class PositionTable(nn.Module):
    """A fixed table of positions on a square grid: [side², width]."""

    def __init__(self, side: int, width: int) -> None:
        super().__init__()
        self.pos_embed = nn.Parameter(torch.empty(side * side, width), requires_grad=False)

    def forward(self, ids: Tensor) -> Tensor:
        """The rows [count, width] of position ids [count]."""
        return self.pos_embed[ids]


def sincos_table(side: int, width: int) -> Tensor:
    """The table itself, float32 [side², width]: sines and cosines of the column, then of the row.

    Published files include it; files written by a resumed training do not.
    """
    quarter = width // 4
    rates = 10000.0 ** (-torch.arange(quarter, dtype=torch.float64) / quarter)
    angles = torch.arange(side, dtype=torch.float64)[:, None] * rates
    waves = torch.cat([angles.sin(), angles.cos()], dim=1)
    columns = waves[None, :, :].expand(side, side, -1)
    rows = waves[:, None, :].expand(side, side, -1)
    return torch.cat([columns, rows], dim=2).reshape(side * side, width).float()
