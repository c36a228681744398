"""Hits in columns say what the same hits say one by one."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmdbench.results.hit_columns import CodedColumn, UnitHit, in_columns

NAMES = st.sampled_from(["a", "b", "graffiti", ""])
HITS = st.lists(
    st.builds(
        UnitHit,
        bench=NAMES,
        unit=st.one_of(st.integers(0, 4), NAMES),
        level=st.sampled_from(["clean", "hard"]),
        corruption=st.one_of(st.none(), NAMES),
        category=NAMES,
        hit=st.sampled_from([0.0, 0.25, 1.0]),
        stratum=NAMES,
    ),
    max_size=12,
)
VALUES = st.lists(st.one_of(st.none(), NAMES, st.integers(0, 3)), max_size=12)
few = settings(max_examples=60, deadline=None)


@few
@given(HITS)
def test_hits_come_back_in_their_order(hits):
    columns = in_columns(hits)
    assert list(columns) == hits
    assert columns == hits
    assert len(columns) == len(hits)
    assert in_columns(columns) is columns
    assert columns != [*hits, UnitHit("a", 0, "hard", None, "", 1.0)]


@few
@given(HITS, NAMES)
def test_parts_are_the_hits_of_a_benchmark_a_level_or_some_rows(hits, bench):
    columns = in_columns(hits)
    assert columns.of(bench) == [hit for hit in hits if hit.bench == bench]
    assert columns.at("hard") == [hit for hit in hits if hit.level == "hard"]
    rows = [place for place, hit in enumerate(hits) if hit.hit == 1]
    assert columns.only(columns.hit == 1) == [hits[place] for place in rows]
    assert columns.of(bench).at("hard") == columns.at("hard").of(bench)


@few
@given(HITS)
def test_without_strata_nothing_else_changes(hits):
    plain = in_columns(hits).without_strata()
    assert {hit.stratum for hit in plain} <= {""}
    fields = ("bench", "unit", "level", "corruption", "category", "hit")
    assert [[getattr(hit, name) for name in fields] for hit in plain] == [
        [getattr(hit, name) for name in fields] for hit in hits
    ]


@few
@given(HITS, HITS)
def test_questions_are_matched_across_runs_by_benchmark_unit_and_corruption(first, second):
    """Numbers of two tables agree for equal questions, whatever else the tables hold."""
    numbers: dict[tuple[str, str, str], set[int]] = {}
    for hits in (first, second):
        for hit, number in zip(hits, in_columns(hits).asked.tolist(), strict=True):
            numbers.setdefault((hit.bench, str(hit.unit), hit.corruption or ""), set()).add(number)
    assert all(len(found) == 1 for found in numbers.values())
    assert len({min(found) for found in numbers.values()}) == len(numbers)


@few
@given(VALUES, VALUES)
def test_a_column_of_codes_says_what_its_values_say(values, others):
    column, other = CodedColumn.of(values), CodedColumn.of(others)
    assert column.values == values
    assert column.distinct == list(dict.fromkeys(values))
    for value in {*values, "missing"}:
        assert column.equals(value).tolist() == [one == value for one in values]
    assert column.where(lambda value: value is None).tolist() == [one is None for one in values]
    assert column.renamed(str).values == list(map(str, values))
    places = dict(zip(values, column.codes.tolist(), strict=True))
    assert column.like(other).tolist() == [places.get(value, -1) for value in others]


@few
@given(VALUES)
def test_parts_of_a_column_share_its_codes(values):
    column = CodedColumn.of(values)
    half = column.only([place for place in range(len(values)) if place % 2])
    assert half.values == values[1::2]
    assert half.distinct == list(dict.fromkeys(values[1::2]))
    assert column.like(half).tolist() == column.codes.tolist()[1::2]


@pytest.mark.parametrize("empty", [(), in_columns(())])
def test_no_hits(empty):
    columns = in_columns(empty)
    assert list(columns.of("a")) == []
    assert columns.bench.distinct == []
    assert columns.asked.tolist() == []
