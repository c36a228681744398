"""`score` with the fields of `Rules` as keywords, for tests that vary one of them."""

from __future__ import annotations

from dataclasses import fields

from mmdbench import scoring
from mmdbench.scoring import Rules, Score

_RULES = {field.name for field in fields(Rules)} - {"judge"}


def score(bench, replies, **options) -> Score:
    """Grade replies; keywords are fields of `Rules` or parameters of `mmdbench.scoring.score`."""
    rules = {name: value for name, value in options.items() if name in _RULES}
    others = {name: value for name, value in options.items() if name not in _RULES}
    return scoring.score(bench, replies, Rules(**rules), **others)
