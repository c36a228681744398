"""A build's rows against its plan: none missing, none added, none under another corruption."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path

from mmdbench.benches import Bench
from mmdbench.builds.logs import Built, read_log
from mmdbench.builds.plan import BenchPlan, BuildPlan, Output, plan_benches
from mmdbench.corruptions.spec_file import load_spec
from mmdbench.errors import MmdbenchError
from mmdbench.records import Index
from mmdbench.variants.design import parse_sample

__all__ = ["unplanned_rows"]

_Rows = dict[Output, list[tuple[Index, str | None]]]


def unplanned_rows(
    folder: Path, plan: BuildPlan, built: Sequence[Built], found: Mapping[str, Bench]
) -> Iterator[tuple[str, str, str]]:
    """Plan the build anew from its sources, and compare what is in the logs: file, index, what is wrong.

    Of each output the first difference is told. A sample over several benchmarks follows from all
    of them, so nothing can be said while one of those is missing.
    """
    outputs = {record.output: record for record in built}
    for planned in _plans(plan, found):
        rows = _planned_rows(planned)
        for output in planned.outputs:
            record = outputs.get(output)
            if record is None:
                yield output.name, "", "the plan has this output, the manifest does not."
                continue
            yield from _differences(folder, record, rows[output])
        for output, record in outputs.items():
            if output.bench == planned.bench.name and output not in rows:
                yield record.log.file, "", "the plan has no such output."


def _plans(plan: BuildPlan, found: Mapping[str, Bench]) -> list[BenchPlan]:
    sample = parse_sample(plan.sample)
    benches = [found[name] for name in plan.benches if name in found]
    if sample is not None and not sample.per_bench and len(benches) < len(plan.benches):
        return []
    return plan_benches(plan, benches, load_spec())


def _planned_rows(planned: BenchPlan) -> _Rows:
    rows: _Rows = {output: [] for output in planned.outputs}
    for question, cells in planned.questions:
        for cell in cells:
            rows[planned.output_of(cell)].append((question.index, cell.corruption))
    return rows


def _differences(
    folder: Path, built: Built, rows: Sequence[tuple[Index, str | None]]
) -> Iterator[tuple[str, str, str]]:
    file = built.log.file
    try:
        for wanted, logged in zip_longest(rows, read_log(folder / file)):
            if logged is None:
                yield file, str(wanted[0]), "the plan has this row, the build does not."
            elif wanted is None or logged["index"] != wanted[0]:
                yield file, str(logged["index"]), "the plan has another row here, or none."
            elif logged["corruption"] != wanted[1]:
                yield file, str(wanted[0]), f"the plan gives it {wanted[1]}, not {logged['corruption']}."
            else:
                continue
            return
    except MmdbenchError:
        # Whatever cannot be read was reported when the rows were checked.
        return
