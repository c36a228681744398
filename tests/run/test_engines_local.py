"""Worker processes on this machine: the same replies, also when processes exit."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter, deque
from functools import partial

import pytest

from child_processes import Child, run_command
from engine_runs import asked_once, go, tables
from mmdbench.benches import open_bench
from mmdbench.errors import ModelError, UnknownNameError, UsageError
from mmdbench.models.cards import ModelCard
from mmdbench.records import Cell, Question, Reply, RunPlan
from mmdbench.run.budget import Budget
from mmdbench.run.engines.local_dispatcher import LocalDispatcher
from mmdbench.run.engines.local_pool import LocalWorker
from mmdbench.run.engines.pool import ModelFacts, Workload
from mmdbench.run.engines.settings import EngineSettings, read_gpus, read_runtime_env
from mmdbench.run.manifest import read_manifest
from mmdbench.run.merge import merge_runs
from mmdbench.run.plan import Planned
from mmdbench.run.store import read_replies

MODEL = """
import os, signal, time
from pathlib import Path
from mmdbench.system.digest import bytes_digest
from mmdbench.records import Outcome

class Odd:
    def __init__(self, batch_size=1, seconds=0.0, slow="", deadly="", once="", own_prompt=False, long=0):
        self.long = long
        self.batch_size, self.seconds, self.slow, self.deadly = batch_size, seconds, slow, deadly
        self.once = Path(once) if once else None
        if own_prompt:
            self.prompt = self._worded
    def _worded(self, question, default):
        if self.once and self.once.exists():
            self.once.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        return "In my words: " + question.text
    def fingerprint(self):
        return {"adapter": "odd", "visible": FINGERPRINT}
    def generate(self, requests):
        if self.long:
            return [Outcome("x" * self.long) for _ in requests]
        print("asked", len(requests), flush=True)
        return [self._one(request) for request in requests]
    def _one(self, request):
        if self.deadly and request.question == self.deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.once and self.once.exists():
            self.once.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(1.5 if request.question == self.slow else self.seconds)
        label = "ABCD"[int(bytes_digest(request.images[0].data)[:4], 16) % 4]
        return Outcome(label, details={"gpu": os.environ.get("CUDA_VISIBLE_DEVICES"), "pid": os.getpid()})

FINGERPRINT = 1

def load(card):
    return Odd(**card.options)
"""


@pytest.fixture
def odd(tmp_path):
    """A card of a model whose options say what goes wrong."""
    (tmp_path / "odd_model.py").write_text(MODEL)

    def make(**options):
        return ModelCard("odd", str(tmp_path / "odd_model.py"), options=options)

    return make


@pytest.fixture
def plan_of(make_tsv):
    def make(rows=8, **changes):
        path = make_tsv(rows)
        changes = {"design": "grid", "corruptions": ("graffiti", "dark_illumination"), **changes}
        return RunPlan(model="odd", benches=(str(path),), **changes), [open_bench(path)]

    return make


ONE, TWO = EngineSettings(processes=1), EngineSettings(processes=2)


def test_tables_are_the_same_from_one_process_two_and_shards(odd, plan_of, tmp_path):
    planned = plan_of()
    go(planned, odd(), tmp_path / "one")
    summary = go(planned, odd(batch_size=3), tmp_path / "two", TWO)
    assert summary.workers["engine"] == "local"
    assert sum(summary.workers["replies"].values()) == summary.asked == 8 * 7
    shards = [tmp_path / f"shard{n}" for n in range(1, 5)]
    for number, folder in enumerate(shards, 1):
        go(planned, odd(), folder, TWO if number == 2 else None, shard=(number, 4))
    merge_runs(shards, tmp_path / "merged")
    for name in ("two", "merged"):
        assert tables(tmp_path / name) == tables(tmp_path / "one")
        asked_once(tmp_path / name, 56)


def test_a_killed_worker_is_started_again_and_nothing_is_lost_or_doubled(odd, plan_of, tmp_path):
    planned = plan_of(10)
    go(planned, odd(), tmp_path / "whole")
    trigger, news = tmp_path / "now", []
    trigger.touch()
    summary = go(
        planned,
        odd(batch_size=4, once=str(trigger)),
        tmp_path / "killed",
        TWO,
        lambda progress: news.append(progress.note),
    )
    assert not trigger.exists()
    assert summary.workers["restarts"] == 1
    assert any("exited (signal 9) and was restarted" in note for note in news)
    assert tables(tmp_path / "killed") == tables(tmp_path / "whole")
    asked_once(tmp_path / "killed", 70)
    assert read_replies(tmp_path / "killed").keys() == read_replies(tmp_path / "whole").keys()


def test_a_request_that_kills_its_worker_is_an_error_and_the_others_are_answered(odd, plan_of, tmp_path):
    planned = plan_of(6, levels=("clean",))
    summary = go(planned, odd(batch_size=4, deadly="Question 2?"), tmp_path / "run", TWO)
    replies = {r.index: r for r in read_replies(tmp_path / "run").values()}
    assert (summary.asked, summary.failed, summary.workers["restarts"]) == (6, 1, 3)
    assert replies[2].reason == "the worker that asked it exited 3 times (signal 9)"
    assert Counter(r.status for r in replies.values()) == {"ok": 5, "error": 1}


def test_workers_that_exit_at_once_end_the_run_and_name_their_log(odd, plan_of, tmp_path):
    card = odd()
    (tmp_path / "odd_model.py").write_text("import os\nprint('too large', flush=True)\nos._exit(3)\n")
    with pytest.raises(
        ModelError, match=r"exited 5 times before it answered anything \(exit code 3\)"
    ) as caught:
        go(plan_of(2), card, tmp_path / "run", ONE)
    assert "worker-" in caught.value.hint
    assert "too large" in (tmp_path / "run" / "logs" / "worker-1.log").read_text()


def test_errors_of_opening_the_model_reach_the_caller(odd, plan_of, tmp_path):
    with pytest.raises(ModelError, match=r"'odd'.*nonsense"):
        go(plan_of(2), odd(nonsense=1), tmp_path / "a", ONE)
    with pytest.raises(UnknownNameError, match="chanec"):
        go(plan_of(2), ModelCard("x", "chanec"), tmp_path / "b", ONE)
    served = ModelCard("served", "openai", model="m", endpoint="http://127.0.0.1:9/v1")
    with pytest.raises(UsageError, match="behind a server"):
        go(plan_of(2), served, tmp_path / "c", ONE)


def test_workers_with_different_models_are_refused(odd, plan_of, tmp_path):
    card = odd(seconds=0.05)
    source = MODEL.replace("FINGERPRINT = 1", "FINGERPRINT = os.getpid()")
    (tmp_path / "odd_model.py").write_text(source)
    with pytest.raises(ModelError, match="another model than the others"):
        go(plan_of(8), card, tmp_path / "run", TWO)


def test_each_gpu_has_a_process_that_sees_it_alone(odd, plan_of, tmp_path):
    engine = EngineSettings(gpus=read_gpus("2, 5"))
    go(plan_of(12), odd(seconds=0.02), tmp_path / "run", engine)
    seen = {(r.details["gpu"], r.details["pid"]) for r in read_replies(tmp_path / "run").values()}
    assert {gpu for gpu, _ in seen} == {"2", "5"}
    assert len(seen) == 2


def test_requests_that_a_slow_worker_has_not_begun_are_taken_from_it(odd, plan_of, tmp_path):
    planned = plan_of(10, levels=("clean",))
    go(planned, odd(batch_size=2, slow="Question 0?", seconds=0.01), tmp_path / "run", TWO)
    by_worker = Counter(r.details["pid"] for r in read_replies(tmp_path / "run").values())
    slow = next(r.details["pid"] for r in read_replies(tmp_path / "run").values() if r.index == 0)
    assert sum(by_worker.values()) == 10
    assert by_worker[slow] <= 2  # the batch that it was asking
    asked_once(tmp_path / "run", 10)


def test_prompts_are_worded_by_the_model_and_prints_go_to_the_log(odd, plan_of, tmp_path):
    go(plan_of(4, levels=("clean",)), odd(own_prompt=True), tmp_path / "run", TWO)
    replies = read_replies(tmp_path / "run").values()
    assert {r.details["prompt"] for r in replies} == {f"In my words: Question {n}?" for n in range(4)}
    logs = [path.read_text() for path in sorted((tmp_path / "run" / "logs").iterdir())]
    assert len(logs) == 2
    assert sum(log.count("asked") for log in logs) == 4


def test_a_worker_may_exit_while_it_words_a_prompt(odd, plan_of, tmp_path):
    trigger = tmp_path / "now"
    trigger.touch()
    go(plan_of(4, levels=("clean",)), odd(own_prompt=True, once=str(trigger)), tmp_path / "run", TWO)
    assert not trigger.exists()
    replies = read_replies(tmp_path / "run").values()
    assert {r.details["prompt"] for r in replies} == {f"In my words: Question {n}?" for n in range(4)}


def test_replies_larger_than_a_pipe_arrive_whole(odd, plan_of, tmp_path):
    summary = go(plan_of(3), odd(long=300_000), tmp_path / "run", ONE)
    assert (summary.asked, summary.failed, summary.workers["restarts"]) == (21, 0, 0)
    assert {len(r.text) for r in read_replies(tmp_path / "run").values()} == {300_000}


def test_restored_pictures_are_the_same_in_workers(odd, plan_of, tmp_path):
    planned = plan_of(3, restore="opencv-deblock")
    go(planned, odd(), tmp_path / "one")
    go(planned, odd(), tmp_path / "two", ONE)
    one, two = (read_replies(tmp_path / name) for name in ("one", "two"))
    assert {k: r.text for k, r in one.items()} == {k: r.text for k, r in two.items()}
    assert all(r.images[0]["restored"]["name"] == "opencv-deblock" for r in two.values())


def test_a_budget_stops_workers_and_the_same_call_resumes(odd, plan_of, tmp_path):
    planned = plan_of(8)
    first = go(planned, odd(), tmp_path / "run", TWO, budget=Budget(requests=9))
    assert (first.asked, first.stopped) == (9, "--max-requests 9 are sent")
    second = go(planned, odd(), tmp_path / "run", TWO)
    assert (second.earlier, second.asked) == (9, 47)
    asked_once(tmp_path / "run", 56)


def _words(path, cards, folder):
    words = ["eval", "--model", "guess", "--model-card", cards, "--bench", path, "-o", folder]
    return [*words, "--quiet", "--processes", "2"]


def _has_asked(folder):
    return (folder / "cells.jsonl").exists() and read_replies(folder)


def test_ctrl_c_finishes_what_workers_ask_and_the_same_command_resumes(make_tsv, tmp_path):
    cards = tmp_path / "cards.toml"
    cards.write_text('[guess]\nadapter = "chance"\noptions = {seconds = 0.1}\n')
    words = [*_words(make_tsv(20), cards, tmp_path / "run"), "--level", "clean,hard"]
    with Child(words) as run:
        run.wait_until(lambda: _has_asked(tmp_path / "run"))
        run.send_signal(signal.SIGINT)
        assert run.wait() == 130
    assert "Run the same command" in run.stderr
    assert 0 < len(read_replies(tmp_path / "run")) < 40
    assert "workers: 1 gave" in run_command(*words)
    asked_once(tmp_path / "run", 40)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_workers_finish_when_a_signal_reaches_their_whole_group(make_tsv, tmp_path, odd, number):
    cards = tmp_path / "cards.toml"
    cards.write_text(f"[guess]\nadapter = {str(tmp_path / 'odd_model.py')!r}\noptions = {{seconds = 0.2}}\n")
    odd()
    with Child(_words(make_tsv(30), cards, tmp_path / "run")) as run:
        run.wait_until(lambda: _has_asked(tmp_path / "run"))
        workers = {r.details["pid"] for r in read_replies(tmp_path / "run").values()}
        for pid in (*workers, run.pid):
            os.kill(pid, number)
        assert run.wait() == 130, run.stderr
    assert "restarted" not in run.stderr
    (session,) = read_manifest(tmp_path / "run")["sessions"]
    assert session["requests_sent"] == len(read_replies(tmp_path / "run")) < 30
    assert not any(_lives(pid) for pid in workers)


def test_a_driver_that_is_killed_leaves_no_worker_behind(make_tsv, tmp_path, odd):
    cards = tmp_path / "cards.toml"
    cards.write_text(f"[guess]\nadapter = {str(tmp_path / 'odd_model.py')!r}\noptions = {{seconds = 0.3}}\n")
    odd()
    with Child(_words(make_tsv(30), cards, tmp_path / "run")) as run:
        run.wait_until(lambda: _has_asked(tmp_path / "run"))
    workers = {r.details["pid"] for r in read_replies(tmp_path / "run").values()}
    assert workers
    deadline = time.time() + 30
    while any(_lives(pid) for pid in workers):
        assert time.time() < deadline
        time.sleep(0.1)


def _lives(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"engine": "lcoal"}, "Did you mean 'local'"),
        ({"processes": -1}, "must be at least 0"),
        ({"gpus": ("0", "1"), "processes": 3}, "names 2 GPUs"),
        ({"engine": "ray", "gpus": ("0",)}, "Ray chooses"),
        ({"address": "auto"}, "need --engine ray"),
    ],
)
def test_engine_settings_that_do_not_go_together(settings, message):
    with pytest.raises(UsageError, match=message):
        EngineSettings(**settings)


def test_gpus_and_runtime_env_are_read(tmp_path):
    assert read_gpus("0,1, 3") == ("0", "1", "3")
    with pytest.raises(UsageError, match="more than once"):
        read_gpus("0,0")
    path = tmp_path / "env.yaml"
    path.write_text("env_vars: {HF_HOME: /shared/hf}\n")
    assert read_runtime_env(path) == {"env_vars": {"HF_HOME": "/shared/hf"}}
    path.write_text("- a\n")
    with pytest.raises(UsageError, match="must hold a mapping"):
        read_runtime_env(path)
    with pytest.raises(UsageError, match="Cannot read"):
        read_runtime_env(tmp_path / "none.yaml")


class _FakePool:
    """Workers without processes; their messages come from a list."""

    def __init__(self, workers):
        self.workers = workers
        self.messages = deque()

    def next_message(self):
        return self.messages.popleft() if self.messages else (None, None)


class _Spending:
    reason, sent = "", 0

    def start(self):
        self.sent += 1
        return True

    def check_time(self):
        pass


def test_requests_taken_from_a_slow_worker_are_not_given_back_to_it(tmp_path):
    planned = [Planned(str(n), Cell("b", n, "clean"), Question("b", n, {}), "", ()) for n in range(4)]
    slow, idle = (LocalWorker(n, tmp_path / "log", facts=ModelFacts({}, 2, rewords=False)) for n in (1, 2))
    pool, sent = _FakePool([slow, idle]), []
    for worker in (slow, idle):
        worker.send = partial(lambda worker, *message: sent.append((worker.number, *message)), worker)
    slow.assigned = {p.key: p for p in planned}
    slow.in_flight = {"0", "1"}
    pool.messages.extend(
        [(slow, ("recalled", ["2", "3"]))]
        + [(slow, ("reply", _reply(n))) for n in "01"]
        + [(idle, ("reply", _reply(n))) for n in "23"]
    )
    LocalDispatcher(pool, Workload([], _Spending(), lambda _: None, lambda _: None)).run()
    assert [(number, kind) for number, kind, *_ in sent] == [(1, "recall"), (2, "ask"), (2, "ask")]


def _reply(key):
    return Reply(key, "b", int(key), "clean", None, "ok", "A")
