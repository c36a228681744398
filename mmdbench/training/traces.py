"""Reasoning for the kept samples, written by a judge model in CLEAR's form and checked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from threading import Lock
from typing import Any, Literal

from mmdbench.benches import build_prompt
from mmdbench.records import Question
from mmdbench.scoring import Judge, JudgeJournal, JudgeKey, JudgeReply, extract_answer, infer_option
from mmdbench.scoring.perception.wording import LOOKS
from mmdbench.system.digest import bytes_digest, value_digest
from mmdbench.training.rewards import format_reward, restorations
from mmdbench.training.samples import Sample

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
    """What a judge wrote for a sample: the texts of its turns, none if no attempt stood the checks."""

    turns: tuple[str, ...]
    attempts: int
    status: Literal["ok", "failed", "error"]


def trace_prompt(sample: Sample, question: Question, family: str) -> str:
    """What the judge is asked to write: our own words. It is told the recipe and sees no picture."""
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
    """Asks a judge for traces, several at once; with a journal no call is made twice."""

    judge: Judge
    journal: JudgeJournal | None = None
    workers: int = 8
    on_progress: Callable[[int, int], None] = lambda _done, _total: None

    def write(self, samples: Iterable[tuple[Sample, Question, str]]) -> Iterator[tuple[Sample, Trace]]:
        """A trace for each (sample, question, family), in their order; raises what the judge raises."""
        rows = list(samples)
        made: dict[int, Trace] = {}
        open_rows: dict[int, list[JudgeReply]] = {i: [] for i in range(len(rows))}
        for attempt, temperature in enumerate(_TEMPERATURES, 1):
            for i, reply in self._round(rows, list(open_rows), attempt, temperature):
                sample, question, _ = rows[i]
                open_rows[i].append(reply)
                turns = _checked(reply, sample, question)
                if turns:
                    made[i] = Trace(turns, attempt, "ok")
                    del open_rows[i]
                    self.on_progress(len(made), len(rows))
        for i, replies in open_rows.items():
            failed = any(reply.status == "ok" for reply in replies)
            made[i] = Trace((), len(replies), "failed" if failed else "error")
        yield from ((rows[i][0], made[i]) for i in range(len(rows)))

    def _round(
        self, rows: list[tuple[Sample, Question, str]], which: list[int], attempt: int, temperature: float
    ) -> Iterator[tuple[int, JudgeReply]]:
        pool = ThreadPoolExecutor(max(1, self.workers), thread_name_prefix="traces")
        writing = Lock()
        try:
            futures = {}
            for i in which:
                prompt = trace_prompt(*rows[i])
                call = self._call(prompt, attempt, temperature)
                digest = value_digest(call)
                known = self.journal.find(digest) if self.journal else None
                if known is not None and known.get("status") == "ok":
                    yield i, JudgeReply(str(known["text"]))
                    continue
                cell = rows[i][0].cell
                record = {"key": digest, "bench": cell.bench, "index": cell.index, **call}
                futures[pool.submit(self._ask, prompt, record, writing)] = i
            for future in as_completed(futures):
                yield futures[future], future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _ask(self, prompt: str, record: Mapping[str, Any], writing: Lock) -> JudgeReply:
        key = JudgeKey(record["bench"], record["index"], record["attempt"], record["key"])
        reply = self.judge.ask(
            prompt, temperature=record["temperature"], max_tokens=record["max_tokens"], key=key
        )
        if self.journal:
            with writing:  # here, in its thread: whoever waits for replies may be gone when this one comes
                self.journal.add({**record, "status": reply.status, "text": reply.text})
        return reply

    def _call(self, prompt: str, attempt: int, temperature: float) -> Mapping[str, Any]:
        return {
            "judge": self.judge.id,
            "protocol": "traces/1",
            "prompt_id": PROMPT_ID,
            "prompt_sha256": bytes_digest(prompt.encode("utf-8", "surrogatepass")),
            "attempt": attempt,
            "temperature": temperature,
            "max_tokens": _MAX_TOKENS,
        }


def _checked(reply: JudgeReply, sample: Sample, question: Question) -> tuple[str, ...]:
    """The turns of a reply that keeps the form, decides as the sample does and answers rightly."""
    if reply.status != "ok":
        return ()
    turns = tuple(turn.strip() for turn in reply.text.split(f"\n{_SPLIT}"))
    if not format_reward(turns) or restorations(turns) != (sample.mode == "generate"):
        return ()
    answer = extract_answer(turns[-1])
    if question.options:
        right = infer_option(answer, question.options, protocol="clear/1") == question.answer
    else:
        right = answer.casefold().strip(" .") == question.answer.casefold().strip(" .")
    return turns if right else ()
