"""Robust-R1's chains (arXiv 2512.17532, section 4): degradations, influence, reasoning, conclusion, length.

A picture is degraded by a chain over the four stages with strengths from U[0, 1]. A model describes the
influence (it sees both pictures), reasons (it sees the degraded one) and concludes; then the whole chain is
rewritten to a length that grows with the sum of the strengths. The paper gives neither the prompts nor the
lengths: those are ours.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mmdbench.records import ImageBytes
from mmdbench.scoring import Judge, JudgeCall
from mmdbench.training.asking import AskedQuestion, ask
from mmdbench.training.prompts import chain_conclusion, chain_influence, chain_reasoning, chain_rewrite
from mmdbench.training.robust_r1 import BLOCKS
from mmdbench.training.traces import PicturePair

__all__ = ["CHAIN_IDS", "ReasoningChain", "target_words", "type_list", "write_chain"]

CHAIN_IDS = {step: f"mmdbench-chain-{step}/1" for step in ("influence", "reasoning", "conclusion", "rewrite")}
"""Ids of the four prompts."""

_BLOCKS = BLOCKS[1:-1]
_TEMPERATURES = (0.0, 0.5, 1.0)
_MAX_TOKENS = 1024
_LEAST_WORDS, _WORDS_BY_STRENGTH = 40, 40


@dataclass(frozen=True, slots=True)
class ReasoningChain:
    """A chain as one string, empty if there is none; `status` is `ok` or the reason to drop the sample."""

    text: str
    words: int
    status: Literal["ok", "not of the form", "no reply"]


def target_words(steps: Sequence[Mapping[str, Any]]) -> int:
    """The words to aim at, for the steps of a chain's record: 40, and 40 for each 1 of summed strength.

    >>> target_words([{"intensity": 0.5}, {"intensity": 0.75}])
    90
    """
    strength = sum(float(step["intensity"]) for step in steps)
    return round(_LEAST_WORDS + _WORDS_BY_STRENGTH * strength)


def type_list(steps: Sequence[Mapping[str, Any]]) -> str:
    """The degradations of a chain's record in the model's own form.

    >>> type_list([{"corruption": "lens_blur", "intensity": 0.5}])
    'lens blur(0.50)'
    """
    return ", ".join(f"{s['corruption'].replace('_', ' ')}({s['intensity']:.2f})" for s in steps)


def write_chain(
    writer: Judge,
    task: AskedQuestion,
    pair: PicturePair,
    steps: Sequence[Mapping[str, Any]],
    *,
    regenerations: int = 3,
) -> ReasoningChain:
    """The chain of a sample: types and answer from what is known, the rest by a model in four calls.

    Args:
        writer: The model.
        task: The question and its right answer.
        pair: The pictures.
        steps: The steps of the chain's record, each with `corruption` and `intensity`.
        regenerations: The most further tries of a rewriting that is not of the form.

    Returns:
        The chain; `not of the form` if every rewriting is, `no reply` if a call is not answered.
    """
    types, words = type_list(steps), target_words(steps)
    texts = _describe(writer, task, pair, types)
    if not all(texts):
        return ReasoningChain("", words, "no reply")
    prompt = chain_rewrite(_blocks(texts), words)
    reached = False
    for attempt in range(1, regenerations + 2):
        reply = ask(writer, _call(task, "rewrite", prompt, (), attempt))
        reached = reached or reply is not None
        rewritten = _read_blocks(reply or "")
        if rewritten:
            text = f"<TYPE>{types}<TYPE_END>\n{_blocks(rewritten)}\n<ANSWER>{task.truth}<ANSWER_END>"
            return ReasoningChain(text, words, "ok")
    return ReasoningChain("", words, "not of the form" if reached else "no reply")


def _describe(writer: Judge, task: AskedQuestion, pair: PicturePair, types: str) -> tuple[str, str, str]:
    """Influence, reasoning and conclusion; each is empty from the first call on that is not answered."""
    both = (pair.clean, pair.degraded)

    def asked(step: str, prompt: str, *images: ImageBytes) -> str:
        return (ask(writer, _call(task, step, prompt, images)) or "").strip()

    influence = asked("influence", chain_influence(task.question, task.truth, types), *both)
    if not influence:
        return "", "", ""
    prompt = chain_reasoning(task.question, task.truth, types, influence)
    reasoning = asked("reasoning", prompt, pair.degraded)
    if not reasoning:
        return influence, "", ""
    return influence, reasoning, asked("conclusion", chain_conclusion(task.question, task.truth, reasoning))


def _call(
    task: AskedQuestion, step: str, prompt: str, images: tuple[ImageBytes, ...], attempt: int = 1
) -> JudgeCall:
    return JudgeCall(
        bench=task.cell.bench,
        index=task.cell.index,
        protocol="chains/1",
        prompt_id=CHAIN_IDS[step],
        prompt=prompt,
        attempt=attempt,
        temperature=_TEMPERATURES[min(attempt, len(_TEMPERATURES)) - 1],
        max_tokens=_MAX_TOKENS,
        images=images,
        with_thoughts=True,
    )


def _blocks(texts: Sequence[str]) -> str:
    return "\n".join(f"<{name}>{text}<{name}_END>" for name, text in zip(_BLOCKS, texts, strict=True))


def _read_blocks(text: str) -> tuple[str, ...]:
    """The texts of the three blocks, each of which occurs once and in order; none for anything else."""
    tags = re.findall(r"<[A-Z]+(?:_END)?>", text)
    if tags != [tag for name in _BLOCKS for tag in (f"<{name}>", f"<{name}_END>")]:
        return ()
    found = [text.split(f"<{name}>")[1].split(f"<{name}_END>", maxsplit=1)[0].strip() for name in _BLOCKS]
    return tuple(found) if all(found) else ()
