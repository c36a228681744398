"""Corruptions from outside the package: a decorated pair of functions with a stanza of its own.

A user names one as `module:function` or `file.py:function`, gives the decorated function itself, or installs
a package that registers it under the entry-point group `mmdbench.corruptions`. Nothing that is read from a
stored file is ever imported: `use_corruption` is for what the user names, `require_code` for what a file
names.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmdbench.corruptions._random import Stream
from mmdbench.corruptions.definition import AddedCorruption, Corruption
from mmdbench.corruptions.installed import ENTRY_POINTS, installed_corruptions, set_names
from mmdbench.corruptions.params import Params, check_params
from mmdbench.corruptions.sets import import_named, set_members, split_member
from mmdbench.corruptions.spec_file import ADDED, load_spec, read_stanza, shipped_spec
from mmdbench.errors import IncomparableError, MmdbenchError, SpecError, UnknownNameError, UsageError
from mmdbench.records import LEVEL_ORDER, PAPER_SET, chain_steps
from mmdbench.system.digest import value_digest
from mmdbench.system.python_file import load_file, module_digest
from mmdbench.system.secrets import error_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mmdbench.corruptions.spec import CorruptionSpec, Values

__all__ = [
    "ALL",
    "find_name",
    "in_set",
    "members_of",
    "places_of",
    "require_code",
    "use_corruption",
    "use_corruptions",
]

ALL = "all"
"""All corruptions of mmdbench, where corruptions are named."""

_TRIED = (24, 32)
"""Height and width, in px, of the picture that a corruption is tried on before it is used."""


def use_corruption(given: str | Corruption) -> str:
    """Make a corruption that the user names ready for use in this process.

    Args:
        given: A decorated function, `module:function`, `file.py:function`, the name of a corruption of
            mmdbench or of an installed package, or several texts with `+` between them, a chain.

    Returns:
        The plain name, by which everything else knows it.

    Raises:
        UnknownNameError: There is no such corruption.
        UsageError: The file or module cannot be run, or has no such function.
        SpecError: The function or its stanza cannot be used.
    """
    if isinstance(given, Corruption):
        return _add(given)
    return "+".join(_add(_found(step)) if ":" in step else find_name(step) for step in given.split("+"))


def use_corruptions(given: Iterable[str | Corruption], of: str = PAPER_SET) -> tuple[str, ...]:
    """Make the corruptions that the user names ready for use; `all` and categories stand for their members.

    Args:
        given: Everything that `use_corruption` takes, `all` (of mmdbench), and names of sets and of
            categories (`everyday`, `capture`, `everyday.capture`). A member of a category that is named too
            is there once.
        of: The set that they are named in, as `in_set` does.

    Returns:
        The plain names in the order given; none for `all` or `paper` alone, which is what is used when none
        is named.

    Raises:
        UnknownNameError: There is no such corruption.
        UsageError: The file or module cannot be run, or has no such function.
        SpecError: The function or its stanza cannot be used.

    >>> use_corruptions(["post_processing", "lens_blur"])
    ('sharpness_change', 'graffiti', 'watermark_damage', 'lens_blur')
    """
    wanted = list(in_set(of, given))
    if wanted in ([ALL], [PAPER_SET]):
        return ()
    names: list[str] = []
    members: set[str] = set()
    for one in wanted:
        group = members_of(one)
        members.update(group)
        names += group or [use_corruption(one)]
    return tuple(dict.fromkeys(names)) if members else tuple(names)


def in_set(of: str, given: Iterable[str | Corruption] = ()) -> tuple[str | Corruption, ...]:
    """The names that a user gives within a set, as `use_corruptions` takes them; without any, all of the set.

    One's own corruptions are in no set. Raises UnknownNameError if there is no such set.

    >>> in_set("everyday", ["fog", "capture"])
    ('everyday.fog', 'everyday.capture')
    """
    if of not in set_names():
        raise UnknownNameError("corruption set", of, set_names())
    if of == PAPER_SET:
        return tuple(given)

    def full(one: str) -> str:
        steps = one.split("+")
        return "+".join(step if ":" in step or split_member(step)[0] else f"{of}.{step}" for step in steps)

    return tuple(full(one) if isinstance(one, str) else one for one in given) or (of,)


def members_of(given: str | Corruption) -> list[str]:
    """The corruptions that `all`, a set or a category stands for; none for anything else.

    >>> members_of("post_processing")
    ['sharpness_change', 'graffiti', 'watermark_damage']
    """
    of, part = split_member(given)
    group = part or ALL if of else ALL if given == PAPER_SET else given
    if not isinstance(group, str) or group not in (ALL, *shipped_spec().categories):
        return []
    names = [find_name(name) for name in set_members(of)] if of else shipped_spec().shipped
    return [name for name in names if group in (ALL, load_spec().corruptions[name].category)]


def find_name(given: str | Corruption) -> str:
    """The name of a decorated function, or of a corruption of mmdbench or of an installed package.

    Unlike `use_corruption` it reads no file and imports no module by its name. Raises UnknownNameError for
    any other name, UsageError for a file or module.
    """
    if isinstance(given, Corruption):
        return _add(given)
    if isinstance(given, str):
        if ":" in given:
            raise UsageError(
                f"A corruption must be a name or a decorated function here, got {given!r}.",
                hint="Give it to mmdbench.corruptions.use_corruption first, which returns its name.",
            )
        _use_installed(given)
    known = load_spec().corruptions
    if not isinstance(given, str) or given not in known:
        of, _ = split_member(given)
        names = dict.fromkeys(set_members(of) if of else (*known, *installed_corruptions()))
        raise UnknownNameError("corruption", given, names, see="mmdbench list corruptions")
    return given


def _use_installed(name: str) -> None:
    """Import a corruption of a set or of an installed package, if it is one; no other name does anything."""
    if name in ADDED or name in shipped_spec().corruptions:
        return
    of, member = split_member(name)
    if member and (made := set_members(of).get(name)):
        _add(made)
        return
    point = installed_corruptions().get(name)
    if point is not None:
        made = _found(point.value)
        if made.name != name:
            raise SpecError(
                f"The entry point {name!r} of {ENTRY_POINTS} names the corruption {made.name!r}.",
                hint="Register it under its own name.",
            )
        _add(made)


def require_code(name: str, code: str) -> None:
    """Check that a corruption which a stored file names is here, with the code that the file names.

    Args:
        name: The corruption; only one of mmdbench, of an installed package, or that the user named is used.
        code: The digest of its code; empty for one of mmdbench.

    Raises:
        IncomparableError: It is not here, or has other code here.
    """
    _use_installed(name)
    entry = load_spec().corruptions.get(name)
    if entry is None and code:
        raise IncomparableError(
            f"The pictures were made by the corruption {name!r}, whose code is not a part of mmdbench, and "
            "code that a file names is never run.",
            hint=f"Name it if you trust it, --corruption FILE.py:{name} or MODULE:{name}, or install its "
            "package.",
        )
    if entry is not None and entry.code != code:
        raise IncomparableError(
            f"The corruption {name!r} has other code here ({entry.code[:12] or 'of mmdbench'}) than "
            f"where the pictures were made ({code[:12] or 'of mmdbench'}).",
            hint="Name the code that made them: --corruption FILE.py:FUNCTION.",
        )


def places_of(corruptions: Iterable[str]) -> tuple[str, ...]:
    """The texts by which another process uses those of these corruptions and chains that are from outside.

    Raises UsageError for one that is in no file.
    """
    names = dict.fromkeys(step for name in corruptions for step in chain_steps(name) if step in ADDED)
    for name in names:
        if not ADDED[name].place:
            raise UsageError(
                f"The corruption {name!r} is in no file, so that other processes could not use it.",
                hint="Put it into a file and name that, or work in this process alone.",
            )
    return tuple(ADDED[name].place for name in names)


def _found(place: str) -> Corruption:
    """The decorated function at `module:function` or `file.py:function`."""
    where, _, name = place.rpartition(":")
    if where.endswith(".py"):
        module = load_file(Path(where), where)
    else:
        module = import_named(where, f"the corruption {place!r}")
    made = getattr(module, name, None)
    if not isinstance(made, Corruption):
        what = "no" if made is None else "another thing by the"
        raise UsageError(
            f"{where} has {what} name {name!r}.", hint="Name a function that @corruption decorates."
        )
    return made


def _add(given: Corruption) -> str:
    """Check a corruption and make it ready for use; returns its name."""
    known = ADDED.get(given.name)
    if known is None or known.given is not given:
        of_set = given.of_set
        if not of_set:
            _check_name(given)
        # The version of a set that mmdbench ships stands for its code.
        source, place = ("", "") if of_set and given.module.startswith("mmdbench.") else _source(given)
        try:
            code = value_digest({"source": source, "stanza": given.stanza})
        except (TypeError, ValueError) as error:
            raise SpecError(f"The stanza of {given.name!r} must be JSON-able: {error}.") from error
        if of_set:
            code, place = code if source else f"{of_set.name}/{of_set.version}", given.name
        entry = read_stanza(given.name, given.stanza, code, of_set)
        functions = _guarded(given)
        _try(functions, entry)
        ADDED[given.name] = AddedCorruption(entry, given, functions, place)
    return given.name


def _check_name(given: Corruption) -> None:
    shipped = shipped_spec()
    if given.stanza is None:
        raise SpecError(
            f"The corruption {given.name!r} has no stanza.",
            hint="Give @corruption(stanza={...}) its category, meaning and numbers: docs/add_corruption.md.",
        )
    if given.name in (*shipped.corruptions, *shipped.categories, *LEVEL_ORDER, ALL, *set_names()):
        raise SpecError(f"The name {given.name!r} is taken by mmdbench.", hint="Rename the function.")
    if not (given.name.isascii() and given.name.isidentifier()):
        raise SpecError(f"The name of a corruption must be letters, digits and _, got {given.name!r}.")


def _source(given: Corruption) -> tuple[Any, str]:
    """The digest or text of the sources of a corruption, and its place for other processes."""
    module = sys.modules.get(given.module)
    digest = module_digest(module) if module else ""
    if module and digest:
        own = module.__name__ if module.__spec__ and module.__name__ != "__main__" else ""
        place = f"{module.__file__ if not own or own.startswith('_mmdbench_file_') else own}:{given.name}"
        return digest, place if getattr(module, given.name, None) is given else ""
    try:
        return [inspect.getsource(function) for function in (given.sample, given.apply)], ""
    except (OSError, TypeError) as error:
        raise UsageError(
            f"The source of the corruption {given.name!r} cannot be read, and recipes need its digest.",
            hint="Put it into a file.",
        ) from error


def _guarded(given: Corruption) -> Corruption:
    """The same functions with their errors in one line, and results that are checked."""
    what = f"The corruption {given.name!r}"

    def sample(values: Values, rng: Stream) -> dict[str, Any]:
        try:
            return dict(given.sample(values, rng))
        except (MmdbenchError, MemoryError):
            raise
        except Exception as error:
            raise MmdbenchError(f"{what} cannot draw its parameters: {error_text(error)}.") from error

    def apply(image: NDArray[np.uint8], params: Params) -> NDArray[np.uint8]:
        try:
            made: Any = given.apply(image.copy(), params)  # a user's function may write into its argument
        except (MmdbenchError, MemoryError):
            raise
        except Exception as error:
            height, width = image.shape[:2]
            raise MmdbenchError(
                f"{what} fails on a picture of {width}×{height} px: {error_text(error)}."
            ) from error
        if not isinstance(made, np.ndarray) or made.dtype != np.uint8 or made.shape != image.shape:
            got = f"{made.dtype} {made.shape}" if isinstance(made, np.ndarray) else type(made).__name__
            raise MmdbenchError(f"{what} must return uint8 {image.shape} like its input, got {got}.")
        return made

    return replace(given, sample=sample, apply=apply)


def _try(functions: Corruption, entry: CorruptionSpec) -> None:
    """Degrade a small picture at every level, so that a mistake is found before anything is made."""
    spec = replace(shipped_spec(), corruptions={entry.name: entry})
    for intensity in (entry.of_set or spec).intensities.values():
        values = spec.values(entry.name, intensity, _TRIED)
        params = check_params(entry.name, functions.fields, functions.sample(values, Stream(entry.name, 0)))
        functions.apply(np.full((*_TRIED, 3), 128, np.uint8), params)
