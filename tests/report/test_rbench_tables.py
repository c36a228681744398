"""R-Bench's tables of a run about distorted and undistorted pictures, from files to relative robustness."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from mmdbench.benches import open_bench
from mmdbench.cli import app
from mmdbench.corruptions.spec_file import load_spec
from mmdbench.models import ModelCard
from mmdbench.records import RunPlan
from mmdbench.report.identity import differences, identity
from mmdbench.report.published import published_rows
from mmdbench.report.scores import main_rows
from mmdbench.report.tables.collect import make_tables
from mmdbench.report.tables.table import shown
from mmdbench.results.graded_arms import Judging
from mmdbench.results.graded_run import load_results
from mmdbench.results.judging.journal import JsonlJournal
from mmdbench.results.rescoring import record_judge, regrade
from mmdbench.run.folder import JUDGE_JOURNAL
from mmdbench.run.inputs import RunInputs
from mmdbench.run.runner import run_plan
from mmdbench.scoring import JudgeReply
from mmdbench.variants.design import sample_questions
from rbench_samples import picture_of, write_csv
from run_folders import as_early
from scripted_runs import Scripted

CARD = ModelCard("toy", "toy")
NAMES = tuple(f"rbench:{task}{end}" for end in ("", "-ref") for task in ("mcq", "vqa", "cap"))


class Judge:
    """A judge whose votes depend on what is judged: by the truth, or by an answer about `ref` pictures."""

    id = "judge@local"

    def __init__(self):
        self.prompts = []

    def ask(self, call):
        self.prompts.append(call.prompt)
        task = call.prompt_id.split("-")[2]
        asked = call.prompt.split("\n\n")[1]
        if "ref" in asked and "dis" in asked:
            return JudgeReply("1")  # agreement: MCQ 1, VQA and CAP .5
        if "ref" in asked:
            return JudgeReply("0" if "ref 4" in asked else "1" if task == "mcq" else "2")
        return JudgeReply("Score: 1" if task == "vqa" else "0")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("rbench")
    write_csv(root)
    benches = [open_bench(name, data_dir=root) for name in NAMES]
    pictures = {picture_of(n, kind): f"{kind} {n}" for n in range(9) for kind in ("dis", "ref")}
    script = Scripted(lambda request: pictures[request.images[0].data])
    plan = RunPlan("toy", NAMES, protocol="rbench/official")
    run_plan(RunInputs(plan, benches, script, CARD, root / "run"))
    return root / "run"


@pytest.fixture(scope="module")
def judged(folder):
    judge = Judge()
    made = regrade(folder, judging=Judging(judge, journal=JsonlJournal(folder / JUDGE_JOURNAL), workers=2))
    record_judge(made)
    return judge, made


def values(table):
    return {
        row.labels[1]: [shown(v, c) for v, c in zip(row.values, table.columns, strict=True)]
        for row in table.rows
    }


def test_pictures_are_asked_as_they_are(folder) -> None:
    run = load_results(folder)
    assert {(cell.bench, cell.level) for cell in run.cells} == {
        (f"R-Bench-{task}{end}", "unaltered") for task in ("MCQ", "VQA", "CAP") for end in ("", "-Ref")
    }
    assert len(run.cells) == 18


def test_agreement_is_judged_where_the_first_answer_scored(judged) -> None:
    judge, made = judged
    about = [
        prompt
        for prompt in judge.prompts
        if "ref" in prompt.split("\n\n")[1] and "dis" in prompt.split("\n\n")[1]
    ]
    # Five calls for each of nine rows, but for the one whose answer about the undistorted picture scored 0.
    assert len(about) == 5 * 8
    assert not any("ref 4" in prompt for prompt in about)
    scores = {arm.bench: arm.score.headline for arm in made.arms}
    assert scores["R-Bench-VQA-Ref"] == pytest.approx(200 / 3)
    assert scores["R-Bench-CAP-Agreement"] == pytest.approx(50)
    assert len(judge.prompts) == len(about) + 2 * 3 * (5 + 5 + 2)


def test_scores_by_hand(folder, judged) -> None:
    tables = make_tables(load_results(folder), load_spec())  # from the journal alone
    assert values(tables.find("rbench")) == {
        "MCQ": ["3", "0.0000", "0.0000", "0.0000", "–", "0.0000", "0.0000"],
        "VQA": ["3", "0.5000", "0.5000", "0.5000", "–", "0.5000", "0.5000"],
        "CAP": ["3", "0.0000", "0.0000", "0.0000", "–", "0.0000", "0.0000"],
        "overall": ["9", "0.1667", "0.1667", "0.1667", "–", "0.1667", "0.1666"],
    }
    assert values(tables.find("rbench-relative")) == {
        "MCQ": ["3", "1.0000", "1.0000", "1.0000", "–", "1.0000", "1.0000"],
        "VQA": ["3", "0.5000", "0.0000", "0.5000", "–", "0.3333", "0.3333"],
        "CAP": ["3", "0.5000", "0.5000", "0.5000", "–", "0.5000", "0.5000"],
        "overall": ["9", "0.6667", "0.5000", "0.6667", "–", "0.6111", "0.6111"],
    }
    steps = values(tables.find("rbench-steps"))
    assert list(steps) == ["environment", "camera", "analog"]
    # Distortions 1 to 4 are MCQ, VQA, CAP and MCQ.
    assert steps["environment"] == ["4", "0.1250", "0.7500"]
    assert values(tables.find("rbench-groups"))["blur"] == ["2", "0.2500", "0.5000"]  # 1 and 5
    assert values(tables.find("rbench-distortions"))["5"] == ["1", "0.5000", "0.0000"]


def test_undistorted_pictures_are_outside_the_mean(folder, judged) -> None:
    rows = {row.name: row for row in main_rows(load_results(folder), ("unaltered",))}
    assert rows["AVG"].scores["unaltered"].value == pytest.approx(50 / 3)
    assert rows["R-Bench-MCQ-Ref"].outside
    assert not any("Agreement" in name for name in rows)


def test_published_cells_stand_beside_a_run(folder, judged) -> None:
    published = [published_rows(name) for name in ("paper:gpt4o", "paper:robust-r1-sft", "paper:bagel")]
    tables = make_tables(load_results(folder), load_spec(), published)
    body = {row.labels: row for row in tables.find("rbench").rows}
    columns = tables.find("rbench").columns
    overall = body["paper:gpt4o", "overall"]
    assert shown(overall.values[0], columns[0]) == "1485"
    assert [shown(overall.values[i], columns[i]) for i in (5, 6)] == ["0.6348", "0.6346"]
    cut = body["paper:robust-r1-sft", "overall"].values
    assert [shown(cut[i], columns[i]) for i in (5, 6)] == ["0.4887", "0.4886"]
    assert [shown(body["paper:gpt4o", "MCQ"].values[i], columns[i]) for i in (1, 2, 3)] == [
        "0.8176",
        "0.7744",
        "0.7391",
    ]
    relative = {row.labels for row in tables.find("rbench-relative").rows}
    assert ("paper:gpt4o", "CAP") in relative
    assert not any(label in ("paper:robust-r1-sft", "paper:bagel") for label, _ in relative)


def test_without_the_undistorted_pictures_there_is_no_relative_table(tmp_path) -> None:
    write_csv(tmp_path)
    bench = open_bench("rbench:mcq", data_dir=tmp_path)
    run_plan(
        RunInputs(RunPlan("toy", ("rbench:mcq",)), [bench], Scripted(lambda _: "A"), CARD, tmp_path / "run")
    )
    tables = make_tables(load_results(tmp_path / "run"), load_spec())
    assert tables.find("rbench-relative") is None
    assert values(tables.find("rbench"))["MCQ"][1:4] == ["1.0000"] * 3
    assert values(tables.find("rbench-steps"))["camera"] == ["1", "1.0000", "–"]


def test_choices_need_no_judge_for_relative_robustness(tmp_path) -> None:
    write_csv(tmp_path)
    names = ("rbench:mcq", "rbench:mcq-ref")
    benches = [open_bench(name, data_dir=tmp_path) for name in names]
    wrong = {picture_of(0, "dis"), picture_of(3, "ref")}
    script = Scripted(lambda request: "B" if request.images[0].data in wrong else "A")
    run_plan(RunInputs(RunPlan("toy", names), benches, script, CARD, tmp_path / "run"))
    tables = make_tables(load_results(tmp_path / "run"), load_spec())
    assert values(tables.find("rbench"))["MCQ"][1:4] == ["0.0000", "1.0000", "1.0000"]
    assert values(tables.find("rbench-relative"))["MCQ"][1:4] == ["0.0000", "0.0000", "1.0000"]


def test_a_stored_run_whose_choices_are_plain_is_read_and_compared(tmp_path) -> None:
    write_csv(tmp_path)
    bench = open_bench("rbench:mcq", data_dir=tmp_path)
    for name in ("old", "new"):
        plan = RunPlan("toy", ("rbench:mcq",))
        run_plan(RunInputs(plan, [bench], Scripted(lambda _: "A"), CARD, tmp_path / name))
    as_early(tmp_path / "old")
    for path in (tmp_path / "old").glob("*.json*"):
        path.write_text(path.read_text().replace('"rbench-mcq"', '"plain"'))
    old, new = load_results(tmp_path / "old"), load_results(tmp_path / "new")
    assert '"plain"' in (tmp_path / "old" / "manifest.json").read_text()
    assert old.hits == new.hits
    assert not differences(identity(old), identity(new))


def test_samples_hold_the_same_questions_about_both_pictures(tmp_path) -> None:
    write_csv(tmp_path)
    benches = [open_bench(name, data_dir=tmp_path) for name in NAMES]
    for sample in ("2/bench", "8"):
        plan = RunPlan("toy", NAMES, sample=sample)
        drawn = [[q.index for q in rows] for rows in sample_questions(plan, benches)]
        assert drawn[:3] == drawn[3:]


def test_the_command_line(tmp_path) -> None:
    write_csv(tmp_path)
    command = [
        "eval",
        "--model",
        "chance",
        "--bench",
        "rbench:all,rbench:ref",
        "--protocol",
        "rbench/official",
    ]
    out = ["--data-dir", str(tmp_path), "-o", str(tmp_path / "r"), "--quiet"]
    done = CliRunner().invoke(app, [*command, *out])
    assert done.exit_code == 0, done.output
    other = CliRunner().invoke(
        app, ["report", str(tmp_path / "r"), "--protocol", "rbench/ours", "--table", "rbench"]
    )
    assert other.exit_code == 0, other.output
    assert "MCQ" in other.output
