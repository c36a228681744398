"""Locks between processes: held against others, waited for, released when their process ends."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from mmdbench.errors import LockedError, StoreError
from mmdbench.system.locks import file_lock, folder_lock


def test_a_second_process_is_refused_until_the_first_one_is_killed(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from mmdbench.system.locks import folder_lock\n"
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


def test_a_folder_is_waited_for(tmp_path):
    released = threading.Event()

    def hold():
        with folder_lock(tmp_path, "testing"):
            held.set()
            time.sleep(0.3)
            released.set()

    held = threading.Event()
    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(10)
    with folder_lock(tmp_path, "waiting", wait_s=10):
        assert released.is_set()
    thread.join()


def test_a_lock_that_is_held_too_long(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    with file_lock(path, wait_s=0), pytest.raises(LockedError, match=r"x\.lock"), file_lock(path, wait_s=0):
        pytest.fail("entered twice")
    assert not path.exists()
    path.write_text("left behind by a process that died")
    with file_lock(path, wait_s=0):
        pass


def test_a_file_system_without_locks_is_an_error(tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl")

    def no_locks(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with pytest.raises(StoreError, match="cannot lock"), folder_lock(tmp_path, "testing"):
        pass


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
def test_a_lock_that_is_a_link_makes_no_file_elsewhere(tmp_path):
    for name in (".lock", "own.lock"):
        (tmp_path / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match="A link is in the way"), folder_lock(tmp_path, "working"):
        pass
    with pytest.raises(StoreError, match="A link is in the way"), file_lock(tmp_path / "own.lock", wait_s=0):
        pass
    assert not (tmp_path / "elsewhere").exists()


def test_a_file_of_the_user_with_the_name_of_a_lock_is_not_removed(tmp_path):
    (tmp_path / "own.lock").write_text("mine")
    with file_lock(tmp_path / "own.lock", wait_s=0):
        pass
    assert (tmp_path / "own.lock").read_text() == "mine"
