"""Which functions make which corruption: the one table to add a line to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmdbench.corruptions import capture, environmental, post_processing, transmission
from mmdbench.corruptions._params import Field, Params
from mmdbench.corruptions._random import Stream
from mmdbench.corruptions.spec import Values

__all__ = ["REGISTRY", "Corruption"]

Image = NDArray[np.uint8]
Sampler = Callable[[Values, tuple[int, int], Stream], dict[str, Any]]
Applier = Callable[[Image, Params], Image]


@dataclass(frozen=True, slots=True)
class Corruption:
    """A corruption's two functions and its parameters; `published` ones may be left out of params.

    Those take the value that the spec gives to every level in the profile `paper`.
    """

    sample: Sampler
    apply: Applier
    fields: Mapping[str, Field]
    published: tuple[str, ...] = ()


def _of(module: Any, name: str, *published: str) -> Corruption:
    return Corruption(
        getattr(module, f"sample_{name}"),
        getattr(module, f"apply_{name}"),
        getattr(module, name.upper()),
        published,
    )


REGISTRY: Mapping[str, Corruption] = {
    "lens_blur": _of(capture, "lens_blur"),
    "lens_flare": _of(capture, "lens_flare", "blur_size", "ray_thickness"),
    "motion_blur": _of(capture, "motion_blur"),
    "dirty_lens": _of(capture, "dirty_lens", "blur_sigma"),
    "hsv_saturation": _of(capture, "hsv_saturation"),
    "jpeg_compression": _of(transmission, "jpeg_compression"),
    "block_exchange": _of(transmission, "block_exchange"),
    "mean_shift": _of(transmission, "mean_shift"),
    "scan_lines": _of(transmission, "scan_lines"),
    "dark_illumination": _of(environmental, "dark_illumination"),
    "atmospheric_turbulence": _of(environmental, "atmospheric_turbulence", "period_px", "vertical_ratio"),
    "gaussian_noise": _of(environmental, "gaussian_noise"),
    "color_diffusion": _of(environmental, "color_diffusion"),
    "sharpness_change": _of(post_processing, "sharpness_change"),
    "graffiti": _of(post_processing, "graffiti"),
    "watermark_damage": _of(post_processing, "watermark_damage", "edge_gain"),
}
