"""Reasoning for the kept samples, written by a judge model in CLEAR's form and checked."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from mmdbench.benches import build_prompt
from mmdbench.records import Question
from mmdbench.results.judging.ask import grade_with_judge
from mmdbench.results.judging.journal import JudgeJournal
from mmdbench.scoring import Judge, JudgeCall, JudgeReply, extract_answer, infer_option
from mmdbench.scoring.perception.wording import LOOKS
from mmdbench.training.rewards import format_reward, is_restored
from mmdbench.training.samples import TrainingSample

__all__ = ["PROMPT_ID", "Trace", "TraceWriter", "trace_prompt"]

PROMPT_ID = "mmdbench-trace/1"
_SPLIT = "====="
_TEMPERATURES = (0.0, 0.5, 1.0)
_MAX_TOKENS = 2048

_DIRECT = (
    "Write one text: first, between <think> and </think>, what the degradation spoils and why what is left "
    "is enough, then the reasoning; then the answer between <answer> and </answer>."
)
_GENERATE = (
    f"Write two texts with a line {_SPLIT} between them. The first: between <think> and </think>, what the "
    "degradation hides of what the question needs; then the tag <image_restore>, and nothing after it. The "
    "second, with the restored picture at hand: between <think> and </think>, the reasoning; then the answer "
    "between <answer> and </answer>."
)


@dataclass(frozen=True, slots=True)
class Trace:
    """A judge's reasoning for a sample: the texts of its turns, none if every attempt failed the checks."""

    turns: tuple[str, ...]
    attempts: int
    status: Literal["ok", "failed", "error"]


def trace_prompt(sample: TrainingSample, question: Question, family: str) -> str:
    """The prompt for a judge, in our own words; it names the corruption, and has no picture.

    Args:
        sample: The sample.
        question: Its question.
        family: The family of its benchmark.

    Returns:
        The prompt.
    """
    corruption = sample.cell.corruption or ""
    asked = build_prompt(question, family).rstrip()
    return (
        "You write training data for a model that answers questions about degraded pictures and can ask for "
        "a restoration of one.\n\n"
        f"The picture suffers from {corruption.replace('_', ' ')} ({LOOKS.get(corruption, corruption)}), "
        f"severity {sample.cell.level}.\nWhat the model is asked:\n{asked}\n"
        f"The right answer: {question.answer}\n\n"
        f"{_GENERATE if sample.mode == 'generate' else _DIRECT}\n"
        "Between the answer tags stands the right answer exactly as given above. Speak as someone who sees "
        "the picture and was told nothing: name neither these instructions nor a given answer. Stay below "
        "120 words."
    )


@dataclass(frozen=True)
class TraceWriter:
    """Asks a judge for traces, `workers` calls at once; with a journal no call is made twice.

    `on_progress` gets the number of calls that were answered and of those made so far.
    """

    judge: Judge
    journal: JudgeJournal | None = None
    workers: int = 8
    on_progress: Callable[[int, int], None] = lambda _done, _total: None

    def write(
        self, samples: Iterable[tuple[TrainingSample, Question, str]]
    ) -> list[tuple[TrainingSample, Trace]]:
        """A trace for each (sample, question, family), in their order. Raises what the judge raises."""
        rows = list(samples)
        return grade_with_judge(
            lambda judge: [(row[0], _write_trace(judge, *row)) for row in rows],
            self.judge,
            self.journal,
            workers=self.workers,
            on_progress=self.on_progress,
        )


def _write_trace(judge: Judge, sample: TrainingSample, question: Question, family: str) -> Trace:
    reached = False
    for attempt, temperature in enumerate(_TEMPERATURES, 1):
        call = JudgeCall(
            bench=sample.cell.bench,
            index=sample.cell.index,
            protocol="traces/1",
            prompt_id=PROMPT_ID,
            prompt=trace_prompt(sample, question, family),
            attempt=attempt,
            temperature=temperature,
            max_tokens=_MAX_TOKENS,
        )
        reply = judge.ask(call)
        turns = _checked(reply, sample, question)
        if turns:
            return Trace(turns, attempt, "ok")
        reached = reached or reply.status == "ok"
    return Trace((), len(_TEMPERATURES), "failed" if reached else "error")


def _checked(reply: JudgeReply, sample: TrainingSample, question: Question) -> tuple[str, ...]:
    """The turns of a reply with the right form, the decision of the sample and the right answer."""
    if reply.status != "ok":
        return ()
    turns = tuple(turn.strip() for turn in reply.text.split(f"\n{_SPLIT}"))
    if not format_reward(turns) or is_restored(turns) != (sample.mode == "generate"):
        return ()
    answer = extract_answer(turns[-1])
    if question.options:
        right = infer_option(answer, question.options, protocol="clear/1") == question.answer
    else:
        right = answer.casefold().strip(" .") == question.answer.casefold().strip(" .")
    return turns if right else ()
