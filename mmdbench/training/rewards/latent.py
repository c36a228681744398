"""Latent quality: the likeness of a restored picture to the clean one, in latent space.

The paper has no such reward ("no component targets perceptual quality"); CLEAR's code computes it with
weight 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from mmdbench.errors import UnknownNameError, UsageError

__all__ = ["LATENT_WEIGHTS", "LatentMode", "LatentSimilarity", "latent_quality"]

LatentMode = Literal["vae", "vit", "both"]

LATENT_WEIGHTS: Mapping[str, Mapping[str, float]] = {
    "vae": {"mse": 0.3, "cosine": 0.3, "local": 0.4},
    "vit": {"vit": 1.0},
    "both": {"mse": 0.2, "cosine": 0.2, "local": 0.3, "vit": 0.3},
}
"""The weight of each similarity by mode, as in CLEAR's code."""


@dataclass(frozen=True, slots=True)
class LatentSimilarity:
    """The similarities of a generated and a clean picture that the latent quality is made of.

    Attributes:
        mse: exp(-MSE / 2) over all values of the VAE tokens, from 0 to 1.
        cosine: Cosine of the flattened VAE tokens, from -1 to 1.
        local: Mean over the tokens of max(0, cosine), from 0 to 1.
        vit: Cosine of the mean ViT features, from -1 to 1.
    """

    mse: float = math.nan
    cosine: float = math.nan
    local: float = math.nan
    vit: float = math.nan

    def quality(self, mode: LatentMode = "vae") -> float:
        """Their weighted sum, each no less than 0; NaN if the mode needs one that is NaN.

        >>> round(LatentSimilarity(mse=0.8, cosine=0.6, local=0.7, vit=0.9).quality("both"), 12)
        0.76
        """
        if mode not in LATENT_WEIGHTS:
            raise UnknownNameError("mode of latent quality", mode, LATENT_WEIGHTS)
        values = {name: getattr(self, name) for name in LATENT_WEIGHTS[mode]}
        if any(math.isnan(value) for value in values.values()):
            return math.nan
        return math.fsum(weight * max(0.0, values[name]) for name, weight in LATENT_WEIGHTS[mode].items())


def latent_quality(
    generated: Any,
    clean: Any,
    mode: LatentMode = "vae",
    *,
    vit: tuple[Any, Any] | None = None,
) -> float:
    """The latent quality of a restored picture; NaN without a picture, which `weighted_sum` takes as 0.

    Args:
        generated: Latent tokens of the generated picture, tokens × values (CLEAR: 64 values, 2×2 cells of
            the VAE's latent); None for no picture.
        clean: Latent tokens of the clean picture; of two lengths the longer is cut.
        mode: `vae`, `vit` or `both`.
        vit: ViT features of the generated and the clean picture, tokens × width, for `vit` and `both`.

    Returns:
        The quality, from 0 to 1, or NaN.

    Raises:
        UsageError: Tokens of different width, or features are missing.
        UnknownNameError: There is no such mode.

    >>> latent_quality([[1.0, 0.0]], [[1.0, 0.0]])
    1.0
    """
    if generated is None or (vit is not None and vit[0] is None):
        return math.nan
    if vit is None and mode != "vae":
        raise UsageError(
            f"The mode {mode!r} needs the ViT features of both pictures.", hint="Pass vit=(a, b)."
        )
    found: dict[str, float] = {}
    if mode != "vit":
        found |= _vae_similarities(_tokens(generated), _tokens(clean))
    if vit is not None:
        ours, theirs = (_tokens(features).mean(axis=0) for features in vit)
        found["vit"] = _cosine(*_of_one_width(ours, theirs))
    return LatentSimilarity(**found).quality(mode)


def _vae_similarities(generated: Any, clean: Any) -> dict[str, float]:
    length = min(len(generated), len(clean))
    ours, theirs = _of_one_width(generated[:length], clean[:length])
    local = [max(0.0, _cosine(a, b)) for a, b in zip(ours, theirs, strict=True)]
    return {
        "mse": math.exp(-0.5 * float(((ours - theirs) ** 2).mean())),
        "cosine": _cosine(ours.ravel(), theirs.ravel()),
        "local": math.fsum(local) / length,
    }


def _tokens(values: Any) -> Any:
    import numpy as np

    tokens = np.asarray(values, np.float64)
    if tokens.ndim != 2 or not tokens.size:
        raise UsageError(f"Tokens must be an array of tokens × values, got the shape {tokens.shape}.")
    return tokens


def _of_one_width(ours: Any, theirs: Any) -> tuple[Any, Any]:
    if ours.shape[-1] != theirs.shape[-1]:
        raise UsageError(
            f"Tokens must have the same number of values, got {ours.shape[-1]} and {theirs.shape[-1]}."
        )
    return ours, theirs


def _cosine(a: Any, b: Any) -> float:
    length = math.sqrt(float(a @ a) * float(b @ b))
    return min(1.0, max(-1.0, float(a @ b) / length)) if length else 0.0
