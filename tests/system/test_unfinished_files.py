"""Files that are being written: those of killed processes are removed, those of live ones never."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path

import pytest

from child_processes import Child
from mmdbench.system.files import open_atomic, write_atomic

fcntl = pytest.importorskip("fcntl")  # nothing is removed on Windows


def write_for_ever(path):
    with open_atomic(Path(path)) as file:
        file.write(b"half of it")
        file.flush()
        print("it writes", flush=True)  # noqa: T201 - the test waits for it
        threading.Event().wait()


def write_whole(path):
    write_atomic(Path(path), "whole")


def parts(folder):
    return sorted(path.name for path in folder.glob(".*.part"))


@pytest.mark.parametrize("name", ["f", "a.json", "n" * 250])
def test_what_a_killed_process_left_is_removed_by_the_next_one(tmp_path, name):
    with Child([tmp_path / name], write_for_ever) as writer:
        writer.wait_until(lambda: "it writes" in writer.stdout)
    assert len(parts(tmp_path)) == 1
    with Child([tmp_path / "another"], write_whole) as second:
        assert second.wait() == 0, second.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["another"]


def test_what_a_live_process_writes_is_left_alone(tmp_path):
    with Child([tmp_path / "f"], write_for_ever) as writer:
        writer.wait_until(lambda: "it writes" in writer.stdout)
        before = parts(tmp_path)
        with Child([tmp_path / "f"], write_whole) as second:
            assert second.wait() == 0, second.stderr
        assert parts(tmp_path) == before != []
    assert (tmp_path / "f").read_text() == "whole"


def test_a_file_that_is_taken_for_left_behind_is_begun_again(tmp_path, monkeypatch):
    """As by another thread, which looks for such files before this one has its lock."""
    made = []

    def taken_once(**words):
        handle, name = real(**words)
        made.append(name)
        if len(made) == 1:
            Path(name).unlink()
        return handle, name

    real = tempfile.mkstemp
    monkeypatch.setattr(tempfile, "mkstemp", taken_once)
    write_atomic(tmp_path / "f", "whole")
    assert len(made) == 2
    assert (tmp_path / "f").read_text() == "whole"


def test_what_another_machine_or_program_writes_is_left_alone(tmp_path, monkeypatch):
    names = [".f.0a1b2c3d-17-abcdefgh.part", ".f.abcdefgh.part", "f.part", ".f-17-abcdefgh.part"]
    for name in names:
        (tmp_path / name).write_text("theirs")
    with Child([tmp_path / "f"], write_whole) as one:
        assert one.wait() == 0, one.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["f", *names])


def test_a_link_with_such_a_name_leads_nowhere(tmp_path):
    with Child([tmp_path / "f"], write_for_ever) as writer:
        writer.wait_until(lambda: "it writes" in writer.stdout)
    (part,) = parts(tmp_path)
    kept = tmp_path / "kept"
    (tmp_path / part).rename(kept)
    (tmp_path / part).symlink_to(kept)
    with Child([tmp_path / "f"], write_whole) as one:
        assert one.wait() == 0, one.stderr
    assert kept.read_text() == "half of it"


def test_a_file_that_is_removed_before_it_has_its_lock_is_begun_again(tmp_path, monkeypatch):
    flock, removed = fcntl.flock, []

    def late(handle, how):
        if not removed:
            removed.extend(tmp_path.iterdir())
            removed[0].unlink()
        flock(handle, how)

    monkeypatch.setattr("fcntl.flock", late)
    write_atomic(tmp_path / "f", "whole")
    assert len(removed) == 1
    assert (tmp_path / "f").read_text() == "whole"


def test_a_file_system_without_locks_loses_nothing(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", refuse)
    write_atomic(tmp_path / "f", "whole")
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


def test_files_have_the_rights_that_the_umask_leaves(tmp_path):
    write_atomic(tmp_path / "f", "x")
    (tmp_path / "g").write_text("x")
    assert (tmp_path / "f").stat().st_mode == (tmp_path / "g").stat().st_mode
