"""CLEAR's decoder: two experts, for understanding and for generation, which share one attention.

A row is the vector of one token. Shapes: B contexts, S new rows of each, d width, H query heads, K key
heads, h head width. Modules are named as in the published files; those of the generation expert end in
`_moe_gen`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from .context import CacheShape, KeyValues, Placement, StaticCache
from .settings import LanguageSizes

__all__ = ["LanguageModel"]

_UNDERSTANDING, _GENERATION = "", "_moe_gen"


@dataclass(frozen=True, slots=True)
class _ExpertRows:
    """The rows of each expert in a packed sequence; `order` puts both, one after the other, back in place."""

    understanding: Tensor
    generation: Tensor
    order: Tensor

    @classmethod
    def of(cls, generation: Tensor, rows: int) -> _ExpertRows:
        is_latent = torch.zeros(rows, dtype=torch.bool, device=generation.device)
        is_latent[generation] = True
        understanding, generation = (~is_latent).nonzero()[:, 0], is_latent.nonzero()[:, 0]
        return cls(understanding, generation, torch.cat([understanding, generation]).argsort())


def _routed(gen: bool | _ExpertRows, x: Tensor, run: Callable[[Tensor, str], Tensor]) -> Tensor:
    """Run each row of x [B, S, …] through its expert: `run(rows, expert)`, results in row order.

    In a generation chunk the first and the last row are markers, which belong to the
    understanding expert; the rows between them are latent tokens.
    """
    if isinstance(gen, _ExpertRows):
        texts, latents = run(x[:, gen.understanding], _UNDERSTANDING), run(x[:, gen.generation], _GENERATION)
        return torch.cat([texts, latents], dim=1)[:, gen.order]
    if not gen:
        return run(x, _UNDERSTANDING)
    markers = run(torch.cat([x[:, :1], x[:, -1:]], dim=1), _UNDERSTANDING)
    tokens = run(x[:, 1:-1], _GENERATION)
    return torch.cat([markers[:, :1], tokens, markers[:, 1:]], dim=1)


class _RmsNorm(nn.Module):
    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        exact = x.float()
        exact = exact * torch.rsqrt(exact.square().mean(-1, keepdim=True) + self.eps)
        return exact.to(x.dtype) * self.weight


class _Mlp(nn.Module):
    def __init__(self, sizes: LanguageSizes) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(sizes.width, sizes.mlp_width, bias=False)
        self.up_proj = nn.Linear(sizes.width, sizes.mlp_width, bias=False)
        self.down_proj = nn.Linear(sizes.mlp_width, sizes.width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.down_proj(functional.silu(self.gate_proj(x)) * self.up_proj(x))
        return result


class _Attention(nn.Module):
    def __init__(self, sizes: LanguageSizes, experts: tuple[str, ...]) -> None:
        super().__init__()
        h = sizes.head_width
        for e in experts:
            self.add_module("q_proj" + e, nn.Linear(sizes.width, sizes.heads * h))
            self.add_module("k_proj" + e, nn.Linear(sizes.width, sizes.kv_heads * h))
            self.add_module("v_proj" + e, nn.Linear(sizes.width, sizes.kv_heads * h))
            self.add_module("o_proj" + e, nn.Linear(sizes.heads * h, sizes.width, bias=False))
            self.add_module("q_norm" + e, _RmsNorm(h, sizes.eps))
            self.add_module("k_norm" + e, _RmsNorm(h, sizes.eps))


@dataclass(frozen=True, slots=True)
class _Step:
    """Values that all layers share for one chunk; cos and sin are [B, S, 1, h]."""

    cache: KeyValues | StaticCache
    place: Placement
    cos: Tensor
    sin: Tensor
    gen: bool


@dataclass(frozen=True, slots=True)
class _PackedStep:
    """Values that all layers share for a packed sequence, which is read whole, without a cache."""

    mask: Tensor
    cos: Tensor
    sin: Tensor
    gen: _ExpertRows


class _Layer(nn.Module):
    def __init__(self, sizes: LanguageSizes, experts: tuple[str, ...]) -> None:
        super().__init__()
        self.sizes = sizes
        self.self_attn = _Attention(sizes, experts)
        for e in experts:
            self.add_module("mlp" + e, _Mlp(sizes))
            self.add_module("input_layernorm" + e, _RmsNorm(sizes.width, sizes.eps))
            self.add_module("post_attention_layernorm" + e, _RmsNorm(sizes.width, sizes.eps))

    def forward(self, x: Tensor, step: _Step | _PackedStep, index: int) -> Tensor:
        """The residual stream [B, S, d] after layer `index`."""
        heads = _routed(step.gen, x, lambda rows, e: self._project(rows, e, precise=step.gen is True))
        mixed = self._attend(heads, step, index).to(x.dtype)
        pair = torch.cat([x, mixed], dim=-1)
        return _routed(step.gen, pair, self._add_mlp)

    def _project(self, x: Tensor, expert: str, *, precise: bool) -> Tensor:
        """Queries, keys and values, before rotation: [B, S, H + 2K, h]; in float32 if `precise`."""
        attention, width = self.self_attn, self.sizes.head_width
        normed = _run_module(getattr(self, "input_layernorm" + expert), x)
        q, k, v = (
            _split_heads(_run_module(getattr(attention, name + expert), normed), width)
            for name in ("q_proj", "k_proj", "v_proj")
        )
        if precise:
            q, k, v = q.float(), k.float(), v.float()
        q = _run_module(getattr(attention, "q_norm" + expert), q)
        k = _run_module(getattr(attention, "k_norm" + expert), k)
        return torch.cat([q, k, v], dim=2)

    def _attend(self, heads: Tensor, step: _Step | _PackedStep, index: int) -> Tensor:
        """The attention of each row over the cache and the new rows: [B, S, H·h]."""
        batch, rows = heads.shape[:2]
        count, shared = self.sizes.heads, self.sizes.kv_heads
        turned = _rotated(heads[:, :, : count + shared], step.cos, step.sin)
        q, k, v = turned[:, :, :count], turned[:, :, count:], heads[:, :, count + shared :]
        if isinstance(step, _PackedStep):
            return _masked_attention(q, k, v, step.mask)
        dtype = step.cache.keys[0].dtype
        keys, values = step.cache.write(
            index, k.transpose(1, 2).to(dtype), v.transpose(1, 2).to(dtype), step.place
        )
        # Query heads of one key head are folded into its rows, so that no key is repeated in memory.
        grouped = q.to(dtype).reshape(batch, rows, shared, count // shared, -1)
        folded = grouped.permute(0, 2, 3, 1, 4).flatten(2, 3)
        mixed = _attention(folded, keys, values, step.place)
        return mixed.reshape(batch, shared, -1, rows, mixed.shape[-1]).permute(0, 3, 1, 2, 4).flatten(2)

    def _add_mlp(self, pair: Tensor, expert: str) -> Tensor:
        """The residual stream after the MLP, from that before it and the attention: [B, S, d + H·h]."""
        x, mixed = pair[..., : self.sizes.width], pair[..., self.sizes.width :]
        x = x + _run_module(getattr(self.self_attn, "o_proj" + expert), mixed)
        normed = _run_module(getattr(self, "post_attention_layernorm" + expert), x)
        return x + _run_module(getattr(self, "mlp" + expert), normed)


def _attention(q: Tensor, keys: Tensor, values: Tensor, place: Placement) -> Tensor:
    """Attention of q [B, K, rows, h] over keys and values [B, K, used, h], masked as `place` says."""
    if place.ends is None:
        return functional.scaled_dot_product_attention(q, keys, values, attn_mask=place.mask)
    each = [
        functional.scaled_dot_product_attention(
            q[i : i + 1], keys[i : i + 1, :, :end], values[i : i + 1, :, :end]
        )
        for i, end in enumerate(place.ends)
    ]
    return torch.cat(each)


def _masked_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    """Attention of q [B, S, H, h] over k and v [B, S, K, h], where the mask [S, S] is True: [B, S, H·h]."""
    group = q.shape[2] // k.shape[2]
    k, v = (x.repeat_interleave(group, dim=2).transpose(1, 2) for x in (k, v))
    mixed = functional.scaled_dot_product_attention(q.transpose(1, 2), k, v, attn_mask=mask)
    return mixed.transpose(1, 2).flatten(2)


def _run_module(module: Any, x: Tensor) -> Tensor:
    # torch types the result of a module as Any.
    result: Tensor = module(x)
    return result


def _split_heads(x: Tensor, width: int) -> Tensor:
    """[B, S, heads·h] to [B, S, heads, h]."""
    return x.reshape(*x.shape[:-1], -1, width)


def _rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate elements j and j + h/2 of x [B, S, heads, h], as a pair, by their angle."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-second, first], dim=-1) * sin


class _Decoder(nn.Module):
    def __init__(self, sizes: LanguageSizes, experts: tuple[str, ...]) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(sizes.vocabulary, sizes.width)
        self.layers = nn.ModuleList(_Layer(sizes, experts) for _ in range(sizes.layers))
        for e in experts:
            self.add_module("norm" + e, _RmsNorm(sizes.width, sizes.eps))


class LanguageModel(nn.Module):
    """The decoder with its language head; the generation expert is left out without `generation`."""

    def __init__(self, sizes: LanguageSizes, *, generation: bool) -> None:
        super().__init__()
        self.sizes = sizes
        experts = (_UNDERSTANDING, _GENERATION) if generation else (_UNDERSTANDING,)
        self.model = _Decoder(sizes, experts)
        self.lm_head = nn.Linear(sizes.width, sizes.vocabulary, bias=False)

    def forward(
        self, x: Tensor, cache: KeyValues | StaticCache, positions: Tensor, *, causal: bool, gen: bool
    ) -> Tensor:
        """Run S new rows of every context; call `cache.advance(S)` to keep their keys and values.

        Args:
            x: The rows, [B, S, d].
            cache: The keys and values of the contexts; those of the new rows are written to it.
            positions: Rotary positions, [B, S].
            causal: True for text, where a row attends to those before it; False for pictures.
            gen: True if the rows are latent tokens between two markers.

        Returns:
            The final hidden states, [B, S, d].
        """
        group = self.sizes.heads // self.sizes.kv_heads
        place = cache.place(x.shape[1], causal=causal, group=group)
        cos, sin = self._angles(positions, x.dtype)
        step = _Step(cache, place, cos, sin, gen)
        for index, layer in enumerate(self.model.layers):
            x = layer(x, step, index)
        return _routed(gen, x, lambda rows, e: _run_module(getattr(self.model, "norm" + e), rows))

    def read_packed(
        self, x: Tensor, positions: Tensor, mask: Tensor, generation: Tensor, *, layer_checkpointing: bool
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Read a whole sequence of S rows at once, with gradients.

        Args:
            x: The rows, [S, d].
            positions: Rotary positions, [S].
            mask: True where the row may attend to the column, [S, S]; a row without any gets zeros.
            generation: Numbers of the rows that the generation expert reads.
            layer_checkpointing: Compute each layer again in the backward pass, to save memory.

        Returns:
            The final hidden states [S, d], and the rows [S, d] after each layer.
        """
        experts = _ExpertRows.of(generation, len(x))
        step = _PackedStep(mask, *self._angles(positions[None], x.dtype), experts)
        x, residuals = x[None], []
        for index, layer in enumerate(self.model.layers):
            x = (
                checkpoint(layer, x, step, index, use_reentrant=False)
                if layer_checkpointing
                else layer(x, step, index)
            )
            residuals.append(x[0])
        hidden = _routed(experts, x, lambda rows, e: _run_module(getattr(self.model, "norm" + e), rows))
        return hidden[0], tuple(residuals)

    def embed(self, ids: Tensor) -> Tensor:
        """The embeddings [rows, d] of token ids [rows]."""
        return _run_module(self.model.embed_tokens, ids)

    def logits(self, hidden: Tensor) -> Tensor:
        """Final hidden states [..., d] to logits [..., vocabulary]."""
        return _run_module(self.lm_head, hidden)

    def cache_shape(self) -> CacheShape:
        """Sizes, dtype and device of the keys and values of this model."""
        s, weight = self.sizes, self.lm_head.weight
        return CacheShape(s.layers, s.kv_heads, s.head_width, weight.dtype, weight.device)

    def _angles(self, positions: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        half = torch.arange(0, self.sizes.head_width, 2, device=positions.device).float()
        rates = self.sizes.rope_theta ** -(half / self.sizes.head_width)
        angles = positions[..., None].float() * rates
        paired = torch.cat([angles, angles], dim=-1)[:, :, None]
        return paired.cos().to(dtype), paired.sin().to(dtype)
