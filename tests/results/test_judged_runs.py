"""Judges of stored runs: what each rendering and the gate make of a judge that failed, and of several."""

from __future__ import annotations

import json
import re
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest
from typer.testing import CliRunner

from judge_server import error, serving
from mmdbench.cli import app
from mmdbench.models.endpoints import host_label
from mmdbench.records import Outcome
from mmdbench.results.graded_arms import Judging
from mmdbench.results.graded_run import load_results
from mmdbench.results.judging.journal import JsonlJournal
from mmdbench.results.rescoring import read_grades, record_judge, regrade, write_regraded
from mmdbench.scoring import OWN_HEADS, Head, JudgeHeads, JudgeReply, Rules
from run_folders import change_lines
from scripted_runs import make_run, write_tsv

needs_openai = pytest.mark.skipif(
    find_spec("openai") is None, reason="the judge client needs the extra `api`"
)
GARBAGE = {
    "a label before": "Correctness: 1.0",
    "bold": "**1.0**",
    "out of range": "7",
    "nothing": "",
}


class Judge:
    """A judge whose reply to a prompt is that of `script(prompt)`."""

    def __init__(self, script, name="fake@local"):
        self.id, self.script = name, script

    def ask(self, call):
        return JudgeReply(self.script(call.prompt))


@pytest.fixture(autouse=True)
def _inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("MMDBENCH_API_KEY", "none")


def call(*words, code=0):
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == code, result.output
    return result.output


def open_run_of(n=20, reply=lambda request: "a dog", name="run", **changes):
    rows = [{"index": i, "question": f"q{i}.", "answer": "a dog", "category": "rec"} for i in range(n)]
    return make_run(Path(name), [write_tsv(Path("MMVet.tsv"), rows)], reply, **changes)


def choice_run(replies, folder="run", **changes):
    rows = [
        {"index": i, "question": f"q{i}.", "A": "cat", "B": "dog", "answer": "A"} for i in range(len(replies))
    ]
    texts = {f"q{i}.": text for i, text in enumerate(replies)}
    return make_run(
        Path(folder), [write_tsv(Path("own.tsv"), rows)], lambda request: texts[request.question], **changes
    )


def judged(run, script, name="fake@local", *, heads=OWN_HEADS, rules=None, default=False):
    made = regrade(
        run,
        rules or Rules("", ""),
        judging=Judging(Judge(script, name), heads, JsonlJournal(run / "judge.jsonl")),
    )
    record_judge(made, default=default)
    write_regraded(made)
    return made


@pytest.mark.parametrize("said", GARBAGE.values(), ids=GARBAGE)
def test_a_judge_that_settles_nothing_gives_a_dash_in_every_rendering_and_no_baseline(said):
    run = open_run_of()
    made = judged(run, lambda _: said)
    assert {(arm.score.headline, arm.score.metrics.get("overall")) for arm in made.arms} == {(None, None)}
    report = call("report", run)
    (row,) = [line.split() for line in report.splitlines() if line.split()[:1] == ["MM-Vet"]]
    assert set(row[2:]) == {"–"}
    assert "INCOMPLETE JUDGING: the judge fake@local settled none of the 20 rows" in report
    assert not load_results(run).hits
    assert "cannot be a baseline" in call("check", run, "--baseline", "b.json", "--accept", code=4)
    assert not Path("b.json").exists()


def test_a_run_that_a_judge_settles_nothing_of_is_not_compared():
    judged(open_run_of(name="good"), lambda _: "1.0")
    call("check", "good", "--baseline", "b.json", "--accept")
    judged(open_run_of(name="bad"), lambda _: "**1.0**")
    out = call("check", "bad", "--baseline", "b.json", code=4)
    assert "settled none of the 20 rows" in out


@needs_openai
def test_score_exits_4_where_the_judge_settles_nothing():
    run = open_run_of(3)
    with serving(lambda _: "**1.0**") as server:
        out = call("score", run, "--judge", f"openai:j@{server.url}", "--quiet", code=4)
        assert re.search(r"MM-Vet +MM-Vet score +3 +–", out)
        assert "settled none of the 3 rows that it was asked about" in out
        # In a choice that the rules read for the most part the score stays, but not the exit code.
        run = choice_run(["A"] * 8 + ["hm"], folder="choice")
        out = call("score", run, "--judge", f"openai:j@{server.url}", "--quiet", code=4)
        assert re.search(r"own +accuracy +9 +88\.9", out)
        assert "settled none of" in out


@needs_openai
def test_predictions_that_a_judge_settles_nothing_of_exit_4():
    open_run_of(3)
    Path("p.jsonl").write_text("".join(f'{{"index": {i}, "prediction": "a dog"}}\n' for i in range(3)))
    words = ["score", "--predictions", "p.jsonl", "--bench", "MMVet.tsv", "--family", "mmvet", "--quiet"]
    with serving(lambda _: "**1.0**") as server:
        assert "settled none of the 3 rows" in call(*words, "--judge", f"openai:j@{server.url}", code=4)


@pytest.mark.parametrize(("failed", "is_marked"), [(1, False), (2, True)])
def test_more_than_5_percent_failed_rows_are_marked_and_refused(failed, is_marked):
    run = open_run_of(20)
    unread = {f" q{i}." for i in range(failed)} | {f"\nq{i}." for i in range(failed)}
    judged(run, lambda prompt: "dunno" if any(q in prompt for q in unread) else "1.0")
    results = load_results(run)
    assert {arm.score.counts["judge_failed"] for arm in results.arms} == {failed}
    assert results.arms[0].score.headline == 100 * (20 - failed) / 20
    report = call("report", run, "--markdown")
    assert ("INCOMPLETE JUDGING" in report) is is_marked
    assert "could not settle" in report
    for words in (["report", run, "--latex"], ["report", run, "--csv"], ["cite", run]):
        assert ("INCOMPLETE JUDGING" in call(*words)) is is_marked
    assert ("†" in report) is is_marked
    code = 4 if is_marked else 0
    call("check", run, "--baseline", "b.json", "--accept", code=code)
    assert Path("b.json").exists() is not is_marked


def test_a_run_of_which_no_reply_can_be_read_is_refused():
    choice_run(["A"] * 10)
    call("check", "run", "--baseline", "b.json", "--accept")
    run = make_run(Path("mute"), [Path("own.tsv")], lambda _: "I cannot tell you that, my friend.")
    assert "No reply to own can be read" in call("check", run, "--baseline", "b.json", code=4)
    assert "No reply to own can be read" in call("check", run, "--baseline", "c.json", "--accept", code=4)


def test_the_judge_is_named_in_every_rendering():
    run = open_run_of(4)
    judged(run, lambda _: "0.5", "gpt-x@host")
    for words in (
        ["report", run],
        *(["report", run, form] for form in ("--markdown", "--json", "--latex", "--csv")),
        ["cite", run],
    ):
        assert "gpt-x@host" in call(*words), words
    tex = call("report", run, "--latex")
    captions = [line for line in tex.splitlines() if line.startswith("\\caption")]
    assert captions
    assert all("judge gpt-x@host" in line for line in captions)
    assert "by the judge gpt-x@host: 8 rows, 0 not settled; prompts mmdbench-mmvet/1" in call("cite", run)
    call("page", run, "-o", "p.html", "--quiet")
    assert "gpt-x@host" in Path("p.html").read_text("utf-8")
    call("figures", run, "-o", "figures", "--format", "svg")
    for figure in Path("figures").glob("*.svg"):
        assert "gpt-x@host" in figure.read_text("utf-8"), figure
    for words in (["report", run, "--judge", "none"], ["cite", run, "--judge", "none"]):
        assert "the judge gpt-x@host" not in call(*words)
    assert "asked were: gpt-x@host" in call("report", run, "--judge", "none")


def test_a_report_chooses_among_the_judges_of_a_run():
    run = choice_run(["A"] * 6 + ["hm"] * 2)
    judged(run, lambda _: "A", "one@a")
    judged(run, lambda _: "B", "two@b")
    names = {"": 100, "one": 100, "one@a": 100, "two": 75, "two@b": 75, "none": 75}
    for name, headline in names.items():
        assert load_results(run, judged_by=name).arms[0].score.headline == headline
    assert "Other judges of this run: two@b" in call("report", run)
    before = (run / "tables.json").read_bytes()
    assert "judge two@b" in call("report", run, "--judge", "two")
    assert (run / "tables.json").read_bytes() == before  # the files are those of the default
    assert "three" in call("report", run, "--judge", "three", code=2)
    assert "was not asked about the run under vlmevalkit/1" in call(
        "report", run, "--judge", "two", "--protocol", "vlmevalkit/1", code=2
    )
    judged(run, lambda _: "B", "two@c")
    assert "fits two@b, two@c" in call("report", run, "--judge", "two", code=2)
    # A baseline by one judge is not compared with a run by another.
    call("check", run, "--baseline", "b.json", "--accept", "--judge", "two@b")
    assert "differ in judge" in call("check", run, "--baseline", "b.json", code=2)
    call("check", run, "--baseline", "b.json", "--judge", "two@b")


def test_a_judge_under_other_rules_does_not_change_reports():
    run = choice_run(["A"] * 6 + ["hm"] * 2)
    judged(run, lambda _: "A", "one@a", rules=Rules("vlmevalkit/1", ""))
    assert load_results(run).judge == ""
    assert "asked were: one@a" in call("report", run)
    assert load_results(run, protocol="vlmevalkit/1", judged_by="one").judge == "one@a"
    judged(run, lambda _: "A", "two@b")
    assert load_results(run).judge == "two@b"


def test_a_judge_that_settled_nothing_makes_room_for_the_next():
    run = open_run_of(4)
    judged(run, lambda _: "**1**", "bad@a")
    judged(run, lambda _: "1", "good@b")
    assert (load_results(run).judge, load_results(run).problem) == ("good@b", "")


def test_the_same_judge_in_other_words_replaces_nothing():
    run = open_run_of(4)
    words = JudgeHeads(*(Head(f"own-{name}", f"Which, {name}?\n", comparable=False) for name in "abc"))
    judged(run, lambda _: "1.0")
    first = {path.name: path.read_bytes() for path in run.glob("*-clear*")} | {
        "judge-heads.json": (run / "judge-heads.json").read_bytes()
    }
    judged(run, lambda _: "0.0", heads=words)
    assert {name: (run / name).read_bytes() for name in first} == first
    assert len(list(run.glob("score-*.json"))) == len(list(run.glob("judge-heads*.json"))) == 2
    assert load_results(run).arms[0].score.headline == 100
    # Each wording has a name, by which every verb shows it.
    one, other = "fake@local#mmdbench-mmvet/1", "fake@local#own-c"
    names = {"": 100, one: 100, "fake": 100, "fake#mmdbench-mmvet/1": 100, other: 0, "fake#own-c": 0}
    for name, headline in names.items():
        assert load_results(run, judged_by=name).arms[0].score.headline == headline, name
    assert f"Judged by {one}" in call("report", run, "--markdown")
    assert f"Other judges of this run: {other} (report --judge NAME)" in call("report", run, "--markdown")
    assert f"judge {other}" in call("report", run, "--judge", other)
    assert "prompts own-c" in call("cite", run, "--judge", other)
    said = call("report", run, "--judge", "fake#third", code=2)
    assert one in said
    assert other in said
    judged(run, lambda _: "not asked again", heads=words, default=True)
    assert load_results(run).arms[0].score.headline == 0
    assert load_results(run, judged_by="fake").arms[0].score.headline == 0
    call("score", run, "--default")
    assert f"fits {one}, {other}" in call("report", run, "--judge", "fake", code=2)


def test_another_prompt_is_another_grade_for_the_gate():
    run = open_run_of(4)
    words = JudgeHeads(
        *(Head(f"own-{name}", f"Which, {name}?\n", comparable=False) for name in ("mcq_en", "b", "mmvet"))
    )
    judged(run, lambda _: "1.0")
    judged(run, lambda _: "0.0", heads=words)
    call("check", run, "--baseline", "b.json", "--accept")
    other = "fake@local#own-mmvet"
    said = " ".join(call("check", run, "--baseline", "b.json", "--judge", other, code=2).split())
    assert "they differ in the judge's prompt (mmvet) (mmdbench-mmvet/1" in said
    assert "--judge NAME#PROMPT" in said
    call("check", run, "--baseline", "b.json", "--judge", "fake@local#mmdbench-mmvet/1")
    # A baseline that is older than this field is read, and the comparison says that it is not known.
    record = json.loads(Path("b.json").read_text())
    del record["identity"]["judge prompts"], record["digest"]
    Path("b.json").write_text(json.dumps(record))
    said = " ".join(call("check", run, "--baseline", "b.json").split())
    assert "judge's prompts: not recorded / mmvet=mmdbench-mmvet/1" in said


def test_runs_judged_in_other_words_are_not_compared():
    words = JudgeHeads(
        *(Head(f"own-{name}", f"Which, {name}?\n", comparable=False) for name in ("a", "b", "mmvet"))
    )
    first, second = open_run_of(4, name="one"), open_run_of(4, name="two")
    judged(first, lambda _: "1.0")
    judged(second, lambda _: "1.0", heads=words)
    for verb in ("compare", "report"):
        assert "the judge's prompt (mmvet)" in call(verb, first, second, code=2)


def test_rows_that_only_one_run_left_to_the_judge_have_no_other_prompt():
    first = choice_run(["A"] * 6 + ["hm"] * 2, folder="first")
    judged(first, lambda _: "A")
    second = choice_run(["A"] * 8, folder="second")
    judged(second, lambda _: "A")
    call("check", first, "--baseline", "b.json", "--accept")
    assert load_results(second).judge == "fake@local"  # it was asked about what rules cannot read: nothing
    assert "the judge" not in call("check", second, "--baseline", "b.json", "--gate", "macro-hard:60")


def test_a_judge_that_was_asked_under_other_rules_says_which():
    run = choice_run(["A"] * 6 + ["hm"] * 2)
    judged(run, lambda _: "A", "one@a", rules=Rules("vlmevalkit/1", ""))
    said = " ".join(call("report", run, "--judge", "one", code=2).split())
    assert "was not asked about the run under clear/1 (sane). It was under vlmevalkit/1." in said


def test_a_badly_judged_run_exits_4_with_its_reason_even_if_there_is_no_baseline():
    judged(open_run_of(), lambda _: "**1.0**")
    for baseline in ("none.json", "broken.json"):
        Path("broken.json").write_text("{")
        out = call("check", "run", "--baseline", baseline, "--junit", "j.xml", code=4)
        assert "settled none of the 20 rows" in out
        assert "settled none of the 20 rows" in Path("j.xml").read_text()
    assert not Path("none.json").exists()


def test_there_is_a_way_back_to_no_judge():
    run = choice_run(["A"] * 6 + ["hm"] * 2)
    judged(run, lambda _: "A", "one@a")
    call("score", run, "--default")
    assert load_results(run).judge == ""
    assert load_results(run, judged_by="one").judge == "one@a"
    assert "own rules" in call("score", run, "--default", "--protocol", "vlmevalkit/1", code=2)


def test_levels_that_a_judge_was_not_asked_about_are_noted_and_refused():
    run = choice_run(["A"] * 6 + ["hm"] * 2, levels=("clean",))
    judged(run, lambda _: "A", "one@a")
    choice_run(["A"] * 6 + ["hmm"] * 2, levels=("clean", "hard"))
    results = load_results(run)
    assert (results.judge, results.unjudged) == ("one@a", ("own hard",))
    assert "INCOMPLETE JUDGING: one@a was not asked about own hard" in call("report", run)
    assert "was not asked about own hard" in call("check", run, "--baseline", "b", "--accept", code=4)


def test_a_part_of_a_hit_is_not_wrong(tmp_path):
    run = open_run_of(3)
    judged(run, lambda _: "0.9")
    grades = load_results(run).grades.values()
    assert {(grade.verdict, grade.hit) for grade in grades} == {("partial", 0.9)}
    call("report", run)
    for file in (run / "grades.jsonl", *run.glob("grades-*fake*.jsonl")):
        assert "wrong" not in file.read_text()
    # Grades of an earlier version are read as what they mean.
    old = tmp_path / "old.jsonl"
    shutil.copy(run / "grades.jsonl", old)
    change_lines(old, lambda grade: grade | {"verdict": "wrong"})
    assert {grade.verdict for grade in read_grades(old).values()} == {"partial"}


@needs_openai
def test_eval_asks_the_judge_in_the_same_command():
    rows = [{"index": i, "question": f"q{i}.", "answer": "a dog", "category": "rec"} for i in range(4)]
    write_tsv(Path("v.tsv"), rows)
    with serving(lambda _: "0.8") as server:
        options = ["--family", "mmvet", "--level", "clean,hard", "--no-canary", "--quiet", "-o", "run"]
        words = ["eval", "--model", f"openai:m@{server.url}", "--bench", "v.tsv", *options]
        judge = ["--judge", f"openai:j@{server.url}"]
        assert f"judge: j@{host_label(server.url)}" in call(*words, *judge)
        asked = sum(body["model"] == "j" for body in server.bodies)
        assert asked
        call(*words, *judge)
        assert sum(body["model"] == "j" for body in server.bodies) == asked
    assert load_results(Path("run")).arms[0].score.headline == pytest.approx(80)
    name = f"j@{host_label(server.url)}"
    manifest = json.loads(Path("run/manifest.json").read_text())
    assert manifest["judge"]["id"] == name
    assert sum(session["asked"] for session in manifest["judge_sessions"]) == asked  # kept by the second eval
    with serving(lambda _: "**0.8**") as server:
        bad = ["--judge", f"openai:k@{server.url}"]
        out = call(*words, *bad, code=4)
    assert "settled none" in out
    assert f"Reports show clear/1, judge {name}" in out
    assert load_results(Path("run")).judge == name
    with serving(lambda _: error(401, "bad key")) as server:
        out = call(*words, "--judge", f"openai:dead@{server.url}", code=4)
    assert "Score by level" in out
    assert "cannot be asked" in out
    with serving(lambda _: "0.8") as server:
        words[words.index("run")] = "stopped"
        words[2] = f"openai:m@{server.url}"
        few = ["--max-requests", "2", "--max-error-rate", "1", "--judge", f"openai:j@{server.url}"]
        assert "The judge was not asked: " in call(*words, *few, code=4)
        assert f"judge: j@{host_label(server.url)}" in call(*words, *few[4:])
        words[words.index("stopped")] = "run"
    # What cannot be judged is refused before the model is asked.
    words[words.index("run")] = "new"
    assert "cannot judge" in call(*words, "--judge", "chance", code=2)
    assert "A shard is not judged" in call(*words, *bad, "--shard", "1/2", code=2)
    assert "needs a judge" in call(*words, "--judge-heads", "x", code=2)
    assert not Path("new").exists()


def test_replies_that_failed_settle_nothing_for_a_judge():
    run = open_run_of(20, lambda request: Outcome("", "error", "down") if "q0." in request.question else "a")
    made = judged(run, lambda _: "**1**")
    assert {arm.score.headline for arm in made.arms} == {None}
