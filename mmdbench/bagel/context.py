"""Keys and values of the chunks that the model has read, immutable and shared between dialogues.

A `Context` is a tuple of segments, one for each chunk. A longer context shares every segment of
the shorter one, so the system prompt is held once for all dialogues. To run the model, contexts
are gathered into one `KeyValues`, padded to the longest, with room for the new rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["EMPTY", "CacheShape", "Context", "KeyValues", "Placement", "Segment"]


@dataclass(frozen=True, slots=True)
class CacheShape:
    """Sizes, dtype and device of the keys and values of a model."""

    layers: int
    kv_heads: int
    head_width: int
    dtype: torch.dtype
    device: torch.device


@dataclass(frozen=True, slots=True)
class Segment:
    """Keys (after norm and rotation) and values of one chunk, each [layers, kv_heads, rows, head_width]."""

    keys: Tensor
    values: Tensor

    @property
    def rows(self) -> int:
        """The number of rows of the chunk."""
        return self.keys.shape[2]


@dataclass(frozen=True, slots=True)
class Context:
    """The chunks read so far: segments, `length` in rows, and `rope`, the next rotary position."""

    segments: tuple[Segment, ...] = ()
    length: int = 0
    rope: int = 0

    def extended(self, segment: Segment, rope: int) -> Context:
        """The context with one more segment, after which the next position is `rope`."""
        return Context((*self.segments, segment), self.length + segment.rows, rope)


EMPTY = Context()


@dataclass(frozen=True, slots=True)
class Placement:
    """The places of the next `rows` rows of each context, and the keys that they may see.

    `slots` is [batch, rows], or None when all contexts are equally long and the rows start at
    `start`; `mask` is [batch, 1, rows·group or 1, used], True where a key is seen, or None when
    every row sees every key. `ends` is set where the rows of context i see its first `ends[i]` keys
    and no mask is needed to say so.
    """

    start: int
    rows: int
    used: int
    slots: Tensor | None
    mask: Tensor | None
    ends: tuple[int, ...] | None


class KeyValues:
    """The padded caches of several contexts, with room for new rows.

    Keys and values are each [layers, batch, kv_heads, capacity, head_width]; context i fills the
    first `lengths[i]` rows.
    """

    def __init__(self, keys: Tensor, values: Tensor, lengths: Sequence[int]) -> None:
        """Hold the caches.

        Args:
            keys: The keys, [layers, batch, kv_heads, capacity, head_width].
            values: The values, of the same shape.
            lengths: The number of filled rows of each context.
        """
        self.keys, self.values, self.lengths = keys, values, list(lengths)

    @classmethod
    def gather(cls, contexts: Sequence[Context], room: int, shape: CacheShape) -> KeyValues:
        """Copy contexts side by side, with `room` free rows after the longest.

        Args:
            contexts: The contexts.
            room: The number of free rows after the longest.
            shape: Sizes, dtype and device of the cache.

        Returns:
            The padded caches.
        """
        capacity = max(context.length for context in contexts) + room
        whole = (shape.layers, len(contexts), shape.kv_heads, capacity, shape.head_width)
        # Zeros, not empty memory: a padded value takes part with weight 0, and 0 · NaN is NaN.
        keys = torch.zeros(whole, dtype=shape.dtype, device=shape.device)
        values = torch.zeros_like(keys)
        for index, context in enumerate(contexts):
            start = 0
            for segment in context.segments:
                keys[:, index, :, start : start + segment.rows] = segment.keys
                values[:, index, :, start : start + segment.rows] = segment.values
                start += segment.rows
        return cls(keys, values, [context.length for context in contexts])

    def first(self) -> KeyValues:
        """The first context alone; a view, so its free rows are shared with the whole."""
        return KeyValues(self.keys[:, :1], self.values[:, :1], self.lengths[:1])

    def place(self, rows: int, *, causal: bool, group: int) -> Placement:
        """The placement of new rows; makes room if there is none.

        Args:
            rows: The number of new rows of every context.
            causal: True if a row sees the new rows before it alone.
            group: The number of query heads that share a key head: their rows follow one another.

        Returns:
            The placement.
        """
        device, longest = self.keys.device, max(self.lengths)
        self._reserve(longest + rows)
        used, ragged = longest + rows, len(set(self.lengths)) > 1
        lengths = torch.tensor(self.lengths, device=device)
        steps, columns = torch.arange(rows, device=device), torch.arange(used, device=device)
        slots = lengths[:, None] + steps if ragged else None
        mask = ends = None
        if causal and rows > 1:
            seen = columns <= (lengths[:, None] + steps)[:, :, None]
            mask = seen[:, None].repeat(1, 1, group, 1)
        elif ragged and rows > 1:
            # Attention without a mask has the fast kernels, and there are many rows here.
            ends = tuple(length + rows for length in self.lengths)
        elif ragged:
            mask = (columns < (lengths + rows)[:, None])[:, None, None]
        return Placement(self.lengths[0], rows, used, slots, mask, ends)

    def write(self, layer: int, keys: Tensor, values: Tensor, place: Placement) -> tuple[Tensor, Tensor]:
        """Write new keys and values to their places; they belong to the contexts only after `advance`.

        Args:
            layer: The number of the layer.
            keys: The new keys, [batch, kv_heads, rows, head_width].
            values: The new values, of the same shape.
            place: The placement of the new rows.

        Returns:
            All keys and values of the layer, [batch, kv_heads, used, head_width].
        """
        own_keys, own_values = self.keys[layer], self.values[layer]
        if place.slots is None:
            own_keys[:, :, place.start : place.start + place.rows] = keys
            own_values[:, :, place.start : place.start + place.rows] = values
        else:
            batch = torch.arange(len(self.lengths), device=keys.device)[:, None]
            own_keys[batch, :, place.slots] = keys.transpose(1, 2)
            own_values[batch, :, place.slots] = values.transpose(1, 2)
        return own_keys[:, :, : place.used], own_values[:, :, : place.used]

    def advance(self, rows: int) -> None:
        """Add the rows that were written last to the contexts."""
        self.lengths = [length + rows for length in self.lengths]

    def segment(self, index: int, start: int) -> Segment:
        """A copy of the rows of one context from `start` on."""
        part = slice(start, self.lengths[index])
        return Segment(self.keys[:, index, :, part].clone(), self.values[:, index, :, part].clone())

    def keep(self, indices: Sequence[int]) -> KeyValues:
        """The contexts of these indices alone."""
        chosen = torch.tensor(indices, device=self.keys.device)
        lengths = [self.lengths[i] for i in indices]
        return KeyValues(self.keys.index_select(1, chosen), self.values.index_select(1, chosen), lengths)

    def _reserve(self, capacity: int) -> None:
        held = self.keys.shape[3]
        if capacity <= held:
            return
        # Grow by half: a long text is copied a few times, not at every token.
        grown = max(capacity, held + held // 2)
        for name in ("keys", "values"):
            old = getattr(self, name)
            new = old.new_zeros((*old.shape[:3], grown, old.shape[4]))
            new[:, :, :, :held] = old
            setattr(self, name, new)
