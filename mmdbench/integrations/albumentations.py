"""The corruptions as albumentations transforms: one per corruption, and `MMDCorruption` that draws one.

::

    import albumentations as A
    from mmdbench.integrations import albumentations as mmd

    augment = A.Compose([mmd.MotionBlur(level="hard", p=0.3), mmd.MMDCorruption(p=0.5)], seed=7)
    degraded = augment(image=image)["image"]

Every transform takes `level` (one or several of "low", "mid", "hard"), or `intensity` (a number in
[0, 1], or a range), by default the range from low to hard; `profile` ("paper" or "scaled"); and `p`.
Images are uint8 H×W×3 (RGB), H×W, H×W×1 or H×W×4; masks, boxes and keypoints stay as they are. What
is drawn comes from the generator that albumentations seeds, `ReplayCompose` records it (corruption,
intensity, seed), and `to_dict` / `from_dict` write and read the transforms. Needs albumentations 2.0
or later.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mmdbench.corruptions.choices import DrawnCorruption, choice_of
from mmdbench.corruptions.spec_file import load_spec
from mmdbench.errors import MissingExtraError


def _image_only_transform() -> Any:
    """The base class of albumentations, imported without its request to a server."""
    key = "NO_ALBUMENTATIONS_UPDATE"
    quiet = "albumentations" not in sys.modules and key not in os.environ
    if quiet:
        os.environ[key] = "1"
    try:
        from albumentations.core.transforms_interface import ImageOnlyTransform
    except ImportError as error:
        raise MissingExtraError("albumentations", "albumentations") from error
    finally:
        if quiet:
            del os.environ[key]
    return ImageOnlyTransform


_Base: Any = _image_only_transform()


class _Drawing(_Base):  # type: ignore[misc]  # the base is known where albumentations is installed
    """The base class of the transforms: draws for each call, then applies what was drawn."""

    def _choose(self, corruptions: Any) -> None:
        self._choice = choice_of(
            corruptions, level=self.level, intensity=self.intensity, profile=self.profile
        )

    def get_transform_init_args_names(self) -> tuple[str, ...]:
        """The options to serialize; early 2.0 releases do not find them by themselves."""
        names = ("corruptions", "level", "intensity", "profile")
        return tuple(name for name in names if hasattr(self, name))

    def get_params(self) -> dict[str, Any]:
        """Draw a corruption, its intensity and the seed of its layout, from albumentations' generator."""
        name, intensity = self._choice.draw(self.py_random.random)
        return {"corruption": name, "strength": intensity, "layout_seed": self.py_random.getrandbits(32)}

    def apply(
        self, img: NDArray[np.uint8], *, corruption: str, strength: float, layout_seed: int, **_: Any
    ) -> NDArray[np.uint8]:
        """Degrade one image; images of another size get their own layout from the same seed."""
        drawn = DrawnCorruption(corruption, strength, layout_seed, self.profile)
        result: NDArray[np.uint8] = drawn.corrupted(img)
        return result


def _plain(value: Any) -> Any:
    """Sequences as lists, which JSON and YAML read back as they were written."""
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value


class MMDCorruption(_Drawing):
    """Draws one of several corruptions for each call, with the weights of the release.

    Args:
        corruptions: Names or categories ("capture", …); None for all, with equal weight for each category.
        level: One or several of "low", "mid" and "hard".
        intensity: A number in [0, 1], or the two ends of a range.
        profile: "paper" or "scaled".
        p: The probability of the transform, from 0 to 1.
    """

    def __init__(
        self,
        corruptions: str | Sequence[str] | None = None,
        level: str | Sequence[str] | None = None,
        intensity: float | Sequence[float] | None = None,
        profile: str = "paper",
        p: float = 0.5,
    ) -> None:
        super().__init__(p=p)
        self.corruptions, self.level = _plain(corruptions), _plain(level)
        self.intensity, self.profile = _plain(intensity), profile
        self._choose(corruptions)


def _transform(name: str) -> Any:
    """The transform of one corruption, named as albumentations names its own."""

    def __init__(  # noqa: N807  # the constructor of the class made below
        self: Any,
        level: str | Sequence[str] | None = None,
        intensity: float | Sequence[float] | None = None,
        profile: str = "paper",
        p: float = 0.5,
    ) -> None:
        _Base.__init__(self, p=p)
        self.level, self.intensity, self.profile = _plain(level), _plain(intensity), profile
        self._choose(name)

    meaning = load_spec().corruption(name).meaning
    title = "".join(word.capitalize() for word in name.split("_"))
    text = f"The corruption `{name}`: {meaning}."
    return type(_Base)(title, (_Drawing,), {"__init__": __init__, "__doc__": text, "__module__": __name__})


_TRANSFORMS = {transform.__name__: transform for transform in map(_transform, load_spec().shipped)}
globals().update(_TRANSFORMS)

__all__ = ["MMDCorruption"]
__all__ += list(_TRANSFORMS)

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...
