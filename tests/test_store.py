"""Replies on disk: what a crash can do to them, and what it cannot."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from mmdbench.errors import LockedError, StoreError
from mmdbench.files import folder_lock, make_folder, open_atomic, write_atomic
from mmdbench.records import Reply
from mmdbench.store import ReplyStore, read_records, read_replies


def reply(key, status="ok", text="B", index=1):
    return Reply(key, "toy", index, "hard", "graffiti", status, text, images=({"recipe": {}, "pixels": "p"},))


def test_a_reply_comes_back_as_it_was(tmp_path):
    one = reply("k", text='Ein "Ü"\n\u2028 \U0001f600 \ud800')
    with ReplyStore(tmp_path) as store:
        store.add(one)
    assert read_replies(tmp_path) == {"k": one}


def test_shards_are_json_lines_that_other_tools_read(tmp_path):
    with ReplyStore(tmp_path, "7") as store:
        store.add(reply("a"))
        store.add(reply("b"))
    lines = (tmp_path / "replies-7.jsonl").read_bytes().splitlines()
    assert [json.loads(line)["key"] for line in lines] == ["a", "b"]


@pytest.mark.parametrize("cut", [1, 10, 60])
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
    assert Reply.from_dict(record) == reply("a")


def test_a_closed_store_refuses(tmp_path):
    with pytest.raises(StoreError, match="not open"):
        ReplyStore(tmp_path).add(reply("a"))


def test_a_second_process_is_refused_and_the_lock_dies_with_its_holder(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from mmdbench.files import folder_lock\n"
        "with folder_lock(Path(sys.argv[1]), 'waiting'):\n"
        "    print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(LockedError, match="Another process is testing"), folder_lock(tmp_path, "testing"):
            pass
        holder.kill()
        holder.wait()
        holder.stdout.close()
    with folder_lock(tmp_path, "testing"):
        pass


def test_an_atomic_file_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / "f"
    write_atomic(path, "old")

    def fail_half_way():
        with open_atomic(path) as file:
            file.write(b"half of the new")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


def test_a_file_in_the_way_of_a_folder_is_named(tmp_path):
    (tmp_path / "x").write_text("")
    with pytest.raises(StoreError, match=r"Cannot write .*x.*Name another folder"):
        make_folder(tmp_path / "x" / "y")
