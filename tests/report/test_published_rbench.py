"""R-Bench's published scores: the printed overall scores come out of the printed cells."""

from __future__ import annotations

import pytest

from mmdbench.report.published import paper_tables, published_names, published_rows
from mmdbench.report.rbench_scores import CELL_ROWS, CELLS, mean_of_cells, mean_over_rows
from mmdbench.stats.rounding import cut, fixed

PAPER = paper_tables()
ROWS = CELL_ROWS
OWN = [(name, model) for name in ("rbench_absolute", "rbench_relative") for model in PAPER[name]]
ROBUST = [(name, model) for name in ("robust_r1_table1_rbench", "robust_r1_table3") for model in PAPER[name]]


def test_the_cells_hold_all_rows():
    assert sum(ROWS) == PAPER["sizes"]["R-Bench"] == 1485
    assert [sum(ROWS[i : i + 3]) for i in (0, 3, 6)] == [495] * 3
    assert [f"{task} {strength}" for task, strength in CELLS] == PAPER["rbench_columns"][:-1]


@pytest.mark.parametrize(("table", "model"), OWN)
def test_r_bench_prints_the_mean_over_rows(table, model):
    *cells, printed = PAPER[table][model]
    if model == "MPlugOwl3":  # low and mid of MCQ are swapped: listed
        cells[0], cells[1] = cells[1], cells[0]
    assert fixed(mean_over_rows(cells, ROWS), 4) == f"{printed:.4f}"


def test_the_plain_mean_is_another_score():
    *cells, printed = PAPER["rbench_absolute"]["GPT4o"]
    assert (fixed(mean_of_cells(cells), 4), printed) == ("0.6346", 0.6348)
    *cells, printed = PAPER["rbench_relative"]["GPT4o"]
    assert (fixed(mean_of_cells(cells), 4), printed) == ("0.4905", 0.4907)


@pytest.mark.parametrize(("table", "model"), ROBUST)
def test_robust_r1_prints_the_plain_mean_cut(table, model):
    *cells, printed = PAPER[table][model]
    assert cut(mean_of_cells(cells), 4) == f"{printed:.4f}"


def test_robust_r1_neither_rounds_nor_weighs_by_rows():
    tables = PAPER["robust_r1_table1_rbench"]
    assert fixed(mean_of_cells(tables["Gemma3-4B"][:-1]), 4) == "0.4650" != f"{tables['Gemma3-4B'][-1]:.4f}"
    assert cut(mean_over_rows(tables["TeCoA"][:-1], ROWS), 4) == "0.3588" != f"{tables['TeCoA'][-1]:.4f}"


def test_mcq_scores_are_whole_fractions_of_their_cell_except_those_that_are_listed():
    odd = {}
    for table in ("rbench_absolute", "rbench_relative", "robust_r1_table1_rbench", "robust_r1_table3"):
        for model, values in PAPER[table].items():
            for (_, strength), count, value in zip(CELLS[:3], ROWS[:3], values[:3], strict=True):
                shares = {form(k / count, 4) for k in range(count + 1) for form in (cut, fixed)}
                if f"{value:.4f}" not in shares:
                    odd.setdefault((table, model), []).append(strength)
    assert odd == {
        ("rbench_absolute", "GPT4o"): ["mid", "high"],
        ("rbench_absolute", "GeminiPro"): ["mid", "high"],
        ("rbench_relative", "MPlugOwl3"): ["low", "mid"],
        ("robust_r1_table1_rbench", "Qwen2.5-VL-3B"): ["mid"],
        ("robust_r1_table1_rbench", "Robust-R1 SFT+RL"): ["mid"],
        ("robust_r1_table3", "Qwen2.5-VL-3B (Bai et al. 2025)"): ["mid"],
        ("robust_r1_table3", "Ours (w/o r_{deg})"): ["high"],
        ("robust_r1_table3", "Ours (w/o r_{len})"): ["mid"],
        ("robust_r1_table3", "Ours"): ["mid"],
    }
    listed = {
        run for m in PAPER["misprints"] if "Bench" in m["text"] or "Robust" in m["text"] for run in m["runs"]
    }
    assert {"gpt4o", "geminipro", "mplugowl3", "qwen2.5-vl-3b", "robust-r1-sft-rl"} <= listed
    assert {"robust-r1-without-r-deg", "robust-r1-without-r-len"} <= listed


def test_every_published_cell_is_in_a_published_result():
    for name in ("absolute", "relative"):
        for model, values in PAPER[f"rbench_{name}"].items():
            assert published_rows(f"paper:{model.lower()}").rbench[name] == tuple(values)
    one, three = PAPER["robust_r1_table1_rbench"], PAPER["robust_r1_table3"]
    ours = published_rows("paper:robust-r1-sft-rl").rbench["absolute"]
    assert ours == tuple(three["Ours"]) == tuple(one["Robust-R1 SFT+RL"])
    assert three["Qwen2.5-VL-3B (Bai et al. 2025)"] == one["Qwen2.5-VL-3B"]
    assert published_rows("paper:bagel").rbench == {}
    assert {"paper:gpt4o", "paper:mplugowl3", "paper:deepseekvl"} <= set(published_names())


def test_an_overall_score_is_of_1485_rows():
    (row,) = [r for r in published_rows("paper:gpt4o").main if r.id == "R-Bench"]
    assert row.scores["unaltered"].value == pytest.approx(63.48)
    assert row.scores["unaltered"].n == 1485
    assert row.outside


def test_notes_are_of_the_results_own_paper():
    notes = " ".join(published_rows("paper:internvl2").notes)
    assert "lens_blur" not in notes
    assert "16 corruptions" not in notes
    assert "swapped" in " ".join(published_rows("paper:gpt4o").notes)
