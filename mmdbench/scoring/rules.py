"""Everything that a grade depends on beside the question, the reply and a judge's own replies."""

from __future__ import annotations

from dataclasses import dataclass

from mmdbench.scoring.protocols import DEFAULT_PROTOCOL

__all__ = ["Rules"]


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
        return "_".join("".join(c if c.isalnum() or c in "-.@" else "-" for c in part) for part in parts)
