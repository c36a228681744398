"""Two runs: what differs comes first, what cannot be compared is refused, the rest is paired."""

from __future__ import annotations

import json

import pytest

from mmdbench.cli.compare import compare
from mmdbench.cli.report import report
from mmdbench.corruptions.spec_file import load_spec
from mmdbench.errors import IncomparableError
from mmdbench.report.comparison import compare_published, compare_runs
from mmdbench.report.published import published_rows
from mmdbench.results.graded_run import load_results
from mmdbench.stats import mcnemar
from run_folders import hit, published_hits, question, results, write_run
from verb_calls import call

SPEC = load_spec()
NAMES = ("graffiti", "lens_blur")


def cells(table, *labels):
    row = next(r for r in table.rows if r.labels == labels)
    return {c.name: v and v.value for c, v in zip(table.columns, row.values, strict=True)}


def run_of(right, label="", bench="toy", n=100, **changes):
    hits = [hit(u, "clean", u < right[0], None, bench) for u in range(n)]
    hits += [hit(u, "hard", u < right[1], NAMES[u % 2], bench) for u in range(n)]
    return results(hits, label=label, **changes)


def merged(*runs, label=""):
    return results([h for run in runs for h in run.hits], label=label)


def test_differences_are_paired_with_mcnemar():
    found = compare_runs(run_of((70, 58), "old"), run_of((80, 60), "new"), SPEC)
    row = cells(found.tables[0], "clean", "toy")
    assert row["new − old"] == pytest.approx(10)
    assert (row["only new"], row["only old"]) == (10, 0)
    assert row["p"] == pytest.approx(mcnemar(10, 0))
    assert row["test"] == "McNemar"


def test_holm_is_over_the_benchmarks_of_a_level_and_not_over_their_mean():
    a = merged(run_of((80, 60), bench="x"), run_of((80, 60), bench="y"), label="a")
    b = merged(run_of((70, 60), bench="x"), run_of((77, 60), bench="y"), label="b")
    table = compare_runs(b, a, SPEC).tables[0]
    x, y, mean = (cells(table, "clean", name) for name in ("x", "y", "AVG"))
    assert x["p (Holm)"] == pytest.approx(2 * mcnemar(10, 0))
    assert y["p (Holm)"] == pytest.approx(mcnemar(3, 0))
    assert mean["p (Holm)"] is None
    assert mean["new − old"] == pytest.approx(6.5)


def test_corruptions_are_corrected_by_benjamini_and_hochberg():
    found = compare_runs(run_of((80, 40), "a"), run_of((80, 60), "b"), SPEC)
    table = next(t for t in found.tables if t.key == "corruption")
    assert [c.name for c in table.columns][5] == "p (Benjamini–Hochberg)"
    assert cells(table, "hard", "graffiti")["new − old"] == pytest.approx(20)


def test_questions_under_many_corruptions_are_no_independent_rows():
    def grid(right):
        hits = [
            hit(u, "hard", u < right, c)
            for u in range(50)
            for c in ("graffiti", "lens_blur", "mean_shift", "scan_lines")
        ]
        return results(hits, label=f"m{right}", design="grid", levels=("hard",))

    row = cells(compare_runs(grid(30), grid(26), SPEC).tables[0], "hard", "toy")
    assert (row["n"], row["test"], row["only new"]) == (50, "paired", None)
    assert row["p"] > 0.02  # 16 independent flips out of 16 would have 0.00003


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"protocol": "vlmevalkit/1"}, "scoring protocol"),
        ({"extraction": "none"}, "answer extraction"),
        ({"design": "balanced:2"}, "design"),
        ({"corruptions": ("graffiti",)}, "corruptions"),
        ({"seed": 1}, "seed"),
        ({"profile": "scaled"}, "profile"),
        ({"codec": "png"}, "codec"),
        ({"sample": "50"}, "sample"),
    ],
)
def test_incomparable_runs_are_refused_with_the_setting_that_differs(change, field):
    with pytest.raises(IncomparableError, match=f"differ in {field}"):
        compare_runs(run_of((80, 60)), run_of((80, 60), **change), SPEC)


def test_another_data_digest_or_spec_is_refused():
    def manifest(sha="a", spec="1"):
        return {
            "benches": [{"name": "toy", "family": "plain", "sha256": sha}],
            "spec": {"version": spec, "digest": "d"},
        }

    base = run_of((80, 60), manifest=manifest())
    with pytest.raises(IncomparableError, match="differ in data digest of toy"):
        compare_runs(base, run_of((80, 60), manifest=manifest(sha="b")), SPEC)
    with pytest.raises(IncomparableError, match="differ in corruption spec"):
        compare_runs(base, run_of((80, 60), manifest=manifest(spec="2")), SPEC)


def test_another_judge_is_refused():
    run = run_of((80, 60))
    run.arms[0].score.judge, run.arms[0].score.judge_record = "gpt-4.1", {}
    with pytest.raises(IncomparableError, match=r"differ in judge \(none against gpt-4.1\)"):
        compare_runs(run_of((80, 60)), run, SPEC)


def test_another_sample_can_be_compared_on_what_is_shared():
    few = results([h for h in run_of((80, 60)).hits if h.unit >= 50], sample="50", label="few")
    found = compare_runs(run_of((80, 60), "all"), few, SPEC, shared=True)
    row = cells(found.tables[0], "clean", "toy")
    assert (row["n"], row["new − old"]) == (50, pytest.approx(0))
    assert any(d.field == "sample" for d in found.differences)


def test_differing_settings_come_before_the_numbers(tmp_path):
    rows = [question(i) for i in range(8)]
    one = write_run(tmp_path / "one", rows, lambda *_: "A", model="one")
    two = write_run(
        tmp_path / "two",
        rows,
        lambda q, *_: "AB"[q.index % 2],
        model="two",
        manifest={"versions": {"opencv": "5.0"}},
    )
    found = compare_runs(load_results(one), load_results(two), SPEC)
    assert [d.field for d in found.differences] == ["model", "version of opencv"]
    assert not any(d.blocks for d in found.differences)


def test_a_part_that_neither_run_sets_is_no_difference(tmp_path):
    rows = [question(i) for i in range(8)]
    prints = {"one": {"detail": "", "seed": None, "side": 5}, "two": {"system": "", "side": 7}}
    runs = []
    for name, fingerprint in prints.items():
        recorded = {"model": {"name": name, "fingerprint": fingerprint}}
        folder = write_run(tmp_path / name, rows, lambda *_: "A", model=name, manifest=recorded)
        runs.append(load_results(folder))
    found = compare_runs(*runs, SPEC)
    assert [(d.field, d.first, d.second) for d in found.differences] == [
        ("model", "one", "two"),
        ("fingerprint.side", "5", "7"),
    ]


def test_other_pixels_are_noticed(tmp_path):
    runs = []
    for name, pixels in (("one", "p"), ("two", "q")):

        def answer(q, level, _, pixels=pixels):
            return {"text": "A", "images": ({"pixels": pixels if level == "hard" else "same"},)}

        runs.append(
            load_results(write_run(tmp_path / name, [question(i) for i in range(3)], answer, model=name))
        )
    assert "3 of 12 shared requests showed the two models different pixels" in compare_runs(*runs, SPEC).notes


def test_nothing_in_common_is_refused():
    with pytest.raises(IncomparableError, match="must share a question"):
        compare_runs(run_of((8, 6)), run_of((8, 6), bench="other"), SPEC)


def test_a_published_result_is_compared_unpaired():
    sizes = {"MMStar": 1500, "MMVP": 300}
    hits = [h for b, n in sizes.items() for h in published_hits(b, "hard", 60, "graffiti", n)]
    run = results(hits, label="mine", levels=("hard",), sample="1500/bench", protocol="vlmevalkit/1")
    found = compare_published(run, published_rows("paper:clear-rl", ["MMStar", "MMVP"]))
    row = cells(found.tables[0], "hard", "MMVP")
    assert row["new − old"] == pytest.approx(60 - 71.33)
    assert cells(found.tables[0], "hard", "AVG")["new − old"] == pytest.approx(60 - (60.67 + 71.33) / 2)
    text = " ".join(found.notes)
    for word in ("released", "1500/bench", "vlmevalkit/1", "without per-question grades"):
        assert word in text
    with pytest.raises(IncomparableError, match=r"share no benchmark.* Published: none\."):
        compare_published(run, published_rows("paper:mplugowl3"))  # relative scores of R-Bench alone
    with pytest.raises(IncomparableError, match="share no benchmark"):
        compare_published(run_of((8, 6)), published_rows("paper:clear-rl"))


@pytest.fixture
def folders(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "140")
    rows = [question(i, bench="MMStar") for i in range(40)]
    good = write_run(tmp_path / "good", rows, lambda *_: "A", model="good")
    bad = write_run(
        tmp_path / "bad", rows, lambda q, lv, _: "B" if lv == "hard" and q.index < 30 else "A", model="bad"
    )
    return good, bad


def test_the_verb_compare(folders):
    text = call(compare, *folders, "paper:clear-rl")
    assert text.index("differs in model") < text.index("-75.0 ")
    assert "good − paper:clear-rl (new − old)" in text
    assert "bad − good (new − old)" in text
    stored = json.loads(call(compare, *folders, "--json"))
    assert stored[0]["tables"][0]["rows"][3]["values"][1]["value"] == pytest.approx(-75)
    assert "## Difference by benchmark" in call(compare, *folders, "--markdown")
    assert "RUNS must be at least two, got 1" in call(compare, folders[0], code=2)
    assert "must be a run" in call(compare, "paper:bagel", folders[0], code=2)
    assert "Did you mean 'paper:bagel'" in call(compare, folders[0], "paper:bagle", code=2)


def test_the_verb_compare_refuses_with_exit_code_2(folders, tmp_path):
    other = write_run(tmp_path / "png", [question(0, bench="MMStar")], lambda *_: "A", codec="png")
    assert "differ in codec (jpeg:95 against png)" in call(compare, folders[0], other, code=2)


def test_the_verb_report_shows_runs_side_by_side(folders, tmp_path):
    text = call(report, *folders, "paper:clear-rl", "paper:bagel")
    for word in ("good", "bad", "paper:clear-rl", "60.67"):
        assert word in text
    first = call(report, "paper:bagel", *folders, "--table", "mce")
    assert "Reference: paper:bagel" in first
    assert "60.15" in first  # a misprint, which a report on one screen only counts
    assert "\\toprule" in call(report, *folders, "--latex", "--table", "scores-hard")
    assert call(report, folders[0], "--csv").startswith("table,row,column")
    assert "Only one of" in call(report, folders[0], "--csv", "--json", code=2)
    assert json.JSONDecoder().raw_decode(call(report, folders[0], "--json"))[0]["main"][0]["name"] == "MMStar"
    assert "Did you mean 'levels'" in call(report, folders[0], "--table", "level", code=2)
    text = call(report, folders[0])
    assert (folders[0] / "report.md").exists()
    assert "report.md" in text
