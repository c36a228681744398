"""A graded run as tasks and samples, the words of other tools: a task is one benchmark at one level."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import cached_property
from typing import Any

from mmdbench.benches import build_prompt, find_bench
from mmdbench.errors import UsageError
from mmdbench.records import Grade, Question, Reply
from mmdbench.report.scores import levels_of, main_rows
from mmdbench.report.tables.replies import tokens_read, tokens_written
from mmdbench.results.graded_arms import GradedArm
from mmdbench.results.graded_run import RunResults
from mmdbench.stats import Estimate

__all__ = ["Dataset", "ExportedRun", "ExportedTask", "Sample", "standard_error"]

_HUB_NAME = re.compile(r"hf:(?P<repo>[^@:]+)@(?P<revision>\w+)(?::(?P<config>[^:]+):(?P<split>[^:\[]+))?")
_HUB_PAGE = re.compile(r"https://huggingface\.co/datasets/(?P<repo>[^/]+/[^/?#]+)/?")


@dataclass(frozen=True, slots=True)
class Dataset:
    """A benchmark's dataset on the Hub; what is unknown is empty. `place` is its source in words."""

    place: str = ""
    repo: str = ""
    revision: str = ""
    config: str = ""
    split: str = ""


@dataclass(frozen=True, slots=True)
class Sample:
    """A question as it was asked, with its reply and its grade; None where there is none."""

    id: int | str
    question: Question
    prompt: str
    level: str
    corruption: str | None
    repeat: int
    reply: Reply | None
    grade: Grade | None

    @property
    def text(self) -> str:
        """The reply; empty without one."""
        return self.reply.text if self.reply else ""

    @property
    def status(self) -> str:
        """The status of the reply; `missing` without one."""
        return self.reply.status if self.reply else "missing"

    @property
    def hit(self) -> float:
        """The grade, 0 to 1."""
        return float(self.grade.hit) if self.grade else 0.0

    @property
    def tokens(self) -> tuple[int, int] | None:
        """Tokens read and written; None if one of them is unknown."""
        read = tokens_read(self.reply) if self.reply else None
        written = tokens_written(self.reply) if self.reply else None
        return None if read is None or written is None else (int(read), int(written))


@dataclass(frozen=True)
class ExportedTask:
    """A benchmark at a level: its score in points, and the arms that are graded together."""

    name: str
    bench: str
    title: str
    level: str
    score: Estimate
    arms: tuple[GradedArm, ...]
    dataset: Dataset
    protocol: str
    apart: bool = False

    def samples(self) -> Iterator[Sample]:
        """The samples, arm by arm."""
        for arm in self.arms:
            bench, grades = arm.arm.bench, {grade.index: grade for grade in arm.score.grades}
            for question in bench.questions:
                index = question.index
                cell = arm.arm.cells[index]
                yield Sample(
                    f"{cell.corruption}/{index}" if self.apart and cell.corruption else index,
                    question,
                    build_prompt(question, bench.family, self.protocol),
                    cell.level,
                    cell.corruption,
                    cell.repeat,
                    arm.arm.replies.get(index),
                    grades.get(index),
                )


@dataclass(frozen=True)
class ExportedRun:
    """A graded run with its tasks; `without_score` names the benchmarks that have none.

    Raises UsageError, when its tasks are read, for a run without scores.
    """

    results: RunResults
    notes: tuple[str, ...] = ()
    without_score: list[str] = field(default_factory=list)

    @cached_property
    def tasks(self) -> tuple[ExportedTask, ...]:
        """The tasks that have a score, in the order of the run."""
        found, run = [], self.results
        levels = levels_of([run])
        rows = {row.id: row for row in main_rows(run, levels)}
        for bench in run.benches:
            scores = rows[run.benchmark(bench)].scores
            if not scores:
                self.without_score.append(run.title(bench))
            for level in (level for level in levels if level in scores):
                arms = tuple(arm for arm in run.arms if (arm.bench, arm.level) == (bench, level))
                found.append(
                    ExportedTask(
                        f"{bench}_{level}",
                        bench,
                        run.title(bench),
                        level,
                        scores[level],
                        arms,
                        self._dataset(bench),
                        run.plan.protocol,
                        run.apart,
                    )
                )
        if not found:
            raise UsageError(
                "The run has no scores to write.",
                hint="Open answers need a judge: mmdbench score RUN --judge MODEL.",
            )
        return tuple(found)

    @property
    def generation(self) -> Mapping[str, Any]:
        """The settings of sampling, as the card has them."""
        return dict(self.results.manifest.get("model", {}).get("generation", {}))

    @cached_property
    def asked(self) -> tuple[datetime, datetime]:
        """The times of the first and the last reply; 1970 if none is known."""
        texts = sorted(reply.asked for reply in self.results.replies.values() if reply.asked)
        if not texts:
            return (datetime.fromtimestamp(0, timezone.utc),) * 2
        first, last = (datetime.fromisoformat(text) for text in (texts[0], texts[-1]))
        return first, last

    @property
    def facts(self) -> dict[str, str]:
        """The settings that a score depends on, as texts by name."""
        plan, run = self.results.plan, self.results
        spec = run.manifest.get("spec", {})
        facts = {
            "protocol": plan.protocol,
            "extraction": plan.extraction,
            "judge": run.judge,
            "design": plan.design,
            "corruption_spec": str(spec.get("version", "")),
            "corruption_spec_digest": str(spec.get("digest", "")),
            "profile": plan.profile,
            "codec": plan.codec,
            "seed": str(plan.seed),
            "sample": plan.sample,
            "restore": plan.restore,
            "problem": run.problem,
            "notes": "\n".join(self.notes),
        }
        return {name: value for name, value in facts.items() if value}

    def _dataset(self, bench: str) -> Dataset:
        records = self.results.manifest.get("benches", [])
        source = next((r.get("source", "") for r in records if r["name"] == bench), "")
        if not source:
            try:
                source = find_bench(bench).source
            except UsageError:  # a file of the user's own
                return Dataset()
        found = _HUB_NAME.match(source) or _HUB_PAGE.fullmatch(source)
        return Dataset(source, **{k: v or "" for k, v in found.groupdict().items()} if found else {})


def standard_error(score: Estimate) -> float:
    """The standard error of a score, in its unit."""
    return float(score.sampling**0.5)
