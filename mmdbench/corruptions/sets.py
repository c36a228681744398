"""Sets of corruptions beside the paper's sixteen: a spec file and functions, in a module or package.

The module is registered under the entry-point group `mmdbench.corruptions.sets`. Its folder holds
`NAME_spec.yaml`, of the form of `corruptions_spec.yaml`: version, intensities of the levels, the four
categories, and a stanza for each corruption. The functions are those that `@corruption` decorates in the
module, or in the modules of the package. A member is named `set.corruption`.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType

from mmdbench.corruptions.definition import Corruption
from mmdbench.corruptions.installed import places_of_sets, set_names
from mmdbench.corruptions.spec import SetSpec
from mmdbench.corruptions.spec_file import read_set
from mmdbench.errors import MmdbenchError, SpecError, UnknownNameError, UsageError
from mmdbench.system.secrets import error_text

__all__ = ["CorruptionSet", "find_set", "import_named", "split_member"]


@dataclass(frozen=True, slots=True)
class CorruptionSet:
    """A set: its spec and its members with their stanzas, by their full names in the order of the file."""

    spec: SetSpec
    members: Mapping[str, Corruption]


def split_member(name: object) -> tuple[str, str]:
    """`everyday.fog` → ("everyday", "fog"), `everyday` → ("everyday", ""); two empty texts without a set."""
    of, _, member = name.partition(".") if isinstance(name, str) else ("", "", "")
    return (of, member) if of in places_of_sets() else ("", "")


@cache
def find_set(name: str) -> CorruptionSet:
    """A set beside the paper's.

    Raises UnknownNameError if there is none of the name, UsageError if its module cannot be imported, and
    SpecError if its spec file is wrong, or does not have the corruptions that the module has.
    """
    places = places_of_sets()
    if name not in places:
        raise UnknownNameError("corruption set", name, set_names())
    module = import_named(places[name], f"the corruption set {name!r}")
    path = Path(str(module.__file__)).parent / f"{name}_spec.yaml"
    spec, stanzas = read_set(path, name)
    if not stanzas:
        raise SpecError(f"{path}: the set has no corruption.", hint="Add a stanza and a function for each.")
    defined = {
        found.name: found
        for part in _parts(module)
        for found in vars(part).values()
        if isinstance(found, Corruption)
    }
    for unlike in sorted(defined.keys() ^ stanzas.keys()):
        raise SpecError(
            f"{path}: the corruption {unlike!r} has {'no stanza' if unlike in defined else 'no function'}.",
            hint="A member is a stanza in the spec file, and a function of its name with @corruption.",
        )
    members = {
        f"{name}.{key}": replace(defined[key], name=f"{name}.{key}", stanza=stanza)
        for key, stanza in stanzas.items()
    }
    return CorruptionSet(spec, members)


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


def _parts(module: ModuleType) -> list[ModuleType]:
    names = [part.name for part in pkgutil.iter_modules(getattr(module, "__path__", ()))]
    return [module, *(import_named(f"{module.__name__}.{name}", name) for name in names)]
