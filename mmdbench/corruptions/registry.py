"""The corruptions that the package defines, checked against the spec."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from mmdbench.corruptions import capture, environmental, post_processing, transmission
from mmdbench.corruptions.definition import Corruption
from mmdbench.corruptions.spec import Spec
from mmdbench.errors import SpecError

__all__ = ["find_corruption"]

_MODULES = (capture, transmission, environmental, post_processing)


def find_corruption(spec: Spec, name: str) -> Corruption:
    """The functions of a corruption.

    UnknownNameError if the spec does not have it, SpecError if a stanza of the spec and the
    decorated functions do not belong together.
    """
    spec.corruption(name)
    defined = _defined()
    for one in defined.keys() - spec.corruptions.keys():
        raise SpecError(
            f"{defined[one].module} defines the corruption {one!r}, which the spec does not have.",
            hint="Add a stanza with its numbers to corruptions_spec.yaml.",
        )
    for one in spec.corruptions.keys() - defined.keys():
        raise SpecError(
            f"The spec has the corruption {one!r}, which no function defines.",
            hint=f"Add a function {one} with @corruption to the module of its category.",
        )
    return defined[name]


@cache
def _defined() -> Mapping[str, Corruption]:
    found = [value for module in _MODULES for value in vars(module).values() if isinstance(value, Corruption)]
    return {corruption.name: corruption for corruption in found}
