"""Restoration of images before a model gets them.

A restorer is a pure function from pixels to pixels of the same shape. It is one of the shipped ones,
a function by `module:function`, a function that a package registers under the entry-point group
`mmdbench.restorers`, an ONNX file, or a card in a TOML file::

    [my-net]
    onnx = "weights/net.onnx"     # or: function = "package.module:restore"
    multiple = 8                  # pad height and width (by reflection) to multiples of this

An ONNX network takes and returns one float32 tensor, 1×3×H×W, RGB, 0..1.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import lru_cache
from importlib import import_module, util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdbench.errors import MissingExtraError, ModelError, UnknownNameError, UsageError
from mmdbench.records import Variant
from mmdbench.system.bounds import require_between
from mmdbench.system.digest import bytes_digest, pixel_digest
from mmdbench.system.images import NO_LIMIT, decode_image, encoding_of
from mmdbench.system.secrets import error_text
from mmdbench.system.toml import parse_toml
from mmdbench.variants.codec import Codec, encode
from mmdbench.variants.restorers import SHIPPED, SHIPPED_VERSION

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mmdbench.variants.restorers import Restore

__all__ = ["ENTRY_POINTS", "Restorer", "open_restorer", "restored"]

ENTRY_POINTS = "mmdbench.restorers"


@dataclass(frozen=True, slots=True)
class Restorer:
    """A loaded restorer; `identity` is JSON-able and holds everything that its pixels depend on."""

    name: str
    identity: Mapping[str, Any]
    function: Restore
    _turn: threading.Lock | None = field(default=None, repr=False, compare=False)
    _opened_by: tuple[str, tuple[Path, ...]] | None = field(default=None, repr=False, compare=False)

    def __reduce__(self) -> tuple[Any, ...]:
        if self._opened_by is None:
            raise TypeError(f"The restorer {self.name!r} was not opened by name: it cannot be pickled.")
        return _open_once, self._opened_by

    def fingerprint(self) -> dict[str, Any]:
        """The restorer's part of the key of every reply to a restored image."""
        return {"name": self.name, **self.identity}

    def restore(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Restored RGB pixels, H×W×3 uint8 like those given, which are not changed.

        Raises ModelError if the restorer fails or returns anything else.
        """
        import numpy as np

        given = pixels.copy()  # a user's function may write into its argument
        try:
            with self._turn or nullcontext():
                found = self.function(given)
        except Exception as error:
            raise ModelError(f"The restorer {self.name!r} failed: {error_text(error)}.") from error
        if not isinstance(found, np.ndarray) or found.dtype != np.uint8 or found.shape != pixels.shape:
            what = f"{found.dtype} {found.shape}" if isinstance(found, np.ndarray) else type(found).__name__
            raise ModelError(
                f"The restorer {self.name!r} must return uint8 {pixels.shape} like its input, got {what}.",
            )
        return found


def restored(variant: Variant, restorer: Restorer) -> Variant:
    """The variant with its image restored as a model would get it, after its codec.

    The result is encoded as PNG, which adds no loss. Its record `restored` holds the restorer's name, the
    digest of the pixels before, and the seconds of the restorer, without decoding and encoding.
    """
    pixels = decode_image(variant.image.data, "a variant to be restored", max_pixels=NO_LIMIT)
    started = time.perf_counter()
    found = restorer.restore(pixels)
    seconds = time.perf_counter() - started
    note = {"name": restorer.name, "before": variant.pixels, "seconds": round(seconds, 4)}
    # Without a profile in its recipe, the reply's key does not tell one with it from one without.
    icc = encoding_of(variant.image.data, "a variant to be restored")[1] if variant.recipe.icc else b""
    image = encode(found, Codec("png"), icc)
    return replace(variant, image=image, pixels=pixel_digest(found), restored=note)


def open_restorer(name: str, files: Sequence[Path] = ()) -> Restorer:
    """Load a restorer by its name.

    The name is searched for, in this order, among the cards in `files`, the shipped restorers and
    those that packages register; otherwise it is the path of an .onnx file or `module:function`.

    Raises UnknownNameError for an unknown name, UsageError for a wrong card, MissingExtraError
    without onnxruntime, ModelError for a file that cannot be loaded.
    """
    return replace(_open(name, files), _opened_by=(name, tuple(files)))


@lru_cache(maxsize=8)
def _open_once(name: str, files: tuple[Path, ...]) -> Restorer:
    """The restorer as another process opens it, by the same name."""
    return open_restorer(name, files)


def _open(name: str, files: Sequence[Path]) -> Restorer:
    cards = {key: (card, path) for path in files for key, card in _read_cards(path).items()}
    if name in cards:
        return _from_card(name, *cards[name])
    if name in SHIPPED:
        identity = {"version": SHIPPED_VERSION, "opencv": _version("opencv-python-headless")}
        return Restorer(name, identity, SHIPPED[name])
    from importlib import metadata

    registered = {point.name: point for point in metadata.entry_points(group=ENTRY_POINTS)}
    if name in registered:
        return _from_function(name, registered[name].value)
    if name.endswith(".onnx"):
        return _from_onnx(Path(name).name, Path(name), 1)  # its name must not depend on the folder
    if ":" in name:
        return _from_function(name, name)
    raise UnknownNameError("restorer", name, (*cards, *SHIPPED, *registered))


def _read_cards(path: Path) -> dict[str, Any]:
    try:
        tables = parse_toml(path.read_text("utf-8"))
    except OSError as error:
        raise UsageError(f"Cannot read the restorer cards in {path}: {error.strerror}.") from error
    except ValueError as error:
        raise UsageError(f"{path} is not valid TOML: {error}.") from error
    return dict(tables)


def _from_card(name: str, card: Any, path: Path) -> Restorer:
    known = ("onnx", "function", "multiple")
    where = f"restorer card [{name}] in {path}"
    if not isinstance(card, dict) or ("onnx" in card) == ("function" in card):
        raise UsageError(f"The {where} must name either onnx = 'file' or function = 'module:function'.")
    for key in card:
        if key not in known:
            raise UnknownNameError(f"key of {where}:", key, known)
    multiple = card.get("multiple", 1)
    require_between(f"multiple in the {where}", multiple, 1, 1024, whole=True)
    if "function" in card:
        return _from_function(name, str(card["function"]), multiple)
    return _from_onnx(name, path.parent / str(card["onnx"]), multiple)


def _from_function(name: str, place: str, multiple: int = 1) -> Restorer:
    module, _, attribute = place.partition(":")
    try:
        found: Any = import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(
            f"Cannot import the restorer {place!r}: {error}.",
            hint="Write package.module:function, importable by Python.",
        ) from error
    if not callable(found):
        raise UsageError(f"{place} is not a function.")
    source = Path(getattr(import_module(module), "__file__", None) or "")
    identity = {
        "function": place,
        "multiple": multiple,
        "version": str(getattr(found, "version", "")),
        "source": bytes_digest(source.read_bytes()) if source.is_file() else "",
    }
    # A user's function may share a network or a buffer between calls: never two at once.
    return Restorer(name, identity, _padded(found, multiple), threading.Lock())


def _from_onnx(name: str, path: Path, multiple: int) -> Restorer:
    if util.find_spec("onnxruntime") is None:
        raise MissingExtraError("onnxruntime", extra="demo")
    import onnxruntime

    if not path.is_file():
        raise UsageError(f"There is no file {path} for the restorer {name!r}.")
    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ModelError(f"{path} is not a network that onnxruntime loads: {error}") from error
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if len(inputs) != 1 or inputs[0].type != "tensor(float)" or len(inputs[0].shape) != 4:
        raise ModelError(
            f"{path} must take one float32 tensor, 1×3×H×W, got {[(i.type, i.shape) for i in inputs]}."
        )

    def run(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        import numpy as np

        tensor = np.ascontiguousarray(pixels.transpose(2, 0, 1)[None].astype(np.float32) / np.float32(255))
        found = np.asarray(session.run([outputs[0].name], {inputs[0].name: tensor})[0])[0].transpose(1, 2, 0)
        return np.asarray(np.rint(np.clip(np.nan_to_num(found), 0, 1) * 255), np.uint8)

    identity = {
        "onnx": bytes_digest(path.read_bytes()),
        "multiple": multiple,
        "onnxruntime": _version("onnxruntime"),
    }
    return Restorer(name, identity, _padded(run, multiple))


def _padded(function: Restore, multiple: int) -> Restore:
    def run(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        import cv2
        import numpy as np

        height, width = pixels.shape[:2]
        below, right = -height % multiple, -width % multiple
        if not below and not right:
            return function(pixels)
        # Reflection without the edge needs as many pixels as it adds; tiny images repeat their edge.
        border = cv2.BORDER_REFLECT_101 if below < height and right < width else cv2.BORDER_REPLICATE
        larger = np.asarray(cv2.copyMakeBorder(pixels, 0, below, 0, right, border), np.uint8)
        return np.ascontiguousarray(function(larger)[:height, :width])

    return run


def _version(package: str) -> str:
    from importlib import metadata

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:  # another build of the same package
        import cv2

        return str(cv2.__version__)
