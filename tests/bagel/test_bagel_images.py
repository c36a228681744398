"""Sizes, pixel values, patches and position ids."""

from __future__ import annotations

from clear_checkpoints import picture, torch  # isort: skip

import io

import pytest
from PIL import Image

from mmdbench.bagel.images import (
    cell_ids,
    from_cells,
    open_picture,
    patches,
    pixel_values,
    resized,
    target_size,
    to_cells,
)
from mmdbench.bagel.settings import Sizes, Transform

VAE, VIT = Sizes().vae_transform, Sizes().vit_transform


@pytest.mark.parametrize(
    ("size", "vae", "vit"),
    [
        ((640, 480), (688, 512), (518, 392)),
        ((1024, 1024), (1024, 1024), (518, 518)),
        # 259 pixels are 18.5 patches, and half goes to even.
        ((2000, 1000), (1024, 512), (518, 252)),
        # Aspect ratios above 6.9 meet the rule on areas, which scales sides.
        ((74, 1889), (48, 1024), (28, 518)),
    ],
)
def test_target_sizes(size: tuple[int, int], vae: tuple[int, int], vit: tuple[int, int]) -> None:
    assert target_size(*size, VAE) == vae
    assert target_size(*vae, VAE) == vae
    assert target_size(*vae, VIT)[0] % 14 == 0
    if size[0] > 100:
        assert target_size(*vae, VIT) == vit


def test_rounding_is_half_to_even() -> None:
    rule = Transform(100, 10, 4)
    assert target_size(18, 22, rule) == (16, 24)


def test_sizes_fit_the_position_grids() -> None:
    """No picture has more cells on a side than the fixed grids."""
    sizes = Sizes()
    for width in range(30, 4000, 217):
        for height in range(30, 4000, 211):
            w, h = target_size(width, height, VAE)
            assert max(w, h) // 16 <= sizes.latent_side
            assert max(target_size(w, h, VIT)) // 14 <= sizes.vit_side


def test_transparency_is_dropped_or_laid_on_white() -> None:
    rgba = Image.new("RGBA", (8, 8), (200, 10, 30, 0))
    file = io.BytesIO()
    rgba.save(file, "PNG")
    assert open_picture(file.getvalue()).getpixel((3, 3)) == (200, 10, 30)
    assert open_picture(file.getvalue(), on_white=True).getpixel((3, 3)) == (255, 255, 255)


def test_pixel_values_are_centred() -> None:
    values = pixel_values(Image.new("RGB", (4, 6), (0, 255, 51)))
    assert values.shape == (3, 6, 4)
    assert values[:, 0, 0].tolist() == pytest.approx([-1.0, 1.0, -0.6])


def test_patches_are_in_raster_order_with_channels_last() -> None:
    values = torch.arange(2 * 4 * 6).reshape(2, 4, 6)
    cut = patches(values, 2)
    assert cut.shape == (6, 8)
    assert cut[1].tolist() == [2, 26, 3, 27, 8, 32, 9, 33]


def test_cells_come_back() -> None:
    latent = torch.randn(4, 8, 12, generator=torch.Generator().manual_seed(0))
    assert torch.equal(from_cells(to_cells(latent, 2), 4, 6, 2), latent)


def test_ids_use_the_fixed_grid() -> None:
    assert cell_ids(2, 3, 70).tolist() == [0, 1, 2, 70, 71, 72]


def test_resized_uses_width_and_height_in_their_order() -> None:
    assert resized(picture(1, 300, 200), VAE).size == (768, 512)
