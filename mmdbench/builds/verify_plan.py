"""Checks the rows of a build against its plan: none missing, none added, each under its corruption."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path

from mmdbench.benches import Bench
from mmdbench.builds.build_check import BuildCheck, Problem
from mmdbench.builds.manifest import BuiltOutput, read_log
from mmdbench.builds.plan import BenchPlan, BuildPlan, Output, plan_benches
from mmdbench.corruptions.spec_file import load_spec
from mmdbench.errors import MmdbenchError
from mmdbench.records import Index
from mmdbench.variants.design import parse_sample

__all__ = ["check_plan"]

_Rows = dict[Output, list[tuple[Index, str | None]]]


def check_plan(check: BuildCheck) -> Iterator[Problem]:
    """Plan the build again from its sources, and compare the rows in the logs; one problem per output.

    A sample over several benchmarks depends on all of them: nothing is checked if one is missing.
    """
    outputs = {record.output: record for record in check.built}
    for planned in _plans(check.plan, check.sources.found):
        rows = _planned_rows(planned)
        for output in planned.outputs:
            record = outputs.get(output)
            if record is None:
                yield Problem(output.name, "", "the plan has this output, the manifest does not.")
                continue
            yield from _differences(check.folder, record, rows[output])
        for output, record in outputs.items():
            if output.bench == planned.bench.name and output not in rows:
                yield Problem(record.log.file, "", "the plan has no such output.")


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
    folder: Path, built: BuiltOutput, rows: Sequence[tuple[Index, str | None]]
) -> Iterator[Problem]:
    file = built.log.file
    try:
        for wanted, logged in zip_longest(rows, read_log(folder / file)):
            if logged is None:
                yield Problem(file, str(wanted[0]), "the plan has this row, the build does not.")
            elif wanted is None or logged["index"] != wanted[0]:
                yield Problem(file, str(logged["index"]), "the plan has another row here, or none.")
            elif logged["corruption"] != wanted[1]:
                what = f"the plan gives it {wanted[1]}, not {logged['corruption']}."
                yield Problem(file, str(wanted[0]), what)
            else:
                continue
            return
    except MmdbenchError:
        # A file that cannot be read was reported when the rows were checked.
        return
