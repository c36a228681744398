"""`eval --serve`: a server that is started for a run, waited for, used, and ended whatever happens."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from child_processes import Child
from faulty_server import FaultyServer
from mmdbench.cli.evaluate import evaluate
from mmdbench.errors import ModelError, UsageError
from mmdbench.models.cards import find_card, set_options
from mmdbench.models.local_server import LocalServer
from mmdbench.run.manifest import read_manifest
from mmdbench.run.store import read_replies
from verb_calls import call

SUPPORT = str(Path(__file__).parents[1] / "support")
# A server whose own child outlives it unless the whole group is ended; "pids" holds both of them.
SERVER = f"""
import subprocess, sys, time; sys.path.insert(0, {SUPPORT!r})
from faulty_server import FaultyServer
child = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"])
import os; open(sys.argv[2], "w").write(f"{{os.getpid()}} {{child.pid}}")
print("the weights are loaded", flush=True)
with FaultyServer(port=int(sys.argv[1])): time.sleep(600)
"""


def command(*words):
    return shlex.join(str(word) for word in words).replace("'{port}'", "{port}")


def python(code, *words):
    return command(sys.executable, "-S", "-c", code, *words)


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with suppress(
        FileNotFoundError
    ):  # a process that has ended and is not waited for has no number of its own
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return sys.platform != "linux"


def ended(pids):
    deadline = time.monotonic() + 20
    while any(alive(int(pid)) for pid in pids.read_text().split()):
        assert time.monotonic() < deadline, "the server or its child still runs"
        time.sleep(0.01)
    return True


def server(words, minutes=1.0, *settings):
    return LocalServer(words, set_options(find_card("vllm:toy-1"), settings), minutes)


def started(words, tmp_path, minutes=1.0):
    with server(words, minutes) as one:
        one.start(tmp_path / "logs" / "server.log", lambda sentence: None)


def test_a_run_starts_uses_and_ends_its_server_and_resumes_with_another_port(tmp_path, make_tsv):
    pids = tmp_path / "pids"
    words = [
        "--model",
        "vllm",
        "--serve",
        python(SERVER, "{port}", pids),
        "--bench",
        make_tsv(3),
        "-o",
        tmp_path / "run",
    ]
    said = call(evaluate, *words, "--quiet", "--no-canary")
    assert f"what it prints is in {tmp_path / 'run' / 'logs' / 'server.log'}" in said
    assert ended(pids)
    replies = read_replies(tmp_path / "run")
    assert {reply.status for reply in replies.values()} == {"ok"}
    assert (tmp_path / "run" / "logs" / "server.log").read_text() == "the weights are loaded\n"
    pids.unlink()
    call(evaluate, *words, "--quiet", "--no-canary")
    assert read_replies(tmp_path / "run").keys() == replies.keys(), "another port is the same server"
    assert ended(pids)
    assert "serve-" in str(read_manifest(tmp_path / "run"))


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_an_interrupted_run_ends_its_server(stop, tmp_path, make_tsv):
    pids, out = tmp_path / "pids", tmp_path / "run"
    serve = python(SERVER.replace("FaultyServer(port", "FaultyServer(seconds=600, port"), "{port}", pids)
    words = ["--model", "vllm", "--serve", serve, "--bench", make_tsv(3), "--no-canary", "--quiet", "-o", out]
    with Child(["eval", *words]) as run:
        run.wait_until((out / "manifest.json").is_file)  # from here on it is asked
        while run.poll() is None:
            run.send_signal(stop)  # the first one waits for requests in flight
            time.sleep(0.05)
        assert ended(pids)


def test_an_error_ends_the_server(tmp_path):
    pids = tmp_path / "pids"

    def fail(one):
        one.start(tmp_path / "server.log", lambda sentence: None)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), server(python(SERVER, "{port}", pids)) as one:
        fail(one)
    assert ended(pids)


def test_a_server_that_ends_is_noticed_with_its_last_lines(tmp_path, monkeypatch):
    monkeypatch.setenv("MY_API_KEY", "sk-secret-word")
    code = "import sys; [print('line', n) for n in range(40)]; print('no GPU, sk-secret-word'); sys.exit(7)"
    with pytest.raises(ModelError, match=r"ended with exit code 7\. Its last lines:\n  line 29\n") as caught:
        started(python(code), tmp_path)
    assert "no GPU, [hidden]" in str(caught.value)
    with pytest.raises(ModelError, match=r"ended by signal 9\. It printed nothing"):
        started(python("import os; os.kill(os.getpid(), 9)"), tmp_path)
    with pytest.raises(ModelError, match="Cannot run no-such-server: No such file"):
        started("no-such-server", tmp_path)


def test_a_server_that_ends_while_it_is_used_is_reported(tmp_path):
    answers_once = SERVER.replace(": time.sleep(600)", " as it:\n  while not it.seen: time.sleep(0.01)")
    said = []
    with server(python(answers_once, "{port}", tmp_path / "pids")) as one:
        one.start(tmp_path / "server.log", said.append)
        leader = int((tmp_path / "pids").read_text().split()[0])
        deadline = time.monotonic() + 20
        while alive(leader):
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert said[1:] == ["The server ended with exit code 0. Its last lines:\n  the weights are loaded"]
    assert ended(tmp_path / "pids")


def test_the_wait_is_bounded(tmp_path):
    with pytest.raises(
        ModelError, match=r"There is no answer at http://127\.0\.0\.1:\d+/v1 after 0\.001 minutes: allow more"
    ):
        started(
            python("import time; print('loading', flush=True); time.sleep(600)", "{port}"), tmp_path, 0.001
        )


def test_what_cannot_be_served_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"'gpt-4\.1-mini' is not asked here"):
        LocalServer("x", find_card("gpt-4.1-mini"), 1)
    with pytest.raises(UsageError, match="cannot be read: No closing quotation"):
        server("vllm serve 'x")
    with pytest.raises(UsageError, match="needs a command"):
        server(" ")
    with pytest.raises(UsageError, match="--serve-minutes must be above 0"):
        server("x", 0)
    with FaultyServer() as other, pytest.raises(UsageError, match=r"answers at .* already"):
        LocalServer("x", find_card(f"vllm:toy-1@{other.url}"), 1).start(
            tmp_path / "log", lambda sentence: None
        )


def test_the_server_is_known_by_its_command_and_keeps_a_label_of_the_users():
    first, again, other = (server(f"vllm serve {name} --port {{port}}").card for name in "aab")
    assert first.options == again.options != other.options
    assert first.endpoint != again.endpoint
    assert server("x", 1.0, "served_by=lab").card.options["served_by"] == "lab"
    assert server("x --port 8000").card.endpoint == "http://127.0.0.1:8000/v1"


def test_it_may_be_started_in_another_thread(tmp_path):
    pids, failures = tmp_path / "pids", []

    def run():
        try:
            started(python(SERVER, "{port}", pids), tmp_path)
        except Exception as error:  # noqa: BLE001 - shown below
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(30)
    assert failures == []
    assert ended(pids)
