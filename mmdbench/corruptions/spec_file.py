"""Reads `corruptions_spec.yaml` into a checked `Spec`; every error names the key.

>>> spec = load_spec()
>>> spec.intensities["hard"]
0.9
>>> spec.values("lens_blur", 0.23, (400, 600)).integer("kernel_size")
73
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

from mmdbench.corruptions.formula import evaluate
from mmdbench.corruptions.lost_answers import LOST_ANSWERS
from mmdbench.corruptions.spec import CorruptionSpec, NumberSpec, ProfileSpec, SetSpec, Spec
from mmdbench.errors import IncomparableError, SpecError
from mmdbench.records import LEVELS
from mmdbench.system.digest import value_digest
from mmdbench.system.yaml_text import parse_yaml

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from mmdbench.corruptions.definition import AddedCorruption

__all__ = ["ADDED", "described_spec", "load_spec", "read_set", "read_stanza", "shipped_spec"]

ADDED: dict[str, AddedCorruption] = {}
"""The corruptions from outside the package that this process uses, by name; `plugins` fills it."""

_DEFAULT = Path(__file__).parents[1] / "corruptions_spec.yaml"

_T = TypeVar("_T")
_SCALES = ("length", "odd_length", "count")
_SPEC_KEYS = ("version", "intensities", "shared_field", "profiles", "categories", "corruptions")
_CORRUPTION_KEYS = ("category", "source", "meaning", "random", "release_weight", "numbers")
_STANZA_DEFAULTS = {"source": "", "random": [], "numbers": {}, "release_weight": 25, "look": "", "loses": []}
_SET_KEYS = ("version", "intensities", "categories", "corruptions")
_NUMBER_KEYS = ("unit", "formula", "range", "constant", "plausible", "at", "scale", "min")


def _fail(where: str, found: object, expected: str) -> SpecError:
    return SpecError(
        f"{where}: {found!r:.300} where {expected} is expected.", hint="Correct it in the spec file."
    )


def _typed(where: str, value: object, kind: type[_T], expected: str) -> _T:
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise _fail(where, value, expected)
    return value


def _mapping(
    where: str, value: object, allowed: Iterable[str] = (), required: Iterable[str] = ()
) -> dict[str, Any]:
    found: dict[str, Any] = _typed(where, value, dict, "a mapping")
    if not all(isinstance(key, str) for key in found):
        raise _fail(where, list(found), "a mapping with text keys")
    allowed, missing = tuple(allowed), [key for key in required if key not in found]
    if missing:
        raise SpecError(f"{where}: the key {missing[0]!r} is missing.", hint="Add it to the spec file.")
    unknown = [key for key in found if allowed and key not in allowed]
    if unknown:
        raise SpecError(f"{where}: unknown key {unknown[0]!r}.", hint=f"Known: {', '.join(allowed)}.")
    return found


def _number(where: str, value: object, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise _fail(where, value, f"a number from {low:g} to {high:g}")
    return value


def load_spec(path: str | Path | None = None) -> Spec:
    """Read and check a spec file.

    Without a path it is the one that ships with the package (read once), with the corruptions from outside
    that this process uses. Raises SpecError, which names the key and the value expected there.
    """
    if path is not None:
        return _read(Path(path), _spec)
    spec = shipped_spec()
    if not ADDED:
        return spec
    added = {name: one.entry for name, one in ADDED.items()}
    return replace(spec, corruptions=MappingProxyType({**spec.corruptions, **added}))


@lru_cache(maxsize=1)
def shipped_spec() -> Spec:
    """The spec that ships with the package, without any corruption from outside."""
    return _read(_DEFAULT, _spec)


def described_spec(*manifests: Mapping[str, Any]) -> Spec:
    """The shipped spec, with corruptions from outside as the manifests of runs describe them.

    Tables need no more of one than its category: no code is imported, and it does not matter what this
    process uses. Raises IncomparableError if two runs have different categories of one name.
    """
    spec = shipped_spec()
    added: dict[str, CorruptionSpec] = {}
    for manifest in manifests:
        record = manifest.get("spec") or {}
        of = SetSpec(record["set"], record["version"], "", spec.intensities) if "set" in record else None
        for name, found in record.get("corruptions", {}).items():
            member = of if of and name.startswith(f"{of.name}.") else None
            told = {"category": found["category"], "meaning": found["meaning"], "code": found["code"]}
            entry = CorruptionSpec(
                name, source="", random=(), release_weight=0, numbers={}, of_set=member, **told
            )
            if added.setdefault(name, entry).category != entry.category:
                raise IncomparableError(
                    f"The corruption {name!r} is of the category {added[name].category} in one run and of "
                    f"{entry.category} in another.",
                    hint="Report the runs one by one.",
                )
    if not added:
        return spec
    return replace(spec, corruptions=MappingProxyType({**spec.corruptions, **added, **spec.corruptions}))


def read_set(path: Path, name: str) -> tuple[SetSpec, dict[str, Any]]:
    """The set in a spec file, and the stanza of each of its corruptions. Raises SpecError."""

    def read(data: object) -> tuple[SetSpec, dict[str, Any]]:
        top = _mapping("the file", data, _SET_KEYS, _SET_KEYS)
        known = tuple(shipped_spec().categories)
        _mapping("categories", top["categories"], known, known)
        version = _typed("version", top["version"], str, "text in quotes")
        stanzas = _mapping("corruptions", top["corruptions"])
        return SetSpec(name, version, value_digest(top), _intensities(top["intensities"])), stanzas

    return _read(path, read)


def read_stanza(name: str, stanza: object, code: str, of_set: SetSpec | None = None) -> CorruptionSpec:
    """The entry of a corruption from outside the package.

    The values `at` the levels may be left out of its numbers. Its weight in the design `mixed` is that of an
    average corruption unless `release_weight` says another.

    Args:
        name: The corruption.
        stanza: A mapping with the keys of the spec file, and `look`.
        code: The digest of its code, or the version of the set if mmdbench ships it.
        of_set: The set that it is a member of.

    Returns:
        The entry.

    Raises:
        SpecError: The stanza is not valid; the message names the key.
    """
    spec = shipped_spec()
    where = f"corruptions.{name}"
    found = _mapping(where, stanza, (*_CORRUPTION_KEYS, "look", "loses"), ("category", "meaning"))
    found = {**_STANZA_DEFAULTS, **found}
    look = _typed(f"{where}.look", found.pop("look"), str, "text") or found["meaning"]
    loses = _typed(f"{where}.loses", found.pop("loses"), list, "a list of texts")
    for kind in loses:
        if kind not in LOST_ANSWERS:
            raise _fail(f"{where}.loses", kind, f"one of {', '.join(LOST_ANSWERS)}")
    levels = tuple((of_set or spec).intensities.values())
    entry = _corruption(name, found, spec.categories, levels, at_required=False)
    return replace(entry, look=look, code=code, loses=tuple(loses), of_set=of_set)


def _read(path: Path, read: Callable[[object], _T]) -> _T:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        what = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SpecError(
            f"The spec {path} cannot be read: {what}.", hint="Give the path of a YAML file."
        ) from error
    return _parsed(text, str(path), read)


def _parsed(text: str, name: str, read: Callable[[object], _T]) -> _T:
    """The text of a spec file, parsed and given to `read`; every SpecError begins with `name`."""
    try:
        data = parse_yaml(text)
    except ValueError as error:
        raise SpecError(f"{name} is not YAML: {error}.", hint="Correct the file.") from error
    try:
        return read(data)
    except SpecError as error:
        raise SpecError(f"{name}: {error.message}", hint=error.hint) from error


def _spec(data: object) -> Spec:
    top = _mapping("the file", data, _SPEC_KEYS, _SPEC_KEYS)
    intensities = _intensities(top["intensities"])
    categories = {
        k: _typed(f"categories.{k}", v, str, "text")
        for k, v in _mapping("categories", top["categories"]).items()
    }
    profiles = {
        k: _profile(k, v) for k, v in _mapping("profiles", top["profiles"], required=["paper"]).items()
    }
    corruptions = {
        key: _corruption(key, value, categories, tuple(intensities.values()))
        for key, value in _mapping("corruptions", top["corruptions"]).items()
    }
    return Spec(
        version=_typed("version", top["version"], str, "text in quotes"),
        digest=value_digest(top),
        intensities=intensities,
        shared_field=_typed("shared_field", top["shared_field"], bool, "true or false"),
        profiles=MappingProxyType(profiles),
        categories=MappingProxyType(categories),
        corruptions=MappingProxyType(corruptions),
    )


def _intensities(data: object) -> Mapping[str, float]:
    levels = _mapping("intensities", data, LEVELS, LEVELS)
    found = {level: _number(f"intensities.{level}", levels[level], 1e-9, 1) for level in LEVELS}
    return MappingProxyType(found)


def _profile(name: str, data: object) -> ProfileSpec:
    where = f"profiles.{name}"
    keys = ("meaning", "reference_side")
    found = _mapping(where, data, keys, keys)
    side = found["reference_side"]
    return ProfileSpec(
        name=name,
        meaning=_typed(f"{where}.meaning", found["meaning"], str, "text"),
        reference_side=None if side is None else _number(f"{where}.reference_side", side, 1, 1e6),
    )


def _corruption(
    name: str,
    data: object,
    categories: Mapping[str, str],
    intensities: tuple[float, ...],
    *,
    at_required: bool = True,
) -> CorruptionSpec:
    where = f"corruptions.{name}"
    found = _mapping(where, data, _CORRUPTION_KEYS, _CORRUPTION_KEYS)
    if found["category"] not in categories:
        raise _fail(f"{where}.category", found["category"], f"one of {', '.join(categories)}")
    random = _typed(f"{where}.random", found["random"], list, "a list of texts")
    numbers = _mapping(f"{where}.numbers", found["numbers"])
    return CorruptionSpec(
        name=name,
        category=found["category"],
        source=_typed(f"{where}.source", found["source"], str, "text"),
        meaning=_typed(f"{where}.meaning", found["meaning"], str, "text"),
        random=tuple(_typed(f"{where}.random", item, str, "a list of texts") for item in random),
        release_weight=_number(f"{where}.release_weight", found["release_weight"], 0, 1e6),
        numbers=MappingProxyType(
            {
                key: _number_spec(f"{where}.numbers.{key}", key, value, intensities, at_required=at_required)
                for key, value in numbers.items()
            }
        ),
    )


def _number_spec(
    where: str, name: str, data: object, intensities: tuple[float, ...], *, at_required: bool
) -> NumberSpec:
    found = _mapping(where, data, _NUMBER_KEYS, ["unit"])
    kinds = [key for key in ("formula", "range", "constant", "plausible") if key in found]
    if len(kinds) != 1:
        raise _fail(where, kinds, "exactly one of formula, range, constant, plausible")
    formulas: tuple[Any, ...] = ()
    if kinds == ["range"]:
        formulas = _ends(f"{where}.range", found["range"])
    elif kinds == ["formula"]:
        formulas = (found["formula"],)
    scale = found.get("scale", "")
    if "scale" in found and scale not in _SCALES:
        raise _fail(f"{where}.scale", scale, f"one of {', '.join(_SCALES)}")
    minimum = found.get("min")
    spec = NumberSpec(
        name=name,
        unit=_typed(f"{where}.unit", found["unit"], str, "text"),
        formulas=formulas,
        constant=found.get("constant"),
        scale=scale,
        minimum=None if minimum is None else _number(f"{where}.min", minimum, 0, 1e6),
        points=_points(where, found, intensities) if "plausible" in found else (),
    )
    if spec.points:
        return spec
    _check_levels(where, spec, found.get("at"), intensities, at_required=at_required)
    return spec


def _ends(where: str, value: object) -> tuple[Any, ...]:
    ends = tuple(_typed(where, value, list, "a list of two ends"))
    if len(ends) != 2:
        raise _fail(where, value, "a list of two ends")
    return ends


def _points(
    where: str, found: Mapping[str, Any], intensities: tuple[float, ...]
) -> tuple[tuple[float, float], ...]:
    """From the weak end of the plausible range at 0, through the values at the levels, to the other at 1."""
    weak, strong = (
        _number(f"{where}.plausible", end, -1e6, 1e6)
        for end in _ends(f"{where}.plausible", found["plausible"])
    )
    listed = _typed(f"{where}.at", found.get("at"), list, f"the list of the values at {', '.join(LEVELS)}")
    if len(listed) != len(intensities):
        raise _fail(f"{where}.at", listed, f"the list of the values at {', '.join(LEVELS)}")
    inside = [_number(f"{where}.at", value, min(weak, strong), max(weak, strong)) for value in listed]
    return tuple(zip((0.0, *intensities, 1.0), (weak, *inside, strong), strict=True))


def _check_levels(
    where: str, spec: NumberSpec, listed: object, intensities: tuple[float, ...], *, at_required: bool
) -> None:
    """The values listed for low, mid and hard must be those of the formula."""
    try:
        depends = spec.depends_on_intensity
        given = [tuple(evaluate(formula, i) for formula in spec.formulas) for i in intensities]
    except ValueError as error:
        raise SpecError(
            f"{where}: {error!s:.300}",
            hint="The head of the spec file lists what a formula may contain.",
        ) from error
    if not depends:
        if listed is not None:
            raise _fail(f"{where}.at", listed, "nothing (the value does not depend on i)")
        return
    if listed is None and not at_required:
        return
    plain = [values if spec.is_range else values[0] for values in given]
    if not isinstance(listed, list) or len(listed) != len(given):
        raise _fail(f"{where}.at", listed, f"the list of the values at {', '.join(LEVELS)}")
    for value, expected in zip(listed, given, strict=True):
        ends = value if spec.is_range else [value]
        if not isinstance(ends, list) or len(ends) != len(expected) or not all(map(_close, ends, expected)):
            raise _fail(f"{where}.at", listed, f"{plain} (the formula's values)")


def _close(listed: object, expected: float) -> bool:
    return isinstance(listed, (int, float)) and math.isclose(listed, expected, rel_tol=1e-9)
