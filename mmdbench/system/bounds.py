"""Checks of numbers that a user gives, with one wording: the rule, then the value.

>>> require_between("--max-error-rate", 5.0, 0, 1)
Traceback (most recent call last):
    ...
mmdbench.errors.UsageError: --max-error-rate must be between 0 and 1, got 5.0.
"""

from __future__ import annotations

from numbers import Integral, Real

from mmdbench.errors import UsageError

__all__ = ["require_above", "require_at_least", "require_between"]


def require_at_least(name: str, value: object, least: float, *, whole: bool = False) -> None:
    """Raise an error unless a value is a number of at least `least`.

    Args:
        name: The option or parameter, as its user writes it.
        value: Anything; a bool, NaN or a value that is no number is refused.
        least: The smallest number allowed.
        whole: Refuse a number that is not an integer.

    Raises:
        UsageError: The value is not allowed.
    """
    if not (_is_number(value, whole=whole) and value >= least):  # type: ignore[operator]
        raise _refused(name, value, f"at least {least:g}", whole=whole)


def require_between(name: str, value: object, low: float, high: float, *, whole: bool = False) -> None:
    """Raise an error unless a value is a number between two others, both of them included.

    Args:
        name: The option or parameter, as its user writes it.
        value: Anything; a bool, NaN or a value that is no number is refused.
        low: The smallest number allowed.
        high: The largest number allowed.
        whole: Refuse a number that is not an integer.

    Raises:
        UsageError: The value is not allowed.
    """
    if not (_is_number(value, whole=whole) and low <= value <= high):  # type: ignore[operator]
        raise _refused(name, value, f"between {low:g} and {high:g}", whole=whole)


def require_above(name: str, value: object, low: float, *, below: float | None = None) -> None:
    """Raise an error unless a value is a number above `low` and below another, both of them excluded.

    Args:
        name: The option or parameter, as its user writes it.
        value: Anything; a bool, NaN or a value that is no number is refused.
        low: The number that is just too small.
        below: The number that is just too large; None for no limit.

    Raises:
        UsageError: The value is not allowed.
    """
    if not (_is_number(value) and low < value and (below is None or value < below)):  # type: ignore[operator]
        rule = f"above {low:g}" + ("" if below is None else f" and below {below:g}")
        raise _refused(name, value, rule)


def _is_number(value: object, *, whole: bool = False) -> bool:
    # NumPy's numbers are registered as Real and Integral, too.
    return isinstance(value, Integral if whole else Real) and not isinstance(value, bool)


def _refused(name: str, value: object, rule: str, *, whole: bool = False) -> UsageError:
    if whole:
        rule = f"a whole number {'of ' * rule.startswith('at')}{rule}"
    return UsageError(f"{name} must be {rule}, got {value!r}.")
