"""Re-grading a stored run: other rules, a judge, what changed, what is kept."""

from __future__ import annotations

import json
import shutil

import pytest

from mmdbench.errors import DataError, LockedError, StoreError, UnknownNameError
from mmdbench.records import Cell, Outcome
from mmdbench.results.arms import read_run
from mmdbench.results.graded_arms import Judging
from mmdbench.results.graded_run import load_results
from mmdbench.results.judging.journal import JsonlJournal
from mmdbench.results.judging.open import JudgeOptions
from mmdbench.results.rescoring import (
    read_grades,
    record_judge,
    regrade,
    score_predictions,
    write_regraded,
)
from mmdbench.run.manifest import read_manifest, save_manifest
from mmdbench.scoring import OWN_HEADS, Head, JudgeHeads, JudgeReply, Rules, kept_heads
from mmdbench.system.locks import file_lock
from run_folders import change_lines
from scripted_runs import make_run, write_tsv

LATE = "word " * 8 + "B " + "word " * 8


class Judge:
    """Rules for A, and remembers what it was asked."""

    id = "fake@local"

    def __init__(self, reply="A"):
        self.reply, self.prompts = reply, []

    def ask(self, call):
        self.prompts.append(call.prompt)
        return self.reply if isinstance(self.reply, JudgeReply) else JudgeReply(self.reply)


def rows(n=8):
    for i in range(n):
        yield {
            "index": i,
            "question": f"q{i}",
            "A": "cat",
            "B": "dog",
            "answer": "AB"[i % 2],
            "category": f"c{i % 2}",
        }


REPLIES = {
    "q0": "A",
    "q1": LATE,
    "q2": "hm",
    "q3": "who knows",
    "q4": Outcome("", "error", "down"),
    "q5": "<think>not A </think> B",
    "q6": "Z",
    "q7": "<think>A",
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    tsv = write_tsv(folder / "own.tsv", list(rows()))
    return make_run(folder / "run", [tsv], lambda request: REPLIES[request.question])


@pytest.fixture
def run(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "run")


def judging(judge, run=None, **options):
    journal = JsonlJournal(run / "judge.jsonl") if run else None
    return Judging(judge, OWN_HEADS, journal, **options)


def test_the_runs_own_rules_change_nothing_and_equal_the_report(run):
    made = regrade(run)
    assert made.rules == Rules("clear/1", "sane")
    assert made.changes == ()
    assert [(arm.arm.level, arm.score.headline) for arm in made.arms] == [("clean", 37.5), ("hard", 37.5)]
    assert [arm.score for arm in made.arms] == [arm.score for arm in load_results(run).arms]


def test_another_protocol_shows_the_rows_that_it_grades_otherwise(run):
    made = regrade(run, Rules("vlmevalkit/1", ""))
    assert {(c.cell.index, c.cell.level) for c in made.changes} == {(1, "clean"), (1, "hard")}
    change = made.changes[0]
    assert (change.before.label, change.before.verdict) == ("B", "correct")
    assert (change.after.label, change.after.verdict) == (None, "unresolved")
    assert made.against == "clear-1_sane_literal"
    assert [arm.score.headline for arm in made.arms] == [25, 25]
    assert regrade(run, Rules("", "none")).changes[0].cell.index == 5


def test_nothing_is_written_until_it_is_asked_for(run):
    before = sorted(path.name for path in run.iterdir())
    made = regrade(run, Rules("vlmevalkit/1", ""))
    assert sorted(path.name for path in run.iterdir()) == before
    grades, scores = write_regraded(made)
    assert (grades.name, scores.name) == (
        "grades-vlmevalkit-1_sane_literal.jsonl",
        "score-vlmevalkit-1_sane_literal.json",
    )
    assert len(read_grades(grades)) == 16
    kept = json.loads(scores.read_text())
    assert kept == json.loads(json.dumps(made.as_dict()))
    assert kept["rules"]["protocol"] == "vlmevalkit/1"
    assert len(kept["changed"]) == 2
    assert {
        "planned",
        "answered",
        "resolved",
        "refused",
        "unresolved",
        "judged",
        "judge_failed",
        "truncated",
    } <= set(kept["arms"][0]["counts"])
    assert kept["arms"][0]["upper_bound"] == 75
    assert kept["versions"]["mmdbench"]


def test_counts_of_an_arm(run):
    (arm, _) = regrade(run).arms
    counts = arm.score.counts
    assert (counts["planned"], counts["answered"], counts["error"]) == (8, 7, 1)
    assert (counts["resolved"], counts["refused"], counts["unresolved"], counts["truncated"]) == (3, 1, 3, 1)


def test_earlier_grades_can_be_compared_with(run):
    grades, _ = write_regraded(regrade(run, Rules("vlmevalkit/1", "")))
    made = regrade(run, against=grades)
    assert made.against == grades.name
    assert {change.cell.index for change in made.changes} == {1}
    assert made.changes[0].before.verdict == "unresolved"
    with pytest.raises(StoreError):
        regrade(run, against=run / "nothing.jsonl")
    with pytest.raises(DataError, match="not a grade"):
        read_grades(run / "cells.jsonl")


def test_the_judge_is_asked_about_unresolved_rows_alone(run):
    judge = Judge()
    made = regrade(run, judging=judging(judge, run))
    # Clean and hard replies are the same texts to the same questions, so one call settles both.
    asked = {prompt.split("Question: ")[-1].split("?")[0] for prompt in judge.prompts}
    # q7 is an unfinished thought, of which no judge makes an answer.
    assert asked == {"q2", "q3"}
    assert len(judge.prompts) == 2
    assert {(c.cell.index, c.after.verdict, c.after.stage) for c in made.changes} == {
        (2, "correct", "judge"),
        (3, "wrong", "judge"),
    }
    assert (made.arms[0].score.counts["judged"], made.arms[0].score.headline) == (2, 50)


def test_the_judge_and_its_prompts_are_recorded(run):
    made = regrade(run, judging=judging(Judge(), run))
    assert not made.comparable
    assert any("not comparable" in warning for warning in made.warnings)
    record = made.as_dict()["arms"][0]["judge_record"]
    assert record["id"] == "fake@local"
    assert record["prompts"] == [OWN_HEADS.mcq_en.as_dict()]
    assert (record["temperatures"], record["max_tokens"]) == ([0, 0, 0], 2048)
    lines = [json.loads(line) for line in (run / "judge.jsonl").read_text().splitlines()]
    assert {(x["judge"], x["temperature"], x["prompt_id"], len(x["prompt_sha256"])) for x in lines} == {
        ("fake@local", 0, "mmdbench-mcq-en/1", 64)
    }
    assert regrade(run).comparable


def test_a_second_scoring_asks_nothing_and_another_protocol_asks_anew(run):
    regrade(run, judging=judging(Judge(), run))
    again = Judge("B")
    made = regrade(run, judging=judging(again, run))
    assert again.prompts == []
    assert made.arms[0].score.headline == 50
    other = Judge()
    regrade(run, Rules("vlmevalkit/1", ""), judging=judging(other, run))
    assert len(other.prompts) == 3


def test_a_report_finds_the_rulings_of_any_judge_prompt(run):
    words = JudgeHeads(*(Head(f"own-{name}", f"Which, {name}?\n", comparable=True) for name in "abc"))
    made = regrade(run, judging=Judging(Judge(), words, JsonlJournal(run / "judge.jsonl")))
    record_judge(made)
    (found, _) = load_results(run).arms
    assert (found.score.judge, found.score.counts["judged"], found.score.headline) == ("fake@local", 2, 50)
    # Whether published numbers were made with a text, the text itself decides.
    assert [head["comparable"] for head in found.score.judge_record["prompts"]] == [False]
    assert any("not comparable" in warning for warning in found.score.warnings)
    assert kept_heads(run / "nothing.json") is None
    for damage in ("{", "[]", '{"mcq_en": {"id": "x"}}'):
        (run / "judge-heads.json").write_text(damage)
        with pytest.raises(StoreError, match=r"judge-heads.json does not match its digest in manifest.json"):
            load_results(run)
        save_manifest(run, read_manifest(run), ("judge-heads.json",))
        with pytest.raises(StoreError, match=r"prompts in .* cannot be read"):
            load_results(run)


def test_a_second_judge_never_replaces_the_first_in_reports(run):
    first, second = Judge(), Judge("B")
    second.id = "other@local"
    for judge in (first, second, Judge("never asked")):
        record_judge(regrade(run, judging=judging(judge, run)))
        assert (load_results(run).judge, load_results(run).arms[0].score.headline) == (first.id, 50)
    (found, _) = load_results(run, judged_by="other").arms
    assert {grade.label for grade in found.score.grades if grade.stage == "judge"} == {"B"}
    record_judge(regrade(run, judging=judging(second, run)), default=True)
    assert load_results(run).judge == "other@local"
    record_judge(regrade(run), default=True)
    assert load_results(run).judge == ""
    record_judge(regrade(run, judging=judging(first, run)))
    assert load_results(run).judge == ""  # chosen in so many words, so only `default` changes it


def test_a_row_that_the_judge_cannot_settle_is_open_or_random_by_seed(run):
    made = regrade(run, judging=judging(Judge("no idea")))
    assert made.arms[0].score.counts["judge_failed"] == 2
    assert {grade.stage for grade in made.arms[0].score.grades if grade.index in (2, 3)} == {"judge_failed"}
    assert (made.arms[0].score.headline, made.arms[0].score.upper_bound) == (37.5, 75)
    picks = {
        seed: tuple(
            grade.label
            for grade in regrade(run, Rules("", "", "literal", "random", seed), judging=judging(Judge("?")))
            .arms[0]
            .score.grades
        )
        for seed in (0, 0, 1, 2, 3, 4, 5)
    }
    assert len(set(picks.values())) > 1
    random = regrade(run, Rules("", "", "literal", "random", 3), judging=judging(Judge("?")))
    assert random.rules.name == "clear-1_sane_literal_fake@local_random3"


def test_a_judge_that_fails_is_a_status_or_an_error(run):
    from mmdbench.errors import ModelError

    class Sometimes(Judge):
        def ask(self, call):
            return JudgeReply("down", "error") if "q3" in call.prompt else super().ask(call)

    made = regrade(run, judging=judging(Sometimes()))
    grades = {grade.index: grade for grade in made.arms[0].score.grades}
    assert (grades[3].stage, grades[3].verdict, grades[3].hit) == ("judge_error", "unresolved", 0)
    assert grades[3].details["judge"][0] == {"status": "error", "text": "down"}
    with pytest.raises(ModelError, match="answered none"):
        regrade(run, judging=judging(Judge(JudgeReply("down", "error"))))


def test_arms_of_a_grid_are_apart(tmp_path):
    tsv = write_tsv(tmp_path / "own.tsv", list(rows(4)))
    run = make_run(
        tmp_path / "run",
        [tsv],
        lambda request: "A",
        design="grid",
        corruptions=("graffiti", "lens_blur"),
    )
    arms = read_run(run).arms
    assert [(arm.level, arm.corruption) for arm in arms] == [
        ("clean", None),
        ("hard", "graffiti"),
        ("hard", "lens_blur"),
    ]
    assert arms[1].cells[0] == Cell("own", 0, "hard", "graffiti")
    assert [len(arm.replies) for arm in arms] == [4, 4, 4]
    assert len(regrade(run, Rules("vlmevalkit/1", "")).arms) == 3


def test_a_cell_without_a_reply_is_planned_and_missed(run):
    change_lines(run / "replies-0.jsonl", lambda reply: None if reply["index"] == 0 else reply)
    counts = regrade(run).arms[0].score.counts
    assert (counts["planned"], counts["answered"], counts["missing"]) == (8, 6, 1)


def test_unknown_rules_are_refused(run):
    for wrong in ({"protocol": "clear"}, {"extraction": "all"}, {"io": "xlsx"}, {"on_unresolved": "guess"}):
        with pytest.raises(UnknownNameError):
            regrade(run, Rules(**wrong))


def test_predictions_find_their_rows_by_the_text_of_their_index(run, tmp_path):
    (arm, _) = read_run(run).arms
    path = tmp_path / "p.jsonl"
    path.write_text('{"index": "0", "text": "A"}\n{"index": 5.0, "prediction": "B"}\n')
    made = score_predictions(path, arm.bench, Rules("clear/1", "sane"))
    assert (made.headline, made.counts["missing"]) == (25, 6)
    made = score_predictions(path, arm.bench, Rules("clear/1", "sane"), partial=True)
    assert (made.headline, made.partial) == (100, True)


def test_one_process_at_a_time_asks_a_judge_about_a_file(run, tmp_path):
    arm, path = read_run(run).arms[0], tmp_path / "p.jsonl"
    path.write_text('{"index": 0, "prediction": "A"}\n')
    judge = JudgeOptions("openai:m@http://127.0.0.1:9")
    with (
        file_lock(tmp_path / ".p.jsonl.judge.jsonl.lock", wait_s=0.0),
        pytest.raises(LockedError, match=r"p\.jsonl\.judge\.jsonl"),
    ):
        score_predictions(path, arm.bench, Rules(), judge)
