"""Reasoning of CLEAR's training data: written with both pictures at hand, or by an agent.

`write_trace` is the recipe of the paper (appendix C): a model that sees both pictures, the question and
the truth writes a trace of a given mode, again if its form or answer is wrong. `ask_agent` is the recipe
of the published code: an agent answers the degraded picture, and decides by itself to ask for a restored one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mmdbench.records import RESTORE_TAG, ImageBytes
from mmdbench.scoring import Judge, JudgeCall, extract_answer
from mmdbench.training.asking import AskedQuestion, ask, is_consistent, is_right
from mmdbench.training.prompts import AGENT_ID, TRACE_ID, agent_again, trace_prompt
from mmdbench.training.rewards import format_reward
from mmdbench.training.samples import Mode
from mmdbench.training.training_format import asks_for_picture, join_texts, split_text

__all__ = ["PicturePair", "Trace", "ask_agent", "write_trace"]

_PROTOCOL = "traces/2"
_TEMPERATURES = (0.0, 0.5, 1.0)
_MAX_TOKENS = 2048
_AGENT_TEMPERATURE = 0.3
_AGENT_TOKENS = 1024


@dataclass(frozen=True, slots=True)
class PicturePair:
    """The clean picture of a sample and the degraded one, both encoded."""

    clean: ImageBytes
    degraded: ImageBytes


@dataclass(frozen=True, slots=True)
class Trace:
    """A trace as one string, empty if there is none; `status` is `ok` or the reason to drop the sample."""

    text: str
    attempts: int
    status: Literal["ok", "wrong", "inconsistent", "not of the form", "not judged", "no reply"]

    @property
    def mode(self) -> Mode:
        """`generate` if the trace asks for a restored picture, else `direct`."""
        return "generate" if RESTORE_TAG in self.text else "direct"


def write_trace(
    writer: Judge,
    task: AskedQuestion,
    mode: Mode,
    pair: PicturePair,
    *,
    judge: Judge | None = None,
    regenerations: int = 3,
) -> Trace:
    """A trace of a mode, by a model that sees both pictures, the question and the truth.

    Args:
        writer: The model.
        task: The question and its right answer.
        mode: The mode that the trace must have.
        pair: The pictures; the clean one is sent first.
        judge: Compares answers in other words with the truth; without one they are wrong.
        regenerations: The most further tries after a first one that is wrong or not of the form.

    Returns:
        The trace; `wrong` if every try was, `no reply` if none was answered.
    """
    reached = False
    for attempt in range(1, regenerations + 2):
        call = JudgeCall(
            bench=task.cell.bench,
            index=task.cell.index,
            protocol=_PROTOCOL,
            prompt_id=TRACE_ID,
            prompt=trace_prompt(mode, task.question, task.truth),
            attempt=attempt,
            temperature=_TEMPERATURES[min(attempt, len(_TEMPERATURES)) - 1],
            max_tokens=_MAX_TOKENS,
            images=(pair.clean, pair.degraded),
            with_thoughts=True,
        )
        reply = ask(writer, call)
        text = _well_formed(reply or "")
        reached = reached or reply is not None
        if text and (RESTORE_TAG in text) == (mode == "generate") and is_right(task, text, judge):
            return Trace(text, attempt, "ok")
    return Trace("", regenerations + 1, "wrong" if reached else "no reply")


def ask_agent(agent: Judge, judge: Judge, task: AskedQuestion, pair: PicturePair) -> Trace:
    """A trace by an agent, which sees the clean picture as the restored one if it asks for it.

    Args:
        agent: The model, with the system prompt `AGENT_SYSTEM`.
        judge: Compares the agent's answer with the truth, once.
        task: The question and its right answer.
        pair: The pictures.

    Returns:
        The trace. A request is the tag alone on a line; of the first text nothing after it is kept.
    """
    first = ask(agent, _agent_call(task, 1, task.question, (pair.degraded,)))
    if first is None:
        return Trace("", 1, "no reply")
    turns = [first]
    if asks_for_picture(first):
        turns = [split_text(first)[0]]
        prompt = agent_again(task.question, turns[0])
        second = ask(agent, _agent_call(task, 2, prompt, (pair.degraded, pair.clean)))
        if second is None:
            return Trace("", 2, "no reply")
        turns.append(second)
    text = _well_formed("\n".join(turns))
    if not text:
        return Trace("", len(turns), "not of the form")
    verdict = is_consistent(judge, task, extract_answer(turns[-1]))
    if verdict is None:
        return Trace("", len(turns), "not judged")
    return Trace(text, len(turns), "ok") if verdict else Trace("", len(turns), "inconsistent")


def _agent_call(task: AskedQuestion, turn: int, prompt: str, images: tuple[ImageBytes, ...]) -> JudgeCall:
    return JudgeCall(
        bench=task.cell.bench,
        index=task.cell.index,
        protocol=_PROTOCOL,
        prompt_id=AGENT_ID,
        prompt=prompt,
        attempt=turn,
        temperature=_AGENT_TEMPERATURE,
        max_tokens=_AGENT_TOKENS,
        images=images,
        with_thoughts=True,
    )


def _well_formed(text: str) -> str:
    """A trace with the tag alone on its line; empty unless it has exactly one of CLEAR's two patterns."""
    texts = split_text(text.strip())
    good = text.count(RESTORE_TAG) <= 1 and format_reward(texts) == 1.0
    return join_texts(*texts) if good else ""
