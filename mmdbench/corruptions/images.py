"""Conversion of any 8-bit image to RGB pixels and back to the same kind of image."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mmdbench.errors import ImageDecodeError, ImageInputError

if TYPE_CHECKING:
    from PIL import Image as PilImage

__all__ = ["MAX_SIDE", "as_rgb", "grey_of"]

Image = NDArray[np.uint8]
Restore = Callable[[Image], Any]

MAX_SIDE = 32766
"""The longest side, in px, that every function of OpenCV takes; `remap` takes no 32,767."""

_KINDS = "Give a PIL.Image or a uint8 array H×W, H×W×1, H×W×3 (RGB) or H×W×4 (RGBA)."
_PIL_HINTS = {
    "F": "Scale it to 0..255 first, for values in 0..1: "
    "Image.fromarray((np.asarray(image).clip(0, 1) * 255).astype('uint8')).",
}
_PIL_16_BIT = (
    "Bring it to 8 bits first: Image.fromarray((np.asarray(image) >> 8).astype('uint8')) if it holds 16 bits."
)


def as_rgb(image: object) -> tuple[Image, Restore]:
    """RGB pixels of an image, and a function that makes an image of the same kind from other RGB pixels.

    The pixels are H×W×3 uint8 and must not be written to. Those of a PIL image are upright by its EXIF
    orientation. The function keeps type, mode, shape, dtype, alpha and orientation. Raises ImageInputError
    for anything but an 8-bit image.
    """
    if isinstance(image, np.ndarray):
        return _array_as_rgb(image)
    if type(image).__module__.startswith("PIL.") or hasattr(image, "getbands"):
        from PIL import Image as PilImage

        if isinstance(image, PilImage.Image):
            return _pil_as_rgb(image)
    if isinstance(image, (str, bytes)) or hasattr(image, "__fspath__"):
        hint = "Open the file first: PIL.Image.open(path)."
    elif type(image).__module__.partition(".")[0] in ("torch", "tensorflow", "jax"):
        hint = "Convert it to a uint8 array H×W×3 with values 0..255 first."
    else:
        hint = _KINDS
    raise ImageInputError(f"A {type(image).__name__} is not an image.", hint=hint)


def grey_of(rgb: Image) -> Image:
    """Grey of RGB as in PIL's "L": (19595·R + 38470·G + 7471·B + 32768) >> 16; equal channels stay."""
    red, green, blue = (rgb[..., k].astype(np.uint32) for k in range(3))
    return ((19595 * red + 38470 * green + 7471 * blue + 32768) >> 16).astype(np.uint8)


def _check_size(shape: tuple[int, ...]) -> None:
    if 0 in shape:
        raise ImageInputError(f"The image is empty: its shape is {shape}.", hint="Give at least 1×1 px.")
    if max(shape[:2]) > MAX_SIDE:
        raise ImageInputError(
            f"The image is too large: {shape[1]}×{shape[0]} px.", hint=f"Give at most {MAX_SIDE} px per side."
        )


def _array_as_rgb(array: NDArray[Any]) -> tuple[Image, Restore]:
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        raise ImageInputError(f"An array of shape {array.shape} is not an image.", hint=_array_hint(array))
    if array.dtype != np.uint8:
        raise ImageInputError(
            f"An array of dtype {array.dtype} cannot be corrupted.", hint=_dtype_hint(array.dtype)
        )
    _check_size(array.shape)
    pixels = np.ascontiguousarray(np.asarray(array))
    if pixels.ndim == 2 or pixels.shape[2] == 1:
        grey = pixels.reshape(pixels.shape[:2])
        return np.repeat(grey[..., None], 3, axis=2), lambda rgb: grey_of(rgb).reshape(array.shape)
    if pixels.shape[2] == 3:
        return pixels, lambda rgb: rgb
    alpha = pixels[..., 3:]
    return np.ascontiguousarray(pixels[..., :3]), lambda rgb: np.concatenate([rgb, alpha], axis=2)


def _array_hint(array: NDArray[Any]) -> str:
    if array.ndim == 3 and array.shape[0] in (1, 3, 4):
        return "Put the channels last: array.transpose(1, 2, 0)."
    if array.ndim == 4:
        return "Give the images one by one or as a list: corrupt(list(array), ...)."
    return _KINDS


def _dtype_hint(dtype: np.dtype[Any]) -> str:
    if dtype.kind == "f":
        return "Convert it to uint8 first: (array * 255).round().astype('uint8') if its values are in 0..1."
    if dtype == np.bool_:
        return "Convert it to uint8 first: array.astype('uint8') * 255."
    if dtype.kind in "iu":
        return (
            "Convert it to uint8 first: array.astype('uint8'), or (array >> 8).astype('uint8') for 16 bits."
        )
    return _KINDS


def _pil_as_rgb(image: PilImage.Image) -> tuple[Image, Restore]:
    from mmdbench.corruptions.orientation import described_as, orientation_of, stored, upright

    _check_size((image.height, image.width))
    _load(image)
    pixels, back = _stored_as_rgb(image)
    orientation = orientation_of(image)
    return upright(pixels, orientation), lambda rgb: described_as(back(stored(rgb, orientation)), image)


def _stored_as_rgb(image: PilImage.Image) -> tuple[Image, Restore]:
    """RGB pixels of a loaded image, not turned, and the function that makes such an image of others."""
    if image.mode in ("P", "PA"):
        return _palette_as_rgb(image)
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        raise ImageInputError(
            f"A PIL image of mode {image.mode!r} cannot be corrupted.",
            hint=_PIL_HINTS.get(image.mode, _PIL_16_BIT),
        )
    if image.mode == "LAB":
        rgb, back = _from_lab(image)
    elif image.mode in _OPAQUE:
        rgb, back = image.convert("RGB"), _back_to(image.mode)
    elif image.mode in _WITH_FOURTH:
        rgb, back = _with_fourth(image)
    else:
        raise ImageInputError(
            f"A PIL image of mode {image.mode!r} cannot be corrupted.",
            hint="Convert it first: image.convert('RGB').",
        )

    def restore(pixels: Image) -> PilImage.Image:
        result = back(_pil(pixels))
        result.info = dict(image.info)
        return result

    return np.array(rgb, dtype=np.uint8), restore


def _load(image: PilImage.Image) -> None:
    # Pillow decodes an image that was opened from a file only here.
    try:
        image.load()
    except Exception as error:  # Pillow's decoders raise nearly every built-in kind on broken data
        name = getattr(image, "filename", "")
        raise ImageDecodeError(
            f"The picture{f' {name}' if name else ''} cannot be decoded: {error}.",
            hint="Its file may be incomplete, or closed already.",
        ) from error


_OPAQUE = ("1", "L", "RGB", "CMYK", "YCbCr", "HSV")
_WITH_FOURTH = ("LA", "La", "RGBA", "RGBa", "RGBX")
_PilToPil = Callable[["PilImage.Image"], "PilImage.Image"]


def _pil(pixels: Image, mode: str = "RGB") -> PilImage.Image:
    from PIL import Image as PilImage

    return PilImage.frombytes(
        mode, (pixels.shape[1], pixels.shape[0]), np.ascontiguousarray(pixels).tobytes()
    )


def _back_to(mode: str) -> _PilToPil:
    from PIL import Image as PilImage

    if mode == "1":
        # Not dithered: a scanned page stays black on white.
        return lambda rgb: rgb.convert("1", dither=PilImage.Dither.NONE)
    return lambda rgb: rgb.convert(mode)


def _with_fourth(image: PilImage.Image) -> tuple[PilImage.Image, _PilToPil]:
    """The RGB image without alpha (or the unused X), and the function that adds it again."""
    plain = image.convert({"La": "LA", "RGBa": "RGBA"}.get(image.mode, image.mode))
    # NumPy gets an RGBX image without its fourth channel; its bytes hold it.
    bands = len(plain.getbands())
    fourth = np.frombuffer(plain.tobytes(), np.uint8).reshape(plain.height, plain.width, bands)[..., -1:]
    grey = plain.mode == "LA"

    def back(rgb: PilImage.Image) -> PilImage.Image:
        colour = np.array(rgb.convert("L"))[..., None] if grey else np.array(rgb)
        return _pil(np.concatenate([colour, fourth], axis=2), plain.mode).convert(image.mode)

    return plain.convert("L" if grey else "RGB").convert("RGB"), back


def _from_lab(image: PilImage.Image) -> tuple[PilImage.Image, _PilToPil]:
    from PIL import ImageCms

    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    forth = ImageCms.buildTransform(lab, srgb, "LAB", "RGB")
    back = ImageCms.buildTransform(srgb, lab, "RGB", "LAB")

    def there(one: PilImage.Image, transform: Any) -> PilImage.Image:
        result = ImageCms.applyTransform(one, transform)
        assert result is not None
        return result

    return there(image, forth), lambda rgb: there(rgb, back)


def _palette_as_rgb(image: PilImage.Image) -> tuple[Image, Restore]:
    """RGB pixels of a P or PA image, and a function that makes such an image from RGB pixels.

    Up to 256 colours are kept exactly; more are reduced to 256 by median cut, without dithering. In P
    images with transparency the 256 entries are divided equally among the alpha values in use.
    """
    rgba = np.array(image.convert("RGBA"), dtype=np.uint8)
    alpha = rgba[..., 3]

    def restore(pixels: Image) -> PilImage.Image:
        split = image.mode == "P" and "transparency" in image.info
        indices, palette, opacity = _indexed(pixels, alpha if split else np.zeros_like(alpha))
        return _assembled(image, indices, palette, opacity if split else None, alpha)

    return np.ascontiguousarray(rgba[..., :3]), restore


def _assembled(
    image: PilImage.Image, indices: Image, palette: list[int], opacity: bytes | None, alpha: Image
) -> PilImage.Image:
    from PIL import Image as PilImage

    size, info = (image.width, image.height), dict(image.info)
    if image.mode == "PA":
        result = PilImage.frombytes("PA", size, np.stack([indices, alpha], axis=-1).tobytes())
    else:
        result = PilImage.frombytes("P", size, indices.tobytes())
    result.putpalette(palette)
    result.info = info
    if opacity is not None:
        result.info["transparency"] = opacity
    return result


def _indexed(pixels: Image, groups: Image) -> tuple[Image, list[int], bytes]:
    """Index per pixel, palette, and the group (alpha value) of each palette entry."""
    indices = np.zeros(groups.shape, np.uint8)
    palette: list[int] = []
    opacity: list[int] = []
    values = np.unique(groups)
    for value in values:
        chosen = groups == value
        entries, index = _quantised(pixels[chosen], 256 // len(values))
        indices[chosen] = index + len(opacity)
        palette += entries.ravel().tolist()
        opacity += [int(value)] * len(entries)
    return indices, palette, bytes(opacity)


def _quantised(colors: Image, most: int) -> tuple[Image, Image]:
    """At most `most` colours (N×3) for colours (M×3), and the index of each."""
    from PIL import Image as PilImage

    entries, index = np.unique(colors, axis=0, return_inverse=True)
    if len(entries) <= most:
        return entries, index.reshape(-1).astype(np.uint8)
    strip = PilImage.frombytes("RGB", (len(colors), 1), np.ascontiguousarray(colors).tobytes())
    reduced = strip.quantize(most, PilImage.Quantize.MEDIANCUT, dither=PilImage.Dither.NONE)
    table = np.array(reduced.getpalette(), np.uint8).reshape(-1, 3)
    return table[:most], np.array(reduced, np.uint8).ravel()
