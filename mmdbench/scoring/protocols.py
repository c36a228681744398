"""Protocols: named, versioned sets of scoring rules; and the rules of one grading, which name a protocol.

A score means nothing without its protocol's name.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from mmdbench.errors import UnknownNameError
from mmdbench.system.inner_paths import name_of_at_most

__all__ = [
    "DEFAULT_PROTOCOL",
    "MEANINGS",
    "PROTOCOLS",
    "RBENCH_OFFICIAL",
    "RBENCH_OURS",
    "Rules",
    "ScoringProtocol",
    "get_protocol",
]

_LONGEST_NAME = 160  # bytes; the name of a file, which has 255 at most, holds it and more


@dataclass(frozen=True, slots=True)
class ScoringProtocol:
    """The rules in which one protocol differs from another.

    `letter_window`: a lone option letter counts only if its first occurrence is among that many
    last tokens (None: anywhere). `answer_is`: look for "answer is X". `length_factor`: option texts
    are searched only in replies of at most that many times the length of all option texts together
    (None: in any). `pair_headline`, `source_headline`: the headline of MMVP is that of pairs, of
    CV-Bench-2D the mean of its sources. `mmvet_max_tokens`: the most tokens of an MM-Vet judge's
    reply. `formulas`: a spreadsheet trip turns texts such as `=1+1` into formulas.
    """

    name: str
    letter_window: int | None
    answer_is: bool
    length_factor: int | None
    pair_headline: bool
    source_headline: bool
    mmvet_max_tokens: int
    formulas: bool


_CLEAR = ScoringProtocol(
    name="clear/1",
    letter_window=None,
    answer_is=False,
    length_factor=None,
    pair_headline=False,
    source_headline=False,
    mmvet_max_tokens=3,
    formulas=True,
)
_VLMEVALKIT = ScoringProtocol(
    name="vlmevalkit/1",
    letter_window=4,
    answer_is=True,
    length_factor=2,
    pair_headline=True,
    source_headline=True,
    mmvet_max_tokens=2048,
    formulas=False,
)

RBENCH_OFFICIAL = "rbench/official"
"""The protocol that asks and grades R-Bench's tasks as its authors do; other benchmarks as `clear/1`."""

RBENCH_OURS = "rbench/ours"
"""The protocol that grades R-Bench's tasks in our own way, as any other does; the rest as `clear/1`."""

PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        _CLEAR,
        _VLMEVALKIT,
        replace(_CLEAR, name=RBENCH_OFFICIAL),
        replace(_CLEAR, name=RBENCH_OURS),
    )
}
"""Every protocol by name: those of VLMEvalKit of April 2025 and of August 2026, and R-Bench's."""

MEANINGS = {
    _CLEAR.name: "the rules of CLEAR's paper, those of VLMEvalKit of April 2025",
    _VLMEVALKIT.name: "the rules of VLMEvalKit of August 2026",
    RBENCH_OFFICIAL: "R-Bench with the calls, scales and rounding of its authors' judge",
    RBENCH_OURS: "R-Bench with one call of the judge for each reply",
}
"""Every protocol with its meaning."""

DEFAULT_PROTOCOL = _CLEAR.name


def get_protocol(protocol: str | ScoringProtocol) -> ScoringProtocol:
    """The rules of that name; rules are returned unchanged.

    Raises UnknownNameError, with the nearest names.
    """
    if isinstance(protocol, ScoringProtocol):
        return protocol
    if protocol not in PROTOCOLS:
        raise UnknownNameError("scoring protocol", protocol, PROTOCOLS)
    return PROTOCOLS[protocol]


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules by which replies are graded.

    `protocol` names the scoring rules and `extraction` the way in which the answer is found in a reply.
    With `io="compat"` texts make VLMEvalKit's trips through spreadsheets first, with `"literal"` they do
    not. Rows that a judge cannot resolve are misses (`on_unresolved="miss"`), or get an option drawn from
    `seed` (`"random"`). `judge` is the judge's id, None for none.
    """

    protocol: str = DEFAULT_PROTOCOL
    extraction: str = "sane"
    io: str = "literal"
    on_unresolved: str = "miss"
    seed: int = 0
    judge: str | None = None

    @property
    def name(self) -> str:
        """The rules as a part of a file's name."""
        parts = [self.protocol, self.extraction, self.io]
        if self.judge:
            parts.append(self.judge)
            parts += [f"random{self.seed}"] if self.on_unresolved == "random" else []
        safe = "_".join("".join(c if c.isalnum() or c in "-.@" else "-" for c in part) for part in parts)
        return name_of_at_most(_LONGEST_NAME, safe)
