"""A benchmark family: how its questions are asked, counted and graded, and what can head its table."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mmdbench.records import Grade, Index, Question
from mmdbench.scoring.sheet import Sheet, SheetRow, Totals

if TYPE_CHECKING:
    from mmdbench.scoring.judging.session import JudgeSession

__all__ = ["Family", "Grading", "Metric"]


@dataclass(frozen=True, slots=True)
class Metric:
    """A number that can head the table of a family.

    `key` is its name in `Score.metrics` and never changes; `label` is what people read, and is never
    compared. `units` splits questions into what the number counts as one. `stratum_column` names the
    column by which it averages parts of the benchmark first; empty if it does not. One that is shown
    `beside` the headline, where it is not the headline, has a row of its own in reports.
    """

    key: str
    label: str
    units: Callable[[Sequence[Question]], Iterator[Sequence[Question]]] = lambda questions: (
        [q] for q in questions
    )
    stratum_column: str = ""
    beside: bool = False

    def stratum(self, question: Question) -> str:
        """The part of the benchmark that a question belongs to; empty if the metric has no parts."""
        return question.fields.get(self.stratum_column, "") if self.stratum_column else ""


@dataclass(frozen=True, slots=True)
class Grading:
    """The grader of a family.

    `grade` grades each row of a sheet, with a judge if there is a session; `total` sums the hits up.
    `judged` marks families that only a judge can grade.

    The other fields repeat what VLMEvalKit does with its prediction files (io mode `compat`):
    `spreadsheet_trips` is how often it writes and reads the file, `truth_from_spreadsheet` is set where
    it takes right answers from there and not from the TSV file, `table_rows` are the rows of its tables.
    """

    grade: Callable[[Sheet, JudgeSession | None], dict[Index, Grade]]
    total: Callable[[Sheet, Mapping[Index, float]], Totals]
    judged: bool = False
    spreadsheet_trips: int = 1
    truth_from_spreadsheet: bool = False
    table_rows: Callable[[Sheet], Sequence[SheetRow]] = lambda sheet: sheet.rows


@dataclass(frozen=True, slots=True)
class Family:
    """All that benchmarks of one kind share: prompt, unit of counting, metrics and grader.

    Attributes:
        name: The family's name, as catalogues and stored runs hold it.
        prompt: Makes the text that is sent with a question's images.
        metrics: The numbers that can head its table.
        grading: The grader; None if the run's task grades the replies.
        prompt_summary: The prompt in words, for users.
        grading_summary: The grading in words, for users.
        text_column: The column that the prompt is made from; a file without it is not valid.
        unit: The index of the unit that a question belongs to. All questions of a unit get the same
            corruption, are sampled together and are one cluster of the statistics.
        partners: Maps the index of a unit to that of another unit that is always sampled with it.
        recognise: The reason why a file with these columns and indices looks like the family; empty
            if it does not.
        selectable: True if users can name the family for files of their own.
        by_protocol: Families that stand in for it under a protocol, by the protocol's name. They have its
            name and metrics, and ask or grade in another way.
    """

    name: str
    prompt: Callable[[Question], str]
    metrics: tuple[Metric, ...]
    grading: Grading | None
    prompt_summary: str = ""
    grading_summary: str = ""
    text_column: str = "question"
    unit: Callable[[Question], Index] = lambda question: question.index
    partners: Callable[[Sequence[Question]], Mapping[Index, Index]] = lambda _questions: {}
    recognise: Callable[[Collection[str], Sequence[Index]], str] = lambda _columns, _indices: ""
    selectable: bool = False
    by_protocol: Mapping[str, Family] = field(default_factory=dict)

    def under(self, protocol: str) -> Family:
        """The family as a protocol of that name asks and grades it."""
        return self.by_protocol.get(protocol, self)

    def metric(self, key: str) -> Metric:
        """The metric of that key."""
        return next(metric for metric in self.metrics if metric.key == key)
