"""Replies read back from their lines: as stored, shared where they are alike, refused by their field."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmdbench.errors import StoreError
from mmdbench.records import Reply
from mmdbench.run.json_lines import read_typed_lines, write_lines
from mmdbench.run.reply_records import (
    StoredImages,
    StoredReply,
    any_no_op,
    read_line,
    read_reply,
    restored_seconds,
    same_pixels,
)
from mmdbench.run.store import read_replies, write_replies

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
NUMBERS = st.floats(0, 1e6)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**40), 2**40), st.floats(allow_nan=False), TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=6,
)
IMAGES = st.fixed_dictionaries(
    {"recipe": st.dictionaries(TEXTS, TEXTS, max_size=2), "pixels": TEXTS, "no_op": st.booleans()},
    optional={"restored": st.fixed_dictionaries({"seconds": NUMBERS, "model": TEXTS}), "of_later": VALUES},
)
REPLIES = st.builds(
    Reply,
    key=st.text("abcdef", min_size=1, max_size=3),
    bench=TEXTS,
    index=st.one_of(st.integers(0, 9), TEXTS),
    level=st.sampled_from(["clean", "hard"]),
    corruption=st.one_of(st.none(), TEXTS),
    status=st.sampled_from(["ok", "truncated"]),
    text=TEXTS,
    reason=TEXTS,
    attempts=st.integers(0, 5),
    seconds=NUMBERS,
    images=st.lists(IMAGES, max_size=3).map(tuple),
    details=st.dictionaries(TEXTS, VALUES, max_size=3),
    asked=st.sampled_from(["", "2026-12-01T00:11:37.879+00:00"]),
    generation=st.integers(0, 3),
    repeat=st.integers(1, 3),
)
PLAIN = {
    "key": "a",
    "bench": "b",
    "index": 1,
    "level": "hard",
    "corruption": None,
    "status": "ok",
    "text": "x",
}


@settings(max_examples=60, deadline=None)
@given(st.lists(REPLIES, max_size=4, unique_by=lambda reply: reply.key))
def test_replies_come_back_as_they_were_written(tmp_path_factory, replies):
    folder = tmp_path_factory.mktemp("run")
    write_replies(folder / "replies-0.jsonl", replies)
    found = read_replies(folder)
    assert found == {reply.key: reply for reply in replies}
    assert [reply.as_dict() for reply in found.values()] == [reply.as_dict() for reply in replies]


def test_a_number_that_is_no_json_comes_back(tmp_path):
    odd = Reply(**PLAIN, images=({"pixels": "p", "later": math.inf},), details={"logprob": -math.inf})
    write_replies(tmp_path / "replies-0.jsonl", [odd])
    assert read_replies(tmp_path) == {"a": odd}


@settings(max_examples=60, deadline=None)
@given(st.lists(IMAGES, max_size=3), st.lists(IMAGES, max_size=3))
def test_stored_images_say_what_their_records_say(records, others):
    ours, theirs = (StoredImages(json.dumps(found).encode()) for found in (records, others))
    assert ours == tuple(records)
    assert tuple(records) == ours
    assert len(ours) == len(records)
    assert list(ours) == records
    assert ours[1:] == tuple(records[1:])
    assert repr(ours) == repr(tuple(records))
    assert hash(ours) == hash(StoredImages(json.dumps(records).encode()))
    for question in (any_no_op, restored_seconds):
        assert question(ours) == question(records)
    assert same_pixels(ours, theirs) == same_pixels(records, others)


def test_replies_with_the_same_pictures_and_details_share_them(tmp_path):
    image = {"recipe": {"seed": 7}, "pixels": "p", "no_op": False}
    alike = [
        Reply(key, "toy", 1, "hard", "fog", "ok", "A", images=(image,), details={"model": "m"})
        for key in "ab"
    ]
    write_replies(tmp_path / "replies-0.jsonl", alike)
    first, second = read_replies(tmp_path).values()
    assert first.images is second.images
    assert first.details is second.details
    assert first.level is second.level


def test_numbers_that_are_no_json_come_back():
    found = read_reply({**PLAIN, "details": {"logprob": math.nan, "limit": math.inf}})
    assert math.isnan(found.details["logprob"])
    assert found.details["limit"] == math.inf


@pytest.mark.parametrize(
    ("field", "says"),
    [
        ({"index": True}, "int | str"),
        ({"seconds": -1}, "seconds"),
        ({"seconds": math.nan}, "seconds"),
        ({"attempts": 1.5}, "attempts"),
        ({"repeat": 2**70}, "repeat"),
        ({"status": "fine"}, "status"),
        ({"images": [5]}, "object"),
        ({"images": [{"restored": {"seconds": "long"}}]}, "restored.seconds"),
        ({"images": [{"pixels": 3}]}, "pixels"),
        ({"details": []}, "no table"),
        ({"asked": "2026-12-01T00:00:00"}, "a time with its zone"),
        ({"asked": "today"}, "today"),
    ],
    ids=str,
)
def test_a_field_of_another_type_is_refused_by_its_line(tmp_path, field, says):
    with pytest.raises(ValueError, match=says.replace("|", r"\|")):
        read_reply({**PLAIN, **field})
    write_lines(tmp_path / "replies-0.jsonl", [json.dumps(PLAIN), json.dumps({**PLAIN, **field})])
    with pytest.raises(StoreError, match="line 2 is not a reply"):
        read_replies(tmp_path)


def test_typed_lines_check_what_other_lines_check(tmp_path):
    path = tmp_path / "replies-0.jsonl"
    deep = {**PLAIN, "details": json.loads("[" * 70 + "]" * 70)}
    for text, says in (
        (json.dumps({**PLAIN, "details": {"deep": deep["details"]}}), "levels of lists"),
        ('{"key": "a", "key": "b"' + "," * 2 + "}", "not a JSON record"),
    ):
        write_lines(path, [json.dumps(PLAIN), text])
        with pytest.raises(StoreError, match=says):
            list(read_typed_lines(path, StoredReply, lambda *_: StoreError("shape"), read_line))
    write_lines(path, [json.dumps(PLAIN)] * 2)
    path.write_bytes(path.read_bytes().replace(b'"text": "x"', b'"text": "y"', 1))
    with pytest.raises(StoreError, match="line 1 was changed"):
        read_replies(tmp_path)
