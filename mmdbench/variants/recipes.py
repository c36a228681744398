"""Recipes of degraded images, and the variants made from them.

A variant's pixels follow from its recipe alone: the clean pixels, the corruption, the intensity, the
profile, the spec's version, the seed and the codec. They are the same on any machine and in any
order, for a model that is asked at once and for a build on disk.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from mmdbench import corruptions
from mmdbench.corruptions.spec import Spec
from mmdbench.errors import ImageDecodeError, ImageInputError, ParamsError
from mmdbench.records import (
    CLEAN,
    UNALTERED,
    UNDEGRADED,
    Cell,
    ImageBytes,
    Recipe,
    RunPlan,
    Variant,
    chain_steps,
)
from mmdbench.system.color_profiles import profile_digest
from mmdbench.system.digest import pixel_digest
from mmdbench.system.images import MAX_PIXELS, decode_image, encoding_of
from mmdbench.system.pixel_budget import PIXELS_AT_WORK, out_of_memory
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
    "degrading",
    "make_variant",
    "recipe_for",
]

SOURCE = "source"
"""The codec of a clean image: the benchmark's own bytes, or PNG if decoders may differ on those."""

RELEASED = "released"
"""The codec of a picture in the authors' degraded files: its bytes, unchanged."""


@dataclass(frozen=True, slots=True)
class CleanImage:
    """A decoded image of a benchmark: RGB pixels (H×W×3, uint8), their digest, its bytes and its place.

    `icc` is the ICC profile of the pixels, empty without one.
    """

    pixels: NDArray[np.uint8]
    digest: str
    source: ImageBytes
    where: str = "a picture"
    icc: bytes = b""

    @property
    def icc_digest(self) -> str:
        """SHA-256 of the profile; empty without one."""
        return profile_digest(self.icc)


def clean_image(data: bytes, where: str, max_pixels: int = MAX_PIXELS) -> CleanImage:
    """Decode an image of a benchmark, upright and as RGB.

    `source` holds the benchmark's own bytes if every decoder gives the same pixels for them;
    otherwise (EXIF rotation, palette, alpha, CMYK, 16 bit, animation) a PNG of the pixels, so that
    the clean and the degraded arms always show the same picture. A profile of grey or CMYK does not
    describe the pixels and is dropped from both.

    Args:
        data: The encoded image.
        where: The place of the image, for messages.
        max_pixels: The largest width × height to decode, and the most that threads work on at once.

    Returns:
        The decoded image.

    Raises:
        ImageDecodeError: The data is truncated, too large or not an image.
        MmdbenchError: There is not enough memory for it.
    """
    pixels = decode_image(data, where, max_pixels=max_pixels)
    plain, icc = encoding_of(data, where)
    clean = CleanImage(pixels, pixel_digest(pixels), ImageBytes(data, plain), where, icc)
    if plain:
        return clean
    with degrading(clean, "png", max_pixels):
        return replace(clean, source=encode(pixels, Codec("png"), icc))


def recipe_for(cell: Cell, image: str, plan: RunPlan, spec: Spec, icc: str = "") -> Recipe:
    """The recipe of one image of a cell.

    Args:
        cell: The question, level and corruption.
        image: The digest of the clean pixels; of the released pixels for a degraded cell under the
            design `released`, which are not changed.
        plan: The run's design, profile, seed and codec.
        spec: Gives the intensity of the level.
        icc: The digest of the image's ICC profile; empty without one.

    Returns:
        The recipe.
    """
    if plan.design == "released" and cell.level not in UNDEGRADED:
        return Recipe(image, None, None, "", "", 0, RELEASED, icc)
    corrupted = cell.corruption is not None
    codec = parse_codec(plan.codec)
    return Recipe(
        image=image,
        corruption=cell.corruption,
        intensity=spec.intensity(cell.level, cell.corruption) if corrupted else None,
        profile=plan.profile if corrupted else "",
        spec_version=spec.version_of(cell.corruption) if corrupted else "",
        seed=plan.seed if corrupted else 0,
        codec=SOURCE if cell.level in (CLEAN, UNALTERED) else str(codec),
        icc=icc,
        code=spec.code(cell.corruption),
    )


def make_variant(clean: CleanImage, recipe: Recipe, max_pixels: int = MAX_PIXELS) -> Variant:
    """Make the variant of a recipe from the clean image that the recipe names.

    The corruptions of a chain are drawn as those of `Chain.of`: each layout follows from the clean image.

    Args:
        clean: The clean image.
        recipe: The recipe.
        max_pixels: The most pixels of pictures that threads work on at once.

    Returns:
        The variant.

    Raises:
        ImageDecodeError: The picture is too large for the corruption or the codec.
        IncomparableError: The recipe names code from outside of mmdbench that is not here, or other code.
        MmdbenchError: There is not enough memory for it, or code from outside fails.
    """
    _require_code(recipe)
    drawn = {}
    with degrading(clean, recipe.corruption or recipe.codec, max_pixels):
        for name in chain_steps(recipe.corruption):
            seed = corruptions.image_seed(clean.digest, name, recipe.seed)
            drawn[name] = corruptions.sample(
                name, clean.pixels.shape, intensity=recipe.intensity, seed=seed, profile=recipe.profile
            )
        return apply_recipe(clean, recipe, drawn if len(drawn) != 1 else drawn[name])


@contextmanager
def degrading(clean: CleanImage, made: str, max_pixels: int = MAX_PIXELS) -> Iterator[None]:
    """Context in which a picture is degraded, begun when there is memory; errors name the picture.

    Args:
        clean: The clean image.
        made: What is made of it, for messages.
        max_pixels: The most pixels of pictures that threads work on at once.

    Yields:
        Nothing.

    Raises:
        ImageDecodeError: The picture is too large for a corruption or the codec.
        MmdbenchError: There is not enough memory for it.
    """
    import cv2

    height, width = clean.pixels.shape[:2]
    with PIXELS_AT_WORK.hold(width * height, max_pixels):
        try:
            yield
        except (cv2.error, ImageInputError, ParamsError, MemoryError) as error:
            if isinstance(error, MemoryError) or getattr(error, "code", 0) == cv2.Error.StsNoMem:
                raise out_of_memory(clean.where, width, height) from error
            reason = getattr(error, "message", "") or f"OpenCV refuses a picture of {width}×{height} px."
            raise ImageDecodeError(f"{clean.where}: no picture with {made}: {reason}") from error


def apply_recipe(clean: CleanImage, recipe: Recipe, params: Mapping[str, Any]) -> Variant:
    """Make the variant of a recipe with parameters that were drawn before.

    Args:
        clean: The clean image that the recipe names.
        recipe: The recipe.
        params: The parameters of the corruption, as a manifest records them; empty without one, and
            those of each by its name for a chain.

    Returns:
        The variant.
    """
    if recipe.codec in (SOURCE, RELEASED):
        return Variant(recipe, {}, clean.source, clean.digest)
    _require_code(recipe)
    pixels = clean.pixels
    steps = chain_steps(recipe.corruption)
    for name in steps:
        pixels = corruptions.apply(name, pixels, params if len(steps) == 1 else params[name])
    # A recipe of a time when profiles were dropped has no digest of one, and gives the bytes of that time.
    image = encode(pixels, parse_codec(recipe.codec), clean.icc if recipe.icc else b"")
    decoded = pixels if image.mime == "image/png" else decode_encoded(image)
    no_op = recipe.corruption is not None and _equal(pixels, clean.pixels)
    return Variant(recipe, params, image, pixel_digest(decoded), no_op)


def _equal(pixels: NDArray[np.uint8], others: NDArray[np.uint8]) -> bool:
    """True for two pictures of one shape with the same pixels; most others differ in the first few rows."""
    return all(bool((pixels[at : at + 16] == others[at : at + 16]).all()) for at in range(0, len(pixels), 16))


def _require_code(recipe: Recipe) -> None:
    from mmdbench.corruptions.plugins import require_code

    codes = recipe.code.split("+") if recipe.code else ()
    for name, code in zip_longest(chain_steps(recipe.corruption), codes, fillvalue=""):
        require_code(name, code)
