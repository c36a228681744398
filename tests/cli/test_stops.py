"""Verbs that are stopped from outside: what is in flight is stored, and the exit code is 130."""

from __future__ import annotations

import asyncio
import json
import shlex
import signal
import sys
import threading
from importlib import import_module
from importlib.util import find_spec

import pytest

from child_processes import Child, command_line
from faulty_server import FaultyServer
from mmdbench.run.store import read_replies
from pictures import picture, png
from run_folders import question, write_run

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals on Windows")
needs_openai = pytest.mark.skipif(find_spec("openai") is None, reason="needs the extra `api`")
STOPS = (signal.SIGTERM, signal.SIGHUP)


def eval_words(path, folder, url):
    words = ["eval", "--model", f"openai:toy-1@{url}", "--bench", path, "-o", folder, "--quiet"]
    return [*words, "--no-canary", "--level", "clean,hard", "--concurrency", "4"]


def judged_run(tmp_path):
    """A run whose replies a judge must read, with the words that score it."""
    questions = [question(i) for i in range(40)]
    run = write_run(tmp_path / "run", questions, lambda *_: "no idea", family="mmvet", levels=("clean",))
    return run, lambda url: ["score", run, "--judge", f"openai:j@{url}", "--quiet"]


class HeldServer(FaultyServer):
    """Answers the first call, which is made alone, and the others when `answered` is set."""

    def __init__(self):
        super().__init__()
        self.answered = threading.Event()

    def __exit__(self, *_):
        self.answered.set()
        super().__exit__(*_)

    async def _act(self, done, call, writer):
        if call.number:
            await asyncio.to_thread(self.answered.wait)
        return await super()._act(done, call, writer)


def stop_in_flight(words, server, number):
    """Send a signal while requests are in flight, which are answered afterwards; the child's last words."""
    with Child(words) as child:
        child.wait_until(lambda: len(server.calls) > 2)
        child.send_signal(number)
        child.wait_until(lambda: "A second signal ends at once." in child.stderr)
        server.answered.set()
        assert child.wait() == 130, child.stderr
    notice, stopped = (line for line in child.stderr.splitlines() if "stop" in line)
    assert "requests in flight are finished and stored" in notice
    again = shlex.join(["mmdbench", *map(str, words)])
    assert stopped == f"mmdbench: stopped. Run the same command to resume: {again}"
    assert "Traceback" not in child.stderr
    return child


@needs_openai
@pytest.mark.parametrize("number", STOPS)
def test_eval_stores_what_is_in_flight(make_tsv, tmp_path, number):
    run = tmp_path / "run"
    with HeldServer() as server:
        stop_in_flight(eval_words(make_tsv(12), run, server.url), server, number)
        assert len(read_replies(run)) == len(server.calls) < 24
    (session,) = json.loads((run / "manifest.json").read_text())["sessions"]
    assert session["stopped"] == "interrupted"


@needs_openai
@pytest.mark.parametrize("number", STOPS)
def test_score_keeps_the_verdicts_in_flight(tmp_path, number):
    run, words = judged_run(tmp_path)
    with HeldServer() as server:
        stop_in_flight(words(server.url), server, number)
        assert len((run / "judge.jsonl").read_text().splitlines()) == len(server.calls) < 40


@needs_openai
def test_assign_keeps_the_traces_in_flight(make_tsv, tmp_path):
    words = ["assign", "--recipe", "robust-r1", "--bench", make_tsv(60), "-o", tmp_path / "set", "--quiet"]
    with HeldServer() as server:
        stop_in_flight([*words, "--trace", f"openai:w@{server.url}"], server, signal.SIGTERM)
        kept = (tmp_path / "set" / "trace_journal.jsonl").read_text().splitlines()
        assert len(kept) == len(server.calls)


@needs_openai
@pytest.mark.parametrize("verb", ["eval", "score"])
def test_a_second_signal_ends_at_once(make_tsv, tmp_path, verb):
    _, judged = judged_run(tmp_path)
    with HeldServer() as server:
        words = (
            judged(server.url) if verb == "score" else eval_words(make_tsv(12), tmp_path / "e", server.url)
        )
        with Child(words) as child:
            child.wait_until(lambda: len(server.calls) > 2)
            while child.poll() is None:  # until one of them counts as the second
                child.send_signal(signal.SIGTERM)
                threading.Event().wait(0.05)
            assert child.poll() == 130, child.stderr
        assert child.stderr.count("Run the same command to resume") == 1


def wait_in(function, *words):
    """The command line, with a function in it that begins and does not end."""
    module, _, name = function.rpartition(".")

    def wait(*_, **__):
        print("it waits", flush=True)  # noqa: T201 - the test waits for it
        threading.Event().wait()

    setattr(import_module(module), name, wait)
    command_line(*words)


LONG = {
    "build": ("mmdbench.builds.build.write_row", "build --bench {tsv} -o out --corruption graffiti --quiet"),
    "calibrate": ("mmdbench.corruptions.calibration.calibrate", "calibrate pictures -o out.json"),
    "corrupt": (
        "mmdbench.corruptions.files.corrupt_file",
        "corrupt pictures -o out --corruption graffiti --level hard",
    ),
    "list": ("typer.main.get_command", "list corruptions"),  # before the verb begins
    "merge": ("mmdbench.run.merge.save_manifest", "merge run -o out"),
    "page": ("mmdbench.report.page.writing.write_atomic", "page run -o out.html --quiet"),
    "quality": ("mmdbench.results.quality.metrics.open_metrics", "quality pictures"),
}


@pytest.mark.parametrize("verb", LONG)
@pytest.mark.parametrize("number", STOPS)
def test_every_verb_that_works_for_long_ends_in_one_line(make_tsv, tmp_path, monkeypatch, verb, number):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.png").write_bytes(png(picture(1)))
    write_run(tmp_path / "run", [question(i) for i in range(3)], lambda *_: "A", levels=("clean",))
    function, line = LONG[verb]
    words = line.format(tsv=make_tsv(3)).split()
    with Child([function, *words], wait_in) as child:
        child.wait_until(lambda: "it waits" in child.stdout)
        child.send_signal(number)
        assert child.wait() == 130, child.stderr
    *_, last = child.stderr.splitlines()
    assert last == f"mmdbench: stopped. Run the same command to resume: {shlex.join(['mmdbench', *words])}"
    assert "Traceback" not in child.stderr
    assert not list(tmp_path.rglob("*.part"))
