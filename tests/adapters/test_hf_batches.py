"""Batches that shrink to fit into memory, and the outcomes of generated texts."""

from __future__ import annotations

import pytest
from mmdbench.adapters._hf.answers import cut, outcome_of, tagged
from mmdbench.adapters._hf.batches import Batches, grouped


class Device:
    """Has room for `room` items; records the batches that were tried and the number of releases."""

    def __init__(self, room, bad=()):
        self.room, self.bad = room, set(bad)
        self.tried, self.released = [], 0

    def work(self, items):
        self.tried.append(len(items))
        if len(items) > self.room:
            raise MemoryError("full")
        if self.bad & set(items):
            raise ValueError(f"bad item among {len(items)}")
        return [f"answer {item}" for item in items]

    def release(self):
        self.released += 1

    def batches(self, limit):
        return Batches(limit, lambda error: isinstance(error, MemoryError), self.release)


def test_a_batch_that_does_not_fit_is_halved_for_good():
    device = Device(room=3)
    batches = device.batches(16)
    assert batches.run(range(20), device.work) == [f"answer {i}" for i in range(20)]
    assert device.tried[:3] == [16, 8, 4]
    assert set(device.tried[3:]) == {2}
    assert (device.released, batches.limit) == (3, 2)
    device.tried.clear()
    batches.run(range(6), device.work)
    assert device.tried == [2, 2, 2]


def test_a_short_batch_that_fails_halves_its_own_size():
    device = Device(room=2)
    batches = device.batches(16)
    assert batches.run(range(3), device.work) == ["answer 0", "answer 1", "answer 2"]
    assert device.tried == [3, 1, 1, 1]


def test_an_item_too_large_by_itself_fails_alone():
    device = Device(room=0)
    found = device.batches(4).run(range(2), device.work)
    assert [type(f) for f in found] == [MemoryError, MemoryError]
    assert device.tried == [2, 1, 1]
    assert device.released == 3


def test_a_bad_item_does_not_take_its_neighbours():
    device = Device(room=8, bad=[2])
    batches = device.batches(4)
    found = batches.run(range(8), device.work)
    assert [str(f) for f in found] == [f"answer {i}" if i != 2 else "bad item among 1" for i in range(8)]
    assert device.tried == [4, 1, 1, 1, 1, 4]
    assert batches.limit == 4


def test_an_interrupt_is_not_swallowed():
    def work(items):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Device(1).batches(2).run(range(2), work)


def test_groups_keep_their_order():
    assert grouped([3, 1, 4, 1, 5, 9, 2, 6], lambda n: n % 2) == [[3, 1, 1, 5, 9], [4, 2, 6]]


def test_text_ends_at_the_first_end():
    assert cut([5, 6, 2, 7, 2], {2, 9}) == ([5, 6], True)
    assert cut([5, 6], {2}) == ([5, 6], False)
    assert cut([2], {2}) == ([], True)


@pytest.mark.parametrize(
    ("text", "answer", "state"),
    [
        ("why <ANSWER>B<ANSWER_END>", "B", "closed"),
        ("<ANSWER>A<ANSWER_END> no: <ANSWER> C <ANSWER_END> done", " C ", "closed"),
        ("why <ANSWER>B because", "B because", "open"),
        ("B", "B", "absent"),
        ("<ANSWER_END>B", "<ANSWER_END>B", "absent"),
    ],
)
def test_the_last_answer_between_the_tags(text, answer, state):
    assert tagged(text, ("<ANSWER>", "<ANSWER_END>")) == (answer, state)


class Letters:
    """A tokenizer of one letter a token, which leaves out `#` as a special one."""

    def decode(self, ids, skip_special_tokens):
        text = "".join(chr(i) for i in ids)
        return text.replace("#", "") if skip_special_tokens else text


def read(text, tags=None):
    return outcome_of([ord(c) for c in text], {0}, Letters(), tags, {})


def test_a_finished_text_is_ok_and_an_unfinished_one_truncated():
    done = read(" B. two #\0\0")
    assert (done.text, done.status, done.reason) == ("B. two", "ok", "")
    assert done.details == {"finish": "stop", "usage": {"completion": 9}}
    more = read("B. two and")
    assert (more.text, more.status, more.details["finish"]) == ("B. two and", "truncated", "length")
    assert "10 tokens" in more.reason


def test_a_reply_without_text_is_empty():
    assert read("\0").status == "empty"
    assert read(" #\n\0").status == "empty"


def test_tags_are_found_even_if_they_are_special_tokens():
    found = read("x#B] y\0", ("#", "]"))
    assert (found.text, found.details["raw"], found.details["answer_tag"]) == ("B", "x#B] y", "closed")
