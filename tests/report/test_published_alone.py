"""Reports of published results alone: their papers' tables digit for digit, in every rendering."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mmdbench.cli import app
from mmdbench.report.load import open_runs
from mmdbench.report.published import paper_tables, published_names
from mmdbench.report.tables.table import shown

PAPER = paper_tables()
SIX = PAPER["benchmarks"]
PAGE = Path(__file__).parents[2] / "docs" / "paper.md"
ROBUST = {
    "Qwen2.5-VL-3B": "qwen2.5-vl-3b",
    "Gemma3-4B": "gemma3-4b",
    "InternVL-4B": "internvl-4b",
    "TeCoA": "tecoa",
    "Robust CLIP": "robust-clip",
    "Robust LLaVA": "robust-llava",
    "Robust-R1 SFT": "robust-r1-sft",
    "Robust-R1 SFT+RL": "robust-r1-sft-rl",
}
ABLATION = {
    "Qwen2.5-VL-3B (Bai et al. 2025)": "qwen2.5-vl-3b",
    "Ours (w/o Reasoning)": "robust-r1-without-reasoning",
    "Ours (w/o r_{deg})": "robust-r1-without-r-deg",
    "Ours (w/o r_{len})": "robust-r1-without-r-len",
    "Ours": "robust-r1-sft-rl",
}


def made(*slugs):
    results, tables = open_runs([f"paper:{slug}" for slug in slugs])
    assert results == []
    return tables


def body(table):
    return {
        row.labels: [shown(v, c) for v, c in zip(row.values, table.columns, strict=True)]
        for row in table.rows
    }


def printed(words, *options, code=0):
    done = CliRunner().invoke(app, [*words.split(), *options], env={"COLUMNS": "200"})
    assert done.exit_code == code, done.output
    return done.output


@pytest.mark.parametrize(
    ("name", "slugs"), [("robust_r1_table1_rbench", ROBUST), ("robust_r1_table3", ABLATION)]
)
def test_robust_r1s_tables_1_and_3_digit_for_digit(name, slugs):
    table = made(*slugs.values()).find("rbench-published")
    assert [c.name.replace("overall", "Overall") for c in table.columns] == PAPER["rbench_columns"]
    rows = body(table)
    assert set(PAPER[name]) == set(slugs)
    for label, values in PAPER[name].items():
        assert rows[f"paper:{slugs[label]}", "absolute"] == [f"{value:.4f}" for value in values]


def test_robust_r1s_table_2_digit_for_digit():
    table = made(*ROBUST.values()).find("ladder")
    rows = body(table)
    for bench in ("MMMB", "MMStar", "RealWorldQA"):
        place = [c.name for c in table.columns].index(bench)
        models = PAPER["robust_r1_table2"][bench]
        assert set(models) == set(ROBUST) - {"Robust LLaVA"}
        for label, values in models.items():
            found = [
                rows[f"paper:{ROBUST[label]}", level][place] for level in ("clean", "low", "mid", "hard")
            ]
            assert found == [f"{value:.2f}" for value in values]


def test_clears_tables_2_9_and_10_digit_for_digit():
    tables = made("bagel", "clear-sft", "clear-rl")
    drops = body(tables.find("drops"))
    off = {}
    for label, values in PAPER["table2_clean_hard_drop"].items():
        row = drops[f"paper:{label.lower()}",]
        wanted = [f"{value:.2f}" for value in values]
        off |= {label: row} if [row[0], row[-3], row[-2]] != wanted else {}
    # 70.275 and 64.965, listed
    assert {label: (row[0], row[-3]) for label, row in off.items()} == {"CLEAR-RL": ("70.28", "64.97")}
    assert off["CLEAR-RL"][-2] == "5.31"
    ladder = body(tables.find("ladder"))
    for level, values in PAPER["table9_clear_rl"].items():
        assert ladder["paper:clear-rl", level.lower()][:6] == [f"{value:.2f}" for value in values[:6]]
    corruptions = body(tables.find("corruption-models"))
    for names in list(PAPER["table10_hard_per_corruption_bagel_clear_rl"].values())[:4]:
        for name, (bagel, clear) in names.items():
            if name != "category avg":
                assert corruptions[name,][:2] == [f"{bagel:.2f}", f"{clear:.2f}"]


@pytest.mark.parametrize("name", published_names())
def test_every_published_result_can_be_reported_alone(name):
    tables = made(name.removeprefix("paper:"))
    assert tables.tables
    assert all(table.rows and table.columns for table in tables.tables)
    assert (tables.runs, tables.complete) == ((), True)
    assert name in tables.header["model"]


def test_nothing_is_called_paired_and_no_answers_are_counted():
    text = printed("report paper:clear-rl paper:bagel --table drops --table corruption-models")
    assert "Score at hard by corruption" in text
    assert "planned answers" not in text
    assert re.findall(r"\w+ paired|paired by \w+", text) == ["is paired"] * 2, "nothing is paired with it"
    assert "unpaired for drops" in text


def test_the_first_result_is_the_reference():
    assert "Reference: paper:bagel." in printed("report paper:bagel paper:clear-rl --table mce")
    table = made("bagel", "clear-rl").find("corruption-models")
    assert table.columns[2].name == "Δ paper:bagel − paper:clear-rl"


def test_every_text_holds_the_same_numbers():
    names = "report paper:clear-rl paper:tecoa --table ladder"
    markdown, latex = printed(names, "--markdown"), printed(names, "--latex")
    for text in (printed(names), markdown, latex):
        assert all(number in text for number in ("79.41", "65.71"))
    rows = list(csv.DictReader(io.StringIO(printed(names, "--csv"))))
    assert {row["protocol"] for row in rows} == {"that of each paper"}
    assert 79.41 in {float(row["value"]) for row in rows}
    record, _ = json.JSONDecoder().raw_decode(printed(names, "--json"))
    assert record["runs"] == []
    assert record["levels"] == ["clean", "low", "mid", "hard", "unaltered"]


def test_files_and_page(tmp_path):
    printed(
        f"report paper:clear-rl paper:bagel --parquet {tmp_path / 'a.parquet'} --html {tmp_path / 'a.html'}"
    )
    assert (tmp_path / "a.parquet").read_bytes()[:4] == b"PAR1"
    page = (tmp_path / "a.html").read_text("utf-8")
    assert "published result" in page
    assert "70.27" in page


def test_averages_are_over_what_all_results_hold_and_say_how_many():
    tables = made("clear-rl", "robust-r1-sft-rl")
    names = [column.name for column in tables.find("scores-hard").columns]
    assert {"AVG of 6", "AVG of 3"} <= set(names)
    assert "AVG" not in names
    drops = body(made("bagel", "robust-r1-sft-rl").find("drops"))
    assert drops["paper:bagel (AVG of 6)",][-2] == "7.29", "its clean average was printed alone"


def test_a_name_that_does_not_exist_is_named():
    assert "Did you mean 'paper:clear-rl'" in printed("report paper:clear-lr", code=2)


# --- The page on the paper ------------------------------------------------------------------------


def cells_of(page, first):
    """The rows of the table on a page whose head begins with `first`."""
    text = page.read_text("utf-8")
    lines = text[text.index(f"| {first} |") :].split("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_the_pages_tables_of_training_are_the_published_ones():
    sets = PAPER["table8_training_sets"]
    assert dict(cells_of(PAGE, "training set")) == {key: f"{value:,}" for key, value in sets.items()}
    by_lambda = PAPER["table12_flow_grpo_lambda_clean_hard"]
    assert cells_of(PAGE, "λ") == [[key, *(f"{v:.2f}" for v in values)] for key, values in by_lambda.items()]
    weights = PAPER["table13_reward_weights_acc_fmt_dec_clean_hard"]
    assert cells_of(PAGE, "accuracy") == [[f"{value:.2f}" for value in row] for row in weights]
    decisions = PAPER["table15_decision_reward_generated_correct"]
    said = {"yes": "1", "no": "0"}
    found = {f"{said[g]},{said[c]}": int(r.replace("−", "-")) for g, c, r in cells_of(PAGE, "restored")}
    assert found == decisions


def test_tables_that_the_page_names_in_words_are_made():
    named = set(re.findall(r"table `([a-z-]+)`", PAGE.read_text("utf-8")))
    assert {"scores-hard", "drops", "ladder"} <= named
    keys = {table.key for table in made("bagel", "clear-rl", "robust-r1-sft-rl").tables}
    assert named <= keys
