"""No number, order or filter of a report depends on a text for people: names are shown, ids are compared."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from mmdbench.benches.catalog import find_bench
from mmdbench.check import accept, check_run, parse_gate, read_baseline
from mmdbench.corruptions.spec_file import load_spec
from mmdbench.errors import IncomparableError
from mmdbench.report import identity, scores
from mmdbench.report.cite import citations
from mmdbench.report.load import open_comparisons, open_runs
from mmdbench.report.page.writing import PageContent, page_html
from mmdbench.report.render.figures import draw_figures
from mmdbench.report.tables import collect
from mmdbench.report.tables.table import Column, Table, as_record, ranks
from mmdbench.results import graded_run
from optional_packages import needs
from run_folders import numbers, question, write_run

SPEC = load_spec()
BENCHES = ("MMBench_DEV_EN_V11", "MMVP", "CV-Bench-2D", "MMStar")
CORRUPTIONS = ("graffiti", "lens_blur", "scan_lines")
GATES = ("macro-hard:1", "MMBench/hard:2", "CV-*/*/hard:3", "*/capture/mid:2")


def reword(monkeypatch):
    """Name the mean like a benchmark, each benchmark like the next, and all columns like the mean."""
    titles = dict(zip(BENCHES, (*(find_bench(name).title for name in BENCHES[1:]), "Other"), strict=True))
    monkeypatch.setattr(graded_run, "find_bench", lambda name: replace(find_bench(name), title=titles[name]))
    monkeypatch.setattr(scores, "AVERAGE_NAME", "MMStar")
    parts = dict.fromkeys(
        (scores.QUESTION_CATEGORY, scores.CORRUPTION_CATEGORY, scores.CORRUPTION), "Corruption"
    )
    # The titles of breakdowns are private: only this test changes them.
    monkeypatch.setattr(collect, "_PARTS", parts)

    def other_column(self, *args, init=Column.__init__, **named):
        init(self, *args, **named)
        object.__setattr__(self, "name", "AVG")

    def other_table(self, *args, init=Table.__init__, **named):
        init(self, *args, **named)
        object.__setattr__(self, "title", "AVG")
        object.__setattr__(self, "labels", ("AVG",) * len(self.labels))

    monkeypatch.setattr(Column, "__init__", other_column)
    monkeypatch.setattr(Table, "__init__", other_table)


@pytest.fixture(params=["mixed", "grid"])
def folders(tmp_path, request):
    """Two runs of four benchmarks, the second one worse."""
    asked = [question(i, bench) for bench in BENCHES for i in range(24)]

    def run(model, every):
        def answer(q, level, corruption):
            place = q.index + len(q.bench) + len(corruption or "")
            return "B" if place % 7 == 3 or (level == "hard" and place % every == 1) else "A"

        made = {"design": request.param, "model": model, "corruptions": CORRUPTIONS}
        return str(write_run(tmp_path / model, asked, answer, **made))

    return run("one", 6), run("two", 3)


def measured(folders, tmp_path):
    """The numbers of tables, comparisons and gates, citations, and the filters of the page's cells."""
    runs, tables = open_runs([*folders, "paper:clear-rl", "paper:bagel"])
    compared = open_comparisons([*folders, "paper:clear-rl"])
    accept(runs[0], tmp_path / "baseline.json")
    report = check_run(runs[1], read_baseline(tmp_path / "baseline.json"), SPEC, [*map(parse_gate, GATES)])
    broken = replace(runs[1], statuses={"ok": 1, "missing": 9})
    both = [*tables.tables, *collect.make_tables([runs[0], broken], SPEC).tables]
    page = page_html(PageContent(runs, tables, ()), SPEC)
    return {
        "tables": numbers(tables.as_dict()),
        "keys": [table.key for table in tables.tables],
        "ranks": [ranks(table) for table in both],
        "marks": [[v.mark for row in table.rows for v in row.values if v] for table in both],
        "comparisons": [numbers(as_record(one)) for one in compared],
        "gates": asdict(replace(report, run_notes=())),  # notes are texts for people
        "citations": citations(runs),
        "page": re.findall(r' (data-[a-z]+="[^"]*")', page),
    }


def test_other_names_move_nothing(folders, tmp_path, monkeypatch):
    found = measured(folders, tmp_path)
    assert {"", "†"} == {mark for marks in found["marks"] for mark in marks}
    names = [row.name for row in open_runs(folders)[1].main]
    assert {'data-bench="MMStar"', 'data-family="capture"', 'data-corruption="graffiti"'} <= set(
        found["page"]
    )
    reword(monkeypatch)
    again = measured(folders, tmp_path)
    for kind in found:
        assert again[kind] == found[kind], kind
    others = [row.name for row in open_runs(folders)[1].main]
    assert names[:5] == ["MMBench", "MMVP", "CV-Bench", "MMStar", "AVG"]
    assert others[:5] == ["MMVP", "CV-Bench", "MMStar", "Other", "MMStar"]


@needs("matplotlib")
def test_other_names_leave_figures_and_their_sizes(folders, tmp_path, monkeypatch):
    def sizes():
        paths = draw_figures(open_runs(folders)[1], tmp_path, ["svg"])
        return {path.stem: re.findall(r'viewBox="[^"]*"', path.read_text("utf-8"))[0] for path in paths}

    found = sizes()
    assert list(found) == ["levels", "drops", "corruptions"]
    reword(monkeypatch)
    assert sizes() == found


def test_ids_are_not_part_of_the_json(folders):
    made = [open_runs(folders)[1].as_dict(), *map(as_record, open_comparisons(folders))]
    assert not re.search('"(id|ids|model_at)":', json.dumps(made))


def test_settings_that_block_are_known_by_their_ids(folders, monkeypatch):
    # The names of settings are private: only this test changes them.
    monkeypatch.setattr(identity, "_MUST", dict.fromkeys(("seed", "sample"), "sample"))
    ours = identity.identity(graded_run.load_results(Path(folders[0])))
    assert identity.require_comparable(ours, {**ours, "sample": "12"}, shared=True)
    with pytest.raises(IncomparableError, match="differ in sample"):
        identity.require_comparable(ours, {**ours, "seed": 7}, shared=True)
