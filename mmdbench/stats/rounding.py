"""The rounding rule of all reports: half away from zero.

Points and percentages have one decimal in every table and message, p-values four, and counts none.
Points beside published results have two, as those are printed; the scores of R-Bench, from 0 to 1, are
cut after four, as its authors do. JSON, CSV and Parquet hold unrounded numbers.

The float 64.965 is slightly less than the decimal number. Before a number is rounded it is written
with 12 significant digits, so that 64.965 rounds to 64.97 and −0.25 to −0.3 on every machine.
"""

from __future__ import annotations

from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal

__all__ = ["RULE", "cut", "fixed"]

RULE = "half away from zero; drops are taken before rounding"
"""The rule in words, for headers."""


def fixed(value: float, digits: int = 1) -> str:
    """The value with that many decimals.

    >>> fixed(64.965, 2), fixed(-0.25), fixed(-0.04)
    ('64.97', '-0.3', '0.0')
    """
    return _written(value, digits, ROUND_HALF_UP)


def cut(value: float, digits: int) -> str:
    """The value with the decimals after that many left out, as Robust-R1 prints its overall scores.

    >>> cut(0.46497, 4), fixed(0.46497, 4)
    ('0.4649', '0.4650')
    """
    return _written(value, digits, ROUND_DOWN)


def _written(value: float, digits: int, rule: str) -> str:
    number = Decimal(f"{value:.12g}").quantize(Decimal(1).scaleb(-digits), rule)
    return f"{abs(number) if number == 0 else number:f}"
