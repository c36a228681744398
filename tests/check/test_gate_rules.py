"""Gates without a gate, rows that cannot tell, baselines that are replaced, and files of every exit."""

from __future__ import annotations

import json
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from typer.testing import CliRunner

from mmdbench.check import Accepted, accept, check_run, let_pass, parse_gate, read_baseline, replace_baseline
from mmdbench.check.output import comment
from mmdbench.cli import app
from mmdbench.corruptions.spec_file import load_spec
from mmdbench.errors import DataError, UsageError
from mmdbench.stats import detectable_effect, questions_needed
from run_folders import hit, question, results, write_run

SPEC = load_spec()


def both_levels(right, n=120, bench="toy"):
    return [
        hit(u, level, u < right, "graffiti" if level == "hard" else None, bench)
        for level in ("clean", "hard")
        for u in range(n)
    ]


def report(tmp_path, before, after, *gates):
    path = tmp_path / "baseline.json"
    accept(before, path)
    return check_run(after, read_baseline(path), SPEC, [parse_gate(text) for text in gates])


@pytest.mark.parametrize("n", [30, 120, 500, 100_000])
def test_a_default_gate_allows_what_its_questions_can_decide(tmp_path, n):
    run = results(both_levels(n // 2, n))
    (hard, clean) = report(tmp_path, run, run).rows
    points = max(1.0, 100 * detectable_effect(max(n, 120), alpha=0.025))
    assert 0 <= hard.tolerance - points <= 0.1
    assert clean.tolerance == hard.tolerance


def test_two_benchmarks_decide_as_the_variance_of_their_mean(tmp_path):
    run = results([*both_levels(100, 1000, "large"), *both_levels(100, 200, "small")])
    equal = round(4 / (1 / 1000 + 1 / 200))
    assert report(tmp_path, run, run).rows[0].tolerance == pytest.approx(
        100 * detectable_effect(equal, alpha=0.025), abs=0.1
    )


def test_120_questions_of_a_noisy_model_get_a_verdict_by_default(tmp_path):
    rng = np.random.RandomState(5)
    p = rng.choice([0.02, 0.98, 0.5], 120, p=[0.3, 0.5, 0.2])  # one answer in ten flips
    told = []
    for _ in range(60):
        before, after = (
            results(
                [
                    hit(u, level, draw < chance, "graffiti" if level == "hard" else None)
                    for level in ("clean", "hard")
                    for u, (chance, draw) in enumerate(zip(p, rng.random_sample(120), strict=True))
                ]
            )
            for _ in range(2)
        )
        told += [row.verdict != "cannot tell" for row in report(tmp_path, before, after).rows]
    assert np.mean(told) > 0.75


def test_the_questions_needed_are_those_at_which_the_effect_is_found():
    for effect in (0.01, 0.05, 0.2):
        n = int(questions_needed(effect, 0.1, 0.025))
        assert detectable_effect(n, 0.1, 0.025) <= effect < detectable_effect(n - 1, 0.1, 0.025)
    assert questions_needed(0.0) == np.inf


def test_a_loss_close_to_the_tolerance_needs_more_questions_than_were_asked(tmp_path):
    before = results([hit(u, "hard", u < 800, "graffiti") for u in range(1000)])
    after = results([hit(u, "hard", u < 760, "graffiti") for u in range(1000)])
    (row,) = report(tmp_path, before, after, "toy/hard:4.2").rows
    assert row.verdict == "cannot tell"  # 4.0 are lost for sure, 4.2 are not excluded
    assert row.needed > 1000


def test_only_a_check_that_cannot_tell_is_let_pass(tmp_path):
    good, few = results(both_levels(60)), results(both_levels(58))
    unclear = report(tmp_path, good, few, "macro-hard:1")
    assert (unclear.exit_code, let_pass(unclear).exit_code) == (3, 0)
    worse = report(tmp_path, good, results(both_levels(10)), "macro-hard:1")
    assert let_pass(worse).exit_code == 1


def test_a_better_baseline_is_replaced_by_force_alone(tmp_path):
    path = tmp_path / "b.json"
    good, bad = results(both_levels(100)), results(both_levels(99))
    assert replace_baseline(good, path, SPEC) == Accepted(240)
    held = path.read_bytes()
    with pytest.raises(
        UsageError, match=r"macro/all/clean 83.3 → 82.5 \(−0.8 points\); macro/all/hard"
    ) as raised:
        replace_baseline(bad, path, SPEC)
    assert "--force" in raised.value.hint
    assert path.read_bytes() == held
    done = replace_baseline(bad, path, SPEC, force=True)
    assert done.lines()[0] == "macro/all/clean 83.3 → 82.5 (−0.8 points)"
    assert replace_baseline(good, path, SPEC).lines()[0] == "macro/all/clean 82.5 → 83.3 (+0.8 points)"


def test_another_sample_or_level_is_no_better_baseline(tmp_path):
    path = tmp_path / "b.json"
    replace_baseline(results(both_levels(100)), path, SPEC)
    other = replace_baseline(results(both_levels(1), codec="png"), path, SPEC)
    assert "Nothing is compared with the earlier baseline" in other.note
    assert "codec" in other.note


@pytest.mark.parametrize("text", ["# my notes", '{"kind": "mmdbench baseline", "version": 9}'])
def test_a_file_that_is_no_baseline_is_replaced_by_force_alone(tmp_path, text):
    path = tmp_path / "notes.md"
    path.write_text(text)
    with pytest.raises(DataError, match=r"notes\.md"):
        replace_baseline(results(both_levels(100)), path, SPEC)
    assert path.read_text() == text
    assert replace_baseline(results(both_levels(100)), path, SPEC, force=True).grades == 240


def test_a_comment_is_small_and_shows_first_what_needs_attention(tmp_path):
    benches = [f"bench{number}" + "|" * 300 for number in range(400)]
    hits = [hit(u, "hard", 1, "graffiti", bench) for bench in benches for u in range(30)]
    worse = [hit(u, "hard", bench != benches[-1], "graffiti", bench) for bench in benches for u in range(30)]
    text = comment(report(tmp_path, results(hits), results(worse), "*/hard:30"))
    assert len(text) < 65_536
    assert text.count("✗ regressed") == 1
    assert "Not shown: 388 unchanged." in text
    assert "1 regressed, 399 unchanged" in text


NAMES = ("graffiti", "lens_blur")


def folder(path, answer=lambda *_: "A"):
    return write_run(path, [question(i, bench="MMStar") for i in range(60)], answer, corruptions=NAMES)


@pytest.fixture
def verb(tmp_path, monkeypatch):
    """Call the whole command line's check; the exit code and its two files."""
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)

    def call(*words):
        files = [tmp_path / "out.xml", tmp_path / "out.md"]
        for file in files:
            file.unlink(missing_ok=True)
        options = ["--junit", files[0], f"--markdown={files[1]}"]
        done = CliRunner().invoke(app, ["check", *map(str, [*words, *options])])
        assert [file.exists() for file in files] == [True, True], done.output
        return done.exit_code, ET.fromstring(files[0].read_text()), files[1].read_text()

    return call


def test_files_are_written_on_every_exit(verb, tmp_path, monkeypatch):
    good = folder(tmp_path / "good")
    base = tmp_path / "b.json"
    code, suite, text = verb(good, "--baseline", base, "--accept")
    assert (code, suite.attrib["errors"], suite.attrib["failures"]) == (0, "0", "0")
    assert verb(good, "--baseline", base)[0] == 0
    few = folder(tmp_path / "few", lambda q, *_: "A" if q.index else "B")
    code, suite, text = verb(few, "--baseline", base, "--gate", "macro-hard:1")
    assert (code, suite.attrib["skipped"]) == (3, "1")
    assert "questions would decide" in suite.find("testcase/skipped").attrib["message"]
    code, suite, text = verb(few, "--baseline", base, "--gate", "macro-hard:1", "--unclear", "warn")
    assert (code, suite.attrib["skipped"]) == (0, "1")
    assert "? cannot tell" in text
    bad = folder(tmp_path / "bad", lambda *_: "B")
    assert verb(bad, "--baseline", base)[0] == 1
    torn = folder(tmp_path / "torn", lambda q, *_: "A" if q.index else None)
    expected = [
        (2, (good, "--baseline", tmp_path / "none.json"), "There is no baseline"),
        (2, (good, "--baseline", base, "--gate", "x/hard:1"), "must name a row"),
        (2, (good, "--baseline", base, "--unclear", "maybe"), "Unknown value of --unclear"),
        (2, (good, "--baseline", base, "--alpha", "much"), "--alpha"),
        (2, (good, "--baseline", base, "--alhpa", "0.1"), "No such option"),
        (2, (good,), "Missing option"),
        (2, (bad, "--baseline", base, "--accept"), "is better than this run"),
        (4, (torn, "--baseline", base), "planned answers are missing"),
        (4, (tmp_path / "nowhere", "--baseline", base), "nowhere"),
    ]
    for wanted, words, message in expected:
        code, suite, text = verb(*words)
        error = suite.find("testcase/error")
        assert (code, suite.attrib["errors"]) == (wanted, "1"), words
        assert message in error.attrib["message"], words
        assert "ERROR" in text or "INCOMPLETE" in text
    (good / "cells.jsonl").write_text("damaged")
    code, suite, _ = verb(good, "--baseline", base)
    assert (code, suite.attrib["errors"]) == (4, "1")

    def fault(*_, **__):
        raise RuntimeError("a fault")

    monkeypatch.setattr("mmdbench.library.load_run", fault)
    code, suite, _ = verb(few, "--baseline", base)
    assert code == 70
    assert suite.find("testcase/error").attrib == {"message": "a fault", "type": "exit code 70"}


def test_a_file_that_cannot_be_written_hides_no_error(tmp_path):
    words = ["check", str(tmp_path / "nowhere"), "--colour", "blue", "--junit", str(tmp_path)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 2
    assert "No such option" in done.stderr
    assert "cannot be written" in done.stderr


def test_no_key_of_an_address_reaches_a_file(verb, tmp_path):
    _, suite, text = verb("https://me:s3cret@host/run?token=abc123", "--baseline", tmp_path / "b.json")
    for written in (ET.tostring(suite, encoding="unicode"), text):
        assert "s3cret" not in written
        assert "abc123" not in written


def test_the_accepted_changes_are_printed(verb, tmp_path):
    base = tmp_path / "b.json"
    folder(tmp_path / "bad", lambda *_: "B")
    CliRunner().invoke(app, ["check", str(tmp_path / "bad"), "--baseline", str(base), "--accept"])
    good = folder(tmp_path / "good")
    done = CliRunner().invoke(app, ["check", str(good), "--baseline", str(base), "--accept"])
    assert "macro/all/hard 0.0 → 100.0 (+100.0 points)" in done.output
    assert json.loads(base.read_text())["scores"]["MMStar"]["hard"] == 100
