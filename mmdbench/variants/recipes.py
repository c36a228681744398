"""A cell becomes a degraded image: the same pixels on any machine, in any order, by any worker.

A variant is a recipe, not a file. Its pixels follow from the clean pixels, the corruption, the
intensity, the profile, the spec's version, the seed and the codec; whether they are made on the
fly for a model or written to disk by a build makes no difference.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmdbench.corruptions import apply, image_seed, sample
from mmdbench.corruptions.spec import Spec
from mmdbench.errors import UsageError
from mmdbench.records import CLEAN, RECODED, Cell, ImageBytes, Recipe, RunPlan, Variant
from mmdbench.system.digest import pixel_digest
from mmdbench.system.images import decode_image

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "RELEASED",
    "SOURCE",
    "Codec",
    "clean_image",
    "encode",
    "make_variant",
    "one_thread_each",
    "parse_codec",
    "recipe_for",
]

SOURCE = "source"
"""The codec of a clean image: the benchmark's own bytes, or PNG where those cannot be passed on."""

RELEASED = "released"
"""The codec of a picture in the authors' degraded files: that file's bytes, passed on as they are."""

_LIMITS = {"jpeg": (1, 100), "webp": (1, 100)}
_SIDE_LIMITS = {"jpeg": 65_500, "webp": 16_383}


@dataclass(frozen=True, slots=True)
class Codec:
    """How an image is encoded: `jpeg:Q` (baseline, 4:2:0), `webp:Q` or `png` (lossless, quality 0)."""

    name: str
    quality: int = 0

    @property
    def mime(self) -> str:
        """The media type, for example `image/jpeg`."""
        return f"image/{self.name}"


@dataclass(frozen=True, slots=True)
class CleanImage:
    """A decoded image of a benchmark: RGB pixels (H×W×3, uint8), their digest, and its bytes."""

    pixels: NDArray[np.uint8]
    digest: str
    source: ImageBytes


def parse_codec(text: str) -> Codec:
    """Read `jpeg:95`, `jpeg` (95), `webp:80`, `webp` (80) or `png`."""
    name, colon, quality = text.partition(":")
    default = {"jpeg": 95, "webp": 80, "png": 0}
    if name in default and not colon:
        return Codec(name, default[name])
    if name in _LIMITS and quality.isascii() and quality.isdigit():
        low, high = _LIMITS[name]
        if low <= int(quality) <= high:
            return Codec(name, int(quality))
    raise UsageError(
        f"Cannot read the codec {text!r}.", hint="Write jpeg:95, webp:80 (quality 1 to 100) or png."
    )


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
        codec=SOURCE
        if cell.level == CLEAN
        else f"{codec.name}:{codec.quality}"
        if codec.quality
        else codec.name,
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
    seen = pixels if image.mime == "image/png" else _decode_own(image)
    no_op = recipe.corruption is not None and bool((pixels == clean.pixels).all())
    return Variant(recipe, params, image, pixel_digest(seen), no_op)


def encode(pixels: NDArray[np.uint8], codec: Codec) -> ImageBytes:
    """Encode RGB pixels (H×W×3, uint8); JPEG is baseline with 4:2:0 chroma, as in the release.

    Raises UsageError for a picture with more pixels to a side than the codec can hold.
    """
    if codec.name != "png" and max(pixels.shape[:2]) > _SIDE_LIMITS[codec.name]:
        height, width = pixels.shape[:2]
        raise UsageError(
            f"{codec.name} cannot hold a picture of {width}×{height} pixels.", hint="Use the codec png."
        )
    data = _encode_jpeg(pixels, codec.quality) if codec.name == "jpeg" else _encode_by_pillow(pixels, codec)
    return ImageBytes(data, codec.mime)


def _encode_jpeg(pixels: NDArray[np.uint8], quality: int) -> bytes:
    # Pillow writes the same bytes, but holds the interpreter's lock meanwhile and takes half as long again.
    import cv2

    settings = [cv2.IMWRITE_JPEG_QUALITY, quality]
    settings += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420]
    done, data = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), settings)
    assert done
    return bytes(data)


def _encode_by_pillow(pixels: NDArray[np.uint8], codec: Codec) -> bytes:
    from PIL import Image

    options: dict[str, Any] = {"webp": {"quality": codec.quality, "method": 4}, "png": {"compress_level": 1}}[
        codec.name
    ]
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, codec.name.upper(), **options)
    return buffer.getvalue()


def _decode_own(image: ImageBytes) -> NDArray[np.uint8]:
    """The pixels of a picture that `encode` made: as `decode_image` does it, three times as fast."""
    if image.mime != "image/jpeg":
        return decode_image(image.data, "a variant just encoded")
    import cv2
    import numpy as np

    found = cv2.imdecode(np.frombuffer(image.data, np.uint8), cv2.IMREAD_COLOR)
    assert found is not None
    return np.asarray(cv2.cvtColor(found, cv2.COLOR_BGR2RGB), np.uint8)


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Keep OpenCV to one thread per caller while several variants are made at once."""
    import cv2

    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def _plain_mime(data: bytes) -> str:
    from PIL import Image

    with Image.open(io.BytesIO(data)) as image:
        upright = image.getexif().get(0x0112, 1) == 1
        still = getattr(image, "n_frames", 1) == 1
        if upright and still and image.mode == "RGB" and image.format in ("JPEG", "PNG", "WEBP"):
            return Image.MIME[image.format]
    return ""
