"""Thoughts in a message of a server, in every form in which servers send them, and the text beside them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["message_text", "message_thoughts", "used_effort"]

# DeepSeek, Qwen, Zhipu, Moonshot, xAI and vLLM; vLLM's newer name, OpenRouter, Ollama; Gemini and others.
_FIELDS = ("reasoning_content", "reasoning", "thinking", "thoughts")
_LISTS = ("reasoning_details", "thinking_blocks")
_THOUGHT_PARTS = ("thinking", "reasoning", "thought", "redacted_thinking")
_INNER = ("text", "thinking", "reasoning", "summary", "content")


def message_text(content: Any) -> str:
    """The answer in a message's content: its text, or that of its parts, without thoughts.

    Raises TypeError if the content is neither text nor a list of parts.
    """
    if isinstance(content, list):
        return "".join(str(part.get("text") or "") for part in content if not _is_thought(part))
    if content is None or isinstance(content, str):
        return content or ""
    raise TypeError(f"content is a {type(content).__name__}")


def message_thoughts(message: Mapping[str, Any]) -> str:
    """The thoughts of a message, the same text once; empty if it has none or keeps them secret."""
    content = message.get("content")
    inside = [part for part in content if _is_thought(part)] if isinstance(content, list) else []
    found = [_joined(message.get(name)) for name in (*_FIELDS, *_LISTS)]
    found += [_joined(inside), _joined(_of_google(message.get("extra_content")))]
    return "\n\n".join(dict.fromkeys(text for text in found if text.strip()))


def used_effort(answer: Mapping[str, Any]) -> str:
    """The reasoning effort that a server says it used; empty if it does not say."""
    inner = answer.get("reasoning")
    effort = answer.get("reasoning_effort") or (inner.get("effort") if isinstance(inner, Mapping) else "")
    return effort if isinstance(effort, str) else ""


def _of_google(extra: Any) -> list[Any]:
    google = extra.get("google") if isinstance(extra, Mapping) else None
    if not isinstance(google, Mapping):
        return []
    # A `thought` that is true says of the content that it is one; `thought_signature` is no text.
    return [google[name] for name in ("thoughts", "thought") if not isinstance(google.get(name, True), bool)]


def _is_thought(part: Any) -> bool:
    return isinstance(part, Mapping) and (part.get("type") in _THOUGHT_PARTS or part.get("thought") is True)


def _joined(value: Any) -> str:
    return "".join(_texts(value))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
    elif isinstance(value, Mapping):
        yield from _texts(next((value[name] for name in _INNER if value.get(name)), None))
