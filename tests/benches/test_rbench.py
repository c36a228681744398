"""R-Bench: its tasks and strengths from the user's files, open answers by a judge, and the overall score."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from mmdbench.benches import build_prompt, expand_benches, open_bench
from mmdbench.benches.rbench import strength_of, task_of
from mmdbench.cli import app
from mmdbench.corruptions.spec_file import load_spec
from mmdbench.errors import DataError, UnknownNameError
from mmdbench.models import ModelCard
from mmdbench.records import Question, RunPlan
from mmdbench.report.tables.collect import make_tables
from mmdbench.report.tables.table import shown
from mmdbench.results.graded_run import load_results
from mmdbench.run.inputs import RunInputs
from mmdbench.run.runner import run_plan
from mmdbench.scoring import JudgeReply
from scripted_runs import Scripted, write_tsv

CARD = ModelCard("toy", "toy")


def rows(strengths=("low", "mid", "high")):
    """Two multiple-choice rows, two short answers and two captions at each strength."""
    made = []
    for strength in strengths:
        for i in range(2):
            place = len(made)
            made.append({"index": place, "task": "MCQ", "strength": strength, "question": f"Which {place}?",
                         "A": "red", "B": "blue", "answer": "A"})  # fmt: skip
            made.append({"index": place + 1, "task": "VQA", "strength": strength,
                         "question": f"What {place}?", "answer": f"a cup {i}"})  # fmt: skip
            made.append({"index": place + 2, "task": "CAP", "strength": strength,
                         "question": f"Describe {place}.", "answer": f"a table {i}"})  # fmt: skip
    return made


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    write_tsv(folder / "R-bench-dis.tsv", rows())
    return folder


class Grader:
    """A judge that gives the grade of a question."""

    id = "grader"

    def __init__(self, grades) -> None:
        self.grades, self.prompts = grades, []

    def ask(self, call):
        self.prompts.append(call.prompt)
        return JudgeReply(str(self.grades[call.bench]))


def run(tmp_path, data, tasks=("mcq", "vqa", "cap")):
    names = tuple(f"rbench:{task}" for task in tasks)
    benches = [open_bench(name, data_dir=data) for name in names]
    # Right at low and mid, wrong at high, in multiple choice.
    wrong = {q.text for b in benches for q in b.questions if q.fields["strength"] == "high"}
    script = Scripted(lambda r: "B" if r.question in wrong else "A")
    run_plan(RunInputs(RunPlan("toy", names, levels=("clean",)), benches, script, CARD, tmp_path / "run"))
    return tmp_path / "run"


def test_one_file_holds_the_three_tasks(data) -> None:
    found = {task: open_bench(f"rbench:{task}", data_dir=data) for task in ("mcq", "vqa", "cap")}
    assert {t: (b.name, b.family, len(b.questions)) for t, b in found.items()} == {
        "mcq": ("R-Bench-MCQ", "rbench-mcq", 6),
        "vqa": ("R-Bench-VQA", "rbench-vqa", 6),
        "cap": ("R-Bench-CAP", "rbench-cap", 6),
    }
    for bench in found.values():
        assert {q.bench for q in bench.questions} == {bench.name}
        assert sorted({strength_of(q) for q in bench.questions}) == ["high", "low", "mid"]
    (question, *_) = found["vqa"].questions
    assert build_prompt(question, "rbench-vqa") == "What 0?"


def test_a_task_may_have_a_file_of_its_own(tmp_path) -> None:
    write_tsv(tmp_path / "R-Bench-VQA.tsv", [{"index": 1, "question": "What?", "answer": "a cup"}])
    write_tsv(tmp_path / "R-bench-dis.tsv", rows())
    (question,) = open_bench("rbench:vqa", data_dir=tmp_path).questions
    assert question.answer == "a cup"
    assert strength_of(question) == ""
    assert len(open_bench("rbench:mcq", data_dir=tmp_path).questions) == 6


def test_multiple_choice_needs_no_column_and_open_rows_do(tmp_path) -> None:
    plain = [{k: v for k, v in row.items() if k not in ("task", "strength")} for row in rows()]
    write_tsv(tmp_path / "R-Bench-Dis.tsv", plain)
    assert len(open_bench("rbench:mcq", data_dir=tmp_path).questions) == 6
    with pytest.raises(DataError, match="column 'type'"):
        open_bench("rbench:cap", data_dir=tmp_path)


def test_files_that_are_not_there_are_named(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("LMUData", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(DataError, match=r"R-Bench-VQA\.tsv.*R-bench-dis\.tsv"):
        open_bench("rbench:vqa", data_dir=tmp_path)
    with pytest.raises(UnknownNameError, match="task of R-Bench"):
        open_bench("rbench:ocr", data_dir=tmp_path)


@pytest.mark.parametrize(
    ("fields", "task", "strength"),
    [
        ({"A": "x", "B": "y", "strength": "2"}, "mcq", "mid"),
        ({"A": "x", "B": "y", "type": "MCQ", "strength": "1"}, "mcq", "low"),
        ({"type": "CAP", "strength": "3"}, "cap", "high"),
        ({"A": "x", "B": "y", "type": "VQA", "strength": "3"}, "vqa", "high"),
        ({"type": "VQA", "strength": "low"}, "vqa", "low"),
        ({"task": "vqa", "strength": "high"}, "vqa", "high"),  # a stored run
        ({"type": "unheard of", "strength": "unheard of"}, "", ""),
    ],
)
def test_task_and_strength_are_in_the_published_columns(fields, task, strength) -> None:
    question = Question("b", 0, fields)
    assert (task_of(question), strength_of(question)) == (task, strength)


def test_names_expand() -> None:
    assert expand_benches("rbench:all") == ("rbench:mcq", "rbench:vqa", "rbench:cap")
    assert expand_benches("RBench:MCQ") == ("rbench:mcq",)
    assert expand_benches("R-Bench") == ("R-Bench-Dis",)


def test_the_overall_score_by_hand(tmp_path, data) -> None:
    judge = Grader({"R-Bench-VQA": 0.5, "R-Bench-CAP": 0.8})
    results = load_results(run(tmp_path, data), judge=judge)
    table = make_tables(results, load_spec()).find("rbench")
    assert [row.labels[1] for row in table.rows] == ["MCQ", "VQA", "CAP", "overall"]
    values = [[None if v is None else v.value for v in row.values] for row in table.rows]
    two_thirds, mean = pytest.approx(2 / 3), pytest.approx((2 / 3 + 0.5 + 0.8) / 3)
    assert values[0] == [6, 1.0, 1.0, 0.0, None, two_thirds, two_thirds]
    assert values[1] == [6, 0.5, 0.5, 0.5, None, pytest.approx(0.5), pytest.approx(0.5)]
    assert values[2][5:] == [pytest.approx(0.8)] * 2
    high = pytest.approx(1.3 / 3)
    assert values[3] == [18, pytest.approx(2.3 / 3), pytest.approx(2.3 / 3), high, None, mean, mean]
    assert shown(table.rows[3].values[6], table.columns[6]) == "0.6555"  # .65555…, cut
    assert shown(table.rows[3].values[5], table.columns[5]) == "0.6556"
    overall = table.rows[3].values[5]
    assert overall.low < overall.value < overall.high
    assert "NOT COMPARABLE" in table.caption


def test_rows_without_a_strength_are_no_fourth_strength(tmp_path) -> None:
    told = [row for row in rows() if row["task"] == "MCQ"]
    bare = [{**row, "index": 100 + i, "strength": "", "question": f"Bare {i}?"} for i, row in enumerate(told)]
    for name, made, mean, cells in (("some", told + bare, 2 / 3, 1 / 3), ("none", bare, 1.0, None)):
        (tmp_path / name).mkdir()
        write_tsv(tmp_path / name / "R-Bench-MCQ.tsv", made)
        bench = open_bench("rbench:mcq", data_dir=tmp_path / name)
        right = {q.text for q in bench.questions if strength_of(q) in ("low", "")}
        plan = RunPlan("toy", ("rbench:mcq",), levels=("clean",))
        script = Scripted(lambda r, right=right: "A" if r.question in right else "B")
        run_plan(RunInputs(plan, [bench], script, CARD, tmp_path / f"{name}-run"))
        table = make_tables(load_results(tmp_path / f"{name}-run"), load_spec()).find("rbench")
        values = table.rows[0].values
        # By hand: low 1, mid 0, high 0, not told 1.
        assert values[4].value == 1.0
        assert values[5].value == pytest.approx(mean)
        assert (values[6] and values[6].value) == (cells and pytest.approx(cells))
        assert table.rows[1].values[0].value == len(made)


def test_the_judge_gets_our_prompts_under_ids_of_their_own(tmp_path, data) -> None:
    judge = Grader({"R-Bench-VQA": 0.5, "R-Bench-CAP": 0.8})
    results = load_results(run(tmp_path, data), judge=judge)
    records = {arm.bench: arm.score.judge_record for arm in results.arms}
    ids = {name: [p["id"] for p in record["prompts"]] for name, record in records.items()}
    assert ids == {
        "R-Bench-MCQ": [],
        "R-Bench-VQA": ["mmdbench-rbench-vqa/1"],
        "R-Bench-CAP": ["mmdbench-rbench-cap/1"],
    }
    assert not records["R-Bench-VQA"]["comparable"]
    warnings = {arm.bench: " ".join(arm.score.warnings) for arm in results.arms}
    assert "not comparable" in warnings["R-Bench-VQA"]
    assert "not comparable" in warnings["R-Bench-CAP"]
    caption = next(p for p in judge.prompts if "Describe 0." in p)
    assert "Describe 0. | a table 0 | A | " in caption
    assert "caption" in caption


def test_without_a_judge_the_open_tasks_have_no_score_and_there_is_no_overall(tmp_path, data) -> None:
    table = make_tables(load_results(run(tmp_path, data)), load_spec()).find("rbench")
    assert [row.labels[1] for row in table.rows] == ["MCQ", "overall"]
    assert table.rows[1].values[5] is None


def test_other_runs_have_no_such_table(tmp_path) -> None:
    path = write_tsv(tmp_path / "toy.tsv", [{"index": 0, "question": "?", "A": "x", "B": "y", "answer": "A"}])
    bench = open_bench(path)
    run_plan(
        RunInputs(
            RunPlan("toy", (str(path),), levels=("clean",)),
            [bench],
            Scripted(lambda _: "A"),
            CARD,
            tmp_path / "r",
        )
    )
    assert make_tables(load_results(tmp_path / "r"), load_spec()).find("rbench") is None


def test_the_command_line(data, tmp_path) -> None:
    command = ["eval", "--model", "chance", "--bench", "rbench:all", "--level", "clean"]
    done = CliRunner().invoke(app, [*command, "--data-dir", str(data), "-o", str(tmp_path / "r"), "--quiet"])
    assert done.exit_code == 0, done.output
    again = CliRunner().invoke(app, ["report", str(tmp_path / "r"), "--table", "rbench"])
    assert again.exit_code == 0, again.output
    assert "MCQ" in again.output
