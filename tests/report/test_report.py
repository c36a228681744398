"""Tables from graded replies: what is counted, what is paired, how it is rounded."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs
from rich.console import Console

from mmdbench.corruptions.spec_file import load_spec
from mmdbench.errors import IncomparableError, MissingExtraError, UnknownNameError
from mmdbench.records import Cell, Reply
from mmdbench.report.cite import methods
from mmdbench.report.published import paper_tables, published_rows
from mmdbench.report.render.console import console, footer, grid, interval
from mmdbench.report.render.csv_parquet import as_csv, write_parquet
from mmdbench.report.render.latex import latex, latex_table
from mmdbench.report.render.markdown import markdown
from mmdbench.report.render.report_files import as_json, write_report
from mmdbench.report.tables.collect import make_tables
from mmdbench.report.tables.table import Column, Row, Table, Value, ranks, shown
from mmdbench.results.graded_run import load_results
from mmdbench.stats import detectable_effect
from mmdbench.stats.rounding import fixed
from run_folders import LEVELS, change_lines, hit, question, results, shrunk, write_run

NAMES = ("graffiti", "lens_blur", "mean_shift", "scan_lines")


def tables(hits, **kw):
    return make_tables(results(hits, **kw), load_spec())


def values(table, **labels):
    """The row of a table whose labels are those, as column → value."""
    for row in table.rows:
        named = dict(zip(table.labels, row.labels, strict=True))
        if all(named[key] == value for key, value in labels.items()):
            return {c.name: v and v.value for c, v in zip(table.columns, row.values, strict=True)}
    raise AssertionError(f"no row {labels} in {table.key}")


def drop_hits(n=10, clean=8, hard=5):
    return [hit(u, "clean", u < clean) for u in range(n)] + [
        hit(u, "hard", u < hard, "graffiti") for u in range(n)
    ]


def test_the_drop_is_the_paired_difference_in_points():
    (row,) = tables(drop_hits()).main
    assert (row.scores["clean"].value, row.scores["hard"].value) == (pytest.approx(80), pytest.approx(50))
    assert row.drops["hard"].value == pytest.approx(30)
    assert row.drop_percent("hard") == pytest.approx(37.5)
    assert row.questions == 10


def test_pairs_are_found_in_any_order_of_the_hits():
    clean = [hit(u, "clean", u % 3 > 0) for u in range(60)]
    hard = [hit(u, "hard", u % 3 > 0 and u != 7, "graffiti") for u in range(60)]
    (first,) = tables(clean + hard).main
    (second,) = tables(clean + hard[::-1]).main
    assert first.drops["hard"].high - first.drops["hard"].low < 12
    assert second.drops["hard"].low == pytest.approx(first.drops["hard"].low)
    assert second.drops["hard"].high == pytest.approx(first.drops["hard"].high)


def test_a_balanced_design_leaves_the_draw_of_corruptions_out_of_the_interval():
    hits = [hit(u, "clean", 1) for u in range(160)]
    hits += [hit(u, "hard", NAMES[u % 4] != "graffiti", NAMES[u % 4]) for u in range(160)]
    (balanced,) = tables(hits, design="balanced:1").main
    (mixed,) = tables(hits, design="mixed").main
    assert balanced.drops["hard"].value == pytest.approx(mixed.drops["hard"].value) == pytest.approx(25)
    widths = [row.drops["hard"].high - row.drops["hard"].low for row in (balanced, mixed)]
    assert widths[0] < 0.5 * widths[1]


def test_a_question_under_many_corruptions_counts_once():
    hits = [hit(u, "clean", 1) for u in range(10)]
    hits += [hit(u, "hard", c == "graffiti", c) for u in range(10) for c in NAMES]
    (row,) = tables(hits, design="grid").main
    assert row.scores["hard"].value == pytest.approx(25)
    assert row.drops["hard"].n == 10


def test_the_average_over_benchmarks_is_not_weighted_by_their_size():
    hits = [
        hit(u, lv, 1, "graffiti" if lv == "hard" else None, "large")
        for u in range(90)
        for lv in ("clean", "hard")
    ]
    hits += [hit(u, "clean", 1, None, "small") for u in range(10)]
    hits += [hit(u, "hard", 0, "graffiti", "small") for u in range(10)]
    rows = tables(hits).main
    assert [r.name for r in rows] == ["large", "small", "AVG"]
    assert rows[2].scores["hard"].value == pytest.approx(50)
    assert rows[2].drops["hard"].value == pytest.approx(50)


def test_a_part_is_compared_with_the_clean_score_of_its_own_questions():
    hits = [hit(u, "clean", u < 5) for u in range(10)]
    hits += [hit(u, "hard", 0, "graffiti" if u < 5 else "lens_blur") for u in range(10)]
    (by_name,) = [b for b in tables(hits).breakdowns if b.title == "Corruption"]
    rows = {row.name: row for row in by_name.rows}
    assert (rows["graffiti"].scores["clean"].value, rows["graffiti"].drops["hard"].value) == (100, 100)
    assert (rows["lens_blur"].scores["clean"].value, rows["lens_blur"].drops["hard"].value) == (0, 0)
    assert rows["lens_blur"].drop_percent("hard") is None


def test_parts_are_pooled_when_mixed_and_averaged_over_benchmarks_when_not():
    hits = [hit(u, "clean", 1, None, b) for b, n in (("large", 30), ("small", 10)) for u in range(n)]
    hits += [
        hit(u, "hard", b == "large", "graffiti", b)
        for b, n in (("large", 30), ("small", 10))
        for u in range(n)
    ]
    for design, score in (("mixed", 75), ("grid", 50)):
        (part,) = [b for b in tables(hits, design=design).breakdowns if b.title == "Corruption"]
        assert part.rows[0].scores["hard"].value == pytest.approx(score)


def test_an_incomplete_run_is_marked():
    hits = [hit(u, "clean", 1) for u in range(100)]
    assert tables(hits, statuses={"ok": 99, "error": 1}).complete
    incomplete = tables(hits, statuses={"ok": 98, "error": 1, "missing": 1})
    assert not incomplete.complete
    assert "INCOMPLETE: 2 of 100" in markdown(incomplete)
    assert footer(incomplete)[0] == "98 of 100 planned answers (1 error, 1 missing)."


def test_a_difference_is_marked_if_a_run_that_it_rests_on_is_incomplete():
    names = ("graffiti", "lens_blur")
    levels = [("clean", None), *(("hard", name) for name in names)]
    hits = [hit(u, level, u < 7, c) for u in range(10) for level, c in levels]
    runs = [results(hits, label=label, design="grid") for label in ("one", "two")]
    runs.append(results(hits, {"ok": 20, "error": 10}, label="cut", design="grid"))
    assert _marked_columns(runs) == {"Δ cut − one", "CE cut"}
    assert _marked_columns(runs[::-1]) == {"Δ two − cut", "CE two", "Δ one − cut", "CE one"}


def _marked_columns(runs):
    made = make_tables(runs, load_spec())
    return {
        column.name
        for table in (made.find("corruption-models"), made.find("mce"))
        for row in table.rows
        for column, value in zip(table.columns, row.values, strict=True)
        if value is not None and value.mark
    }


def test_the_header_and_every_caption_name_protocol_and_weighting():
    made = tables(drop_hits())
    assert made.header["protocol"] == "clear/1"
    assert "categories weigh the same" in made.header["design"]
    assert "half away from zero" in made.header["rounding"]
    assert all("clear/1, mixed: corruption categories weigh the same" in t.caption for t in made.tables)
    assert "types weigh the same" in tables([hit(0, "clean", 1)], design="grid").header["design"]


def test_categories_weigh_the_same_only_where_all_of_the_papers_are_drawn_from():
    """A set or choice may have three corruptions of a category and one of another."""
    uneven = tables(drop_hits(), corruptions=("graffiti", "lens_blur", "lens_flare", "motion_blur"))
    assert uneven.header["design"] == "mixed (corruptions weigh as they were drawn)"
    assert not any("categories weigh the same" in table.caption for table in uneven.tables)


def test_flips_are_counted_in_both_directions():
    hits = [hit(u, "clean", u < 5) for u in range(10)] + [
        hit(u, "hard", u >= 3, "graffiti") for u in range(10)
    ]
    row = values(tables(hits).find("flips"), Level="hard")
    assert row == pytest.approx({"right → wrong": 30, "wrong → right": 50, "net drop": -20})


def test_retention_is_taken_above_chance():
    run = results(drop_hits(100, 80, 50))
    made = make_tables(replace(run, chance={"toy": 0.25}), load_spec())
    row = values(made.find("retention"), Level="hard")
    assert row == pytest.approx({"retained": 62.5, "retained above chance": 100 * 25 / 55, "chance": 25})
    dead = tables(drop_hits(100, 3, 1))
    assert values(dead.find("retention"), Level="hard")["retained"] == pytest.approx(100 / 3)


def test_retention_above_chance_is_nothing_for_a_model_that_guesses():
    run = results(drop_hits(100, 27, 20))
    made = make_tables(replace(run, chance={"toy": 0.25}), load_spec())
    assert values(made.find("retention"), Level="hard")["retained above chance"] is None


def test_the_worst_corruption_of_each_question():
    hits = [hit(u, "clean", 1) for u in range(4)]
    hits += [hit(u, "hard", not (c == "lens_blur" and u < 3), c) for u in range(4) for c in NAMES]
    row = values(tables(hits, design="grid").find("worst-case"), Level="hard")
    assert row["mean over corruptions"] == pytest.approx(81.25)
    assert row["worst corruption per question"] == pytest.approx(25)
    assert row["breaks most"] == "lens_blur (3 of 4)"
    assert tables(drop_hits()).find("worst-case") is None


def test_ladders_that_rise_are_flagged_with_how_sure_that_is():
    hits = [hit(u, "clean", u < 50) for u in range(100)]
    hits += [hit(u, "low", u < 51, "graffiti") for u in range(100)]
    hits += [hit(u, "hard", u < 90, "graffiti") for u in range(100)]
    flags = tables(hits, levels=("clean", "low", "hard")).find("severity")
    assert values(flags, Part="toy", Step="clean → low")["verdict"] == "within noise"
    assert values(flags, Part="toy", Step="low → hard") == {
        "gain": pytest.approx(39),
        "verdict": "more than noise",
    }
    assert tables(drop_hits()).find("severity") is None


def grid_run(label, wrong):
    hits = [hit(u, "clean", u < 9) for u in range(10)]
    hits += [hit(u, lv, u >= wrong, c) for u in range(10) for lv in ("mid", "hard") for c in NAMES]
    return results(hits, label=label, design="grid", levels=("clean", "mid", "hard"))


def test_corruption_error_against_a_reference():
    made = make_tables([grid_run("base", 4), grid_run("better", 2)], load_spec())
    row = values(made.find("mce"), Corruption="mean (mCE)")
    assert row["CE better"] == pytest.approx(50)
    assert row["relative CE better"] == pytest.approx(100 * (90 - 80) / (90 - 60))
    assert "Reference: base" in made.find("mce").caption
    assert values(made.find("corruption-models"), Corruption="graffiti") == pytest.approx(
        {"base": 60, "better": 80, "Δ better − base": 20}
    )


def test_runs_side_by_side_must_be_comparable():
    with pytest.raises(IncomparableError, match="scoring protocol"):
        make_tables([results(drop_hits()), results(drop_hits(), protocol="vlmevalkit/1")], load_spec())


def test_two_runs_of_one_model_get_different_names(tmp_path):
    runs = [load_results(write_run(tmp_path / n, [question(0)], lambda *_: "A")) for n in ("one", "two")]
    assert [run.label for run in make_tables(runs, load_spec()).runs] == [
        "toy-model (one)",
        "toy-model (two)",
    ]


def details(index, level, **extra):
    return Cell("toy", index, level), Reply(f"{index}{level}", "toy", index, level, None, "ok", "A", **extra)


def test_restorations_time_and_tokens_come_from_the_replies():
    replies = dict(
        [
            details(
                0,
                "clean",
                seconds=30.0,
                details={"restorations": 0, "seconds": {"text": 1.0, "denoise": 0.0}},
            ),
            details(
                1,
                "clean",
                seconds=30.0,
                details={"restorations": 0, "seconds": {"text": 3.0, "denoise": 0.0}},
            ),
            details(
                0, "hard", seconds=60.0, details={"restorations": 2, "seconds": {"text": 1.0, "denoise": 9.0}}
            ),
            details(
                1,
                "hard",
                seconds=60.0,
                details={"restorations": 0, "usage": {"prompt": 700, "completion": 200}},
            ),
        ]
    )
    price = {"input": 10.0, "output": 20.0, "date": "2026-01-01"}
    made = tables(drop_hits(2, 1, 1), replies=replies, manifest={"model": {"price": price}})
    assert values(made.find("trigger"), Benchmark="toy") == {"clean": 0, "hard": 50}
    assert values(made.find("time"), Benchmark="Total") == {"clean": 1, "hard": 2}
    assert values(made.find("phases"), Level="clean") == {"text": 2, "denoise": 0}
    cost = values(made.find("cost"), Level="hard")
    assert cost == {
        "replies": 2,
        "input tokens": 700,
        "output tokens": 200,
        "US dollars": pytest.approx(0.011),
    }
    assert "Time" not in markdown(made)  # it differs between two runs of one plan
    assert "Time" in markdown(made, ["time"])


def test_quality_of_images_is_read_from_the_run(tmp_path):
    folder = write_run(tmp_path / "run", [question(0)], lambda *_: "A")
    how = {"package": "pyiqa", "version": "0.1.16", "weights": "w.pth", "weights_sha256": "0123456789ab"}
    record = {
        "metrics": ["BRISQUE"],
        "implementations": {"BRISQUE": how},
        "images": [
            *({"kind": "restored", "level": "hard", "BRISQUE": v} for v in (40, 44)),
            {"kind": "clean", "level": "clean", "BRISQUE": 30},
        ],
    }
    (folder / "quality.json").write_text(json.dumps(record))
    table = make_tables(load_results(folder), load_spec()).find("quality")
    assert values(table, Images="restored") == {"BRISQUE": 42, "score": 100}
    assert "Measured by BRISQUE: pyiqa 0.1.16, w.pth 01234567." in table.caption
    assert [row.labels[2] for row in table.rows] == ["clean", "hard"]


def test_a_sampled_run_estimates_the_whole_benchmark(tmp_path):
    bench = {"name": "toy", "family": "plain", "questions": 60, "sha256": "x"}
    folder = write_run(
        tmp_path / "run",
        [question(i) for i in range(30)],
        lambda q, level, _: "A" if q.index % 2 or level == "clean" else "B",
        manifest={"benches": [bench]},
        sample="30/bench",
    )
    made = make_tables(load_results(folder), load_spec())
    row = next(r for r in made.find("whole").rows if r.labels[2] == "hard")
    usual = made.main[0].scores["hard"]
    assert [v.value for v in row.values] == pytest.approx([30, 60, 50, 50])
    assert row.values[2].high - row.values[2].low < 0.8 * (usual.high - usual.low)


@pytest.mark.parametrize(
    ("family", "protocol", "metric"),
    [
        ("plain", "clear/1", "accuracy"),
        ("circular", "clear/1", "circular accuracy"),
        ("mmvp", "clear/1", "accuracy"),
        ("mmvp", "vlmevalkit/1", "pair accuracy"),
        ("cvbench", "clear/1", "micro accuracy"),
        ("cvbench", "vlmevalkit/1", "mean of sources"),
    ],
)
@pytest.mark.parametrize("design", ["mixed", "grid"])
def test_the_tables_show_each_family_by_its_headline(tmp_path, family, protocol, metric, design):
    rows = []
    for i in range(24):
        index = i % 8 + 1_000_000 * (i // 8) if family == "circular" else i
        same = {"question": f"Pair {i // 2}?"} if family == "mmvp" else {}
        rows.append(question(index, **same, source="ADE20K" if i < 6 else "COCO", split="2D"))
    run = load_results(
        write_run(
            tmp_path / "run",
            rows,
            lambda q, level, name: "ABCD"[
                (q.index * 7 + len(level) + len(name or "")) % 3 % 4 if q.index % 4 else 0
            ],
            family,
            corruptions=NAMES,
            protocol=protocol,
            design=design,
        )
    )
    made = make_tables(run, load_spec())
    for level in run.plan.levels:
        arms = [arm for arm in run.arms if arm.level == level]
        assert {arm.score.metric for arm in arms} == {metric}
        headline = sum(arm.score.headline for arm in arms) / len(arms)
        score = made.main[0].scores[level]
        assert score.value == pytest.approx(headline)
        assert 0 < headline < 100
        assert score.low < score.value < score.high
        assert score.n == {"circular accuracy": 8, "pair accuracy": 12}.get(metric, 24)


class Grader:
    """A judge that finds a share of every answer right."""

    id = "grader"

    def ask(self, call):
        from mmdbench.scoring import JudgeReply

        return JudgeReply("0.7" if call.index % 2 else "0.3")


def test_mmvet_is_shown_in_points_with_an_interval_for_graded_answers(tmp_path):
    rows = [question(i, answer="a cat", category="ocr,math" if i % 2 else "rec") for i in range(22)]
    folder = write_run(tmp_path / "run", rows, lambda *_: "a cat", "mmvet")
    run = load_results(folder, judge=Grader())
    made = make_tables(run, load_spec())
    score = made.main[0].scores["hard"]
    assert score.value == pytest.approx(run.arms[-1].score.headline) == pytest.approx(50)
    assert score.high - score.low < 20  # yes-and-no answers would have 38
    capability = values(made.find("capabilities"), Level="hard")
    assert capability["ocr"] == run.arms[-1].score.metrics["capabilities_fixed"]["ocr"]
    assert capability["ocr"] == capability["math"] != capability["rec"]


def test_a_judge_that_was_asked_before_is_remembered_and_not_asked_again(tmp_path):
    from mmdbench.results.judging.journal import JsonlJournal

    rows = [question(i, answer="a cat", category="rec") for i in range(8)]
    folder = write_run(tmp_path / "run", rows, lambda *_: "a cat", "mmvet", levels=("clean", "hard"))
    journal = folder / "judge.jsonl"
    first = load_results(folder, judge=Grader(), journal=JsonlJournal(journal))
    before = journal.read_bytes()
    again = load_results(folder)
    assert (
        [arm.score.headline for arm in again.arms] == [arm.score.headline for arm in first.arms] == [50, 50]
    )
    assert make_tables(again, load_spec()).runs[0].identity["judge"] == "grader"
    change_lines(journal, lambda record: record | {"key": f"other{record['key']}"})
    assert [arm.score.headline for arm in load_results(folder).arms] == [None, None]
    assert journal.read_bytes().count(b"other") == before.count(b'"key"')


def test_a_metric_without_a_score_is_not_shown_as_zero(tmp_path):
    rows = [question(i, answer="a cat", bench="judged") for i in range(4)]
    made = make_tables(
        load_results(write_run(tmp_path / "run", rows, lambda *_: "a cat", "mmvet")), load_spec()
    )
    assert made.main[0].scores == {}
    assert "–" in markdown(made, ["levels"])
    assert "it is not scored" in " ".join(made.notes)


@pytest.mark.parametrize("levels", [("clean",), ("hard",), ("clean", "recoded"), ("low", "hard")])
def test_runs_of_few_levels_have_a_report_too(tmp_path, levels):
    folder = write_run(tmp_path / "run", [question(i) for i in range(6)], lambda *_: "A", levels=levels)
    made = make_tables(load_results(folder), load_spec())
    screen = Console(width=100, record=True, file=io.StringIO())
    screen.print(console(made, ["all"]))
    screen.print(console(made))
    assert "100.0" in screen.export_text()
    assert markdown(made)
    assert latex(made)
    assert (made.find("drops") is not None) == (
        "clean" in levels and len(levels) > 1 and "recoded" not in levels
    )


def test_warnings_of_many_levels_are_one_line(tmp_path):
    folder = write_run(tmp_path / "run", [question(i) for i in range(9)], lambda *_: "no idea")
    notes = [n for n in make_tables(load_results(folder), load_spec()).notes if "letter rules" in n]
    assert len(notes) == 1
    assert notes[0].startswith("clean, low, mid, hard – ")


def test_a_run_by_another_protocol_is_graded_again(tmp_path):
    folder = write_run(tmp_path / "run", [question(0)], lambda *_: "A is wrong, it cannot be seen in here")
    one = load_results(folder).arms[0].score.headline
    two = load_results(folder, protocol="vlmevalkit/1").arms[0].score.headline
    assert (one, two) == (100, 0)


def whole_report():
    return make_tables([grid_run("base", 4), grid_run("better_&_best", 2)], load_spec())


class Sharp:
    """A judge that likes answers that say so, which ours do when the picture is at its worst."""

    id = "sharp"

    def ask(self, call):
        from mmdbench.scoring import JudgeReply

        return JudgeReply("0.9" if "sharp" in call.prompt else "0.4")


def full_report(tmp_path):
    """Two sampled grid runs, judged, restored, paid for and measured: a report with every table."""

    def answer(q, level, _):
        details = {
            "restorations": int(level == "hard"),
            "seconds": {"text": 1.0},
            "usage": {"prompt": 700, "completion": 20},
        }
        return {"text": "sharp" if level == "hard" else "a cat", "seconds": 1.5, "details": details}

    runs = []
    for name in ("one", "two"):
        model = {"name": name, "adapter": "toy", "generation": {}, "fingerprint": {"name": name}}
        folder = write_run(
            tmp_path / name,
            [question(i, answer="a cat", category="ocr,math" if i % 2 else "rec") for i in range(12)],
            answer,
            "mmvet",
            corruptions=NAMES,
            levels=("clean", "mid", "hard"),
            model=name,
            design="grid",
            sample="12/bench",
            manifest={
                "benches": [{"name": "toy", "family": "mmvet", "questions": 60, "sha256": "x"}],
                "model": model | {"price": {"input": 1.0, "output": 2.0, "date": "2026-01-01"}},
            },
        )
        images = [{"kind": kind, "level": "hard", "niqe": 5.25} for kind in ("degraded", "restored")]
        (folder / "quality.json").write_text(json.dumps({"metrics": ["niqe"], "images": images}))
        runs.append(load_results(folder, judge=Sharp()))
    return make_tables(runs, load_spec())


def test_every_table_that_the_docs_name_is_there_and_no_other(tmp_path):
    text = (Path(__file__).parents[2] / "docs" / "statistics.md").read_text("utf-8")
    part = text[text.index("## The tables") : text.index("## Rounding")]
    cells = [line.split("|")[1] for line in part.splitlines() if line.startswith("| `")]
    named = re.findall(r"`([a-z-]+)`", " ".join(cells))
    sure = {"text": "A", "details": {"answer_letter": "A", "answer_probability": 0.9}}
    lettered = load_results(write_run(tmp_path / "lettered", [question(0)], lambda *_: sure))
    again = replace(lettered, repeats=(lettered.hits, lettered.hits))
    rest = [(lettered, "confidence"), (again, "repeats")]
    made = [*full_report(tmp_path).tables, *(make_tables(run, load_spec()).find(key) for run, key in rest)]
    assert sorted(named) == sorted(table.key for table in made)


def test_every_rendering_shows_the_same_numbers(tmp_path):
    made = full_report(tmp_path)
    page, tex, sheet = markdown(made, ["all"]), latex(made, ["all"]), as_csv(made, ["all"])
    screen = Console(width=400, record=True, file=io.StringIO())
    screen.print(console(made, ["all"]))
    text = screen.export_text()
    stored = json.loads(as_json(made, ["all"]))
    rows = list(csv.DictReader(io.StringIO(sheet)))
    numbers = 0
    for table, kept in zip(made.tables, stored["tables"], strict=True):
        assert table.title in page
        assert table.title in text
        for row, kept_row in zip(table.rows, kept["rows"], strict=True):
            for column, value, kept_value in zip(table.columns, row.values, kept_row["values"], strict=True):
                if value is None:
                    assert kept_value is None
                    continue
                numbers += 1
                assert kept_value["value"] == value.value
                words = shown(value, column)
                assert words in page
                assert words in text
                assert words.replace("_", "\\_").replace("%", "\\%").replace("–", "--") in tex
    assert numbers == len(rows) > 100
    assert {row["table"] for row in rows} == {t.key for t in made.tables}
    assert {(row["protocol"], row["design"]) for row in rows} == {
        ("clear/1", "grid (corruption types weigh the same)")
    }


def test_json_is_valid_and_whole():
    stored = json.loads(as_json(whole_report()), parse_constant=pytest.fail)
    assert stored["main"][0]["scores"]["clean"]["value"] == pytest.approx(90)
    assert stored["main"][0]["run"] == "base"
    assert stored["runs"][0]["identity"]["protocol"] == "clear/1"


def test_latex_is_booktabs_with_best_and_second():
    tex = latex(whole_report(), ["scores-hard"])
    assert r"better\_\&\_best & \textbf{80.0} \\" in tex
    assert r"base & \underline{60.0} \\" in tex
    for word in (r"\toprule", r"\midrule", r"\bottomrule", "clear/1, grid"):
        assert word in tex
    assert tex.count("{") == tex.count("}")
    assert "[" in latex(whole_report(), ["levels"], intervals=True).split("tabular")[1]
    assert not re.search(r"[→Δ–…×−]", latex(whole_report(), ["all"], intervals=True))


def test_a_p_value_is_never_zero():
    column = Column("p", "p", 4)
    assert [shown(Value(p), column) for p in (0.0, 3e-9, 0.00004, 0.0123)] == ["<0.0001"] * 3 + ["0.0123"]
    table = Table("t", "T", ("Row",), (column,), (Row(("r",), (Value(0.0),)),))
    assert r"r & $<$0.0001 \\" in latex_table(table)


def test_best_and_second_are_judged_as_shown():
    rows = [("a", 50.04), ("b", 50.01), ("c", 49.0), ("d", None), ("all", 90.0)]
    body = tuple(Row((n,), (None if v is None else Value(v),), n == "all") for n, v in rows)
    table = Table("t", "T", ("Model",), (Column("x", best="max"),), body, model_at=0)
    assert ranks(table) == {(0, 0): 1, (1, 0): 1, (2, 0): 2}
    assert ranks(Table("t", "T", ("Model",), (Column("x", best="max"),), body[:1], model_at=0)) == {}
    least = Table("t", "T", ("Model",), (Column("x", best="min"),), body, model_at=0)
    assert ranks(least)[2, 0] == 1


def test_markdown_marks_best_and_escapes():
    page = markdown(whole_report(), ["scores-hard"])
    assert r"| better\_&\_best | **80.0** |" in page
    assert "| base | <u>60.0</u> |" in page
    hits = [hit(0, "clean", 1, category="a|b<c")]
    assert "a\\|b&lt;c" in markdown(tables(hits))


def test_parquet_holds_every_number(tmp_path):
    pq = pytest.importorskip("pyarrow.parquet")
    write_parquet(whole_report(), tmp_path / "t.parquet", ["all"])
    read = pq.read_table(tmp_path / "t.parquet")
    assert read.num_rows == len(list(csv.DictReader(io.StringIO(as_csv(whole_report(), ["all"])))))
    assert read.schema.metadata[b"protocol"] == b"clear/1"


def test_parquet_names_its_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"mmdbench\[parquet\]"):
        write_parquet(whole_report(), tmp_path / "t.parquet")


def test_an_unknown_table_is_named():
    with pytest.raises(UnknownNameError, match="Did you mean 'flips'"):
        markdown(whole_report(), ["flip"])


@pytest.mark.parametrize("width", [80, 100])
def test_the_console_fits_its_width(width, tmp_path):
    names = ["MMBench_DEV_EN_V11", "MMVet", "MMVP", "CV-Bench-2D", "MMStar", "RealWorldQA"]
    hits = [
        hit(u, lv, (u * 7) % 10 < 6, None if lv == "clean" else NAMES[u % 4], b)
        for b in names
        for u in range(40)
        for lv in ("clean", "low", "mid", "hard")
    ]
    made = tables(hits, levels=("clean", "low", "mid", "hard"))
    screen = Console(width=width, record=True, file=io.StringIO())
    screen.print(console(made))
    text = screen.export_text()
    assert max(map(len, text.splitlines())) <= width
    shown_row = next(line for line in text.splitlines() if "AVG" in line)
    assert shown_row.count("60.0") == 4
    two = [results(hits, label=n, levels=("clean", "low", "mid", "hard")) for n in ("small-vlm", "large-vlm")]
    screen.print(console(make_tables(two, load_spec())))
    assert max(map(len, screen.export_text().splitlines())) <= width


@pytest.mark.parametrize("width", [44, 60, 80, 120])
def test_no_number_is_cut_where_the_screen_is_narrow(width):
    hits = [
        hit(u, lv, (u * 7) % 10 < 6, None if lv == "clean" else NAMES[u % 4], b)
        for b in ("MMBench", "MM-Vet", "MMVP", "CV-Bench-2D", "MMStar", "RealWorldQA")
        for u in range(40)
        for lv in ("clean", "low", "mid", "hard")
    ]
    two = [results(hits, label=n, levels=("clean", "low", "mid", "hard")) for n in ("small-vlm", "large-vlm")]
    for table in make_tables(two, load_spec()).tables:
        screen = Console(width=width, record=True, file=io.StringIO())
        screen.print(grid(table))
        text = screen.export_text()
        assert max(map(len, text.splitlines())) <= width
        words = Counter(text.split())
        for place, column in enumerate(table.columns):
            for row in table.rows:
                value = row.values[place]
                if value is not None and not isinstance(value.value, str):
                    assert words[shown(value, column).split()[0]], (table.key, column.name)
                    if column.intervals and value.low is not None:
                        assert words[interval(value, column.digits)], (table.key, column.name)


def test_the_detectable_drop_follows_from_the_questions():
    hits = [hit(u, "clean", u < 300) for u in range(400)]
    hits += [hit(u, "hard", 20 <= u < 320, "graffiti") for u in range(400)]
    made = tables(hits)
    row = values(made.find("detectable"), Benchmark="toy", Level="hard")
    assert row["found"] == pytest.approx(100 * detectable_effect(400, flips=0.1), rel=0.03)
    drop = made.main[0].drops["hard"]
    assert row["± drop"] == pytest.approx((drop.high - drop.low) / 2)
    assert row["n to find 1 point"] == pytest.approx(400 * row["found"] ** 2, abs=1)
    assert tables([hit(0, "clean", 1)]).find("detectable") is None


def test_a_published_result_that_is_named_first_is_the_reference():
    names = list(load_spec().corruptions)
    six = paper_tables()["benchmarks"]
    hits = [hit(u, "hard", u < 7, c, bench) for bench in six for u in range(10) for c in names]
    run = results(hits, label="mine", design="grid", levels=("hard",))
    made = make_tables(run, load_spec(), [shrunk(published_rows("paper:bagel"), 10)], "paper:bagel")
    mce = made.find("mce")
    assert [c.name for c in mce.columns] == ["CE mine", "relative CE mine"]
    assert "Reference: paper:bagel. Errors are summed over hard;" in mce.caption
    assert values(mce, Corruption="lens_blur")["CE mine"] == pytest.approx(100 * 30 / (100 - 57.82))
    assert values(mce, Corruption="lens_blur")["relative CE mine"] is None  # there is no clean score
    assert values(made.find("corruption-models"), Corruption="lens_blur") == pytest.approx(
        {"paper:bagel": 57.82, "mine": 70, "Δ mine − paper:bagel": 70 - 57.82}
    )
    assert values(made.find("corruption-models"), Corruption="overall")["paper:bagel"] == pytest.approx(
        59.567, abs=1e-3
    )
    assert made.main[0].run == "mine"
    assert any("by corruption are means over MMBench, MM-Vet" in note for note in made.notes)
    other = make_tables(run, load_spec(), [shrunk(published_rows("paper:bagel"), 10)])
    assert other.find("mce").columns[0].name == "CE paper:bagel"
    assert values(other.find("corruption-models"), Corruption="lens_blur")["Δ mine − paper:bagel"] > 0


def test_a_report_is_written_beside_the_run(tmp_path):
    folder = write_run(tmp_path / "run", [question(i) for i in range(4)], lambda *_: "A")
    run = load_results(folder)
    paths = write_report(folder, run, make_tables(run, load_spec()))
    assert {p.name for p in paths} == {"report.md", "tables.json", "tables.csv", "tables.tex", "grades.jsonl"}
    before = {p: p.read_bytes() for p in paths}
    change_lines(folder / "replies-0.jsonl", lambda record: record | {"seconds": 0.7})
    again = load_results(folder)
    write_report(folder, again, make_tables(again, load_spec()))
    assert before == {p: p.read_bytes() for p in paths}


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (64.965, 2, "64.97"),
        (0.05, 1, "0.1"),
        (-0.05, 1, "-0.1"),
        (-0.0001, 1, "0.0"),
        (2 / 3 * 100, 1, "66.7"),
        (1.005, 2, "1.01"),
        (70.275, 2, "70.28"),
    ],
)
def test_numbers_are_rounded_half_away_from_zero(value, digits, text):
    assert fixed(value, digits) == text


def drawn_hits():
    """Thirty questions, all right when clean but the first five; each at one level, as in `drawn`."""
    hits = [hit(u, "clean", u >= 5) for u in range(30)]
    levels, right = ("hard", "mid", "low"), (5, 6, 7, 12, 13, 25)
    return hits + [hit(u, levels[u // 10], u in right, "graffiti") for u in range(30)]


@pytest.mark.parametrize("design", ["drawn", "released"])
def test_clean_is_the_score_of_the_questions_of_the_drop(design):
    made = tables(drawn_hits(), design=design, levels=LEVELS)
    (row,) = made.main
    # At hard the questions 0..9: 5 of them right when clean, 3 at hard.
    assert (row.questions, row.scores["clean"].value, row.scores["hard"].value) == (10, 50, 30)
    assert row.drops["hard"].value == pytest.approx(20)
    assert row.drop_percent("hard") == pytest.approx(40)
    assert row.drop_percent("mid") == pytest.approx(80)  # 10 of 10 right when clean, 2 at mid
    shown_row = values(made.find("levels"), Benchmark="toy")
    assert (shown_row["n"], shown_row["clean"], shown_row["drop %"]) == (10, 50, pytest.approx(40))
    assert values(made.find("corruption"), Corruption="graffiti")["clean"] == 50
    assert values(made.find("retention"), Level="hard")["retained"] == pytest.approx(60)
    assert any("other questions" in note for note in made.notes)


def test_clean_of_a_mean_is_that_of_the_questions_of_the_drops():
    other = [structs.replace(h, bench="other") for h in drawn_hits()]
    row = tables(drawn_hits() + other, design="drawn", levels=LEVELS).main[-1]
    assert (row.name, row.scores["clean"].value) == ("AVG", 50)
    assert row.drop_percent("mid") == pytest.approx(80)


def test_clean_of_a_mean_is_that_of_its_own_drop_where_a_benchmark_lacks_the_hardest_level():
    short = [hit(0, "clean", 1, None, "b"), hit(1, "clean", 0, None, "b")]
    short += [hit(0, "mid", 1, "graffiti", "b"), hit(1, "low", 0, "graffiti", "b")]  # none at hard
    long = [hit(u, "clean", u != 1, None, "a") for u in range(3)]
    long += [hit(u, lv, 0, "graffiti", "a") for u, lv in enumerate(("low", "mid", "hard"))]
    row = tables(long + short, design="drawn", levels=LEVELS).main[-1]
    assert (row.name, set(row.drops)) == ("AVG", {"low", "mid"})
    # At mid, the hardest level of both: question 1 of a, wrong when clean, and question 0 of b, right.
    assert (row.scores["clean"].value, row.questions) == (50, 2)
    assert row.drops["mid"].value == pytest.approx(row.scores["clean"].value - row.scores["mid"].value)


def test_levels_have_one_order_whatever_the_order_of_asking(tmp_path):
    made = []
    for name, levels in (("one", ("hard", "low", "clean")), ("two", ("clean", "low", "hard"))):
        folder = write_run(
            tmp_path / name,
            [question(i) for i in range(12)],
            lambda q, *_: "ABCD"[q.index % 3],
            levels=levels,
        )
        results_here = load_results(folder)
        assert results_here.plan.levels == ("clean", "low", "hard")
        made.append(make_tables(results_here, load_spec()))
        assert "at the levels clean, low, hard" in methods(results_here)
    assert made[0].tables == made[1].tables
    assert made[0].find("severity") is None


def drawn_run(folder, **plan):
    """A run of nine questions, each clean and at one of three levels."""

    def answer(q, level, _):
        right = q.index % 2 or level != "clean"
        return "A" if right and level in ("clean", levels_of_questions[q.index % 3]) else None

    levels_of_questions = ("hard", "low", "mid")
    folder = write_run(folder, [question(i) for i in range(9)], answer, design="drawn", **plan)

    def keep(row):
        _, index, level, *_ = row["cell"]
        return row if level in ("clean", levels_of_questions[index % 3]) else None

    change_lines(folder / "cells.jsonl", keep)
    return load_results(folder)


def test_levels_are_in_order_where_questions_meet_one_each(tmp_path):
    made = make_tables(drawn_run(tmp_path / "run"), load_spec())
    for key in ("statuses", "stages", "flips", "retention"):
        table = made.find(key)
        levels = [row.labels[table.labels.index("Level")] for row in table.rows]
        assert levels == [level for level in LEVELS if level in levels]
        assert len(levels) >= 3


def test_the_drop_of_a_sample_is_of_the_questions_of_its_level(tmp_path):
    bench = {"name": "toy", "family": "plain", "questions": 60, "sha256": "x"}
    made = make_tables(drawn_run(tmp_path / "run", sample="9", manifest={"benches": [bench]}), load_spec())
    (row,) = made.main
    assert values(made.find("whole"), Level="hard")["drop"] == pytest.approx(row.drops["hard"].value)
    assert row.drop_percent("hard") == pytest.approx(100 * row.drops["hard"].value / (100 / 3))
    assert row.scores["clean"].value == pytest.approx(100 / 3)  # questions 0, 3 and 6: only 3 is right


def test_emphasis_is_of_models_and_never_of_the_easiest_corruption():
    made = whole_report()
    table = made.find("corruption-models")
    found = ranks(table)
    for number, row in enumerate(table.rows):
        first, second = (row.values[place].value for place in (0, 1))
        same = shown(row.values[0], table.columns[0]) == shown(row.values[1], table.columns[1])
        assert found[number, 0] == (1 if same or first > second else 2)
        assert found[number, 1] == (1 if same or second > first else 2)
        assert (number, 2) not in found
    one = make_tables(grid_run("base", 4), load_spec())
    assert not any(ranks(table) for table in one.tables)


def test_models_are_ranked_within_the_rows_of_one_question():
    columns = (Column("type", best="max"),)
    rows = [(("clean", "a"), 90), (("clean", "b"), 80), (("hard", "a"), 30), (("hard", "b"), 40)]
    body = tuple(Row(labels, (Value(number),)) for labels, number in rows)
    table = Table("t", "T", ("Level", "Model"), columns, body, model_at=1)
    assert ranks(table) == {(0, 0): 1, (1, 0): 2, (2, 0): 2, (3, 0): 1}
    assert ranks(Table("t", "T", ("Level", "Part"), columns, body)) == {}
