"""A cell becomes a degraded image: the same pixels on any machine, in any order, by any worker.

A variant is a recipe, not a file. Its pixels follow from the clean pixels, the corruption, the
intensity, the profile, the spec's version, the seed and the codec; whether they are made on the
fly for a model or written to disk by a build makes no difference.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmdbench.corruptions import apply, image_seed, sample
from mmdbench.corruptions.spec import Spec
from mmdbench.records import CLEAN, RECODED, Cell, ImageBytes, Recipe, RunPlan, Variant
from mmdbench.system.digest import pixel_digest
from mmdbench.system.images import decode_image
from mmdbench.variants.codec import Codec, decode_encoded, encode, parse_codec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "RELEASED",
    "SOURCE",
    "CleanImage",
    "apply_recipe",
    "clean_image",
    "make_variant",
    "recipe_for",
]

SOURCE = "source"
"""The codec of a clean image: the benchmark's own bytes, or PNG where those cannot be passed on."""

RELEASED = "released"
"""The codec of a picture in the authors' degraded files: that file's bytes, passed on as they are."""


@dataclass(frozen=True, slots=True)
class CleanImage:
    """A decoded image of a benchmark: RGB pixels (H×W×3, uint8), their digest, and its bytes."""

    pixels: NDArray[np.uint8]
    digest: str
    source: ImageBytes


def clean_image(data: bytes, where: str) -> CleanImage:
    """Decode an image of a benchmark, upright and as RGB; `where` names it in errors.

    Its `source` are the benchmark's own bytes if any decoder shows the same pixels for them;
    else (EXIF rotation, palette, alpha, CMYK, 16 bit, animation) a PNG of the pixels, so that
    the clean and the degraded arm always see the same picture.
    """
    pixels = decode_image(data, where)
    plain = _plain_mime(data)
    source = ImageBytes(data, plain) if plain else encode(pixels, Codec("png"))
    return CleanImage(pixels, pixel_digest(pixels), source)


def recipe_for(cell: Cell, image: str, plan: RunPlan, spec: Spec) -> Recipe:
    """The recipe of one image of a cell; `image` is the digest of its clean pixels.

    Under the design `released` that of a degraded cell is of the released pixels, and nothing is
    done to them.
    """
    if plan.design == "released" and cell.level not in (CLEAN, RECODED):
        return Recipe(image, None, None, "", "", 0, RELEASED)
    corrupted = cell.corruption is not None
    codec = parse_codec(plan.codec)
    return Recipe(
        image=image,
        corruption=cell.corruption,
        intensity=spec.intensities[cell.level] if corrupted else None,
        profile=plan.profile if corrupted else "",
        spec_version=spec.version if corrupted else "",
        seed=plan.seed if corrupted else 0,
        codec=SOURCE if cell.level == CLEAN else str(codec),
    )


def make_variant(clean: CleanImage, recipe: Recipe) -> Variant:
    """Carry out a recipe on the image it was made for."""
    if recipe.corruption is None:
        return apply_recipe(clean, recipe, {})
    seed = image_seed(clean.digest, recipe.corruption, recipe.seed)
    params = sample(
        recipe.corruption,
        clean.pixels.shape[:2],
        intensity=recipe.intensity,
        seed=seed,
        profile=recipe.profile,
    )
    return apply_recipe(clean, recipe, params)


def apply_recipe(clean: CleanImage, recipe: Recipe, params: Mapping[str, Any]) -> Variant:
    """Carry out a recipe with what was drawn for it before, as a manifest records it."""
    if recipe.codec in (SOURCE, RELEASED):
        return Variant(recipe, {}, clean.source, clean.digest)
    pixels = clean.pixels
    if recipe.corruption is not None:
        pixels = apply(recipe.corruption, clean.pixels, params)
    image = encode(pixels, parse_codec(recipe.codec))
    seen = pixels if image.mime == "image/png" else decode_encoded(image)
    no_op = recipe.corruption is not None and bool((pixels == clean.pixels).all())
    return Variant(recipe, params, image, pixel_digest(seen), no_op)


def _plain_mime(data: bytes) -> str:
    from PIL import Image

    with Image.open(io.BytesIO(data)) as image:
        upright = image.getexif().get(0x0112, 1) == 1
        still = getattr(image, "n_frames", 1) == 1
        if upright and still and image.mode == "RGB" and image.format in ("JPEG", "PNG", "WEBP"):
            return Image.MIME[image.format]
    return ""
