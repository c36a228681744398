"""The cells that a run visits."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass

import pytest

from mmdbench.corruptions.spec_file import load_spec
from mmdbench.errors import UnknownNameError, UsageError
from mmdbench.records import Question, RunPlan
from mmdbench.scoring.families import unit_of
from mmdbench.variants.design import (
    corruptions_for,
    parse_design,
    parse_sample,
    plan_cells,
    sample_questions,
)


@dataclass(frozen=True)
class Toy:
    name: str
    family: str
    questions: tuple[Question, ...]


def toy(n=800, name="toy", family="plain", categories=4):
    rows = tuple(Question(name, i, {"category": f"c{i * i % categories}"}) for i in range(n))
    return Toy(name, family, rows)


def plan(**kw):
    return RunPlan(model="m", benches=("toy",), **kw)


def test_mixed_gives_each_question_one_corruption_at_all_levels():
    for question, cells in plan_cells(plan(), [toy(20)], load_spec()):
        assert [c.level for c in cells] == ["clean", "low", "mid", "hard"]
        assert cells[0].corruption is None
        assert len({c.corruption for c in cells[1:]}) == 1
        assert {(c.bench, c.index) for c in cells} == {("toy", question.index)}


def test_mixed_weighs_the_four_categories_alike():
    spec = load_spec()
    drawn = corruptions_for(plan(), toy(8000), spec)
    share = Counter(spec.corruptions[names[0]].category for names in drawn.values())
    assert len(share) == 4
    assert all(abs(n / 8000 - 0.25) < 0.02 for n in share.values())


def test_mixed_depends_on_nothing_but_bench_index_and_seed():
    spec = load_spec()
    whole = corruptions_for(plan(), toy(100), spec)
    part = corruptions_for(plan(), toy(10), spec)
    assert {i: whole[i] for i in part} == part
    assert corruptions_for(plan(seed=1), toy(100), spec) != whole
    assert corruptions_for(plan(), toy(100, name="other"), spec) != whole


def test_grid_visits_every_corruption():
    _, cells = next(plan_cells(plan(design="grid", levels=("clean", "hard")), [toy(1)], load_spec()))
    assert len(cells) == 1 + 16
    assert [c.corruption for c in cells[1:]] == list(load_spec().corruptions)


def test_a_run_can_be_limited_to_some_corruptions():
    names = ("graffiti", "lens_blur")
    drawn = corruptions_for(plan(corruptions=names), toy(200), load_spec())
    assert {n for (n,) in drawn.values()} == set(names)


@pytest.mark.parametrize("count", [1, 3, 4, 15, 16])
def test_balanced_uses_each_corruption_equally_often(count):
    bench = toy(160)
    drawn = corruptions_for(plan(design=f"balanced:{count}"), bench, load_spec())
    assert all(len(set(names)) == count for names in drawn.values())
    total = Counter(n for names in drawn.values() for n in names)
    assert max(total.values()) - min(total.values()) <= 1
    for category in {q.category for q in bench.questions}:
        part = Counter(dict.fromkeys(load_spec().corruptions, 0))
        part.update(n for q in bench.questions if q.category == category for n in drawn[q.index])
        assert max(part.values()) - min(part.values()) <= 2


def test_rotations_of_a_circular_group_share_their_corruption():
    rows = tuple(Question("mmb", g + r * 1_000_000, {"category": "x"}) for r in range(4) for g in range(50))
    bench = Toy("mmb", "circular", rows)
    got = {}
    for question, cells in plan_cells(plan(), [bench], load_spec()):
        got.setdefault(question.index % 1_000_000, set()).add(cells[1].corruption)
    assert len(got) == 50
    assert all(len(names) == 1 for names in got.values())


def test_unit_of_reads_g_index():
    assert unit_of(Question("b", 7, {"g_index": "3"}), "circular") == 3
    assert unit_of(Question("b", 2_000_007, {}), "circular") == 7
    assert unit_of(Question("b", 2_000_007, {}), "plain") == 2_000_007


def test_samples_are_nested_stratified_and_the_same_for_every_model():
    bench = toy(800)
    sizes = (20, 40, 100, 400)
    taken = [{q.index for q in sample_questions(plan(sample=str(n)), [bench])[0]} for n in sizes]
    assert [len(t) for t in taken] == list(sizes)
    assert all(small < large for small, large in itertools.pairwise(taken))
    whole = Counter(q.category for q in bench.questions)
    part = Counter(q.category for q in bench.questions if q.index in taken[2])
    assert all(abs(part[c] - whole[c] / 8) <= 1 for c in whole)
    assert taken[1] == {q.index for q in sample_questions(plan(sample="40/bench"), [bench])[0]}
    assert taken[1] != {q.index for q in sample_questions(plan(sample="40", seed=1), [bench])[0]}


def test_a_sample_over_benches_is_proportional_or_of_each():
    benches = [toy(300, name="a"), toy(100, name="b")]
    both = RunPlan(model="m", benches=("a", "b"), sample="40")
    assert [len(q) for q in sample_questions(both, benches)] == [30, 10]
    each = RunPlan(model="m", benches=("a", "b"), sample="40/bench")
    assert [len(q) for q in sample_questions(each, benches)] == [40, 40]


def test_a_sample_of_mmvp_takes_pairs_each_as_two_questions():
    rows = tuple(Question("toy", i, {"question": f"q{(i - 1) // 2}"}) for i in range(1, 301))
    bench = Toy("toy", "mmvp", tuple(reversed(rows)))
    taken: set[object] = set()
    for size, most in ((1, 2), (21, 22), (80, 80), (300, 300)):
        sample = {q.index for q in sample_questions(plan(sample=str(size)), [bench])[0]}
        assert len(sample) == most
        assert all((i + 1 if i % 2 else i - 1) in sample for i in sample)
        assert taken <= sample
        taken = sample
    other = toy(300, name="other")
    both = RunPlan(model="m", benches=("toy", "other"), sample="100")
    assert [len(q) for q in sample_questions(both, [bench, other])] == [50, 50]


def test_rows_of_mmvp_that_form_no_pairs_are_sampled_one_by_one():
    rows = tuple(Question("toy", i, {"question": f"q{i}"}) for i in range(40))
    for bench in (Toy("toy", "mmvp", rows), Toy("toy", "mmvp", rows[:39])):
        assert len(sample_questions(plan(sample="7"), [bench])[0]) == 7


def test_a_sample_larger_than_the_benchmark_is_all_of_it():
    assert len(sample_questions(plan(sample="9999"), [toy(30)])[0]) == 30


@pytest.mark.parametrize(
    "text", ["balanced", "balanced:0", "balanced:x", "grid:2", "balanced:-1", "balanced:²"]
)
def test_a_design_that_cannot_be_read_says_how_to_write_it(text):
    with pytest.raises(UsageError, match="balanced:K"):
        parse_design(text)


def test_an_unknown_design_suggests_one():
    with pytest.raises(UnknownNameError, match="Did you mean 'mixed'"):
        parse_design("mixd")


def test_balanced_over_more_corruptions_than_there_are():
    with pytest.raises(UsageError, match="needs 5 different corruptions, but the run has 2"):
        corruptions_for(plan(design="balanced:5", corruptions=("graffiti", "lens_blur")), toy(3), load_spec())


@pytest.mark.parametrize("text", ["0", "-3", "x", "20/", "20/row", "1.5", "/bench", "²"])
def test_a_sample_that_cannot_be_read_says_how_to_write_it(text):
    with pytest.raises(UsageError, match="200/bench"):
        parse_sample(text)
