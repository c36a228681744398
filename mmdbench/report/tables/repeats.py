"""Tables and notes about repeated requests: the spread between repeats beside that between questions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mmdbench.report.question_series import Series, score_of
from mmdbench.report.scores import levels_of, run_series
from mmdbench.report.tables.table import Column, Row, Table, Value, value_of
from mmdbench.results.graded_run import RunResults
from mmdbench.stats import RepeatVariance, repeat_variance

__all__ = ["repeat_note", "repeat_table"]


def repeat_table(runs: Sequence[RunResults]) -> Table:
    """The scores of single repeats, and the spread between questions and between repeats of one question."""
    body = []
    for run in (run for run in runs if run.repeats):
        pooled, single = run_series(run), [run_series(replace(run, hits=hits)) for hits in run.repeats]
        for place in ((bench, level) for bench in run.benches for level in levels_of([run])):
            repeats = [of_run[place] for of_run in single if place in of_run]
            found = _variance(repeats) if len(repeats) == len(single) else None
            if found is None:
                continue
            values = (
                Value(found.questions),
                Value(len(found.scores)),
                value_of(score_of(pooled[place])),
                Value(100 * min(found.scores)),
                Value(100 * max(found.scores)),
                Value(100 * found.score_deviation),
                Value(100 * math.sqrt(found.between_questions)),
                Value(100 * math.sqrt(found.between_repeats)),
            )
            body.append(Row((run.name, run.title(place[0]), place[1]), values))
    columns = (
        Column("n", "count", 0),
        Column("repeats", "count", 0),
        Column("score"),
        Column("lowest"),
        Column("highest"),
        Column("SD of a repeat"),
        Column("SD questions"),
        Column("SD repeats"),
    )
    caption = (
        "The score is the mean over questions of each one's mean over repeats; its interval holds both. "
        "Lowest and highest are scores of single repeats; SD of a repeat is how far one such score is from "
        "the mean of many. SD questions and SD repeats are the deviations of a hit between questions and "
        "between repeats of one question (one-way random effects; Searle, Casella and McCulloch 1992)."
    )
    labels = ("Model", "Benchmark", "Level")
    return Table("repeats", "Spread between repeats", labels, columns, tuple(body), caption, model_at=0)


def repeat_note(run: RunResults) -> str:
    """The note about a run whose repeats do not differ in a single grade; empty for others."""
    if not run.repeats or any(hits != run.repeats[0] for hits in run.repeats):
        return ""
    return (
        f"All {len(run.repeats)} repeats of every question have the same grade: the model may answer alike "
        "whatever the seed, and then repeats say nothing about its spread."
    )


def _variance(repeats: Sequence[Series]) -> RepeatVariance | None:
    units = repeats[0].units
    if any(series.units != units for series in repeats):  # not all of them are judged
        return None
    return repeat_variance(np.column_stack([series.at.values for series in repeats]))
