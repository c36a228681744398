"""The forward pass of a packed sequence, with gradients, through the network of the adapter."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mmdbench.bagel.bagel import TABLE_KEYS, Bagel
from mmdbench.training.clear.layout import PackedSequence

__all__ = ["PackedModel", "PackedOutputs", "freeze", "trained_tensors"]

_FROZEN = ("vit_model.", *TABLE_KEYS)


@dataclass(frozen=True, slots=True)
class PackedOutputs:
    """Results of a sequence of S rows.

    `hidden` [S, d] are the final states, `residuals` those after each decoder layer, before the final
    norm; `logits` [labels, vocabulary] belong to the label rows and `velocities` [n, token values],
    float32, to the velocity rows.
    """

    hidden: Tensor
    residuals: tuple[Tensor, ...]
    logits: Tensor
    velocities: Tensor


class PackedModel(nn.Module):
    """The model as it is trained: one call reads a packed sequence.

    Heads are part of the call, and run for sequences without labels or pictures too, so that a sharded
    model takes the same steps in every process.
    """

    def __init__(self, bagel: Bagel, *, layer_checkpointing: bool = False) -> None:
        super().__init__()
        self.bagel = bagel
        self.layer_checkpointing = layer_checkpointing

    def forward(self, sequence: PackedSequence) -> PackedOutputs:
        """The results of a sequence on the model's device."""
        language = self.bagel.language_model
        hidden, residuals = language.read_packed(
            self._rows(sequence),
            sequence.positions,
            sequence.mask,
            sequence.vae_rows,
            layer_checkpointing=self.layer_checkpointing and self.training,
        )
        return PackedOutputs(
            hidden,
            residuals,
            language.logits(hidden[sequence.label_rows]),
            self.bagel.velocity(hidden[sequence.velocity_rows]),
        )

    def _rows(self, sequence: PackedSequence) -> Tensor:
        """The first rows [S, d]: embedded tokens, ViT tokens and latent tokens at their places."""
        tokens = self.bagel.language_model.embed(sequence.token_ids)
        pictures = [
            self.bagel.vit_rows(patches, ids)
            for patches, ids in zip(sequence.patches, sequence.patch_ids, strict=True)
        ]
        if not pictures:
            pictures = [self.bagel.connector(tokens.new_empty(0, self.bagel.connector.fc1.in_features))]
        latents = self.bagel.latent_rows(sequence.latents, sequence.times, sequence.latent_ids)
        rows = tokens.new_zeros(sequence.length, tokens.shape[1])
        for places, values in (
            (sequence.token_rows, tokens),
            (sequence.vit_rows, torch.cat(pictures)),
            (sequence.vae_rows, latents),
        ):
            rows = rows.index_copy(0, places, values.to(rows.dtype))
        return rows


def freeze(bagel: Bagel) -> None:
    """Let gradients flow to all tensors but the ViT and the two tables of positions."""
    for key, parameter in bagel.named_parameters():
        parameter.requires_grad_(not key.startswith(_FROZEN))


def trained_tensors(model: nn.Module) -> dict[str, nn.Parameter]:
    """The tensors that are trained, by their published key, in a fixed order."""
    return {
        key.removeprefix("bagel."): parameter
        for key, parameter in model.named_parameters()
        if parameter.requires_grad
    }
