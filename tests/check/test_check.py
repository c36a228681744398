"""The gate: right rows fail, noise does not, and nothing compared is never a success."""

from __future__ import annotations

import json
from dataclasses import replace
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from mmdbench.check import accept, check_run, parse_gate, read_baseline
from mmdbench.check.gates import watched_rows
from mmdbench.cli._shared.errors import guarded
from mmdbench.cli.check import check
from mmdbench.corruptions.spec_file import load_spec
from mmdbench.errors import DataError, IncomparableError, IncompleteError, UsageError
from mmdbench.results.graded_run import load_results
from mmdbench.stats import detectable_effect, questions_needed
from mmdbench.system.digest import without_digest
from run_folders import hit, question, results, write_run

SPEC = load_spec()
NAMES = ("graffiti", "lens_blur", "mean_shift", "scan_lines")
SIZES = {"large": 800, "small": 200}


def replies(rng, chance, worse=(), loss=0.0):
    """The hits of a noisy model: each question is answered with its own chance, less where it got worse."""
    hits = []
    for bench, p in chance.items():
        for level, factor in (("clean", 1.0), ("hard", 0.85)):
            draws = rng.random_sample(len(p))
            for unit, (q, draw) in enumerate(zip(p, draws, strict=True)):
                name = None if level == "clean" else NAMES[unit % 4]
                fall = loss if (bench, name) in worse else 0.0
                hits.append(hit(unit, level, draw < q * factor - fall, name, bench))
    return results(hits)


def chances(shrunk=1):
    rng = np.random.RandomState(0)
    kinds = {"p": [0.2, 0.15, 0.65]}
    return {bench: rng.choice([0.02, 0.5, 0.98], n // shrunk, **kinds) for bench, n in SIZES.items()}


def checked(tmp_path, before, after, *gates, **kw):
    path = tmp_path / "baseline.json"
    accept(before, path)
    return check_run(after, read_baseline(path), SPEC, [parse_gate(g) for g in gates], **kw)


def verdicts(report):
    return {row.name: row.verdict for row in report.rows}


def test_a_planted_regression_fails_the_right_rows(tmp_path):
    rng, p = np.random.RandomState(1), chances()
    worse = {("large", "graffiti")}
    report = checked(
        tmp_path,
        replies(rng, p),
        replies(rng, p, worse, 0.45),
        "*/*/hard:8",
        "macro-clean:4",
        "large/clean:4",
    )
    found = verdicts(report)
    assert found["large/graffiti/hard"] == "regressed"
    assert [name for name, verdict in found.items() if verdict == "regressed"] == ["large/graffiti/hard"]
    assert found["macro/all/clean"] == found["large/all/clean"] == "unchanged"
    assert report.exit_code == 1
    row = next(r for r in report.rows if r.verdict == "regressed")
    assert row.loss == pytest.approx(row.baseline - row.score)
    assert row.low < row.loss < row.high


def test_200_repeats_without_a_change_fail_at_most_at_the_stated_rate(tmp_path):
    rng, p = np.random.RandomState(2), chances(shrunk=4)
    path = tmp_path / "baseline.json"
    accept(replies(rng, p), path)
    gates = [parse_gate(g) for g in ("macro-hard:0.5", "macro-clean:0.5", "*/hard:0.5", "*/*/hard:1")]
    codes = []
    for _ in range(200):
        accept(replies(rng, p), path)
        codes.append(check_run(replies(rng, p), read_baseline(path), SPEC, gates).exit_code)
    assert codes.count(1) <= 200 * 0.05
    assert set(codes) <= {0, 1, 3}


def test_a_real_loss_is_found_as_often_as_the_power_says(tmp_path):
    rng, p = np.random.RandomState(3), {"large": np.full(900, 0.6)}
    worse = {("large", name) for name in NAMES}
    runs = [
        checked(tmp_path, replies(rng, p), replies(rng, p, worse, 0.09), "large/hard:2") for _ in range(40)
    ]
    assert sum(r.exit_code == 1 for r in runs) >= 34


def test_the_same_replies_are_unchanged_however_few(tmp_path):
    run = results([hit(u, lv, u % 2) for u in range(6) for lv in ("clean", "hard")])
    report = checked(tmp_path, run, run, "macro-hard:0.1", "toy/hard:0.1")
    assert set(verdicts(report).values()) == {"unchanged"}
    assert report.exit_code == 0


def test_few_questions_cannot_tell(tmp_path):
    before = results([hit(u, "hard", u < 12, "graffiti") for u in range(20)])
    after = results([hit(u, "hard", u < 11, "graffiti") for u in range(20)])
    report = checked(tmp_path, before, after, "toy/hard:1")
    assert verdicts(report) == {"toy/all/hard": "cannot tell"}
    assert report.exit_code == 3


def test_an_improvement_is_no_failure(tmp_path):
    before = results([hit(u, "hard", u < 50, "graffiti") for u in range(100)])
    after = results([hit(u, "hard", u < 80, "graffiti") for u in range(100)])
    report = checked(tmp_path, before, after, "macro-hard:1")
    assert verdicts(report) == {"macro/all/hard": "improved"}
    assert report.exit_code == 0


def test_a_real_loss_within_the_tolerance_is_let_through(tmp_path):
    before = results([hit(u, "hard", u < 800, "graffiti") for u in range(1000)])
    after = results([hit(u, "hard", u < 780, "graffiti") for u in range(1000)])
    assert verdicts(checked(tmp_path, before, after, "toy/hard:5")) == {"toy/all/hard": "tolerated"}
    assert verdicts(checked(tmp_path, before, after, "toy/hard:1")) == {"toy/all/hard": "regressed"}


def test_many_rows_are_corrected_for(tmp_path):
    before = results([hit(u, "hard", bool(u % 4) or u < 20 * 4, NAMES[u % 4]) for u in range(200)])
    after = results([hit(u, "hard", bool(u % 4) or u < 15 * 4, NAMES[u % 4]) for u in range(200)])
    alone = checked(tmp_path, before, after, "toy/graffiti/hard:1")
    among = checked(tmp_path, before, after, "toy/*/hard:1")
    assert alone.rows[0].p_adjusted == pytest.approx(2**-5)
    assert (alone.exit_code, verdicts(among)["toy/graffiti/hard"]) == (1, "cannot tell")
    assert next(r for r in among.rows if r.name == "toy/graffiti/hard").p_adjusted == pytest.approx(4 * 2**-5)


def test_the_grid_and_graded_answers_survive_the_baseline(tmp_path):
    hits = [hit(u, "hard", (u % 11) / 10, c, stratum="st") for u in range(30) for c in NAMES]
    run = results(hits, design="grid", levels=("hard",))
    path = tmp_path / "b.json"
    assert accept(run, path) == 120
    before, _ = read_baseline(path).as_run(run)
    key = lambda h: (h.bench, h.unit, h.level, h.corruption)  # noqa: E731
    assert sorted(before.hits, key=key) == sorted(hits, key=key)
    report = check_run(
        run, read_baseline(path), SPEC, [parse_gate("toy/*/hard:1"), parse_gate("toy/capture/hard:1")]
    )
    assert len(report.rows) == 5
    assert report.exit_code == 0


def test_a_baseline_is_small_and_its_diff_shows_the_flips(tmp_path):
    hits = [
        hit(u, lv, u % 3 > 0, None if lv == "clean" else NAMES[u % 4])
        for u in range(8400)
        for lv in ("clean", "low", "mid", "hard")
    ]
    run = results(hits, levels=("clean", "low", "mid", "hard"))
    accept(run, tmp_path / "one.json")
    assert (tmp_path / "one.json").stat().st_size < 60_000
    changed = results(
        [*hits[:-1], hit(8399, "hard", not hits[-1].hit, hits[-1].corruption)], levels=run.plan.levels
    )
    accept(changed, tmp_path / "two.json")
    lines = [(tmp_path / n).read_text().splitlines() for n in ("one.json", "two.json")]
    differing = [(a, b) for a, b in zip(*lines, strict=True) if a != b]
    assert len(differing) <= 3  # the hit, the rounded score and the digest


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("macro-hard:1.0", ("macro", "all", "hard", 1.0)),
        ("MMStar/*/hard:3", ("MMStar", "*", "hard", 3.0)),
        ("CV-Bench-2D/hard:2", ("CV-Bench-2D", "all", "hard", 2.0)),
        ("macro/lens_blur/*:0", ("macro", "lens_blur", "*", 0.0)),
    ],
)
def test_gates_are_read(text, parts):
    gate = parse_gate(text)
    assert (gate.bench, gate.part, gate.level, gate.tolerance) == parts


@pytest.mark.parametrize(
    "text", ["", "macro-hard", "macro-hard:", "a/b/c/d:1", "hard:1", "MMStar/hard:-1", "x//y:1", "a/b:nan"]
)
def test_gates_that_cannot_be_read(text):
    with pytest.raises(UsageError, match="--gate must be ROWS:POINTS"):
        parse_gate(text)


def rows_of(*gates):
    hits = [
        hit(u, lv, 1, None if lv == "clean" else NAMES[u % 4], b)
        for b in ("MMStar", "MMVP")
        for u in range(8)
        for lv in ("clean", "mid", "hard")
    ]
    run = results(hits, levels=("clean", "mid", "hard"))
    return {row.name: row.tolerance for row in watched_rows([parse_gate(g) for g in gates], run, SPEC)}


def test_gates_name_rows():
    assert list(rows_of("MMStar/*/hard:3")) == [
        f"MMStar/{n}/hard" for n in ("lens_blur", "mean_shift", "scan_lines", "graffiti")
    ]
    assert list(rows_of("*/hard:1")) == ["MMStar/all/hard", "MMVP/all/hard"]
    assert list(rows_of("macro/transmission/*:1")) == ["macro/transmission/mid", "macro/transmission/hard"]
    assert rows_of("MMVP/*:5", "mmvp/hard:2") == {"MMVP/all/clean": 5, "MMVP/all/mid": 5, "MMVP/all/hard": 2}


@pytest.mark.parametrize(
    "gate", ["MMstarr/hard:1", "MMStar/low:1", "MMStar/gaussian_noise/hard:1", "macro/*/clean:1"]
)
def test_a_gate_that_watches_nothing_is_an_error(gate):
    with pytest.raises(UsageError, match="must name a row of this run"):
        rows_of(gate)


def test_a_level_that_the_baseline_lacks_is_an_error(tmp_path):
    before = results([hit(u, "clean", 1) for u in range(9)])
    after = results(
        [hit(u, lv, 1, None if lv == "clean" else "graffiti") for u in range(9) for lv in ("clean", "hard")]
    )
    with pytest.raises(IncomparableError, match="holds no grade of macro/all/hard"):
        checked(tmp_path, before, after)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"codec": "png"}, "differ in codec"),
        ({"seed": 3}, "differ in seed"),
        ({"protocol": "vlmevalkit/1"}, "protocol"),
    ],
)
def test_another_protocol_is_never_compared(tmp_path, change, message):
    hits = [hit(u, "hard", 1, "graffiti") for u in range(9)]
    with pytest.raises(IncomparableError, match=message):
        checked(tmp_path, results(hits), results(hits, **change))


def test_other_questions_are_never_compared(tmp_path):
    before = results([hit(u, "hard", 1, "graffiti") for u in range(9)])
    for other in (
        [hit(u + 1, "hard", 1, "graffiti") for u in range(9)],
        [hit(u, "hard", 1, "lens_blur") for u in range(9)],
    ):
        with pytest.raises(IncomparableError, match="hold different questions of toy at hard"):
            checked(tmp_path, before, results(other))


def test_an_incomplete_run_gets_no_verdict_and_is_no_baseline(tmp_path):
    run = results([hit(u, "hard", 1, "graffiti") for u in range(9)])
    partial = results(list(run.hits), {"ok": 5, "missing": 4})
    report = checked(tmp_path, run, partial)
    assert (report.exit_code, report.rows) == (4, ())
    with pytest.raises(IncompleteError):
        accept(partial, tmp_path / "b.json")
    with pytest.raises(UsageError, match="must hold a score"):
        accept(results([]), tmp_path / "b.json")


def test_a_rate_must_make_sense(tmp_path):
    run = results([hit(u, "hard", 1, "graffiti") for u in range(9)])
    with pytest.raises(UsageError, match="alpha must be above 0"):
        checked(tmp_path, run, run, alpha=0.7)


def invoke(*args):
    app = typer.Typer()
    app.command()(guarded(check))
    return CliRunner().invoke(app, [str(a) for a in args])


def call(*args, code=0):
    result = invoke(*args)
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture
def folders(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)
    rows = [question(i, bench="MMStar") for i in range(60)]
    good = write_run(tmp_path / "good", rows, lambda *_: "A", corruptions=NAMES)
    bad = write_run(
        tmp_path / "bad",
        rows,
        lambda q, lv, c: "B" if lv == "hard" and c == "graffiti" else "A",
        corruptions=NAMES,
    )
    call(good, "--baseline", tmp_path / "b.json", "--accept")
    return good, bad, tmp_path / "b.json"


def test_exit_codes_of_the_verb(folders, tmp_path):
    good, bad, base = folders
    assert "no regression (exit code 0)" in call(good, "--baseline", base)
    text = call(bad, "--baseline", base, "--gate", "MMStar/*/hard:3", "--gate", "macro-clean:1", code=1)
    assert next(line for line in text.splitlines() if "regressed" in line).startswith("MMStar/graffiti/hard")
    assert max(map(len, text.splitlines())) <= 100
    call(bad, "--baseline", tmp_path / "none.json", code=2)
    call(bad, "--baseline", base, "--gate", "nothing/hard:1", code=2)
    write_run(
        tmp_path / "torn",
        [question(i, bench="MMStar") for i in range(60)],
        lambda q, *_: "A" if q.index else None,
        corruptions=NAMES,
    )
    assert "INCOMPLETE: 4 of 240" in call(tmp_path / "torn", "--baseline", base, code=4)
    few = write_run(
        tmp_path / "few",
        [question(i, bench="MMStar") for i in range(60)],
        lambda q, *_: "A" if q.index else "B",
        corruptions=NAMES,
    )
    call(few, "--baseline", base, "--gate", "macro-hard:1", code=3)


def test_an_undecided_gate_names_the_detectable_loss(folders, tmp_path):
    _, _, base = folders
    rows = [question(i, bench="MMStar") for i in range(60)]
    few = write_run(tmp_path / "few", rows, lambda q, *_: "A" if q.index else "B", corruptions=NAMES)
    gates = ("--gate", "macro-hard:1", "--gate", "macro-clean:1")
    stored = json.loads(call(few, "--baseline", base, *gates, "--json", code=3))["rows"]
    assert {row["verdict"] for row in stored} == {"cannot tell"}
    # Two rows share 5 %; one of 60 answers flipped.
    assert stored[0]["detectable"] == pytest.approx(100 * detectable_effect(60, 1 / 60, 0.025))
    assert stored[0]["needed"] == questions_needed(0.01, 1 / 60, 0.025)
    text = " ".join(call(few, "--baseline", base, *gates, code=3).split())
    assert "In 80 of 100 runs these would show a loss of: macro/all/hard, 60 questions: " in text
    assert f"macro/all/hard, 60 questions: {stored[0]['detectable']:.1f} points; " in text
    assert f"about {stored[0]['needed']} questions would decide" in text


def test_json_and_junit(folders, tmp_path):
    _, bad, base = folders
    out = tmp_path / "out.xml"
    stored = json.loads(
        call(bad, "--baseline", base, "--gate", "MMStar/*/hard:3", "--json", "--junit", out, code=1)
    )
    assert [r["verdict"] for r in stored["rows"]].count("regressed") == 1
    suite = ET.fromstring(out.read_text())
    assert suite.attrib["failures"] == "1"
    failed = [case.attrib["name"] for case in suite if case.find("failure") is not None]
    assert failed == ["MMStar/graffiti/hard"]


def test_github_gets_annotations_and_a_summary(folders, tmp_path, monkeypatch):
    _, bad, base = folders
    summary = tmp_path / "summary.md"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    text = call(bad, "--baseline", base, "--gate", "MMStar/*/hard:3", code=1)
    (line,) = [line for line in text.splitlines() if line.startswith("::error")]
    assert line.startswith(
        "::error title=mmdbench%3A MMStar/graffiti/hard::MMStar/graffiti/hard: regressed; 100.0 → 0.0"
    )
    done = invoke(bad, "--baseline", base, "--gate", "MMStar/*/hard:3", "--json")
    assert [r["verdict"] for r in json.loads(done.stdout)["rows"]].count("regressed") == 1
    assert done.stderr.count("::error title=mmdbench%3A MMStar/graffiti/hard::") == 1
    page = summary.read_text()
    assert page.startswith("before\n# mmdbench check: toy-model")
    assert "✗ regressed" in page


def test_other_pixels_are_reported(folders, tmp_path):
    _, _, base = folders
    rows = [question(i, bench="MMStar") for i in range(60)]

    def answer(q, level, _):
        return {"text": "A", "images": ({"pixels": f"{q.index}{level}"},)}

    other = write_run(tmp_path / "other", rows, answer, corruptions=NAMES)
    text = call(other, "--baseline", base)
    assert text.count("differs from the baseline in pixels of MMStar at") == 4
    call(other, "--baseline", tmp_path / "c.json", "--accept")
    assert "differs" not in call(other, "--baseline", tmp_path / "c.json")


def test_files_that_are_no_baseline(tmp_path):
    path = tmp_path / "b.json"
    for text, message in (
        ("{", "Cannot read"),
        ("[]", "is not a baseline"),
        ('{"kind": "mmdbench baseline", "version": 9}', "version 1, got 9"),
    ):
        path.write_text(text)
        with pytest.raises(DataError, match=message):
            read_baseline(path)


DAMAGES = (
    lambda record: record.pop("identity"),
    lambda record: record.pop("grades"),
    lambda record: record.update(identity=[]),
    lambda record: record.update(grades=None),
    lambda record: record["identity"].update(benches=7),
    lambda record: record["identity"].update(versions=[]),
    lambda record: record["grades"]["MMStar"].update(clean="x"),
    lambda record: record["grades"]["MMStar"]["clean"].update(hits=["111", "2"]),
    lambda record: record["grades"]["MMStar"]["clean"].update(hits=[1, None]),
    lambda record: record["grades"]["MMStar"]["clean"]["hits"].append("1"),  # as two merged branches do
)


def test_a_damaged_baseline_is_one_line_and_no_traceback(folders, tmp_path):
    good, _, base = folders
    path = tmp_path / "damaged.json"
    for damage in DAMAGES:
        record = without_digest(json.loads(base.read_text("utf-8")))
        damage(record)
        path.write_text(json.dumps(record), "utf-8")
        said = " ".join(call(good, "--baseline", path, code=2).split())
        assert f"The baseline {path} is damaged (" in said
        assert "Take it from version control again" in said


def test_one_flipped_bit_of_a_baseline_never_changes_it(folders, tmp_path):
    base, path = folders[2], tmp_path / "flipped.json"
    data, whole, refused = base.read_bytes(), read_baseline(base), 0
    for at in [*range(0, len(data), 3), data.index(b'"111')]:
        bit = 0 if data[at : at + 1] in (b"0", b"1") else at % 8  # another digit, where it is one
        path.write_bytes(data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :])
        try:
            assert replace(read_baseline(path), path=base) == whole, at
        except DataError:
            refused += 1
    assert refused > len(data) / 4


def test_a_changed_grade_of_a_baseline_is_found_and_an_early_one_has_no_digest(folders, tmp_path):
    good, _, base = folders
    text, path = base.read_text("utf-8"), tmp_path / "b2.json"
    path.write_text(text.replace('"111', '"011', 1), "utf-8")
    said = " ".join(call(good, "--baseline", path, code=2).split())
    assert "is damaged (it does not match its digest, so it was changed)" in said
    path.write_text(json.dumps(without_digest(json.loads(text))), "utf-8")
    assert call(good, "--baseline", path) == call(good, "--baseline", base)


def test_the_folder_of_a_run_is_checked_by_its_replies(folders):
    good, bad, base = folders
    assert load_results(good).complete
    report = check_run(load_results(bad), read_baseline(base), SPEC)
    assert [row.name for row in report.rows] == ["macro/all/hard", "macro/all/clean"]
    assert [row.verdict for row in report.rows] == ["regressed", "unchanged"]


def mmd_hits(share_3d, levels=("clean", "hard")):
    """A run of CV-Bench's two files and MMStar; the 3D file's share of right answers is given."""
    shares = {"CV-Bench-2D": 0.8, "MMStar": 0.8, "CV-Bench-3D": share_3d}
    names = {"CV-Bench-3D": "mean_shift"}  # a corruption that no other file met
    return [
        hit(u, level, u < share * 100, names.get(bench, "graffiti") if level == "hard" else None, bench)
        for bench, share in shares.items()
        for level in levels
        for u in range(100)
    ]


def test_a_file_outside_the_mean_is_outside_of_the_macro_gate(tmp_path):
    before, after = results(mmd_hits(0.8)), results(mmd_hits(0.1))
    assert verdicts(checked(tmp_path, before, after)) == {
        "macro/all/hard": "unchanged",
        "macro/all/clean": "unchanged",
    }
    rows = checked(tmp_path, before, after, "macro-hard:1", "CV-Bench-3D/hard:1", "macro/*/hard:1").rows
    assert {row.name: row.verdict for row in rows} == {
        "macro/all/hard": "unchanged",
        "CV-Bench-3D/all/hard": "regressed",
        "macro/graffiti/hard": "unchanged",
    }
    with pytest.raises(UsageError, match="must name a row"):
        checked(tmp_path, before, after, "macro/mean_shift/hard:1")


def test_benchmarks_that_are_published_degraded_can_be_watched(tmp_path):
    def run(share, *benches):
        hits = [hit(u, "unaltered", u < share, None, "R-Bench-Dis") for u in range(100)]
        return results([*hits, *(h for h in mmd_hits(0.8) if h.bench in benches)])

    assert verdicts(checked(tmp_path, run(80), run(40))) == {"macro/all/unaltered": "regressed"}
    both = checked(tmp_path, run(80, "MMStar"), run(40, "MMStar"), "*/hard:1", "R-Bench-Dis/unaltered:1")
    assert verdicts(both) == {"MMStar/all/hard": "unchanged", "R-Bench-Dis/all/unaltered": "regressed"}
    scores = json.loads((tmp_path / "baseline.json").read_text())["scores"]
    assert scores["R-Bench-Dis"] == {"unaltered": 80}
    assert list(verdicts(checked(tmp_path, run(80, "MMStar"), run(40, "MMStar")))) == [
        "macro/all/hard",
        "macro/all/clean",
    ]
