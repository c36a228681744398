"""Types of a judge: its calls, its replies, and the protocol that a judge must have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from mmdbench.records import ImageBytes, Index
from mmdbench.system.digest import bytes_digest, value_digest

__all__ = ["Judge", "JudgeCall", "JudgeReply"]


@dataclass(frozen=True, slots=True)
class JudgeCall:
    """One call to a judge: a prompt, its sampling settings, and the row to judge.

    `attempt` is the number of the call for the row, from 1. `depends_on` holds further JSON values that a
    decision is made from, such as the options; they are part of the key, and so are the `images`, which
    are sent before the prompt. The reply is a ruling, from which thoughts are cut, unless `with_thoughts`.
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
    images: tuple[ImageBytes, ...] = ()
    with_thoughts: bool = False

    def key(self, judge_id: str) -> str:
        """The key under which a journal stores the reply of that judge."""
        described = self.as_dict(judge_id)
        return value_digest([described, *self.depends_on] if self.depends_on else described)

    def as_dict(self, judge_id: str) -> dict[str, Any]:
        """The call as a journal records it: without the row, and with a digest for the prompt."""
        return {
            "judge": judge_id,
            "protocol": self.protocol,
            "prompt_id": self.prompt_id,
            "prompt_sha256": bytes_digest(self.prompt.encode("utf-8", "surrogatepass")),
            "attempt": self.attempt,
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
            # Calls without pictures keep the keys that they had before there were any with.
            **({"images_sha256": [bytes_digest(i.data) for i in self.images]} if self.images else {}),
        }


@dataclass(frozen=True, slots=True)
class JudgeReply:
    """The reply of a judge; if the status is `error`, `text` holds the reason for it.

    `served` is the name of the model as the server gave it, empty for none; `sent` are the settings that the
    model was sent, where they are not those of the call.
    """

    text: str
    status: Literal["ok", "error"] = "ok"
    sent: Mapping[str, Any] | None = None
    served: str = field(default="", compare=False)

    @property
    def not_taken(self) -> tuple[str, ...]:
        """The settings of the call that the model does not take."""
        return tuple(n for n in ("temperature", "max_tokens") if self.sent is not None and n not in self.sent)


class Judge(Protocol):
    """A model that judges replies."""

    @property
    def id(self) -> str:
        """The name and version of the model, recorded with each score."""
        ...

    def ask(self, call: JudgeCall) -> JudgeReply:
        """Answer a call, with status `error` if it fails. Raises ModelError if every call would fail."""
        ...
