"""Keys and values of the chunks that the model has read, immutable and shared between dialogues.

A `Context` is a tuple of segments, one for each chunk. A longer context shares every segment of
the shorter one, so the system prompt is held once for all dialogues. To run the model, contexts
are gathered into one `KeyValues`, padded to the longest, with room for the new rows; or, for
compiled steps, into a `StaticCache`, whose sizes and addresses stay the same from step to step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["EMPTY", "CacheShape", "Context", "KeyValues", "Placement", "Segment", "StaticCache"]


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
            _scatter(own_keys, place.slots, keys)
            _scatter(own_values, place.slots, values)
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


class StaticCache:
    """Caches of a fixed size for compiled steps, with the lengths of the contexts in a tensor.

    A step reads no Python number from it, so one graph serves every step: the new rows go to the places
    that `lengths` says, and a mask over the whole capacity hides the rest. Every layer has a tensor of
    its own, [batch, kv_heads, capacity, head_width], because a graph cannot write into views of one.
    """

    def __init__(self, keys: Sequence[Tensor], values: Sequence[Tensor], lengths: Tensor) -> None:
        """Hold the caches.

        Args:
            keys: The keys of each layer.
            values: The values of each layer, of the same shape.
            lengths: The number of filled rows of each context, [batch], int64.
        """
        from torch import _dynamo  # late: it takes a second to import

        self.keys, self.values, self.lengths = list(keys), list(values), lengths
        for tensor in (*self.keys, *self.values, lengths):
            # A CUDA graph then reads and writes it in place, instead of copying it before each step.
            _dynamo.mark_static_address(tensor)

    @classmethod
    def empty(cls, batch: int, capacity: int, shape: CacheShape) -> StaticCache:
        """Allocate the caches of `batch` contexts.

        Args:
            batch: The number of contexts.
            capacity: The most rows of each, the new ones included.
            shape: Sizes, dtype and device of the caches.

        Returns:
            The caches, without a row.
        """
        size = (batch, shape.kv_heads, capacity, shape.head_width)
        # Zeros, for the reason that `KeyValues.gather` gives.
        keys, values = (
            [torch.zeros(size, dtype=shape.dtype, device=shape.device) for _ in range(shape.layers)]
            for _ in range(2)
        )
        return cls(keys, values, torch.zeros(batch, dtype=torch.long, device=shape.device))

    def fill(self, contexts: Sequence[Context]) -> None:
        """Copy contexts to the first places of the batch; the other ones are left without a row."""
        lengths = [context.length for context in contexts]
        for index, context in enumerate(contexts):
            start = 0
            for segment in context.segments:
                part = slice(start, start + segment.rows)
                for layer, (keys, values) in enumerate(zip(self.keys, self.values, strict=True)):
                    keys[index, :, part] = segment.keys[layer]
                    values[index, :, part] = segment.values[layer]
                start += segment.rows
        self.lengths.copy_(torch.tensor(lengths + [0] * (len(self.lengths) - len(lengths))))

    def first(self) -> StaticCache:
        """The first context alone; a view, so its free rows are shared with the whole."""
        return StaticCache([k[:1] for k in self.keys], [v[:1] for v in self.values], self.lengths[:1])

    def place(self, rows: int, *, causal: bool, group: int) -> Placement:  # noqa: ARG002 - one mask for a group
        """The placement of new rows, made from tensors alone.

        Args:
            rows: The number of new rows of every context; 1 if causal.
            causal: True if a row sees the new rows before it alone.
            group: The number of query heads that share a key head; the mask is the same for all of them.

        Returns:
            The placement.
        """
        assert rows == 1 or not causal
        device, capacity = self.lengths.device, self.keys[0].shape[2]
        slots = self.lengths[:, None] + torch.arange(rows, device=device)
        seen = torch.arange(capacity, device=device) < (self.lengths + rows)[:, None]
        return Placement(0, rows, capacity, slots, seen[:, None, None], None)

    def write(self, layer: int, keys: Tensor, values: Tensor, place: Placement) -> tuple[Tensor, Tensor]:
        """Write new keys and values to their places; they belong to the contexts only after `advance`.

        Args:
            layer: The number of the layer.
            keys: The new keys, [batch, kv_heads, rows, head_width].
            values: The new values, of the same shape.
            place: The placement of the new rows.

        Returns:
            All keys and values of the layer, [batch, kv_heads, capacity, head_width].
        """
        assert place.slots is not None
        _scatter(self.keys[layer], place.slots, keys)
        _scatter(self.values[layer], place.slots, values)
        return self.keys[layer], self.values[layer]

    def advance(self, rows: int) -> None:
        """Add the rows that were written last to the contexts."""
        self.lengths += rows

    def segment(self, index: int, start: int) -> Segment:
        """A copy of the rows of one context from `start` on."""
        part = slice(start, int(self.lengths[index]))
        keys = torch.stack([layer[index, :, part] for layer in self.keys])
        return Segment(keys, torch.stack([layer[index, :, part] for layer in self.values]))


def _scatter(whole: Tensor, slots: Tensor, new: Tensor) -> None:
    """Write new [batch, heads, rows, width] to rows `slots` [batch, rows] of whole."""
    batch = torch.arange(len(slots), device=slots.device)[:, None]
    whole[batch, :, slots] = new.transpose(1, 2)
