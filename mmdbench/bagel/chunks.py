"""Appends texts and pictures to a context, each as a chunk of rows.

A text chunk is begin, ids, end: causal, one position for each row. A picture chunk is start marker,
tokens, end marker: full attention, one position for all its rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from .bagel import Bagel
from .context import EMPTY, Context, KeyValues, StaticCache
from .images import cell_ids, from_cells, patches, pixel_values, resized, to_cells
from .settings import Sizes, Speed
from .tokenizer import Tokenizer
from .vae import Autoencoder

__all__ = [
    "Engine",
    "Watch",
    "append_latent",
    "append_picture",
    "append_rows",
    "append_text",
    "between_markers",
    "decode_latent",
    "encode_picture",
    "grid_of",
    "picture_chunk",
    "picture_markers",
    "prefix_of",
]

Watch = Callable[[str, Mapping[str, Any]], None]


@dataclass(frozen=True)
class Engine:
    """A loaded model and its shortcuts; `watch(event, facts)` is called at each step, if given.

    `prefixes` holds the contexts of system prompts, `caches` those of compiled steps.
    """

    model: Bagel
    vae: Autoencoder | None
    tokenizer: Tokenizer
    sizes: Sizes
    patch: int
    speed: Speed
    watch: Watch | None = None
    prefixes: dict[str, Context] = field(default_factory=dict)
    caches: dict[str, StaticCache] = field(default_factory=dict)

    @property
    def autoencoder(self) -> Autoencoder:
        """The autoencoder; AssertionError if the model was loaded without it."""
        if self.vae is None:
            raise AssertionError("this mode was loaded without the autoencoder")
        return self.vae

    def notify(self, event: str, **facts: Any) -> None:
        """Call the watcher, if there is one."""
        if self.watch is not None:
            self.watch(event, facts)


def append_rows(engine: Engine, context: Context, rows: Tensor, *, causal: bool, gen: bool) -> Context:
    """Run a chunk of rows through the model and append it to a context.

    Args:
        engine: The loaded model.
        context: The context.
        rows: The chunk, [S, d].
        causal: True for text: each row sees the rows before it; else every row sees every row.
        gen: True for latent tokens, which the generation expert reads.

    Returns:
        The longer context.
    """
    count, model = rows.shape[0], engine.model.language_model
    cache = KeyValues.gather([context], count, model.cache_shape())
    steps = torch.arange(count, device=rows.device) if causal else torch.zeros_like(rows[:, 0]).long()
    hidden = model(rows[None], cache, (context.rope + steps)[None], causal=causal, gen=gen)
    cache.advance(count)
    after = context.extended(cache.segment(0, context.length), context.rope + (count if causal else 1))
    engine.notify("chunk", before=context, after=after, causal=causal, gen=gen, hidden=hidden[0])
    return after


def append_text(engine: Engine, context: Context, text: str) -> Context:
    """Append a text as a chunk of its own.

    Args:
        engine: The loaded model.
        context: The context; it is not changed.
        text: The text.

    Returns:
        The longer context.
    """
    tokenizer = engine.tokenizer
    return append_ids(engine, context, [tokenizer.bos, *tokenizer.encode(text), tokenizer.eos])


def append_ids(engine: Engine, context: Context, ids: Sequence[int]) -> Context:
    """Append ids, which must include their begin and end.

    Args:
        engine: The loaded model.
        context: The context; it is not changed.
        ids: The ids of the chunk.

    Returns:
        The longer context.
    """
    rows = engine.model.language_model.embed(torch.tensor(ids, device=engine.model.device))
    return append_rows(engine, context, rows, causal=True, gen=False)


def prefix_of(engine: Engine, text: str | None) -> Context:
    """The context of a system prompt; computed once for all dialogues."""
    if text is None:
        return EMPTY
    if not engine.speed.share_prefix:
        return append_text(engine, EMPTY, text)
    if text not in engine.prefixes:
        engine.prefixes[text] = append_text(engine, EMPTY, text)
    return engine.prefixes[text]


def picture_markers(engine: Engine) -> Tensor:
    """The rows before and after those of a picture, [2, d]."""
    ids = torch.tensor([engine.tokenizer.image_start, engine.tokenizer.image_end], device=engine.model.device)
    return engine.model.language_model.embed(ids)


def between_markers(markers: Tensor, tokens: Tensor) -> Tensor:
    """Rows [count, d] with the picture's markers around them, [count + 2, d]."""
    return torch.cat([markers[:1], tokens, markers[1:]])


def picture_chunk(engine: Engine, picture: Image.Image) -> Tensor:
    """The rows [S, d] of a picture for the understanding expert.

    The picture must already be resized by the VAE's rule: both rules apply, one after the other.
    """
    values = pixel_values(resized(picture, engine.sizes.vit_transform))
    rows, columns = (side // engine.patch for side in values.shape[1:])
    ids = cell_ids(rows, columns, engine.sizes.vit_side)
    tokens = engine.model.vit_rows(patches(values, engine.patch), ids)
    return between_markers(picture_markers(engine), tokens)


def append_picture(engine: Engine, context: Context, chunk: Tensor) -> Context:
    """Append a picture's chunk, made by `picture_chunk`, through the understanding expert.

    Args:
        engine: The loaded model.
        context: The context; it is not changed.
        chunk: The rows of the picture, [S, d].

    Returns:
        The longer context.
    """
    return append_rows(engine, context, chunk, causal=False, gen=False)


def append_latent(engine: Engine, context: Context, tokens: Tensor, ids: Tensor) -> Context:
    """Append clean latent tokens, of an input picture or a restored one, by the generation expert.

    Args:
        engine: The loaded model.
        context: The context; it is not changed.
        tokens: The latent tokens, [count, token values].
        ids: Their position ids, [count].

    Returns:
        The longer context.
    """
    rows = between_markers(picture_markers(engine), engine.model.latent_rows(tokens, 0.0, ids))
    return append_rows(engine, context, rows, causal=False, gen=True)


def grid_of(engine: Engine, size: tuple[int, int]) -> tuple[int, int, Tensor]:
    """Rows, columns and position ids of the latent tokens of a picture of (width, height) pixels."""
    columns, rows = (side // engine.sizes.token_pixels for side in size)
    return rows, columns, cell_ids(rows, columns, engine.sizes.latent_side).to(engine.model.device)


def encode_picture(engine: Engine, picture: Image.Image, noise: Tensor) -> Tensor:
    """The clean latent tokens of a picture; they are a sample.

    Args:
        engine: The loaded model.
        picture: The picture, resized by the VAE's rule.
        noise: What the sample is drawn with: standard normal, [1, z, H/8, W/8].

    Returns:
        The latent tokens, float32 [count, token values].
    """
    vae = engine.autoencoder
    moments = vae.moments(pixel_values(picture)[None].to(engine.model.device))
    latent = vae.latent(moments, noise)
    engine.notify("encoded", moments=moments[0], latent=latent[0])
    return to_cells(latent[0], engine.sizes.latent_patch)


def decode_latent(engine: Engine, tokens: Tensor, size: tuple[int, int]) -> Image.Image:
    """Decode latent tokens to a picture.

    Args:
        engine: The loaded model.
        tokens: The latent tokens, [count, token values].
        size: Width and height of the picture, in pixels.

    Returns:
        The picture, RGB.
    """
    rows, columns, _ = grid_of(engine, size)
    latent = from_cells(tokens, rows, columns, engine.sizes.latent_patch)
    values = engine.autoencoder.decode(latent[None])[0]
    engine.notify("decoded", values=values)
    # Truncated, not rounded, as in the published code.
    pixels = ((values / 2 + 0.5).clamp(0, 1) * 255).permute(1, 2, 0).to(torch.uint8)
    return Image.fromarray(np.asarray(pixels.cpu().numpy()))
