"""The corruptions as a torchvision v2 transform, for PIL images and uint8 tensors.

::

    from torchvision.transforms import v2
    from mmdbench.integrations.torchvision import MMDCorruption

    augment = v2.Compose([MMDCorruption(p=0.5), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])

Needs torchvision 0.21 or later.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mmdbench.corruptions import corrupt
from mmdbench.corruptions.choices import DrawnCorruption, choice_of
from mmdbench.corruptions.images import as_rgb
from mmdbench.errors import ImageInputError, MissingExtraError, UsageError

try:
    import torch
    from PIL import Image
    from torchvision import tv_tensors
    from torchvision.transforms import v2
    from torchvision.transforms.v2.functional import is_pure_tensor
except ImportError as missing:
    raise MissingExtraError("torchvision", "torchvision") from missing

__all__ = ["MMDCorruption", "corrupt_tensor"]

_Array = Any  # uint8 H×W×C


class MMDCorruption(v2.Transform):
    """Draws a corruption and an intensity for each image, and degrades it.

    Takes PIL images of any 8-bit mode, uint8 tensors C×H×W or N×C×H×W (C = 1, 3 or 4), `tv_tensors`
    images and videos, alone or in a sample; masks, boxes and labels are left unchanged. Each image
    of an N×C×H×W batch gets its own draw; the frames of a `tv_tensors.Video`, and the images of one
    sample, share a draw.

    With `seed=None` the draws come from torch's generator: `torch.manual_seed` repeats them, and each
    DataLoader worker has its own. With a number, each image's draw follows from its pixels and the
    seed alone, whatever the order, the batch or the worker.

    Args:
        corruptions: Names or categories; None for all, with the weights of the release.
        level: One or several of "low", "mid" and "hard".
        intensity: A number in [0, 1], or the two ends of a range; without level and intensity, the
            range from low to hard.
        p: The probability that an image is degraded at all, from 0 to 1.
        profile: "paper" or "scaled".
        seed: A whole number, or None for torch's generator.
    """

    _transformed_types = (is_pure_tensor, tv_tensors.Image, tv_tensors.Video, Image.Image)

    def __init__(
        self,
        corruptions: str | Sequence[str] | None = None,
        *,
        level: str | Sequence[str] | None = None,
        intensity: float | Sequence[float] | None = None,
        p: float = 1.0,
        profile: str = "paper",
        seed: int | None = None,
    ) -> None:
        super().__init__()
        self.corruptions, self.level, self.intensity = corruptions, level, intensity
        self.p, self.profile, self.seed = p, profile, seed
        self._choice = choice_of(corruptions, level=level, intensity=intensity, p=p, profile=profile)

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:  # noqa: ARG002  # torchvision's signature
        """The key of this call's draws, from torch's generator, unless the transform has a seed."""
        return {"key": int(torch.randint(2**62, ())) if self.seed is None else None}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Degrade one image, or each of a batch."""
        key = params["key"]
        if isinstance(inpt, Image.Image):
            return self._degraded(inpt, key, 0)
        if isinstance(inpt, tv_tensors.Video):
            return _mapped(inpt, self._frames(key))
        return _mapped(inpt, lambda pixels, place: self._degraded(pixels, key, place))

    def _drawn(self, image: Any, key: int | None, place: int) -> DrawnCorruption | None:
        if key is not None:
            return self._choice.for_key(key, place)
        assert self.seed is not None
        return self._choice.for_image(as_rgb(image)[0], self.seed)

    def _degraded(self, image: Any, key: int | None, place: int) -> Any:
        drawn = self._drawn(image, key, place)
        return image if drawn is None else drawn.corrupted(image)

    def _frames(self, key: int | None) -> Callable[[_Array, int], _Array]:
        first: list[DrawnCorruption | None] = []

        def one(pixels: _Array, _place: int) -> _Array:
            if not first:
                first.append(self._drawn(pixels, key, 0))
            return pixels if first[0] is None else first[0].corrupted(pixels)

        return one


def corrupt_tensor(
    images: torch.Tensor,
    name: str,
    *,
    level: str | None = None,
    intensity: float | None = None,
    seed: int | Sequence[int] = 0,
    profile: str = "paper",
) -> torch.Tensor:
    """`mmdbench.corrupt` for tensors: the same pixels as for the array, bit for bit.

    Args:
        images: A uint8 tensor C×H×W or N×C×H×W (C = 1, 3 or 4). It is not changed.
        name: The corruption.
        level: "low", "mid" or "hard"; give it or `intensity`.
        intensity: A number in (0, 1].
        seed: A whole number, or one for each of the N images.
        profile: "paper" or "scaled".

    Returns:
        The degraded images, with the shape, device and class of the input.
    """
    count = images.shape[0] if images.ndim == 4 else 1
    seeds = [seed] * count if isinstance(seed, int) else list(seed)
    if len(seeds) != count:
        raise UsageError(
            f"seed must be one number or one for each of {count} images, got {len(seeds)} numbers."
        )

    def one(pixels: _Array, place: int) -> _Array:
        return corrupt(pixels, name, level=level, intensity=intensity, seed=seeds[place], profile=profile)

    return _mapped(images, one)


def _mapped(images: torch.Tensor, one: Callable[[_Array, int], _Array]) -> torch.Tensor:
    """A tensor like `images` (…×C×H×W) of the results of `one(pixels, place)` on each image as H×W×C."""
    if images.dtype != torch.uint8:
        raise ImageInputError(
            f"A tensor of {images.dtype} cannot be corrupted.",
            hint="Put the corruption before v2.ToDtype(torch.float32, scale=True), "
            "or convert back with v2.ToDtype(torch.uint8, scale=True).",
        )
    if images.ndim < 3 or images.shape[-3] not in (1, 3, 4):
        raise ImageInputError(
            f"A tensor of shape {tuple(images.shape)} is not an image.",
            hint="Give C×H×W or N×C×H×W, C = 1, 3, 4.",
        )
    plain = images.as_subclass(torch.Tensor).detach()
    arrays = plain.reshape(-1, *plain.shape[-3:]).permute(0, 2, 3, 1).cpu().numpy()
    made = [one(np.ascontiguousarray(pixels), place) for place, pixels in enumerate(arrays)]
    if not made:
        return images
    stacked = torch.from_numpy(np.stack(made)).permute(0, 3, 1, 2).reshape(plain.shape).to(plain.device)
    # The result shares no memory with the input, even where nothing was drawn.
    result = stacked.contiguous()
    return tv_tensors.wrap(result, like=images) if isinstance(images, tv_tensors.TVTensor) else result
