"""Table of finish reasons: what a server's spelling of the end of a reply means.

Spellings are compared without case and punctuation, so `MAX_TOKENS`, `maxTokens` and `max_tokens` are one.
Of `content_filter: PROHIBITED_CONTENT` the part before the colon counts where the whole is not known.
Sources: the types of the packages openai 3.57.0, anthropic 2.14.0, google-genai 3.6.1 and mistralai 3.7.0;
the finish reasons that litellm 1.110.2 maps; DeepSeek's `insufficient_system_resource`; vLLM's `abort` and
`repetition` (a text that repeats itself is cut); Cohere's `ERROR_LIMIT` and `USER_CANCEL`, from Oracle's SDK.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from mmdbench.models.error_signs import plain_code

__all__ = ["FINISHED", "FINISH_REASONS", "REFUSED", "TRUNCATED", "finish_kind"]

FINISHED, TRUNCATED, REFUSED = "finished", "truncated", "refused"
"""Kinds of ends that give a reply; every other kind is a failure of `failures.RULES`."""

_SPELLINGS: Mapping[str, str] = {
    FINISHED: "stop end_turn stop_sequence eos eos_token end complete completed finished done "
    "tool_calls tool_call tool_use function_call",
    TRUNCATED: "length max_tokens max_output_tokens max_completion_tokens max_length model_length "
    "token_limit model_context_window_exceeded context_length_exceeded context_window_exceeded "
    "max_tokens_exceeded error_limit pause_turn compaction continuation repetition incomplete",
    REFUSED: "content_filter content_filtered content_policy content_policy_violation content_blocked safety "
    "image_safety prohibited_content image_prohibited_content blocklist spii recitation image_recitation "
    "language escalation model_armor jailbreak sensitive refusal refused guardrail guardrails "
    "guardrail_intervened error_toxic moderation blocked",
    "interrupted": "error network_error abort aborted cancelled canceled user_cancel interrupt interrupted "
    "other failed malformed_function_call malformed_response unexpected_tool_call "
    "too_many_tool_calls missing_thought_signature no_image image_other",
    "overloaded": "insufficient_system_resource",
    "timeout": "timeout",
    "forbidden": "pup_limited_disabled",
}

FINISH_REASONS: Mapping[str, str] = {
    spelling: kind for kind, spellings in _SPELLINGS.items() for spelling in spellings.split()
}
"""Spelling, in lower case with underscores → `finished`, `truncated`, `refused` or a kind of failure."""


def _plain(spelling: str) -> str:
    return plain_code(spelling).removeprefix("finishreason")


_PLAIN = {_plain(spelling): kind for spelling, kind in FINISH_REASONS.items()}


@lru_cache(maxsize=256)
def finish_kind(spelling: str) -> str | None:
    """The kind of end that a finish reason means; None if it is not known.

    One that the table does not hold is `interrupted` if it speaks of an error.

    >>> [finish_kind(s) for s in ("STOP", "maxTokens", "content_filter: OTHER", "server_error", "foo")]
    ['finished', 'truncated', 'refused', 'interrupted', None]
    """
    known = _PLAIN.get(_plain(spelling)) or _PLAIN.get(_plain(spelling.partition(":")[0]))
    return known or ("interrupted" if "error" in _plain(spelling) else None)
