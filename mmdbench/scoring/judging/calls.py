"""A call to a judge and its reply, and the protocol of a judge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

from mmdbench.records import Index
from mmdbench.system.digest import bytes_digest, value_digest

__all__ = ["Judge", "JudgeCall", "JudgeReply"]


@dataclass(frozen=True, slots=True)
class JudgeCall:
    """One call to a judge: a prompt, its sampling, and the row that it is about.

    `attempt` counts the calls about a row from 1. `depends_on` holds JSON values besides the prompt
    that the meaning of a reply depends on; they are part of the key.
    """

    bench: str
    index: Index
    protocol: str
    prompt_id: str
    prompt: str
    attempt: int
    temperature: float
    max_tokens: int
    depends_on: tuple[Any, ...] = ()

    def key(self, judge_id: str) -> str:
        """The digest by which a journal finds the reply of that judge."""
        described = self.as_dict(judge_id)
        return value_digest([described, *self.depends_on] if self.depends_on else described)

    def as_dict(self, judge_id: str) -> dict[str, Any]:
        """The call as a journal records it, without its row."""
        return {
            "judge": judge_id,
            "protocol": self.protocol,
            "prompt_id": self.prompt_id,
            "prompt_sha256": bytes_digest(self.prompt.encode("utf-8", "surrogatepass")),
            "attempt": self.attempt,
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
        }


@dataclass(frozen=True, slots=True)
class JudgeReply:
    """The text that a judge wrote; with status `error` there is none, and `text` holds the reason."""

    text: str
    status: Literal["ok", "error"] = "ok"


class Judge(Protocol):
    """A model that judges."""

    @property
    def id(self) -> str:
        """Model name and version, as every score records it."""
        ...

    def ask(self, call: JudgeCall) -> JudgeReply:
        """Answer one call. Raises ModelError if no call can be answered."""
        ...
