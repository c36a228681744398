"""Sets of corruptions beside the paper's sixteen: a spec file and functions, in a module or package.

The module is registered under the entry-point group `mmdbench.corruptions.sets`. Its folder holds
`NAME_spec.yaml`, of the form of `corruptions_spec.yaml`: version, intensities of the levels, the four
categories, and a stanza for each corruption. The functions are those that `@corruption` decorates in the
module, or in the modules of the package. A member is named `set.corruption`.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType

from mmdbench.corruptions.definition import Corruption
from mmdbench.corruptions.installed import places_of_sets, set_names
from mmdbench.corruptions.spec_file import read_set
from mmdbench.errors import MmdbenchError, SpecError, UnknownNameError, UsageError
from mmdbench.system.secrets import error_text

__all__ = ["import_named", "set_members", "split_member"]


def split_member(name: object) -> tuple[str, str]:
    """`everyday.fog` → ("everyday", "fog"), `everyday` → ("everyday", ""); two empty texts without a set."""
    of, _, member = name.partition(".") if isinstance(name, str) else ("", "", "")
    return (of, member) if of in places_of_sets() else ("", "")


@cache
def set_members(name: str) -> Mapping[str, Corruption]:
    """The members of a set beside the paper's, by their full names in the order of the spec file.

    Raises UnknownNameError if there is none of the name, UsageError if its module cannot be imported, and
    SpecError if its spec file is wrong, or does not have the corruptions that the module has.
    """
    places = places_of_sets()
    if name not in places:
        raise UnknownNameError("corruption set", name, set_names())
    module = import_named(places[name], f"the corruption set {name!r}")
    path = Path(str(module.__file__)).parent / f"{name}_spec.yaml"
    of_set, stanzas = read_set(path, name)
    if not stanzas:
        raise SpecError(f"{path}: the set has no corruption.", hint="Add a stanza and a function for each.")
    inside = pkgutil.iter_modules(getattr(module, "__path__", ()), f"{module.__name__}.")
    parts = [module, *(import_named(part.name, f"a part of the set {name!r}") for part in inside)]
    named = {one.name: one for part in parts for one in vars(part).values() if isinstance(one, Corruption)}
    for unlike in sorted(named.keys() ^ stanzas.keys()):
        raise SpecError(
            f"{path}: the corruption {unlike!r} has {'no stanza' if unlike in named else 'no function'}.",
            hint="A member is a stanza in the spec file, and a function of its name with @corruption.",
        )
    found = {f"{name}.{key}": replace(named[key], stanza=stanza) for key, stanza in stanzas.items()}
    return {full: replace(one, name=full, of_set=of_set) for full, one in found.items()}


def import_named(module: str, what: str) -> ModuleType:
    """A module by its name. Raises UsageError, which says what it is, if it cannot be imported."""
    try:
        return import_module(module)
    except MmdbenchError:
        raise
    except Exception as error:
        raise UsageError(
            f"Cannot import {what}: {error_text(error)}.", hint="Install its package, or correct its name."
        ) from error
