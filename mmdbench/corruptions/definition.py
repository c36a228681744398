"""The decorator `@corruption`, which defines a corruption by a function on pixels.

>>> import numpy as np
>>> from mmdbench.corruptions import params as p
>>> @corruption(gain=p.number(0, 1))
... def darker(image, params):
...     return (image * params["gain"]).astype(np.uint8)
>>> darker.name, darker.apply(np.full((1, 1, 3), 200, np.uint8), {"gain": 0.5}).tolist()
('darker', [[[100, 100, 100]]])
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmdbench.corruptions._random import Stream
from mmdbench.corruptions.params import Field, Params
from mmdbench.corruptions.spec import CorruptionSpec, SetSpec, Values

__all__ = ["AddedCorruption", "Corruption", "Image", "Stream", "Values", "corruption"]

Image = NDArray[np.uint8]
"""RGB pixels, H×W×3 uint8."""

Sampler = Callable[[Values, Stream], dict[str, Any]]
Applier = Callable[[Image, Params], Image]


@dataclass(frozen=True, slots=True)
class Corruption:
    """A corruption in code: `sample` draws its parameters, `apply` makes the degraded image from them.

    `fields` describes the parameters, `module` names the module that defines the corruption. `stanza` is its
    entry of the spec if it is from outside the package, `of_set` the set that it is a member of, if any.
    """

    name: str
    fields: Mapping[str, Field]
    sample: Sampler
    apply: Applier
    module: str
    stanza: Mapping[str, Any] | None = None
    of_set: SetSpec | None = None


@dataclass(frozen=True, slots=True)
class AddedCorruption:
    """A corruption from outside the package, ready for use: its entry of the spec and its functions.

    `functions` are those `given`, with checks of their results. `place` names it for other processes:
    `module:function`, `/path/file.py:function`, or empty for one that is in no file.
    """

    entry: CorruptionSpec
    given: Corruption
    functions: Corruption
    place: str


def corruption(
    sample: Sampler | None = None, /, *, stanza: Mapping[str, Any] | None = None, **fields: Field
) -> Callable[[Applier], Corruption]:
    """Decorate the function that applies a corruption; its name is that of the corruption.

    Args:
        sample: Gets the numbers of the spec and a stream of random numbers, and returns the parameters,
            JSON-able. Without it nothing is drawn, and each parameter is the number of the same name in the
            spec.
        stanza: The entry of a corruption from outside the package, with the keys of a stanza of
            `corruptions_spec.yaml`: `category`, `meaning`, `numbers`, and where needed `source`, `random`,
            `release_weight` and `look`, its look in a few words for the task perceive.
        **fields: Descriptions of the parameters.

    Returns:
        A decorator, which makes a function `(image, params) -> image` a corruption.
    """

    def numbers_of_the_spec(values: Values, _rng: Stream) -> dict[str, Any]:
        return {
            key: values.number(key) if field.kind == "number" else values.integer(key)
            for key, field in fields.items()
        }

    def decorate(apply: Applier) -> Corruption:
        return Corruption(
            apply.__name__, fields, sample or numbers_of_the_spec, apply, apply.__module__, stanza
        )

    return decorate
