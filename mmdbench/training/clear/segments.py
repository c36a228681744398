"""A sample of supervised training as segments, and their places in a sequence.

A segment is a text or one reading of a picture::

    system, degraded_vae, degraded_vit, question, answer                    without a restoration
    system, degraded_vae, degraded_vit, question, thought,
            noised, clean_vae, clean_vit, answer                            with one

A text is begin, ids, end; a picture is a start marker, its tokens, an end marker. Reinforcement learning
makes its sequences of the same segments: a picture under restoration is a `vae` segment whose tokens are
those at noise level `t`, with `loss` set.

Source: CLEAR (arXiv 2604.04780) and its published code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from mmdbench.training.clear.profiles import DropSettings

__all__ = [
    "SFT_SEGMENTS",
    "ChosenStep",
    "PlacedSegment",
    "SegmentKind",
    "SequenceSegment",
    "SftTexts",
    "completion_segments",
    "draw_drops",
    "noised",
    "place_segments",
    "sft_segments",
    "without",
]

SegmentKind = Literal["text", "vit", "vae", "vae_noised"]
Grid = tuple[int, int]

SFT_SEGMENTS = ("system", "degraded_vae", "degraded_vit", "question", "answer")
"""Names of the segments of a sample without a restoration, in order."""


@dataclass(frozen=True, slots=True)
class SequenceSegment:
    """One segment of a sample.

    A text has `ids`, without begin and end. A picture has a `grid` of tokens (rows, columns), and once it
    is read `tokens`: patches, or latent tokens as the model sees them, at noise level `t` (0 is clean).
    `picture` names the picture that is read. With `loss` the next tokens of a text are learnt, and the
    velocities of latent tokens; `target` is their true velocity. A dropped segment has no rows. The end of
    a text that is not `ended`, because it was cut at a limit, is not learnt.
    """

    name: str
    kind: SegmentKind
    ids: tuple[int, ...] = ()
    picture: str = ""
    grid: Grid = (0, 0)
    loss: bool = False
    dropped: bool = False
    tokens: Tensor | None = None
    t: float = 0.0
    target: Tensor | None = None
    ended: bool = True

    @property
    def count(self) -> int:
        """The number of tokens between the first and the last row."""
        return len(self.ids) if self.kind == "text" else self.grid[0] * self.grid[1]

    @property
    def rows(self) -> int:
        """The number of rows in the sequence."""
        return 0 if self.dropped else self.count + 2

    @property
    def rope_steps(self) -> int:
        """The positions that it takes: one for each row of a text, one for a picture, dropped or not.

        The noised picture takes none: it shares the position of the clean one after it.
        """
        if self.kind == "text":
            return self.rows
        return 0 if self.kind == "vae_noised" else 1


@dataclass(frozen=True, slots=True)
class SftTexts:
    """The token ids of the texts of a sample.

    `thought` is the text up to and including the tag of a restoration, None if there is none; the text
    after the tag, or the whole of it, is `answer`.
    """

    system: tuple[int, ...]
    question: tuple[int, ...]
    answer: tuple[int, ...]
    thought: tuple[int, ...] | None = None


def sft_segments(
    texts: SftTexts, degraded: tuple[Grid, Grid], clean: Grid | None = None
) -> tuple[SequenceSegment, ...]:
    """The segments of a sample, none dropped, their pictures not read yet.

    Args:
        texts: The texts.
        degraded: Rows and columns of the latent tokens and of the patches of the degraded picture.
        clean: Rows and columns of the latent tokens of the clean picture, which has as many patches.

    Returns:
        The segments in order.
    """
    vae_grid, vit_grid = degraded
    before = (
        SequenceSegment("system", "text", texts.system),
        SequenceSegment("degraded_vae", "vae", picture="degraded", grid=vae_grid),
        SequenceSegment("degraded_vit", "vit", picture="degraded", grid=vit_grid),
        SequenceSegment("question", "text", texts.question),
    )
    answer = SequenceSegment("answer", "text", texts.answer, loss=True)
    if texts.thought is None or clean is None:
        return (*before, answer)
    return (
        *before,
        SequenceSegment("thought", "text", texts.thought, loss=True),
        SequenceSegment("noised", "vae_noised", picture="clean", grid=clean, loss=True),
        SequenceSegment("clean_vae", "vae", picture="clean", grid=clean),
        SequenceSegment("clean_vit", "vit", picture="clean", grid=clean),
        answer,
    )


@dataclass(frozen=True, slots=True)
class ChosenStep:
    """The step of a restoration that is trained: the number of its picture, from 0, and what stood there.

    `x` are the latent tokens at noise level `t`.
    """

    picture: int
    x: Tensor
    t: float


def completion_segments(
    prompt: Sequence[SequenceSegment],
    texts: Sequence[tuple[int, ...]],
    pictures: Sequence[tuple[Grid, Tensor]],
    chosen: ChosenStep | None = None,
) -> tuple[SequenceSegment, ...]:
    """The segments of a completion of reinforcement learning, after those of its prompt.

    Args:
        prompt: The segments of the prompt, read.
        texts: The token ids of its texts, all learnt.
        pictures: For each restored picture, which follow the texts in turn, its grid and clean latent
            tokens, as the bridge put them into the context.
        chosen: The step that is trained; its latent tokens take the place of the picture's.

    Returns:
        The segments in order.
    """
    found = [*prompt]
    for number, ids in enumerate(texts):
        found.append(SequenceSegment(f"text{number + 1}", "text", ids, loss=True))
        if number >= len(pictures):
            continue
        (grid, tokens), t, trained = pictures[number], 0.0, False
        if chosen is not None and chosen.picture == number:
            tokens, t, trained = chosen.x, chosen.t, True
        name = f"picture{number + 1}"
        found.append(
            SequenceSegment(f"{name}_vae", "vae", picture=name, grid=grid, loss=trained, tokens=tokens, t=t)
        )
    return tuple(found)


def without(segments: Sequence[SequenceSegment], names: Sequence[str]) -> tuple[SequenceSegment, ...]:
    """The segments, those of the given names dropped."""
    return tuple(replace(s, dropped=True) if s.name in names else s for s in segments)


def draw_drops(
    segments: Sequence[SequenceSegment], drops: DropSettings, generator: torch.Generator
) -> tuple[SequenceSegment, ...]:
    """The segments, each dropped by chance.

    Args:
        segments: The segments of a sample.
        drops: The probability of each kind.
        generator: The source of chance; one number is drawn for each segment.

    Returns:
        The segments in order; the noised picture is never dropped.
    """
    chances = {"text": drops.text, "vit": drops.vit, "vae": drops.vae, "vae_noised": 0.0}
    draws = torch.rand(len(segments), generator=generator, dtype=torch.float64).tolist()
    return tuple(
        replace(s, dropped=True) if draw < chances[s.kind] else s
        for s, draw in zip(segments, draws, strict=True)
    )


def noised(segment: SequenceSegment, clean: Tensor, noise: Tensor, t: float) -> SequenceSegment:
    """A picture between its latent tokens and noise, with the velocity that leads from it to the noise.

    Args:
        segment: The segment of kind `vae_noised`.
        clean: The latent tokens of the picture, float32 [count, token values].
        noise: Standard normal, of that shape.
        t: The noise level, 0..1, already shifted.

    Returns:
        The segment with its tokens and target.
    """
    return replace(segment, tokens=(1 - t) * clean + t * noise, t=t, target=noise - clean)


@dataclass(frozen=True, slots=True)
class PlacedSegment:
    """A segment in a sequence: the number of its sample, its first row, and the position of that row."""

    segment: SequenceSegment
    sample: int
    start: int
    rope: int

    @property
    def stop(self) -> int:
        """The row after the last one."""
        return self.start + self.segment.rows


def place_segments(samples: Sequence[Sequence[SequenceSegment]]) -> tuple[PlacedSegment, ...]:
    """The segments of all samples of a sequence, one after the other; each sample starts at position 0."""
    placed, start = [], 0
    for number, segments in enumerate(samples):
        rope = 0
        for segment in segments:
            placed.append(PlacedSegment(segment, number, start, rope))
            start += segment.rows
            rope += segment.rope_steps
    return tuple(placed)
