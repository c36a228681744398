"""Small tables read as the dicts that they are made of."""

from __future__ import annotations

import json
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmdbench.system.small_tables import small_table

TEXTS = st.text(max_size=6)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=8,
)
TABLES = st.dictionaries(TEXTS, VALUES, max_size=5)


def plain(value):
    return {key: plain(inner) for key, inner in value.items()} if hasattr(value, "items") else value


@settings(max_examples=80, deadline=None)
@given(TABLES)
def test_a_small_table_reads_as_its_dict(table):
    small = small_table(table)
    assert small == table
    assert list(small) == list(table)
    assert len(small) == len(table)
    assert list(small.items()) == list(table.items())
    assert eval(repr(small), {"inf": float("inf")}) == table  # a repr of texts and numbers, made above
    assert json.dumps(plain(small)) == json.dumps(table)
    for key in (*table, "\0missing"):
        assert (key in small) == (key in table)
        assert small.get(key, 7) == table.get(key, 7)


def test_a_missing_key_is_a_key_error():
    small = small_table({"a": {"b": 1}})
    with pytest.raises(KeyError, match="'b'"):
        small["b"]
    assert small["a"]["b"] == 1
    assert small.get("b") is None


def test_equal_keys_and_texts_are_held_once():
    first, second = (small_table(json.loads('{"pixels": "a1b2", "recipe": {"seed": 7}}')) for _ in range(2))
    assert first["pixels"] is second["pixels"]
    assert all(one is other for one, other in zip(first, second, strict=True))
    records = [json.loads('{"pixels": "a1b2", "no_op": false}') for _ in range(2)]
    assert sys.getsizeof(small_table(records[0])) < sys.getsizeof(records[0]) / 2
