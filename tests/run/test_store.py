"""Replies on disk: what a crash can do to them, and what it cannot."""

from __future__ import annotations

import gc
import json
import time
from dataclasses import replace

import pytest

from mmdbench.errors import StoreError
from mmdbench.records import Reply
from mmdbench.run.json_lines import checked_line, read_records
from mmdbench.run.reply_records import read_reply
from mmdbench.run.store import (
    ReplyStore,
    read_index,
    read_replies,
    shard_paths,
    write_replies,
)


def reply(key, status="ok", text="B", index=1):
    return Reply(key, "toy", index, "hard", "graffiti", status, text, images=({"recipe": {}, "pixels": "p"},))


def test_a_reply_comes_back_as_it_was(tmp_path):
    one = reply("k", text='Ein "Ü"\n\u2028 \U0001f600')
    half = reply("half", text="B \ud800")
    with ReplyStore(tmp_path) as store:
        store.add(one)
        store.add(half)
    kept = replace(half, text="B \ufffd", details={"replaced_characters": 1})
    assert read_replies(tmp_path) == {"k": one, "half": kept}


def test_shards_are_json_lines_that_other_tools_read(tmp_path):
    with ReplyStore(tmp_path, "7") as store:
        store.add(reply("a"))
        store.add(reply("b"))
    lines = (tmp_path / "replies-7.jsonl").read_bytes().splitlines()
    assert [json.loads(line)["key"] for line in lines] == ["a", "b"]


@pytest.mark.parametrize("cut", [2, 10, 60])
def test_a_torn_last_line_costs_one_reply_and_nothing_else(tmp_path, cut):
    with ReplyStore(tmp_path) as store:
        store.add(reply("a"))
        store.add(reply("b"))
    shard = tmp_path / "replies-0.jsonl"
    shard.write_bytes(shard.read_bytes()[:-cut])
    assert set(read_replies(tmp_path)) == {"a"}
    with ReplyStore(tmp_path) as store:
        store.add(reply("c"))
    assert set(read_replies(tmp_path)) == {"a", "c"}
    assert len(list(read_records(shard))) == 2


def test_a_shard_that_is_one_torn_line_starts_anew(tmp_path):
    (tmp_path / "replies-0.jsonl").write_bytes(b'{"key": "a", "ben')
    with ReplyStore(tmp_path) as store:
        store.add(reply("b"))
    assert set(read_replies(tmp_path)) == {"b"}


def test_damage_elsewhere_is_an_error_that_names_the_line(tmp_path):
    with ReplyStore(tmp_path) as store:
        store.add(reply("a"))
        store.add(reply("b"))
    shard = tmp_path / "replies-0.jsonl"
    lines = shard.read_bytes().splitlines(keepends=True)
    shard.write_bytes(b"garbage\n" + lines[1])
    with pytest.raises(StoreError, match="line 1 is not a JSON record"):
        read_replies(tmp_path)
    for strange in ('{"x": 1}', '{"key": "c"}', '{"key": "c", "status": "ok"}'):
        shard.write_bytes(b"".join(lines) + checked_line(strange, 3))
        with pytest.raises(StoreError, match="line 3 is not a reply"):
            read_replies(tmp_path)
    shard.write_bytes(b'{"x": 1}\n')
    with pytest.raises(StoreError, match="line 1 is not a reply: it has no 'key'"):
        read_index(tmp_path)


def test_an_error_never_replaces_an_answer_and_an_answer_replaces_an_error(tmp_path):
    with ReplyStore(tmp_path) as store:
        store.add(reply("a", text="first"))
        store.add(reply("a", "error", ""))
        store.add(reply("b", "error", ""))
        store.add(reply("b", text="second"))
    found = read_replies(tmp_path)
    assert found["a"].text == "first"
    assert found["b"].text == "second"


def test_unknown_fields_of_a_newer_version_are_ignored():
    record = reply("a").as_dict() | {"from_the_future": 1}
    assert read_reply(record) == reply("a")


def test_a_closed_store_refuses(tmp_path):
    with pytest.raises(StoreError, match="not open"):
        ReplyStore(tmp_path).add(reply("a"))


def test_the_index_knows_what_counts_as_answered(tmp_path):
    with ReplyStore(tmp_path) as store:
        store.add(reply("a"))
        store.add(reply("a", "error", ""))
        store.add(reply("b", "error", ""))
        store.add(reply("c", "refused", ""))
        seen = store.index
    with ReplyStore(tmp_path, "1") as store:
        assert store.index == seen == {"a": "ok", "b": "error", "c": "refused"}
        assert store.answered() == {"a", "c"}
        assert store.answered(errors_count=True) == {"a", "b", "c"}


def test_shards_of_several_workers_are_read_as_one(tmp_path):
    for worker in ("0", "gpu1", "node-7"):
        with ReplyStore(tmp_path, worker) as store:
            store.add(reply(worker))
            store.add(reply("shared", "ok" if worker == "gpu1" else "error", worker))
    assert [path.name for path in shard_paths(tmp_path)] == [
        "replies-0.jsonl",
        "replies-gpu1.jsonl",
        "replies-node-7.jsonl",
    ]
    assert set(read_replies(tmp_path)) == {"0", "gpu1", "node-7", "shared"}
    assert read_replies(tmp_path, {"shared"}) == {"shared": reply("shared", "ok", "gpu1")}


def test_many_replies_load_fast_and_collection_is_left_as_it_was(tmp_path):
    write_replies(tmp_path / "replies-0.jsonl", (reply(f"{number:064}") for number in range(40_000)))
    for enabled in (True, False):
        (gc.enable if enabled else gc.disable)()
        try:
            started = time.process_time()
            assert len(read_index(tmp_path)) == 40_000
            assert len(read_replies(tmp_path)) == 40_000
            assert time.process_time() - started < 6  # about half a second on an idle machine
            assert gc.isenabled() == enabled
        finally:
            gc.enable()
