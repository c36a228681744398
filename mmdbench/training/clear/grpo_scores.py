"""A completion as the sequence that is trained, and its log-probabilities.

New, old and reference log-probabilities are all of this one sequence: the latent tokens of the step that is
trained stand in it for all three.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mmdbench.bagel.images import resized
from mmdbench.training.clear.forward import PackedModel
from mmdbench.training.clear.grpo_losses import token_log_p
from mmdbench.training.clear.grpo_profiles import GrpoProfile
from mmdbench.training.clear.grpo_rollouts import Rollout, RolloutGroup
from mmdbench.training.clear.layout import PackedSequence, TextMarkers, lay_out
from mmdbench.training.clear.pictures import PictureReader
from mmdbench.training.clear.sde import SdeStep
from mmdbench.training.clear.segments import ChosenStep, SequenceSegment, completion_segments

__all__ = ["CompletionScores", "TrainedStep", "choose_step", "completion_sequence", "score_completion"]


@dataclass(frozen=True, slots=True)
class TrainedStep:
    """One step of one restored picture: the number of the picture, and the latent tokens around the step."""

    picture: int
    step: SdeStep
    x: Tensor
    x_next: Tensor


@dataclass(frozen=True, slots=True)
class CompletionScores:
    """Log-probabilities of the learnt tokens of a completion, and of its step, None without a picture."""

    text: Tensor
    picture: Tensor | None

    def detached(self) -> CompletionScores:
        """The same numbers without gradients."""
        return CompletionScores(self.text.detach(), None if self.picture is None else self.picture.detach())


def choose_step(rollout: Rollout, chance: torch.Generator) -> TrainedStep | None:
    """A step of a completion by chance, never the last one of a picture; None without a picture.

    Args:
        rollout: The completion.
        chance: The source of chance.

    Returns:
        The step.
    """
    steps = [(number, at) for number, path in enumerate(rollout.paths) for at in range(len(path.steps) - 1)]
    if not steps:
        return None
    picture, at = steps[int(torch.randint(len(steps), (), generator=chance))]
    path = rollout.paths[picture]
    return TrainedStep(picture, path.steps[at], path.x[at], path.x[at + 1])


def completion_sequence(
    group: RolloutGroup,
    rollout: Rollout,
    trained: TrainedStep | None,
    markers: TextMarkers,
    reader: PictureReader,
) -> PackedSequence:
    """The sequence of a completion, with its trained step in place.

    Args:
        group: The group of the completion.
        rollout: The completion.
        trained: The step.
        markers: The ids around texts and pictures.
        reader: Reads decoded pictures, where the rollout did.

    Returns:
        The sequence.
    """
    grid = group.segments[1].grid
    chosen = None if trained is None else ChosenStep(trained.picture, trained.x.cpu(), trained.step.t)
    pictures = [(grid, path.x[-1].cpu()) for path in rollout.paths]
    segments = completion_segments(group.segments, rollout.ids, pictures, chosen)
    if rollout.pictures:
        segments = _reencoded(segments, rollout, reader)
    ended = iter(rollout.ended)
    texts = [replace(s, ended=next(ended)) if s.kind == "text" and s.loss else s for s in segments]
    return lay_out([texts], markers, reader.layout.sizes)


def _reencoded(
    segments: Sequence[SequenceSegment], rollout: Rollout, reader: PictureReader
) -> tuple[SequenceSegment, ...]:
    """Segments with the patches of each picture; only the trained step keeps latent tokens, seen by none."""
    sizes, pictures = reader.layout.sizes, iter(rollout.pictures)
    found: list[SequenceSegment] = []
    for segment in segments:
        if not segment.picture.startswith("picture"):
            found.append(segment)
            continue
        if segment.loss:
            found.append(replace(segment, kind="vae_noised"))
        picture = resized(next(pictures), sizes.vae_transform)
        grid = reader.layout.vit_grid(*picture.size)
        vit = SequenceSegment(f"{segment.picture}_vit", "vit", picture=segment.picture, grid=grid)
        found.append(replace(vit, tokens=reader.patches(picture, vit)))
    return tuple(found)


def score_completion(
    model: PackedModel,
    sequence: PackedSequence,
    trained: TrainedStep | None,
    profile: GrpoProfile,
    limit: int,
) -> CompletionScores:
    """The log-probabilities of a completion under a model.

    Args:
        model: The model, whole or sharded.
        sequence: The sequence, on the model's device.
        trained: The step that stands in it.
        profile: The temperature, and the form of a step's log-probability.
        limit: The number of ids that texts are drawn from; the vocabulary may be longer.

    Returns:
        The log-probabilities, with gradients.
    """
    outputs = model(sequence)
    text = token_log_p(outputs.logits[:, :limit], sequence.labels, profile.loss.temperature)
    # Without a picture its part is 0, with gradients, so that all processes take the same steps.
    text = text + 0.0 * outputs.velocities.sum()
    if trained is None:
        return CompletionScores(text, None)
    device = outputs.velocities.device
    mean = trained.step.mean(trained.x.to(device), outputs.velocities, training=True)
    return CompletionScores(text, trained.step.log_p(trained.x_next.to(device), mean, profile.log_p))
