"""Boards: which results are ranked together, and the site's numbers."""

from __future__ import annotations

import json
import re
from html import unescape

import pytest
from typer.testing import CliRunner

from board_runs import write_board_run, write_submission
from mmdbench.cli import app
from mmdbench.library.board import make_board
from mmdbench.report.board.rankings import published_groups, submission_groups
from mmdbench.report.board.site import board_html
from mmdbench.report.board.submission import read_submission, submission_text
from mmdbench.report.published import paper_tables, published_names
from mmdbench.report.scores import levels_of, main_rows
from mmdbench.results.graded_run import load_results
from mmdbench.stats.rounding import fixed
from run_folders import change_manifest, question, write_run


def called(*words, code=0):
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == code, done.output
    return " ".join(done.output.split())


def groups_of(tmp_path, *runs):
    found = []
    for number, run in enumerate(runs):
        write_submission(tmp_path / f"{number}.json", run)
        found.append(read_submission(tmp_path / f"{number}.json"))
    return submission_groups(found, [()] * len(found))


def plain_run(folder, right, model="m", count=60, benches=("toy", "other"), **plan):
    """A run without pictures that answers a part of its questions right."""
    asked = [question(i, bench) for bench in benches for i in range(count)]
    plan.setdefault("levels", ("clean", "hard"))
    return write_run(folder, asked, lambda q, *_: "A" if int(q.index) < right else "B", model=model, **plan)


@pytest.mark.parametrize("design", ["mixed", "grid"])
def test_a_submission_has_the_scores_of_its_run(tmp_path, design):
    run = write_board_run(tmp_path / "run", design=design)
    write_submission(tmp_path / "s.json", run)
    ours, read = load_results(run), read_submission(tmp_path / "s.json").results
    rows = [main_rows(one, levels_of([one])) for one in (ours, read)]
    assert rows[0] == rows[1]
    assert read.plan.model == "first"


def test_unlike_runs_are_never_in_one_table(tmp_path):
    first = plain_run(tmp_path / "a", 50)
    runs = [
        first,
        plain_run(tmp_path / "b", 40),
        plain_run(tmp_path / "c", 40, seed=1),
        plain_run(tmp_path / "d", 40, protocol="vlmevalkit/1"),
        plain_run(tmp_path / "e", 40, codec="png"),
        plain_run(tmp_path / "f", 40, sample="60"),
        plain_run(tmp_path / "g", 40, design="grid"),
        plain_run(tmp_path / "h", 40, count=59),
        plain_run(tmp_path / "i", 40),
    ]
    change_manifest(runs[-1], lambda m: m["benches"][0].update(sha256="another file"))
    groups = groups_of(tmp_path, *runs)
    assert [len(group.entries) for group in groups] == [2, 1, 1, 1, 1, 1, 1, 1]
    assert len({group.title for group in groups}) == len(groups)
    assert any("data digest of toy" in group.title for group in groups)
    assert all(ranks == {} for group in groups[1:] for one in group.standings for ranks in one.ranks.values())


def test_means_over_other_benchmarks_are_tables_of_their_own(tmp_path):
    runs = [plain_run(tmp_path / "a", 50), plain_run(tmp_path / "b", 10, benches=("toy", "third"))]
    (group,) = groups_of(tmp_path, *runs)
    means = [one for one in group.standings if one.id == "/average"]
    assert [len(one.rows) for one in means] == [1, 1]
    (shared,) = [one for one in group.standings if one.id == "toy"]
    assert shared.ranks["hard"] == {0: (1, 1), 1: (2, 2)}


def test_ranks_are_open_where_the_data_leave_them_open(tmp_path):
    runs = [plain_run(tmp_path / str(right), right, model=f"m{right}") for right in (50, 49, 20, 10)]
    (group,) = groups_of(tmp_path, *runs)
    mean = group.standings[0]
    assert (mean.name, mean.overall) == ("AVG: toy, other", True)
    assert mean.ranks["hard"] == {0: (1, 2), 1: (1, 2), 2: (3, 3), 3: (4, 4)}


def test_an_incomplete_run_is_shown_and_gets_no_rank(tmp_path):
    asked = [question(i) for i in range(40)]
    runs = [plain_run(tmp_path / str(right), right, benches=("toy",), count=40) for right in (40, 5)]
    runs.append(
        write_run(
            tmp_path / "i", asked, lambda q, *_: "A" if int(q.index) < 30 else None, levels=("clean", "hard")
        )
    )
    (group,) = groups_of(tmp_path, *runs)
    assert group.standings[0].ranks["hard"] == {0: (1, 1), 1: (2, 2)}
    assert "not ranked: 20 of 80 planned answers are missing or failed." in board_html([group], "Board")


def test_published_results_are_apart_and_as_printed():
    groups = {group.title: group for group in published_groups(published_names())}
    assert set(groups) == {"Published: CLEAR", "Published: Robust-R1", "Published: R-Bench"}
    mean = groups["Published: CLEAR"].standings[0]
    found = {entry.name: row.scores["hard"].value for entry, row in mean.rows}
    printed = paper_tables()["table9_clear_rl"]["Hard"]
    assert fixed(found["clear-rl"], 2) == fixed(sum(printed[:-1]) / 6, 2)
    (labelled,) = published_groups(["paper:clear-rl=ours"])
    assert [entry.name for entry in labelled.entries] == ["ours"]
    place = [entry.name for entry, _ in mean.rows].index("gemini-2.5-flash")
    assert mean.ranks["hard"][place][0] == 1
    parts = {entry.name: {row.name for row in entry.parts} for entry in groups["Published: CLEAR"].entries}
    assert {"capture", "lens_blur"} <= parts["bagel"]


def test_the_verb_writes_the_site_with_pages_and_submissions(tmp_path):
    runs = [write_board_run(tmp_path / name, name) for name in ("first", "second")]
    said = called("board", *runs, "-o", tmp_path / "site", "--data-dir", tmp_path / "data", "--quiet")
    assert "4 groups of results that may be compared." in said
    site = (tmp_path / "site" / "index.html").read_text("utf-8")
    links = re.findall(r'href="([^"#]+)"', site)
    local = [link for link in links if not link.startswith("https://arxiv.org/")]
    assert sorted(set(local)) == [
        f"{folder}/{name}.{end}"
        for folder, end in (("pages", "html"), ("submissions", "json"))
        for name in ("first", "second")
    ]
    assert all((tmp_path / "site" / link).is_file() for link in local)
    assert 'data-value="66.66' in site
    assert "paper:" not in site


def test_a_board_of_submissions_alone_has_the_same_tables(tmp_path):
    runs = [write_board_run(tmp_path / name, name, limit=n) for n, name in ((8, "a"), (3, "b"))]
    first = make_board(runs, tmp_path / "one", published=False, examples=0)
    again = make_board(list(first.submissions), tmp_path / "two", published=False)
    texts = [re.sub(r'<a href="[^"]*">|</a>', "", one.path.read_text("utf-8")) for one in (first, again)]
    plain = [re.sub(r"<span class=\"about\">submission</span>", "", text) for text in texts]
    assert plain[0] == plain[1]
    assert [one.read_bytes() for one in first.submissions] == [one.read_bytes() for one in again.submissions]


def test_hostile_names_are_text_and_names_of_files_are_plain(tmp_path):
    name = '../../<script>alert(1)</script>"'
    run = plain_run(tmp_path / "run", 10, benches=("toy",), manifest={"label": name})
    runs = [run, plain_run(tmp_path / "b", 10, benches=("toy",), manifest={"label": name})]
    made = make_board(runs, tmp_path / "site", published=False, examples=0)
    assert {path.parent for path in made.submissions} == {tmp_path / "site" / "submissions"}
    assert len({path.name for path in made.submissions}) == 2
    site = made.path.read_text("utf-8")
    assert site.count("<script>") == 1
    assert name in unescape(site)


def test_what_cannot_be_on_a_board_is_refused_before_anything_is_written(tmp_path):
    good = plain_run(tmp_path / "run", 10)
    asked = [question(i) for i in range(4)]
    task = write_run(tmp_path / "t", asked, lambda *_: "A", task="perceive", family="perceive")
    assert "must be of runs of the task 'answer'" in called("board", good, task, "-o", tmp_path / "s", code=2)
    assert "There is no submission" in called(
        "board", good, tmp_path / "x.json", "-o", tmp_path / "s", code=2
    )
    assert "paper:nothing" in called("board", good, "paper:nothing", "-o", tmp_path / "s", code=2)
    assert "got none" in called("board", "--no-published", "-o", tmp_path / "s", code=2)
    assert not (tmp_path / "s").exists()


def changed(path, change):
    record = json.loads(path.read_text("utf-8"))
    change(record)
    path.write_text(submission_text(record), "utf-8")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda r: r["grades"]["toy"]["arms"][0]["hits"].__setitem__(0, "2" * 60), "neither 0 nor 1"),
        (lambda r: r["grades"]["toy"]["arms"][0]["questions"].__setitem__(0, 1), "counts a question twice"),
        (lambda r: r["grades"]["toy"]["arms"][0]["questions"].__setitem__(0, 99), "is not listed"),
        (lambda r: r["grades"]["toy"]["arms"][0]["questions"].pop(), "has 60 grades of 59 questions"),
        (lambda r: r["grades"]["toy"]["arms"][0].update(level="none"), "no level 'none'"),
        (lambda r: r["grades"]["toy"]["arms"].append(r["grades"]["toy"]["arms"][0]), "lists a level"),
        (lambda r: r["grades"].clear(), "holds no grade"),
        (lambda r: r["identity"].pop("design"), "submission.identity has no 'design'"),
        (lambda r: r.update(notes="none"), "submission.notes must be a list"),
        (lambda r: r["spec"].update(corruptions={"x": {}}), "submission.spec.corruptions.x"),
    ],
)
def test_a_submission_that_no_run_makes_is_refused_with_the_place(tmp_path, change, why):
    path = tmp_path / "s.json"
    write_submission(path, plain_run(tmp_path / "run", 10))
    changed(path, change)
    said = called("board", path, "-o", tmp_path / "site", code=2)
    assert "is damaged" in said
    assert why in said


def test_a_file_that_is_no_submission_is_named(tmp_path):
    for text, why in (("{", "Cannot read"), ("[]", "is not a submission"), ('{"kind": "x"}', "is not a")):
        (tmp_path / "s.json").write_text(text)
        assert why in called("board", tmp_path / "s.json", "-o", tmp_path / "site", code=2)
    write_submission(tmp_path / "s.json", plain_run(tmp_path / "run", 10))
    changed(tmp_path / "s.json", lambda r: r.update(version=2))
    assert "version 1, got 2" in called("board", tmp_path / "s.json", "-o", tmp_path / "site", code=2)
