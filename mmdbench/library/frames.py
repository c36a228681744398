"""Replies and tables as plain rows, pandas data frames and Arrow tables, with columns of fixed types."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mmdbench.errors import MissingExtraError
from mmdbench.records import Recipe, Reply
from mmdbench.report.tables.replies import tokens_read, tokens_written, usd_of
from mmdbench.results.graded_run import RunResults
from mmdbench.system.digest import value_digest
from mmdbench.system.shapes import read_as

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

__all__ = ["NUMBER_COLUMNS", "REPLY_COLUMNS", "arrow_table", "data_frame", "reply_rows"]

REPLY_COLUMNS: Mapping[str, str] = {
    "model": "string",
    "bench": "string",
    "question": "string",
    "level": "string",
    "corruption": "string",
    "repeat": "Int64",
    "category": "string",
    "status": "string",
    "answer": "string",
    "reply": "string",
    "label": "string",
    "verdict": "string",
    "grade": "Float64",
    "stage": "string",
    "reason": "string",
    "tokens_read": "Int64",
    "tokens_written": "Int64",
    "usd": "Float64",
    "seconds": "Float64",
    "attempts": "Int64",
    "asked": "string",
    "recipe": "string",
    "key": "string",
}
"""Columns of `Run.frame`, each with its pandas type; what is unknown is missing, not 0 or "".

`question` is the index of a row of `bench`, `category` that of the question, `answer` the ground truth.
`status` is `missing` where there is no reply, `grade` the hit, 0 to 1, `stage` the rule that decided.
`asked` is a time in ISO format (UTC), `recipe` the digest of the recipe of the question's picture (of all if
it has several), and `key` finds the reply.
"""

NUMBER_COLUMNS: Mapping[str, str] = {
    "table": "string",
    "row": "string",
    "column": "string",
    "unit": "string",
    "value": "Float64",
    "text": "string",
    "low": "Float64",
    "high": "Float64",
    "n": "Int64",
    "mark": "string",
    "protocol": "string",
    "design": "string",
    "notes": "string",
}
"""Columns of a table's frame, one row for each number, unrounded, with its 95 % interval."""

_ARROW = {"string": "string", "Float64": "float64", "Int64": "int64"}


def reply_rows(run: RunResults) -> list[dict[str, Any]]:
    """One row for each planned request, in the order of the plan, with the columns of `REPLY_COLUMNS`."""
    questions = {(arm.bench, q.index): q for arm in run.arms for q in arm.arm.bench.questions}
    grades, price = run.grades, run.manifest.get("model", {}).get("price")
    rows = []
    for cell in run.cells:
        reply, grade, question = (
            run.replies.get(cell),
            grades.get(cell),
            questions.get((cell.bench, cell.index)),
        )
        values = (
            run.name,
            cell.bench,
            str(cell.index),
            cell.level,
            cell.corruption,
            cell.repeat,
            question.category or None if question else None,
            reply.status if reply else "missing",
            question.answer or None if question else None,
            reply.text if reply else None,
            grade.label if grade else None,
            grade.verdict if grade else None,
            float(grade.hit) if grade else None,
            grade.stage if grade else None,
            (reply.reason or None) if reply else None,
            *(_cost(reply, price) if reply else (None,) * 3),
            float(reply.seconds) if reply else None,
            reply.attempts if reply else None,
            (reply.asked or None) if reply else None,
            _recipe(reply) if reply else None,
            reply.key if reply else None,
        )
        rows.append(dict(zip(REPLY_COLUMNS, values, strict=True)))
    return rows


def _cost(reply: Reply, price: Mapping[str, Any] | None) -> tuple[int | None, int | None, float | None]:
    read, written = tokens_read(reply), tokens_written(reply)
    usd = usd_of(reply, price)
    return None if read is None else int(read), None if written is None else int(written), usd


def _recipe(reply: Reply) -> str | None:
    """The digest of a picture's recipe; of the list of digests if there are several pictures."""
    digests = [read_as(Recipe, image["recipe"]).digest() for image in reply.images if "recipe" in image]
    return digests[0] if len(digests) == 1 else value_digest(digests) if digests else None


def data_frame(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> pd.DataFrame:
    """Rows as a data frame whose columns have the given names, order and types, also without a row."""
    import pandas as pd

    typed: dict[str, Any] = {n: pd.Series([row[n] for row in rows], dtype=k) for n, k in columns.items()}
    frame: pd.DataFrame = pd.DataFrame(typed)
    return frame


def arrow_table(rows: Iterable[Mapping[str, Any]], columns: Mapping[str, str]) -> pa.Table:
    """Rows as an Arrow table of the given columns. Raises MissingExtraError without pyarrow."""
    try:
        import pyarrow as pa
    except ImportError as error:
        raise MissingExtraError("pyarrow, which makes Arrow tables,", "parquet") from error
    schema = pa.schema([(name, getattr(pa, _ARROW[kind])()) for name, kind in columns.items()])
    return pa.Table.from_pylist([dict(row) for row in rows], schema=schema)
