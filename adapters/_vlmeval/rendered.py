"""Prompts that chat templates render inside VLMEvalKit's classes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

__all__ = ["rendered_prompts"]

_END = 32
"""Tokens at the end of a prompt that are decoded: more than any mark has."""


@contextmanager
def rendered_prompts(model: Any) -> Iterator[list[str]]:
    """Collect the prompts, or their ends, that the model's processor and tokenizer render in the block.

    Classes of VLMEvalKit keep these as `processor` and `tokenizer`. A prompt that a class writes without a
    chat template is not seen.
    """
    rendered: list[str] = []
    processor, tokenizer = getattr(model, "processor", None), getattr(model, "tokenizer", None)
    owners: list[Any] = [processor, tokenizer, getattr(processor, "tokenizer", None)]
    watched = {id(owner): owner for owner in owners if hasattr(owner, "apply_chat_template")}.values()
    for owner in watched:
        owner.apply_chat_template = _watch(owner, rendered)
    try:
        yield rendered
    finally:
        for owner in watched:
            del owner.apply_chat_template


def _watch(owner: Any, rendered: list[str]) -> Callable[..., Any]:
    render = owner.apply_chat_template

    def watched(*args: Any, **more: Any) -> Any:
        made = render(*args, **more)
        rendered.append(made if isinstance(made, str) else _decoded(owner, made))
        return made

    return watched


def _decoded(owner: Any, made: Any) -> str:
    """The end of the last prompt of a batch, or of its ids; empty for what cannot be read."""
    try:
        part = made["input_ids"] if isinstance(made, Mapping) else made
        part = part.tolist() if hasattr(part, "tolist") else part
        while isinstance(part[-1], list):
            part = part[-1]
        return part[-1] if isinstance(part[-1], str) else str(owner.decode(part[-_END:]))
    except Exception:  # noqa: BLE001 - foreign objects; a reply must not fail by being watched
        return ""
