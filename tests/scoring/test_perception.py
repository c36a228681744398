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
from mmdbench.corruptions.chain import Chain
from mmdbench.corruptions.spec_file import load_spec
from mmdbench.errors import IncomparableError, UnknownNameError, UsageError
from mmdbench.models import ModelCard
from mmdbench.records import Cell, Outcome, Question, Recipe, Reply, RunPlan, chain_steps
from mmdbench.report.comparison import compare_published, compare_runs
from mmdbench.report.page import write_page
from mmdbench.report.published import published_rows
from mmdbench.report.render.csv_parquet import as_csv
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
from mmdbench.system.digest import bytes_digest, pixel_digest
from mmdbench.variants.codec import decode_encoded, encode, parse_codec
from mmdbench.variants.design import plan_cells
from mmdbench.variants.recipes import clean_image, make_variant
from recording_model import Recorder
from run_folders import change_manifest

SPEC = load_spec()
NAMES = tuple(SPEC.corruptions)
CARD = ModelCard("toy/seer", "toy")
PLAN = RunPlan("toy/seer", ("toy",), task="perceive", protocol="perceive/3")


# --- the reward, worked by hand ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("truth", "said", "paper", "code"),
    [
        ({"lens_blur": 0.9}, [("lens_blur", 0.9)], 1.0, 1.5),  # 1 − 0; 1.5 − 0
        ({"lens_blur": 0.9}, [("lens_blur", 0.45)], 0.55, 1.05),
        ({"lens_blur": 0.23}, [("lens_blur", None)], 0.0, 0.5),  # no strength: the largest distance
        ({"lens_blur": 0.9}, [], 0.0, -1.0),  # nothing to sum; one type missing
        ({"lens_blur": 0.9}, [("graffiti", 0.9)], -1.0, -2.0),  # one pair; one too many, one missing
        ({"lens_blur": 0.9}, [("lens_blur", 0.8), ("graffiti", 0.5)], -0.1, 0.4),  # 0.9 − 1; 1.4 − 1
        ({"lens_blur": 0.9}, [("lens_blur", 0.9)] * 2, 2.0, 3.0),  # each claim counts
        # Of four pairs two differ: 0.7 + 0.9 − 2; 1.2 + 1.4.
        ({"lens_blur": 0.6, "graffiti": 0.2}, [("graffiti", 0.5), ("lens_blur", 0.5)], -0.4, 2.6),
        ({"lens_blur": 0.6, "graffiti": 0.2}, [("graffiti", 0.2)], 0.0, 0.5),  # 1 − 1; 1.5 − 1
        ({}, [], 0.0, 0.0),  # untouched, and seen to be
        ({}, [("graffiti", 0.3), ("lens_blur", 0.1)], 0.0, -2.0),  # two false alarms
        # A true type that is named twice: both pairs; the last strength.
        ([("noise", 0.9), ("noise", 0.4)], [("noise", 0.3)], 1.3, 1.4),
    ],
)
def test_the_rewards_equal_hand_worked_examples(truth, said, paper, code) -> None:
    assert degradation_reward(truth, said) == pytest.approx(paper)
    assert degradation_reward(truth, said, "code") == pytest.approx(code)


def test_an_unknown_profile_is_named() -> None:
    with pytest.raises(UnknownNameError, match="papers"):
        degradation_reward({}, [], "papers")


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
        (
            "<TYPE>Block Change(0.31), shifting(0.5), darkness(0.2)<TYPE_END>",
            [("block_exchange", 0.31), ("mean_shift", 0.5), ("dark_illumination", 0.2)],
            "robust-r1",
        ),
        # Robust-R1's names are ordinary words elsewhere.
        ("<degradation>color shifting: 0.4</degradation>", [("color shifting", 0.4)], "tag"),
        ("The colours are shifting.", [], "unreadable"),
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


def test_the_question_is_the_one_that_stored_replies_have_in_their_keys() -> None:
    assert bytes_digest(perception_prompt(SPEC).encode()).startswith("b479102a89d53022")


# --- grading -------------------------------------------------------------------------------------


def reply(cell, text, status="ok", intensity=None):
    images = ({"recipe": {"corruption": cell.corruption, "intensity": intensity, "image": "p" * 64}},)
    return Reply("k", cell.bench, cell.index, cell.level, cell.corruption, status, text, images=images)


def graded(*rows):
    """The score of (corruption, level, text or None) rows."""
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
    assert [g.details["r_deg"] for g in made.grades] == pytest.approx([0.8, -1, -1, 0, 0, 0, 0])
    assert [g.details["r_deg_code"] for g in made.grades] == pytest.approx([1.3, -2, -2, -1, -1, 0, -1])
    assert made.grades[0].details["intensity_error"] == pytest.approx(0.2)
    assert [g.details["intensity_error"] for g in made.grades[1:]] == [None] * 6
    assert [g.stage for g in made.grades[3:5]] == ["unreadable", "missing"]
    assert made.headline == pytest.approx(100 * 2 / 7)
    assert made.counts["planned"] == 7
    assert made.counts["answered"] == 6
    assert made.counts["missing"] == 1
    assert made.protocol == "perceive/3"


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


def test_a_chain_is_graded_by_all_its_corruptions() -> None:
    both = "lens_blur+jpeg_compression"
    made = graded(
        (both, "hard", "<degradation>jpeg_compression: 0.5, lens_blur: 0.8</degradation>"),
        (both, "hard", "<degradation>lens_blur: 0.9</degradation>"),
        (both, "hard", "<degradation>motion_blur: 0.9, block_exchange: 0.9</degradation>"),
        (both, "hard", None),
    )
    assert made.grades[0].details["truth"] == {"lens_blur": 0.9, "jpeg_compression": 0.9}
    assert [g.hit for g in made.grades] == [1, 0, 0, 0]
    # A capture and a transmission type are the right categories, whichever they are.
    assert [g.details["category"] for g in made.grades] == [1, 0, 1, 0]
    # By hand: 0.6 + 0.9 − 2; 1 − 1; four pairs that differ; nothing.
    assert [g.details["r_deg"] for g in made.grades] == pytest.approx([-0.5, 0, -4, 0])
    assert [g.details["r_deg_code"] for g in made.grades] == pytest.approx([1.1 + 1.4, 1.5 - 1, -4, -2])
    errors = [g.details["intensity_error"] for g in made.grades]
    assert errors == [pytest.approx((0.4 + 0.1) / 2), 0, None, None]


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
    asked = find_task("perceive").ask(bench, SPEC, PLAN)
    assert [q.index for q in asked.questions] == [0, 1, 2, 3, 4, 5]
    assert {build_prompt(q, asked.family) for q in asked.questions} == {perception_prompt(SPEC)}
    assert not any(q.options or q.answer for q in asked.questions)
    for design in ("mixed", "balanced:3", "grid", "chain:3"):
        plan = RunPlan("m", ("toy",), design=design, corruptions=NAMES if design == "chain:3" else NAMES[:5])
        own = {q.index: cells for q, cells in plan_cells(plan, [bench], SPEC)}
        for question, cells in plan_cells(plan, [asked], SPEC):
            assert cells == own[question.index]


@pytest.mark.parametrize("change", [{"design": "released"}, {"restore": "opencv-nlmeans"}])
def test_plans_whose_truth_is_unknown_are_refused(change) -> None:
    plan = RunPlan("m", ("mini",), task="perceive", protocol="perceive/3", **change)
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
    settings = {"levels": ("clean", "hard"), "task": "perceive", "protocol": "perceive/3", **changes}
    plan = RunPlan(CARD.name, (str(path),), **settings)
    bench = open_bench(path)
    asked = [find_task("perceive").ask(bench, SPEC, plan)] if plan.task == "perceive" else [bench]
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
    assert hard["r_deg (code)"].value == pytest.approx(sum(g.details["r_deg_code"] for g in grades) / 8)
    assert hard["type"].low <= hard["type"].value <= hard["type"].high
    assert hard["r_deg"].low <= hard["r_deg"].value <= hard["r_deg"].high
    alarms = tables.find("false-alarms").rows[0]
    clean = [g for arm in load_results(seen).arms if arm.level == "clean" for g in arm.score.grades]
    assert alarms.values[1].value == pytest.approx(100 * sum(bool(g.details["said"]) for g in clean) / 8)
    by_corruption = tables.find("perception-corruptions")
    assert sum(row.values[0].value for row in by_corruption.rows) == 8


@pytest.mark.parametrize("design", ["mixed", "chain:2"])
def test_a_page_has_the_tables_and_no_drops(tmp_path, make_tsv, design) -> None:
    results = load_results(
        perceive(tmp_path / "run", make_tsv(rows=3), Namer("graffiti: 0.5"), design=design)
    )
    made = write_page([results], make_tables(results, SPEC), tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text("utf-8")
    assert made.examples == 3
    for text in ("Degradation perception by level", "r_deg (code)", "words", "Corruptions of chains"):
        assert (text in page) == (text != "Corruptions of chains" or design == "chain:2")
    for section in ("drops", "parts"):
        assert f'<section id="{section}" aria-labelledby="h-{section}" hidden>' in page


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
    # By hand: one claim of four is too many, and one of four replies cannot be read.
    assert (clean["n"].value, clean["r_deg"].value, clean["r_deg (code)"].value) == (4, 0, -0.25)
    assert clean["unreadable"].value == 25


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
    with pytest.raises(UsageError, match=r"perceive/3"):
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
    assert "perceive/3" in done.output
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
        find_task("perceive").ask(bare, SPEC, PLAN)


# --- lengths of replies --------------------------------------------------------------------------


class Wordy:
    """A model whose replies are longer the stronger the degradation that it was asked about last."""

    def __init__(self, tokens=True) -> None:
        self.tokens = tokens
        self.asked = 0

    def fingerprint(self):
        return {"name": "wordy"}

    def generate(self, requests):
        made = []
        for _ in requests:
            self.asked += 1
            text = " ".join(["hm"] * (self.asked - 1) + ["<degradation>none</degradation>"])
            counts = {"usage": {"completion": 10 * self.asked}} if self.tokens or self.asked > 1 else {}
            made.append(Outcome(text, details=counts))
        return made


def lengths(folder, level):
    table = make_tables(load_results(folder), SPEC).find("perception")
    row = next(row for row in table.rows if row.labels == (level,))
    found = dict(zip([column.name for column in table.columns], row.values, strict=True))
    return tuple(value and value.value for value in (found["words"], found["tokens"]))


def test_the_mean_length_of_replies_is_reported_by_level(tmp_path, make_tsv) -> None:
    folder = perceive(tmp_path / "run", make_tsv(rows=2), Wordy())
    texts = read_replies(folder).values()
    for level in ("clean", "hard"):
        here = [reply for reply in texts if reply.level == level]
        words = sum(len(reply.text.split()) for reply in here) / len(here)
        assert lengths(folder, level) == (
            words,
            sum(r.details["usage"]["completion"] for r in here) / len(here),
        )
    assert sorted(len(reply.text.split()) for reply in texts) == [1, 2, 3, 4]
    numbers = as_csv(make_tables(load_results(folder), SPEC), ["perception"]).splitlines()
    assert any(line.startswith("perception,hard,words,mean,") for line in numbers)


def test_tokens_are_a_dash_where_a_reply_does_not_count_them(tmp_path, make_tsv) -> None:
    folder = perceive(tmp_path / "run", make_tsv(rows=2), Wordy(tokens=False), levels=("hard",))
    assert lengths(folder, "hard") == (1.5, None)


# --- chains --------------------------------------------------------------------------------------


class Namer:
    """A model that claims the same of every picture."""

    def __init__(self, claim) -> None:
        self.claim, self.prompts = claim, set()

    def fingerprint(self):
        return {"name": "namer"}

    def generate(self, requests):
        self.prompts |= {request.prompt for request in requests}
        return [Outcome(f"<degradation>{self.claim}</degradation>") for _ in requests]


def rows_of(tables, key):
    table = tables.find(key)
    names = [column.name for column in table.columns]
    return {row.labels: dict(zip(names, row.values, strict=True)) for row in table.rows}


def test_a_chain_of_ones_own_is_asked_graded_and_reported(tmp_path, make_tsv) -> None:
    path, chain = make_tsv(rows=3), "lens_blur+jpeg_compression"
    model = Namer("jpeg_compression: 0.5, lens_blur: 0.9")
    folder = perceive(tmp_path / "run", path, model, design="grid", corruptions=(chain, "graffiti"))
    assert model.prompts == {perception_prompt(SPEC, several=True)}
    assert perception_prompt(SPEC) not in model.prompts
    stored = [reply for reply in read_replies(folder).values() if reply.corruption == chain]
    assert len(stored) == 3
    for reply in stored:
        clean = clean_image(open_bench(path).questions[reply.index].images[0].read(), "here")
        # The picture is the one that a chain of these corruptions makes of the clean one.
        steps = Chain.of(("lens_blur", 0.9), ("jpeg_compression", 0.9))
        recipe = Recipe(**reply.images[0]["recipe"])
        assert (recipe.corruption, recipe.intensity) == (chain, 0.9)
        expected = encode(steps(clean.pixels, recipe.seed), parse_codec(recipe.codec))
        assert make_variant(clean, recipe).image.data == expected.data
        assert reply.images[0]["pixels"] == pixel_digest(decode_encoded(expected))
    tables = make_tables(load_results(folder), SPEC)
    recipes = rows_of(tables, "perception-corruptions")
    assert list(recipes) == [("graffiti",), (chain,)]
    both = recipes[chain,]
    assert (both["n"].value, both["type"].value, recipes["graffiti",]["type"].value) == (3, 100, 0)
    assert both["intensity error"].value == pytest.approx(0.2)
    # By hand: 0.6 + 1 − 2; 1.1 + 1.5.
    assert (both["r_deg"].value, both["r_deg (code)"].value) == pytest.approx((-0.4, 2.6))
    types = rows_of(tables, "perception-chains")
    assert [(name, row["named"].value) for (name,), row in types.items()] == [
        ("lens_blur", 100),
        ("jpeg_compression", 100),
    ]
    assert types["jpeg_compression",]["intensity error"].value == pytest.approx(0.4)


@pytest.mark.parametrize(
    "changes",
    [{"design": "chain:2"}, {"design": "grid", "corruptions": ("lens_blur+graffiti", "dark_illumination")}],
)
def test_runs_of_chains_are_gated_and_compared(tmp_path, make_tsv, changes) -> None:
    path, model = make_tsv(rows=4), Namer("lens_blur: 0.9, graffiti: 0.9")
    found = load_results(perceive(tmp_path / "run", path, model, **changes))
    accept(found, tmp_path / "base.json")
    assert check_run(found, read_baseline(tmp_path / "base.json"), SPEC).exit_code == 0
    assert compare_runs(found, found, SPEC).tables[0].rows[0].values[1].value == 0


def test_chains_are_drawn_from_different_categories_and_are_the_same_at_every_level(make_tsv) -> None:
    bench = open_bench(make_tsv(rows=40))
    met = {}
    for count in (2, 3, 4):
        plan = replace(PLAN, benches=(bench.name,), design=f"chain:{count}", levels=("low", "hard"))
        for question, (low, hard) in plan_cells(plan, [bench], SPEC):
            assert low.corruption == hard.corruption
            steps = chain_steps(low.corruption)
            categories = [SPEC.corruptions[step].category for step in steps]
            assert len(steps) == count
            assert categories == [name for name in SPEC.categories if name in categories]
            met.setdefault(count, []).append(low.corruption)
            assert (question.index, plan.design) == (low.index, f"chain:{count}")
    assert len(set(met[2])) > 10
    assert {step for chain in met[4] for step in chain_steps(chain)} > {"graffiti", "block_exchange"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"design": "chain:2", "task": "answer", "protocol": "clear/1"}, "for the task perceive"),
        ({"design": "chain:5"}, "from 2 to 4"),
        ({"design": "chain"}, "chain:K"),
        ({"corruptions": ("lens_blur+graffiti",)}, "draws single corruptions"),
        ({"design": "grid", "corruptions": ("lens_blur+lens_blur",)}, "only once"),
        ({"design": "grid", "corruptions": ("lens_blur+grafiti",)}, "Did you mean 'graffiti'"),
    ],
)
def test_chains_that_cannot_be_asked_are_refused(change, message) -> None:
    with pytest.raises(UsageError, match=message):
        check_plan(replace(PLAN, **change))


def test_a_chain_needs_enough_categories(make_tsv) -> None:
    plan = replace(PLAN, design="chain:2", corruptions=("lens_blur", "motion_blur"))
    with pytest.raises(UsageError, match="2 categories, but the run has 1"):
        list(plan_cells(plan, [open_bench(make_tsv(rows=2))], SPEC))


def test_chains_on_the_command_line(tmp_path, make_tsv, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = str(make_tsv(rows=4))
    command = ["eval", "--model", "chance", "--bench", path, "--task", "perceive", "--level", "clean,hard"]
    done = CliRunner().invoke(app, [*command, "--design", "chain:2", "-o", "run", "--quiet"])
    assert done.exit_code == 0, done.output
    assert "mmdbench report run --table perception-chains\n" in done.output
    shown = CliRunner().invoke(app, ["report", "run", "--table", "perception-chains"])
    assert "Corruptions of chains" in shown.output
    for form in ("--csv", "--json", "--markdown", "--latex"):
        made = CliRunner().invoke(app, ["report", "run", form, "--table", "all"])
        assert made.exit_code == 0, made.output
        assert "(code)" in made.output
        assert "named" in made.output
    own = ["--design", "grid", "--corruption", "lens_blur+graffiti,dark_illumination"]
    done = CliRunner().invoke(app, [*command, *own, "-o", "own", "--quiet"])
    assert done.exit_code == 0, done.output
    shown = CliRunner().invoke(app, ["report", "own", "--table", "all"])
    assert "lens_blur+graffiti" in shown.output
    refused = CliRunner().invoke(app, ["build", "--bench", path, "--design", "chain:2", "-o", "built"])
    assert (refused.exit_code, "task perceive" in refused.output) == (2, True)


# --- runs of earlier versions --------------------------------------------------------------------


def test_an_earlier_run_is_reported_by_todays_formulas_and_resumes(runs) -> None:
    path, seen, _ = runs
    change_manifest(seen, lambda manifest: manifest["plan"].update(protocol="perceive/2"))
    results = load_results(seen)
    assert results.plan.protocol == "perceive/3"
    tables = make_tables(results, SPEC)
    assert any("asked under perceive/2 and is graded by perceive/3" in note for note in tables.notes)
    assert tables.find("perception").caption.startswith("perceive/3")
    again = Seer()
    perceive(seen, path, again)
    assert again.asked == 0
    assert not any("perceive/2" in note for note in make_tables(load_results(seen), SPEC).notes)
