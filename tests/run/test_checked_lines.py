"""Checked lines: what was written is read back, and no changed byte passes for it."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmdbench.errors import StoreError
from mmdbench.run.json_lines import read_lines, write_lines

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
RECORD = st.dictionaries(
    TEXT.filter(lambda name: name != "check"), st.one_of(TEXT, st.integers()), min_size=1
)
RECORDS = st.lists(RECORD, min_size=1, max_size=4)
few = settings(max_examples=40, deadline=None)


def texts(records, *, ascii_only):
    return [json.dumps(record, ensure_ascii=ascii_only) for record in records]


@few
@given(RECORDS, st.booleans())
def test_records_come_back_with_their_numbers(tmp_path_factory, records, ascii_only):
    path = tmp_path_factory.mktemp("lines") / "lines.jsonl"
    write_lines(path, texts(records, ascii_only=ascii_only))
    assert list(read_lines(path)) == list(enumerate(records, 1))


@few
@given(RECORDS, st.data())
def test_a_changed_byte_is_an_error_or_leaves_the_records_as_they_were(tmp_path_factory, records, data):
    """One in the word `check` of the first line makes it a line of an early version, with one more field."""
    path = tmp_path_factory.mktemp("lines") / "lines.jsonl"
    write_lines(path, texts(records, ascii_only=False))
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 2))  # a line that lost its end is one that was cut short
    content[place] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    found = records
    with suppress(StoreError):
        found = [record for _, record in read_lines(path)]
    assert all(was.items() <= now.items() for was, now in zip(records, found, strict=True))


@few
@given(RECORDS.filter(lambda records: len(records) > 1), st.data())
def test_a_line_that_is_removed_or_moved_is_an_error(tmp_path_factory, records, data):
    path = tmp_path_factory.mktemp("lines") / "lines.jsonl"
    write_lines(path, texts(records, ascii_only=True))
    lines = path.read_bytes().splitlines(keepends=True)
    gone = data.draw(st.integers(0, len(lines) - 2))  # without the last one the file is merely shorter
    kept = lines[:gone] + lines[gone + 1 :]
    path.write_bytes(b"".join(kept))
    with pytest.raises(StoreError, match=f"line {gone + 1} was changed, or a line before"):
        list(read_lines(path))
