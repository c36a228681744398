"""The commands of docs/paper.md, run on benchmarks of the published sizes, give the paper's tables."""

from __future__ import annotations

import re

import pytest
from typer.testing import CliRunner

from docs_blocks import ROOT, blocks_of, commands_of
from mmdbench.cli import app
from mmdbench.records import CLEAN, LEVELS, UNALTERED
from mmdbench.report.published import paper_tables
from paper_runs import SIZES, fill_folder, named_pictures

PAPER = paper_tables()
SIX = PAPER["benchmarks"]
FILES = dict(zip([*SIX, "R-Bench-Dis"], [name for name in SIZES if name != "CV-Bench-3D"], strict=True))
OUTSIDE = ("CV-Bench-3D", "CV-Bench (mean of sources)")
BAGEL = dict(zip(PAPER["table1_hard"]["columns"][:-1], PAPER["table1_hard"]["Bagel"][:-1], strict=True))
BAGEL_CLEAN = dict(zip(SIX, (75.15, 52.34, 73.0, 72.11, 62.8, 65.75), strict=True))
"""Scores of ours whose mean and drop are those of table 2, which gives no more of Bagel's clean answers."""


def sum_of_hits(bench, points):
    parts = 10 if bench == "MM-Vet" else 1
    return round(points / 100 * PAPER["sizes"][bench] * parts)


def planned_scores():
    nine = PAPER["table9_clear_rl"]
    clear = {b: {lv.lower(): row[i] for lv, row in nine.items()} for i, b in enumerate(SIX)}
    bagel = {b: {"clean": BAGEL_CLEAN[b], "hard": BAGEL[b]} for b in SIX}
    # 61.64 is a misprint of 63.64, as the notes say.
    extra = {"clear-rl": PAPER["table1_hard"]["CLEAR-RL"][6], "bagel": 63.64}
    return {
        model: {
            FILES[b]: {level: sum_of_hits(b, points) for level, points in levels.items()}
            for b, levels in {**scores, "R-Bench-Dis": {UNALTERED: extra[model]}}.items()
        }
        for model, scores in (("bagel", bagel), ("clear-rl", clear))
    }


def commands():
    """The words of the page's commands for tables 1, 2 and 9; of Bagel the paper prints two levels alone."""
    (block,) = (b for b in blocks_of(ROOT / "docs" / "paper.md") if "--bench mmd,R-Bench-Dis" in b.code)
    for command in commands_of(block):
        words = list(command.words[1:])
        yield [*words, "--level", "clean,hard"] if words[:3] == ["eval", "--model", "bagel"] else words


def invoke(words):
    done = CliRunner().invoke(app, words, env={"COLUMNS": "400"})
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """The output of each verb of the page, of its last call."""
    folder = tmp_path_factory.mktemp("paper")
    fill_folder(folder, planned_scores())
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, part in (("HOME", ""), ("LMUData", "LMUData"), ("XDG_CONFIG_HOME", "config")):
            patch.setenv(name, str(folder / part))
        patch.setattr("mmdbench.run.prefetch.make_variants", named_pictures)
        return {words[0]: invoke(words) for words in commands()}


def table(text, title):
    """The rows of a printed table by their labels, each cell by the name of its column; no intervals."""
    lines = text[text.index(f"{title}\n") :].splitlines()
    head = lines[1]
    names = re.split(r" {2,}", head.strip())
    found = {}
    for line in lines[lines.index(head) + 2 :]:
        cells = [cell for cell in re.split(r" {2,}", line.strip()) if "…" not in cell]
        if len(cells) == len(names):
            labels = sum(name in ("Model", "Level") for name in names)
            found[tuple(cells[:labels])] = dict(zip(names[labels:], cells[labels:], strict=True))
        elif line.strip():
            return found
    raise AssertionError(f"{title} has no end")


def differing(row, printed):
    """The cells of a row that are not the printed numbers, as (ours, printed)."""
    wanted = {name: f"{value:.2f}" for name, value in printed.items()}
    return {name: (row[name], text) for name, text in wanted.items() if row[name] != text}


@pytest.mark.slow
def test_table_1_is_the_papers(said):
    made = table(said["report"], "Score at hard")
    columns = [*SIX, "R-Bench-Dis (unaltered)", "AVG with R-Bench-Dis"]
    off = {
        model: differing(made[(model,)], dict(zip(columns, PAPER["table1_hard"][name], strict=True)))
        for model, name in (("bagel", "Bagel"), ("clear-rl", "CLEAR-RL"))
    }
    assert off == {
        "bagel": {"MMVP": ("65.67", "65.66"), "R-Bench-Dis (unaltered)": ("63.64", "61.64")},
        "clear-rl": {"AVG with R-Bench-Dis": ("65.27", "65.26")},
    }
    assert list(made[("bagel",)]) == [*columns[:-1], "AVG", columns[-1], *OUTSIDE]
    for misprint in ("61.64 is the likely misprint", "65.26 is cut", "some of them cut rather than rounded"):
        assert misprint in said["report"]


@pytest.mark.slow
def test_table_2_is_the_papers(said):
    made = table(said["report"], "Mean over benchmarks and its drop")
    off = {
        model: differing(
            made[(model,)],
            dict(zip(("clean", "hard", "drop"), PAPER["table2_clean_hard_drop"][name], strict=True)),
        )
        for model, name in (("bagel", "Bagel"), ("clear-rl", "CLEAR-RL"))
    }
    assert off == {"bagel": {}, "clear-rl": {"clean": ("70.28", "70.27"), "hard": ("64.97", "64.96")}}
    assert (made[("bagel",)]["drop %"], made[("clear-rl",)]["drop %"]) == ("10.9 %", "7.6 %")
    assert "average is 70.275, printed 70.27; the hard average is 64.965, printed 64.96" in said["report"]


@pytest.mark.slow
def test_table_9_is_the_papers(said):
    made = table(said["report"], "Benchmarks by level")
    off = {
        level: differing(made["clear-rl", level.lower()], dict(zip([*SIX, "AVG"], printed, strict=True)))
        for level, printed in PAPER["table9_clear_rl"].items()
    }
    # The paper cuts some scores and does not round them, as its notes here say.
    assert off == {
        "Clean": {
            "CV-Bench": ("76.15", "76.14"),
            "MMStar": ("65.87", "65.86"),
            "RealWorldQA": ("61.44", "61.43"),
            "AVG": ("70.28", "70.27"),
        },
        "Low": {
            "MM-Vet": ("57.94", "57.93"),
            "CV-Bench": ("75.87", "75.86"),
            "RealWorldQA": ("63.40", "63.39"),
        },
        "Mid": {"MM-Vet": ("55.28", "55.27"), "RealWorldQA": ("61.70", "61.69")},
        "Hard": {},
    }


@pytest.mark.slow
def test_every_row_has_a_difference_to_the_published_score(said):
    levels = (CLEAN, *LEVELS, UNALTERED)
    rows = [line for line in said["compare"].splitlines() if (*line.split(), "")[0] in levels]
    gaps = [re.split(r" {2,}", line.strip())[4] for line in rows]
    assert len(rows) == 4 * 7 + 1 + 1  # R-Bench-Dis is unaltered; its mean and the six at four levels
    assert {abs(float(gap)) for gap in gaps} <= {0.0, 0.01}
