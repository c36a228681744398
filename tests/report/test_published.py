"""The published tables: recomputed from their columns, and shown digit for digit by the reporter."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mmdbench.corruptions.spec_file import load_spec
from mmdbench.errors import UnknownNameError
from mmdbench.report.published import is_published, paper_tables, published_names, published_rows
from mmdbench.report.tables.collect import make_tables
from mmdbench.report.tables.table import PRINTED, shown
from mmdbench.stats.rounding import cut, fixed
from run_folders import LEVELS, published_hits, results

PAPER = paper_tables()
SIX = PAPER["benchmarks"]
HARD = {k: v for k, v in PAPER["table1_hard"].items() if k != "columns"}
COLUMNS = PAPER["table1_hard"]["columns"]
TABLE_10 = PAPER["table10_hard_per_corruption_bagel_clear_rl"]


def misprinted(where, run):
    return any(m["where"] == where and run in m["runs"] for m in PAPER["misprints"])


def body(table):
    return {
        row.labels: [
            shown(v, replace(c, digits=PRINTED) if c.unit == "points" else c)
            for v, c in zip(row.values, table.columns, strict=True)
        ]
        for row in table.rows
    }


def run_of(label, scores):
    """A run whose hits have exactly these means: benchmark → level → points."""
    hits = [
        h
        for bench, levels in scores.items()
        for level, points in levels.items()
        for h in published_hits(bench, level, points, None if level == "clean" else "graffiti")
    ]
    levels = {level for of_bench in scores.values() for level in of_bench}
    return results(hits, label=label, levels=tuple(lv for lv in LEVELS if lv in levels))


def test_table_1_digit_for_digit():
    runs = [
        run_of(model, {b: {"hard": v} for b, v in zip(COLUMNS[:-1], values[:-1], strict=True)})
        for model, values in HARD.items()
    ]
    table = make_tables(runs, load_spec()).find("scores-hard")
    assert [c.name for c in table.columns] == COLUMNS
    made = body(table)
    off = {}
    for model, printed in HARD.items():
        wanted = [f"{v:.2f}" for v in printed]
        assert made[(model,)][:-1] == wanted[:-1]
        if made[(model,)][-1] != wanted[-1]:
            off[model] = (made[(model,)][-1], wanted[-1])
    assert off == {"Bagel": ("59.86", "60.15"), "CLEAR-RL": ("65.27", "65.26")}
    assert misprinted("table 1", "bagel")
    assert misprinted("table 1", "clear-rl")


def test_table_2_digit_for_digit():
    printed = PAPER["table2_clean_hard_drop"]
    runs = [run_of(m, {"all six": {"clean": clean, "hard": hard}}) for m, (clean, hard, _) in printed.items()]
    table = make_tables(runs, load_spec()).find("drops")
    assert [c.name for c in table.columns] == ["clean", "hard", "drop", "drop %"]
    assert {k[0].split(" (")[0]: v[:3] for k, v in body(table).items()} == {
        m: [f"{v:.2f}" for v in row] for m, row in printed.items()
    }
    assert body(table)[("CLEAR-RL (all six)",)][3] == "7.6 %"


def test_table_9_digit_for_digit():
    printed = PAPER["table9_clear_rl"]
    scores = {b: {lv.lower(): v[i] for lv, v in printed.items()} for i, b in enumerate(SIX)}
    table = make_tables(run_of("CLEAR-RL", scores), load_spec()).find("ladder")
    assert [c.name for c in table.columns] == [*SIX, "AVG"]
    made = body(table)
    for level, wanted in printed.items():
        got = made[(level.lower(),)]
        printed_here = wanted
        if level == "Clean":  # 70.275, listed
            assert (got[-1], wanted[-1]) == ("70.28", 70.27)
            got, printed_here = got[:-1], wanted[:-1]
        assert got == [f"{v:.2f}" for v in printed_here]
    assert misprinted("table 9", "clear-rl")


def test_table_10_digit_for_digit():
    runs = []
    for place, label in enumerate(("Bagel", "CLEAR-RL")):
        hits = [
            h
            for category, names in TABLE_10.items()
            if category != "overall"
            for name, pair in names.items()
            if name != "category avg"
            for h in published_hits("all six", "hard", pair[place], name)
        ]
        runs.append(results(hits, label=label, design="grid", levels=("hard",)))
    table = make_tables(runs, load_spec()).find("corruption-models")
    made = [
        (
            row.section,
            row.labels[0],
            shown(row.values[0], replace(table.columns[0], digits=PRINTED)),
            shown(row.values[1], replace(table.columns[1], digits=PRINTED)),
        )
        for row in table.rows
    ]
    wanted = [
        (category, name.replace("category", category), f"{pair[0]:.2f}", f"{pair[1]:.2f}")
        for category, names in TABLE_10.items()
        if category != "overall"
        for name, pair in names.items()
    ]
    assert sorted(made[:-1]) == sorted(wanted)
    assert made[-1] == ("", "overall", "59.57", "64.98")  # printed 64.97, listed
    assert TABLE_10["overall"] == [59.57, 64.97]
    assert misprinted("table 10", "clear-rl")


def test_every_printed_score_is_a_whole_fraction_of_its_benchmark():
    odd = []
    rows = [(m, dict(zip(COLUMNS[:-1], v[:-1], strict=True))) for m, v in HARD.items()]
    rows += [
        (f"table 9 {lv}", dict(zip(SIX, v[:-1], strict=True))) for lv, v in PAPER["table9_clear_rl"].items()
    ]
    for name, scores in rows:
        for bench, points in scores.items():
            n = PAPER["sizes"][bench] * (10 if bench == "MM-Vet" else 1)  # its grades are tenths
            k = int(points / 100 * n)
            cut = {int(100 * 100 * c / n) / 100 for c in (k, k + 1)}
            rounded = {float(fixed(100 * c / n, 2)) for c in (k, k + 1)}
            if points not in cut | rounded:
                odd.append((name, bench))
    assert odd == [("Bagel", "R-Bench-Dis")]


def test_table_11_totals_are_listed_as_they_differ():
    table = PAPER["table11_minutes_one_a100_clear_rl"]
    assert [sum(table[b][i] for b in SIX) for i in range(3)] == [213, 141, 122]
    assert table["Total"] == [215, 143, 123]
    assert misprinted("table 11", "clear-rl")


def test_the_settings_of_the_paper_are_the_best_of_tables_12_and_13():
    by_lambda = PAPER["table12_flow_grpo_lambda_clean_hard"]
    assert max(by_lambda, key=lambda key: by_lambda[key][1]) == "0.3"
    weights = PAPER["table13_reward_weights_acc_fmt_dec_clean_hard"]
    best = max(weights, key=lambda row: row[-1])
    assert best == [0.75, 0.1, 0.15, 70.27, 64.97]
    assert by_lambda["0.3"] == best[-2:]
    assert [round(sum(row[:3]), 9) for row in weights] == [1] * 5


def test_table_8_is_one_to_one_only_roughly():
    sets = PAPER["table8_training_sets"]
    assert sets["SFT direct"] + sets["SFT generate"] == sets["SFT"]
    assert round(sets["SFT direct"] / sets["SFT generate"], 3) == 0.972


def test_averages_of_table_3_and_4_agree_with_table_2():
    two = PAPER["table2_clean_hard_drop"]
    three = PAPER["table3_ablation_clean_hard"]
    assert three["Bagel (base)"] == two["Bagel"][:2]
    assert three["+ SFT"] == two["CLEAR-SFT"][:2]
    (note,) = [note for note in published_rows("paper:clear-sft").notes if "Bridge" in note]
    clean, hard = three["+ SFT + Bridge (w/o GRPO)"]
    assert note.endswith(f"{clean} clean and {hard} hard")
    assert three["+ SFT + Bridge + GRPO"] == two["CLEAR-RL"][:2]
    assert PAPER["table4_quality"]["RL state"][-1] == two["CLEAR-RL"][1]


def test_every_published_result_can_be_shown_beside_a_run():
    names = published_names()
    assert {
        "paper:gpt-4o-mini",
        "paper:bagel",
        "paper:clear-sft",
        "paper:clear-rl",
        "paper:robust-r1-sft-rl",
    } <= set(names)
    assert len(names) == 28
    run = run_of("mine", {b: {"clean": 70, "hard": 60} for b in SIX})
    made = make_tables(
        run, load_spec(), [published_rows(n, SIX) for n in names if published_rows(n, SIX).main]
    )
    table = made.find("scores-hard")
    average = [c.name for c in table.columns].index("AVG")  # over the same six, not table 1's seven
    assert body(table)[("paper:bagel",)][average] == "59.57"
    assert body(table)[("paper:clear-rl",)][average] == "64.97"
    assert body(table)[("paper:internvl-4b",)][average] == "–"
    drops = body(made.find("drops"))
    assert drops[("paper:bagel",)][-2] == "7.29"
    assert drops[("paper:internvl-4b (AVG of 2)",)][-2] == "3.54"  # MMStar and RealWorldQA, clean to hard
    assert any("60.15" in note for note in made.notes)


def test_a_report_beside_a_published_result_says_what_is_not_the_same():
    run = run_of("mine", {b: {"clean": 70, "hard": 60} for b in SIX})
    run = replace(run, plan=replace(run.plan, sample="200", protocol="vlmevalkit/1"))
    alone = " ".join(make_tables(run, load_spec()).notes)
    beside = " ".join(make_tables(run, load_spec(), [published_rows("paper:clear-rl", SIX)]).notes)
    for words in ("authors' released images", "asked a sample (200)", "graded by the rules of clear/1"):
        assert words in beside
        assert words not in alone


@pytest.mark.parametrize(
    ("name", "protocol", "said"),
    [
        ("paper:clear-rl", "rbench/official", ["CLEAR are of the authors' released", "rules of clear/1"]),
        ("paper:robust-r1-sft", "vlmevalkit/1", ["Robust-R1 are of degraded pictures of its own"]),
        ("paper:gpt4o", "clear/1", ["R-Bench are graded by the rules of rbench/official"]),
        ("paper:gpt4o", "rbench/official", []),
    ],
)
def test_differences_to_published_scores_are_noted_by_paper(name, protocol, said):
    run = run_of("mine", {"MMStar": {"clean": 70, "hard": 60}})
    run = replace(run, plan=replace(run.plan, protocol=protocol))
    notes = [
        n for n in make_tables(run, load_spec(), [published_rows(name)]).notes if "published scores" in n
    ]
    assert len(notes) == len(said)
    assert all(words in note for words, note in zip(said, notes, strict=True))


def test_scores_have_the_interval_of_their_number_of_questions():
    row = next(r for r in published_rows("paper:clear-rl").main if r.name == "MMVP")
    score = row.scores["hard"]
    assert (score.value, score.n) == (71.33, 300)
    assert 10 < score.high - score.low < 10.5


def test_robust_r1s_shares_are_our_levels_on_the_same_functions():
    rows = published_rows("paper:qwen2.5-vl-3b")
    star = next(r for r in rows.main if r.name == "MMStar")
    assert {k: v.value for k, v in star.scores.items()} == {
        "clean": 54.73,
        "low": 52.90,
        "mid": 51.86,
        "hard": 48.66,
    }
    assert star.drops["hard"].value == pytest.approx(6.07)
    assert any("lens_blur has no largest kernel" in note for note in rows.notes)
    assert not any("lens_blur" in note for note in published_rows("paper:clear-rl").notes)


def test_scores_of_robust_r1s_table_2_are_whole_fractions_except_those_that_are_listed():
    odd = []
    for bench in ("MMMB", "MMStar", "RealWorldQA"):
        n = PAPER["sizes"][bench]
        shares = {form(100 * k / n, 2) for k in range(n + 1) for form in (cut, fixed)}
        for model, values in PAPER["robust_r1_table2"][bench].items():
            odd += [(bench, model, value) for value in values if f"{value:.2f}" not in shares]
    assert odd == [
        ("MMMB", "Qwen2.5-VL-3B", 74.5),
        ("MMMB", "Robust-R1 SFT", 79.45),
        ("MMStar", "Qwen2.5-VL-3B", 52.9),
    ]
    assert misprinted("Robust-R1 table 2", "qwen2.5-vl-3b")


def test_names():
    assert is_published("paper:bagel")
    assert not is_published("runs/paper")
    with pytest.raises(UnknownNameError, match="Did you mean 'paper:clear-rl'"):
        published_rows("paper:clear-lr")
