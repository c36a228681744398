"""Segments of several samples as the tensors of one sequence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from mmdbench.bagel.images import cell_ids
from mmdbench.bagel.settings import Sizes
from mmdbench.training.clear.masks import attention_mask
from mmdbench.training.clear.segments import PlacedSegment, SequenceSegment, place_segments

__all__ = ["CLEAN", "PackedSequence", "TextMarkers", "lay_out"]

CLEAN = "clean"
"""The picture whose latent tokens are drawn to its ViT tokens."""


@dataclass(frozen=True, slots=True)
class TextMarkers:
    """Ids of the tokens around texts (`bos`, `eos`) and pictures."""

    bos: int
    eos: int
    image_start: int
    image_end: int


@dataclass(frozen=True, slots=True)
class PackedSequence:
    """One sequence of S rows as the model reads it; `…_rows` are row numbers.

    Tokens of texts and markers: `token_ids`. Learnt next tokens: `labels`. One entry for each picture
    that the ViT reads: `patches` and `patch_ids`. Latent tokens of all pictures: `latents` [V, values]
    at noise levels `times` [V] and places `latent_ids` [V]. Rows whose velocity is computed:
    `velocity_rows`, with their true `velocities` [n, values], if these are known. `pairs` holds, for each
    clean picture, its ViT rows and its latent rows. `positions` [S] are rotary; `mask` [S, S] is True
    where the row may attend to the column.
    """

    positions: Tensor
    mask: Tensor
    token_ids: Tensor
    token_rows: Tensor
    labels: Tensor
    label_rows: Tensor
    patches: tuple[Tensor, ...]
    patch_ids: tuple[Tensor, ...]
    vit_rows: Tensor
    latents: Tensor
    times: Tensor
    latent_ids: Tensor
    vae_rows: Tensor
    velocities: Tensor
    velocity_rows: Tensor
    pairs: tuple[tuple[Tensor, Tensor], ...]

    @property
    def length(self) -> int:
        """The number of rows."""
        return len(self.positions)

    def to(self, device: torch.device) -> PackedSequence:
        """The sequence on a device."""
        return replace(self, **{f.name: _moved(getattr(self, f.name), device) for f in fields(self)})


def _moved(value: Any, device: torch.device) -> Any:
    return value.to(device) if isinstance(value, Tensor) else tuple(_moved(v, device) for v in value)


def lay_out(
    samples: Sequence[Sequence[SequenceSegment]],
    markers: TextMarkers,
    sizes: Sizes,
    *,
    mask: Tensor | None = None,
    repeat_end: bool = False,
) -> PackedSequence:
    """Lay out samples one after the other.

    Args:
        samples: The segments of each sample; pictures that are not dropped must have been read.
        markers: The ids around texts and pictures.
        sizes: The sides of the two tables of positions.
        mask: Another attention mask than `attention_mask`, bool [S, S].
        repeat_end: Also learn that the end of a text follows its end, as in the published reinforcement
            learning.

    Returns:
        The sequence.
    """
    placed = [p for p in place_segments(samples) if p.segment.rows]
    texts = [p for p in placed if p.segment.kind == "text"]
    pictures = [p for p in placed if p.segment.kind != "text"]
    seen = [p for p in pictures if p.segment.kind == "vit"]
    latent = [p for p in pictures if p.segment.kind != "vit"]
    moving = [p for p in latent if p.segment.loss]
    learnt = [p for p in texts if p.segment.loss]
    ends = (markers.eos, markers.eos) if repeat_end else (markers.eos,)
    width = sizes.token_values
    return PackedSequence(
        positions=_whole([_positions(p) for p in placed]),
        mask=attention_mask(placed) if mask is None else mask,
        token_ids=_whole([_token_ids(p, markers) for p in placed]),
        token_rows=_whole([_token_rows(p) for p in placed]),
        labels=_whole([_labels(p, ends) for p in learnt]),
        label_rows=_whole([p.start + torch.arange(len(_labels(p, ends))) for p in learnt]),
        patches=tuple(_tokens(p) for p in seen),
        patch_ids=tuple(cell_ids(*p.segment.grid, sizes.vit_side) for p in seen),
        vit_rows=_whole([_inner(p) for p in seen]),
        latents=_values([_tokens(p) for p in latent], width),
        times=_values([torch.full((p.segment.count,), p.segment.t) for p in latent]),
        latent_ids=_whole([cell_ids(*p.segment.grid, sizes.latent_side) for p in latent]),
        vae_rows=_whole([_inner(p) for p in latent]),
        velocities=_values([t for p in moving if (t := p.segment.target) is not None], width),
        velocity_rows=_whole([_inner(p) for p in moving]),
        pairs=tuple(_pairs(placed)),
    )


def _positions(place: PlacedSegment) -> Tensor:
    rows = place.segment.rows
    steps = torch.arange(rows) if place.segment.kind == "text" else torch.zeros(rows, dtype=torch.long)
    return place.rope + steps


def _token_ids(place: PlacedSegment, markers: TextMarkers) -> Tensor:
    if place.segment.kind == "text":
        return torch.tensor([markers.bos, *place.segment.ids, markers.eos])
    return torch.tensor([markers.image_start, markers.image_end])


def _labels(place: PlacedSegment, ends: tuple[int, ...]) -> Tensor:
    return torch.tensor([*place.segment.ids, *(ends if place.segment.ended else ())], dtype=torch.long)


def _token_rows(place: PlacedSegment) -> Tensor:
    rows = torch.arange(place.start, place.stop)
    return rows if place.segment.kind == "text" else rows[[0, -1]]


def _inner(place: PlacedSegment) -> Tensor:
    """The rows between the markers."""
    return torch.arange(place.start + 1, place.stop - 1)


def _tokens(place: PlacedSegment) -> Tensor:
    tokens, segment = place.segment.tokens, place.segment
    if tokens is None or len(tokens) != segment.count:
        found = "none" if tokens is None else str(len(tokens))
        raise AssertionError(f"the segment {segment.name} needs {segment.count} tokens, got {found}")
    return tokens


def _pairs(placed: Sequence[PlacedSegment]) -> list[tuple[Tensor, Tensor]]:
    rows = {(p.sample, p.segment.kind): _inner(p) for p in placed if p.segment.picture == CLEAN}
    samples = dict.fromkeys(p.sample for p in placed)
    return [(rows[n, "vit"], rows[n, "vae"]) for n in samples if (n, "vit") in rows and (n, "vae") in rows]


def _whole(parts: Sequence[Tensor]) -> Tensor:
    """Whole numbers, one after the other."""
    return torch.cat([torch.empty(0, dtype=torch.long), *parts])


def _values(parts: Sequence[Tensor], *width: int) -> Tensor:
    """Numbers [count] or [count, width], one after the other."""
    return torch.cat([torch.empty(0, *width), *parts])
