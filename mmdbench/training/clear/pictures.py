"""Reads the pictures of a sample: sizes on the grid, patches, and latent tokens.

Every transform is applied to the original picture. The ViT reads the degraded picture by its own rule,
and the clean one at as many patches as it has latent tokens. Each latent is a sample of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import torch
from PIL import Image
from torch import Tensor

from mmdbench.bagel.images import patches, pixel_values, resized, target_size, to_cells
from mmdbench.bagel.settings import Sizes
from mmdbench.bagel.vae import Autoencoder
from mmdbench.training.clear.layout import CLEAN
from mmdbench.training.clear.segments import SequenceSegment, noised

__all__ = ["PictureReader", "PictureSizes", "shifted_time"]

Grid = tuple[int, int]
Draw = Callable[[tuple[int, ...]], Tensor]


@dataclass(frozen=True, slots=True)
class PictureSizes:
    """The rules by which pictures are resized, and the pixels of a patch on each side."""

    sizes: Sizes
    patch: int

    def vae_grid(self, width: int, height: int) -> Grid:
        """Rows and columns of the latent tokens of a picture of that size in pixels."""
        columns, rows = target_size(width, height, self.sizes.vae_transform)
        return rows // self.sizes.token_pixels, columns // self.sizes.token_pixels

    def vit_grid(self, width: int, height: int) -> Grid:
        """Rows and columns of the patches of a picture of that size in pixels."""
        columns, rows = target_size(width, height, self.sizes.vit_transform)
        return rows // self.patch, columns // self.patch


@dataclass(frozen=True, slots=True)
class PictureReader:
    """Fills the segments of a sample from its pictures, on the autoencoder's device."""

    layout: PictureSizes
    autoencoder: Autoencoder
    timestep_shift: float

    def fill(
        self, segments: Iterable[SequenceSegment], pictures: Mapping[str, Image.Image], draw: Draw
    ) -> tuple[SequenceSegment, ...]:
        """The segments with the tokens of their pictures.

        Args:
            segments: The segments of a sample; dropped ones are not read, and draw nothing.
            pictures: The original pictures, RGB, by the names that segments give them.
            draw: Standard normal numbers of a shape.

        Returns:
            The segments in order.
        """
        return tuple(
            s if s.dropped or s.kind == "text" else self._read(s, pictures[s.picture], draw) for s in segments
        )

    def _read(self, segment: SequenceSegment, picture: Image.Image, draw: Draw) -> SequenceSegment:
        if segment.kind == "vit":
            return replace(segment, tokens=self.patches(picture, segment))
        clean = self.latent(picture, draw)
        if segment.kind == "vae":
            return replace(segment, tokens=clean)
        t = shifted_time(float(draw(())), self.timestep_shift)
        return noised(segment, clean, draw(tuple(clean.shape)), t)

    def patches(self, picture: Image.Image, segment: SequenceSegment) -> Tensor:
        """The patches [count, values] of a picture at the size that its segment says."""
        rows, columns = segment.grid
        side = self.layout.patch
        if segment.picture == CLEAN:
            small = picture.resize((columns * side, rows * side), Image.Resampling.BICUBIC)
        else:
            small = resized(picture, self.layout.sizes.vit_transform)
        return patches(pixel_values(small), side)

    @torch.no_grad()
    def latent(self, picture: Image.Image, draw: Draw) -> Tensor:
        """The latent tokens [count, token values] of a picture, a sample, in float32."""
        vae, sizes = self.autoencoder, self.layout.sizes
        values = pixel_values(resized(picture, sizes.vae_transform))
        moments = vae.moments(values[None].to(next(vae.parameters()).device))
        noise = draw((1, moments.shape[1] // 2, *moments.shape[2:]))
        return to_cells(vae.latent(moments, noise)[0], sizes.latent_patch).cpu()


def shifted_time(draw: float, shift: float) -> float:
    """The noise level of a normal draw: its sigmoid, then moved towards 1 by a shift above 1.

    >>> shifted_time(0.0, 1.0), shifted_time(0.0, 3.0)
    (0.5, 0.75)
    """
    t = torch.tensor(draw).sigmoid()
    return float(shift * t / (1 + (shift - 1) * t))
