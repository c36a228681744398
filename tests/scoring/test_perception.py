"""Degradation perception: reading claims, the reward, grades against recipes, and a whole run."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from mmdbench.benches import build_prompt, open_bench
from mmdbench.check import accept, check_run, read_baseline
from mmdbench.cli import app
from mmdbench.corruptions.spec_file import load_spec
from mmdbench.errors import IncomparableError, UnknownNameError, UsageError
from mmdbench.models import ModelCard
from mmdbench.records import Cell, Outcome, Question, Reply, RunPlan
from mmdbench.report.comparison import compare_published, compare_runs
from mmdbench.report.page import write_page
from mmdbench.report.published import published_rows
from mmdbench.report.tables.collect import make_tables
from mmdbench.report.tables.perception import clustered_mean
from mmdbench.results.graded_run import load_results
from mmdbench.results.rescoring import regrade
from mmdbench.run.inputs import RunInputs
from mmdbench.run.plan import check_plan
from mmdbench.run.runner import run_plan
from mmdbench.run.store import read_replies
from mmdbench.scoring.perception import (
    Claim,
    degradation_reward,
    perception_prompt,
    read_claims,
    score_perception,
)
from mmdbench.scoring.tasks import find_task
from mmdbench.variants.design import plan_cells
from recording_model import Recorder

SPEC = load_spec()
NAMES = tuple(SPEC.corruptions)
CARD = ModelCard("toy/seer", "toy")


# --- the reward, worked by hand ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("truth", "said", "expected"),
    [
        ({"lens_blur": 0.9}, [("lens_blur", 0.9)], 1.0),  # 1 − |0.9 − 0.9|
        ({"lens_blur": 0.9}, [("lens_blur", 0.45)], 0.55),  # 1 − 0.45
        ({"lens_blur": 0.23}, [("lens_blur", None)], 0.0),  # right type, no strength
        ({"lens_blur": 0.9}, [], -1.0),  # one type missing
        ({"lens_blur": 0.9}, [("graffiti", 0.9)], -2.0),  # one missing, one too many
        ({"lens_blur": 0.9}, [("lens_blur", 0.8), ("graffiti", 0.5)], -0.1),  # 0.9 − 1
        ({"lens_blur": 0.9}, [("lens_blur", 0.9), ("lens_blur", 0.9)], 0.0),  # the second is one too many
        ({"lens_blur": 0.6, "graffiti": 0.2}, [("graffiti", 0.5), ("lens_blur", 0.5)], 1.6),  # 0.7 + 0.9
        ({"lens_blur": 0.6, "graffiti": 0.2}, [("graffiti", 0.2)], 0.0),  # 1 − 1
        ({}, [], 0.0),  # untouched, and seen to be
        ({}, [("graffiti", 0.3), ("lens_blur", 0.1)], -2.0),  # two false alarms
    ],
)
def test_the_reward_equals_hand_worked_examples(truth, said, expected) -> None:
    assert degradation_reward(truth, said) == pytest.approx(expected)


def test_the_penalties_are_parameters() -> None:
    said = [("graffiti", 0.9)]
    assert degradation_reward({"lens_blur": 0.9}, said, missed=0.5, extra=0.25) == pytest.approx(-0.75)


# --- reading -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "claims", "stage"),
    [
        ("<degradation>lens_blur: 0.6</degradation>", [("lens_blur", 0.6)], "tag"),
        ("Grainy.\n<DEGRADATION> Gaussian Noise : 45% </DEGRADATION>", [("gaussian_noise", 0.45)], "tag"),
        ("<degradation>none</degradation>", [], "tag"),
        ("<degradation>graffiti: 1</degradation> no: <degradation>none</degradation>", [], "tag"),
        ("<degradation>lens-flare, 0.2", [("lens_flare", 0.2)], "tag"),
        ("<degradation>lens_blur</degradation>", [("lens_blur", None)], "tag"),
        ("<degradation>lens_blur: 7</degradation>", [("lens_blur", None)], "tag"),
        ("<degradation>heavy rain: 0.5</degradation>", [("heavy rain", 0.5)], "tag"),
        ("<degradation>heavy rain</degradation>", [("heavy rain", None)], "tag"),
        (
            '<degradation>{"type": "scan_lines", "strength": 0.3}</degradation>',
            [("scan_lines", 0.3)],
            "tag",
        ),
        (
            "<TYPE>noise: 0.52, motion blur (0.3)<TYPE_END><INFLUENCE>…",
            [("gaussian_noise", 0.52), ("motion_blur", 0.3)],
            "robust-r1",
        ),
        ("<TYPE>saturation 0.4<TYPE_END>", [("hsv_saturation", 0.4)], "robust-r1"),
        ("<TYPE>None<TYPE_END>", [], "robust-r1"),
        ("<think>lens_blur? graffiti?</think>This is scan lines, about 0.9.", [("scan_lines", 0.9)], "text"),
        ("There is no degradation.", [], "text"),
        ("It could be lens_blur or motion_blur.", [], "unreadable"),
        ("A cat on a sofa.", [], "unreadable"),
        ("", [], "unreadable"),
        ("<think>lens_blur: 0.4", [], "unreadable"),
        # Side remarks are no types; foreign types are.
        ("<degradation>lens_blur: moderate (0.5)</degradation>", [("lens_blur", 0.5)], "tag"),
        ("<degradation>lens_blur: severe, 0.9</degradation>", [("lens_blur", 0.9)], "tag"),
        ("<degradation>lens_blur: 0.6, confidence: 0.9</degradation>", [("lens_blur", 0.6)], "tag"),
        ("<degradation>lens_blur: 0.6\nvery high: 0.9</degradation>", [("lens_blur", 0.6)], "tag"),
        ("<degradation>lens_blur (0.6), out of focus: 0.6</degradation>", [("lens_blur", 0.6)], "tag"),
        ("<degradation>graffiti: 0.5, rain: 0.3</degradation>", [("graffiti", 0.5), ("rain", 0.3)], "tag"),
        ("<degradation>graffiti 0.5 and rain: 0.3</degradation>", [("graffiti", 0.5), ("rain", 0.3)], "tag"),
        ("<degradation>graffiti: 0.5\n- rain: 0.3</degradation>", [("graffiti", 0.5), ("rain", 0.3)], "tag"),
        # Tags and thinking that are only opened, or only closed.
        ("<degradation>noise? No: <degradation>graffiti: 0.5</degradation>", [("graffiti", 0.5)], "tag"),
        ("<think>Hm. <degradation>lens_blur: 0.5</degradation>", [("lens_blur", 0.5)], "tag"),
        ("<think>Or <degradation>none</degradation>, they ask. I", [], "unreadable"),
        ("<think><degradation>graffiti: 1</degradation></think>lens_blur: 0.5", [("lens_blur", 0.5)], "text"),
        ("maybe graffiti, noise</think>lens_blur: 0.5", [("lens_blur", 0.5)], "text"),
        # What is denied is not claimed.
        ("The picture has no noise. It is untouched.", [], "text"),
        ("It is clean, with good sharpness.", [], "text"),
        ("It is clean but for noise: 0.4.", [("gaussian_noise", 0.4)], "text"),
        ("<degradation>none (no noise)</degradation>", [], "tag"),
        ("The picture is not clean; it is blurred.", [], "unreadable"),
        ("It isn't untouched.", [], "unreadable"),
        ("It is lens_blur, none of the others.", [("lens_blur", None)], "text"),
        ("No degradation other than graffiti.", [("graffiti", None)], "text"),
        ("<degradation>salt_and_pepper_noise: 0.4</degradation>", [("salt and pepper noise", 0.4)], "tag"),
        ("<degradation>image_noise: 0.4</degradation>", [("gaussian_noise", 0.4)], "tag"),
        ("<degradation>severe_gaussian_noise: 0.9</degradation>", [("gaussian_noise", 0.9)], "tag"),
    ],
)  # fmt: skip
def test_claims_are_read_as_they_are_written(text, claims, stage) -> None:
    found = read_claims(text, NAMES)
    assert [(c.type, c.intensity) for c in found.claims] == claims
    assert found.stage == stage


@pytest.mark.parametrize("name", NAMES)
def test_every_type_of_the_prompt_can_be_answered_with(name) -> None:
    assert f"- {name}: " in perception_prompt(SPEC)
    for written in (name, name.replace("_", " ").title(), name.replace("_", "-").upper()):
        found = read_claims(f"<degradation>{written}: 0.23</degradation>", NAMES)
        assert found.claims == (Claim(name, 0.23),)


@pytest.mark.parametrize(
    "filler", ["a b " * 50_000, "1" * 200_000 + "x1", "\n" * 200_000, "<degradation>" * 20_000]
)
def test_a_very_long_reply_is_read_in_linear_time(filler) -> None:
    assert read_claims(f"<degradation>{filler}", NAMES).stage in ("tag", "unreadable")
    assert read_claims(f"{filler} lens_blur: 0.4 {filler}", NAMES).stage in ("tag", "text", "unreadable")


@given(st.text(alphabet="lens_blur graffiti:0.19%<>/degradationTYPEnone\n", max_size=120))
def test_strengths_are_shares_in_any_text(text) -> None:
    for claim in read_claims(text, NAMES).claims:
        assert claim.intensity is None or 0 <= claim.intensity <= 1


def test_a_repeated_prompt_is_no_answer() -> None:
    assert read_claims(perception_prompt(SPEC).partition("<degradation>")[0], NAMES).stage == "unreadable"


# --- grading -------------------------------------------------------------------------------------


def reply(cell, text, status="ok", intensity=None):
    images = ({"recipe": {"corruption": cell.corruption, "intensity": intensity, "image": "p" * 64}},)
    return Reply("k", cell.bench, cell.index, cell.level, cell.corruption, status, text, images=images)


def graded(*rows):
    """Grades of (corruption, level, text or None) rows."""
    cells = [Cell("toy", i, level, name) for i, (name, level, _) in enumerate(rows)]
    bench = SimpleNamespace(name="toy", family="perceive", questions=())
    replies = {
        c.index: reply(c, text, intensity=SPEC.intensities.get(c.level))
        for c, (_, _, text) in zip(cells, rows, strict=True)
        if text is not None
    }
    return score_perception(bench, replies, cells, SPEC)


def test_grades_follow_from_the_recipe_and_every_planned_row_counts() -> None:
    made = graded(
        ("lens_blur", "hard", "<degradation>lens_blur: 0.7</degradation>"),
        ("lens_blur", "hard", "<degradation>motion_blur: 0.9</degradation>"),
        ("lens_blur", "hard", "<degradation>graffiti: 0.9</degradation>"),
        ("lens_blur", "low", "A dog."),
        ("lens_blur", "low", None),
        (None, "clean", "<degradation>none</degradation>"),
        (None, "clean", "<degradation>graffiti: 0.1</degradation>"),
    )
    assert [g.hit for g in made.grades] == [1, 0, 0, 0, 0, 1, 0]
    assert [g.verdict for g in made.grades] == [
        *("correct", "wrong", "wrong", "unresolved", "unresolved", "correct", "wrong")
    ]
    assert [g.details["category"] for g in made.grades] == [1, 1, 0, 0, 0, 1, 0]
    assert [g.details["r_deg"] for g in made.grades] == pytest.approx([0.8, -2, -2, -1, -1, 0, -1])
    assert made.grades[0].details["intensity_error"] == pytest.approx(0.2)
    assert [g.details["intensity_error"] for g in made.grades[1:]] == [None] * 6
    assert [g.stage for g in made.grades[3:5]] == ["unreadable", "missing"]
    assert made.headline == pytest.approx(100 * 2 / 7)
    assert made.counts["planned"] == 7
    assert made.counts["answered"] == 6
    assert made.counts["missing"] == 1
    assert made.protocol == "perceive/2"


def test_a_model_whose_text_is_its_answer_block_is_read_from_the_whole_reply() -> None:
    cell = Cell("toy", 0, "hard", "lens_blur")
    raw = "<TYPE>lens blur(0.9)<TYPE_END><ANSWER>A cat.<ANSWER_END>"
    said = replace(reply(cell, "A cat.", intensity=0.9), details={"answer_tag": "closed", "raw": raw})
    bench = SimpleNamespace(name="toy", family="perceive", questions=())
    (grade,) = score_perception(bench, {0: said}, [cell], SPEC).grades
    assert (grade.hit, grade.stage) == (1, "robust-r1")


def test_the_recipe_counts_and_not_the_levels_name() -> None:
    cell = Cell("toy", 1, "hard", "graffiti")
    bench = SimpleNamespace(name="toy", family="perceive")
    stored = {1: reply(cell, "<degradation>graffiti: 0.5</degradation>", intensity=0.5)}
    (grade,) = score_perception(bench, stored, [cell], SPEC).grades
    assert grade.details["intensity_error"] == 0
    assert grade.details["r_deg"] == 1


def test_a_refusal_names_nothing() -> None:
    cell = Cell("toy", 1, "clean")
    bench = SimpleNamespace(name="toy", family="perceive")
    made = score_perception(bench, {1: reply(cell, "none", "refused")}, [cell], SPEC)
    assert (made.grades[0].hit, made.grades[0].stage, made.counts["refused"]) == (0, "refused", 1)


@pytest.mark.parametrize("status", ["ok", "refused", "empty", "error", None])
def test_a_reply_without_a_claim_about_a_clean_picture_misses_none(status) -> None:
    cell = Cell("toy", 1, "clean")
    bench = SimpleNamespace(name="toy", family="perceive")
    stored = {1: reply(cell, "A dog." if status == "ok" else "", status)} if status else {}
    (grade,) = score_perception(bench, stored, [cell], SPEC).grades
    # By hand: one "none" is missing, nothing is too many.
    assert grade.details["r_deg"] == -1


def test_means_of_rewards_know_their_clusters() -> None:
    plain = clustered_mean([0.0, 1.0, 0.0, 1.0], [1, 2, 3, 4])
    paired = clustered_mean([0.0, 1.0, 0.0, 1.0], [1, 2, 1, 2])
    assert plain is not None
    assert paired is not None
    assert plain.value == paired.value == 0.5
    # By hand: Σ r² = 1, so 1/3 a cluster; pairs: totals ∓1 over 2 each, so 1/2. Each drawn towards 1.
    assert plain.variance == pytest.approx((4 * 1 / 3 + 1) / 5 / 4)
    assert paired.variance == pytest.approx((2 * 1 / 2 + 1) / 3 / 2)
    alike = clustered_mean([-1.0] * 6, [1, 1, 1, 2, 2, 2])
    assert alike is not None
    assert alike.low < -1.0 < alike.high
    assert clustered_mean([], []) is None


# --- the questions -------------------------------------------------------------------------------


def test_a_unit_is_asked_once_and_meets_what_its_own_question_meets(make_tsv) -> None:
    path = make_tsv(rows=6)
    lines = path.read_text().splitlines()
    turned = lines[1].split("\t")
    turned[0], turned[-1] = "1000000", "0"
    path.write_text("\n".join([*lines, "\t".join(turned)]) + "\n")
    bench = open_bench(path, family="circular")
    asked = find_task("perceive").ask(bench, SPEC)
    assert [q.index for q in asked.questions] == [0, 1, 2, 3, 4, 5]
    assert {build_prompt(q, asked.family) for q in asked.questions} == {perception_prompt(SPEC)}
    assert not any(q.options or q.answer for q in asked.questions)
    for design in ("mixed", "balanced:3", "grid"):
        plan = RunPlan("m", ("toy",), design=design, corruptions=NAMES[:5])
        own = {q.index: cells for q, cells in plan_cells(plan, [bench], SPEC)}
        for question, cells in plan_cells(plan, [asked], SPEC):
            assert cells == own[question.index]


@pytest.mark.parametrize("change", [{"design": "released"}, {"restore": "opencv-nlmeans"}])
def test_plans_whose_truth_is_unknown_are_refused(change) -> None:
    plan = RunPlan("m", ("mini",), task="perceive", protocol="perceive/2", **change)
    with pytest.raises(UsageError):
        check_plan(plan)


def test_an_unknown_task_is_named() -> None:
    with pytest.raises(UnknownNameError, match="perceive"):
        check_plan(RunPlan("m", ("mini",), task="perceiv"))


# --- a whole run ---------------------------------------------------------------------------------


class Seer:
    """A model that sees what the runner shows it: it knows each variant's pixels beforehand."""

    def __init__(self, wrong=()) -> None:
        self.wrong = set(wrong)
        self.asked = 0

    def fingerprint(self):
        return {"name": "seer"}

    def generate(self, requests):
        made = []
        for request in requests:
            self.asked += 1
            number = int(request.key[:8], 16)
            text = (
                "<degradation>scan_lines: 0.45</degradation>"
                if number % 4
                else "<degradation>none</degradation>"
            )
            made.append(Outcome(text))
        return made


def perceive(folder, path, model=None, **changes):
    settings = {"levels": ("clean", "hard"), "task": "perceive", "protocol": "perceive/2", **changes}
    plan = RunPlan(CARD.name, (str(path),), **settings)
    bench = open_bench(path)
    asked = [find_task("perceive").ask(bench, SPEC)] if plan.task == "perceive" else [bench]
    run_plan(RunInputs(plan, asked, model or Seer(), CARD, folder))
    return folder


@pytest.fixture
def runs(tmp_path, make_tsv):
    path = make_tsv(rows=8)
    answering = perceive(tmp_path / "answers", path, Recorder(), task="answer", protocol="clear/1")
    return path, perceive(tmp_path / "seen", path), answering


def test_keys_differ_from_the_answering_task_and_a_run_resumes(runs, tmp_path) -> None:
    path, seen, answering = runs
    ours, theirs = read_replies(seen), read_replies(answering)
    assert len(ours) == len(theirs) == 16
    assert not set(ours) & set(theirs)
    again = Seer()
    perceive(seen, path, again)
    assert again.asked == 0
    with pytest.raises(UsageError, match="holds a run of the task answer, not of perceive"):
        perceive(answering, path, Seer())


def test_the_report_prints_perception_and_nothing_of_drops(runs) -> None:
    _, seen, _ = runs
    tables = make_tables(load_results(seen), SPEC)
    keys = [table.key for table in tables.tables]
    assert keys[:3] == ["perception", "perception-corruptions", "false-alarms"]
    assert not {"levels", "drops", "flips", "mce"} & set(keys)
    assert all(not row.drops for row in tables.main)
    levels = tables.find("perception")
    assert [row.labels for row in levels.rows] == [("clean",), ("hard",), ("degraded",)]
    grades = [g for arm in load_results(seen).arms if arm.level == "hard" for g in arm.score.grades]
    hard = dict(zip([c.name for c in levels.columns], levels.rows[1].values, strict=True))
    assert hard["n"].value == 8
    assert hard["type"].value == pytest.approx(100 * sum(g.hit for g in grades) / 8)
    assert hard["r_deg"].value == pytest.approx(sum(g.details["r_deg"] for g in grades) / 8)
    assert hard["type"].low <= hard["type"].value <= hard["type"].high
    assert hard["r_deg"].low <= hard["r_deg"].value <= hard["r_deg"].high
    alarms = tables.find("false-alarms").rows[0]
    clean = [g for arm in load_results(seen).arms if arm.level == "clean" for g in arm.score.grades]
    assert alarms.values[1].value == pytest.approx(100 * sum(bool(g.details["said"]) for g in clean) / 8)
    by_corruption = tables.find("perception-corruptions")
    assert sum(row.values[0].value for row in by_corruption.rows) == 8


def test_false_alarms_are_shares_of_the_replies_that_can_be_read(tmp_path, make_tsv) -> None:
    class Mumbling:
        def __init__(self) -> None:
            graffiti, none = "<degradation>graffiti: 1</degradation>", "<degradation>none</degradation>"
            self.left = [Outcome(graffiti), Outcome(none), Outcome("A dog."), Outcome("", "refused")]

        def fingerprint(self):
            return {"name": "mumbling"}

        def generate(self, requests):
            return [self.left.pop() for _ in requests]

    folder = perceive(tmp_path / "run", make_tsv(rows=4), Mumbling(), levels=("clean",))
    tables = make_tables(load_results(folder), SPEC)
    n, alarms, _ = tables.find("false-alarms").rows[0].values
    assert tables.find("false-alarms").caption.endswith("in points with 95 % intervals.")
    assert (n.value, alarms.value) == (2, 50)
    row = tables.find("perception").rows[0]
    clean = dict(zip([c.name for c in tables.find("perception").columns], row.values, strict=True))
    # By hand: (−1 + 0 − 1 − 1) / 4, and one of four that cannot be read.
    assert (clean["n"].value, clean["r_deg"].value, clean["unreadable"].value) == (4, -0.75, 25)


def test_a_grid_has_each_corruption_and_two_runs_stand_side_by_side(tmp_path, make_tsv) -> None:
    path = make_tsv(rows=3)
    names = ("scan_lines", "graffiti")
    first = perceive(tmp_path / "a", path, design="grid", corruptions=names)
    second = perceive(tmp_path / "b", path, design="grid", corruptions=names)
    table = make_tables([load_results(first), load_results(second)], SPEC).find("perception-corruptions")
    assert [row.labels[0] for row in table.rows] == ["scan_lines", "scan_lines", "graffiti", "graffiti"]
    assert all(row.values[0].value == 3 for row in table.rows)


def test_tasks_are_never_mixed(runs, tmp_path) -> None:
    _, seen, answering = runs
    ours, theirs = load_results(seen), load_results(answering)
    with pytest.raises(IncomparableError, match="task"):
        compare_runs(ours, theirs, SPEC)
    with pytest.raises(IncomparableError, match="task"):
        make_tables([ours, theirs], SPEC)
    accept(theirs, tmp_path / "base.json")
    with pytest.raises(IncomparableError, match="task"):
        check_run(ours, read_baseline(tmp_path / "base.json"), SPEC)
    with pytest.raises(IncomparableError, match="of the task 'answer'"):
        compare_published(ours, published_rows("paper:clear-rl"))
    with pytest.raises(IncomparableError, match="of the task 'answer'"):
        make_tables(ours, SPEC, [published_rows("paper:clear-rl")])
    with pytest.raises(UsageError, match="one way of grading"):
        regrade(seen)
    with pytest.raises(UsageError, match="page"):
        write_page([ours], make_tables(ours, SPEC), tmp_path / "page.html")
    with pytest.raises(UsageError, match=r"perceive/2"):
        load_results(seen, protocol="vlmevalkit/1")


def test_runs_of_the_task_can_be_compared_and_gated(runs, tmp_path) -> None:
    path, seen, _ = runs
    accept(load_results(seen), tmp_path / "base.json")
    report = check_run(load_results(seen), read_baseline(tmp_path / "base.json"), SPEC)
    assert report.exit_code == 0
    other = perceive(tmp_path / "other", path)
    assert compare_runs(load_results(seen), load_results(other), SPEC).tables[0].rows[0].values[1].value == 0


def test_baselines_from_before_tasks_still_fit(runs, tmp_path) -> None:
    _, _, answering = runs
    accept(load_results(answering), tmp_path / "base.json")
    assert "task" not in json.loads((tmp_path / "base.json").read_text())["identity"]


def test_the_command_line(tmp_path, make_tsv, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = make_tsv(rows=4)
    command = [
        "eval",
        "--model",
        "chance",
        "--bench",
        str(path),
        "--task",
        "perceive",
        "--level",
        "clean,hard",
    ]
    done = CliRunner().invoke(app, [*command, "-o", "run", "--quiet"])
    assert done.exit_code == 0, done.output
    assert "perceive/2" in done.output
    assert "Degradation perception by level" in done.output
    assert json.loads((tmp_path / "run" / "manifest.json").read_text())["plan"]["task"] == "perceive"
    again = CliRunner().invoke(app, ["report", "run", "--table", "false-alarms"])
    assert again.exit_code == 0, again.output
    precise = CliRunner().invoke(app, [*command, "--target-ci", "3"])
    assert precise.exit_code == 2
    named = CliRunner().invoke(app, [*command, "--quiet"])
    plain = CliRunner().invoke(app, [*command[:5], "--level", "clean,hard", "--quiet"])
    assert (named.exit_code, plain.exit_code) == (0, 0), (named.output, plain.output)
    assert len(list((tmp_path / "runs").iterdir())) == 2


def test_a_question_without_a_picture_is_not_asked() -> None:
    bare = replace(open_bench("mini"), questions=(Question("mini", 0, {"question": "?"}),))
    with pytest.raises(UsageError, match="no picture"):
        find_task("perceive").ask(bare, SPEC)
