"""One run, the same tables: in one process, in two, in four shards and on Ray, also when workers exit."""

from __future__ import annotations

import os
import signal
from functools import partial

import pytest

from child_processes import Child
from engine_runs import QUIET, asked_once, go, seer_card, tables
from mmdbench.benches import open_bench
from mmdbench.errors import ModelError, UsageError
from mmdbench.models.cards import ModelCard
from mmdbench.records import RunPlan
from mmdbench.run.budget import Budget
from mmdbench.run.engines import ray_pool as ray_engine
from mmdbench.run.engines.settings import EngineSettings
from mmdbench.run.manifest import read_manifest
from mmdbench.run.merge import merge_runs
from mmdbench.run.store import read_replies

ray = pytest.importorskip("ray")

THREE = EngineSettings(engine="ray", processes=3)


@pytest.fixture(scope="module")
def one_machine():
    """A cluster of this machine alone, shared by the tests that leave it whole."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in QUIET.items():
            patch.setenv(name, value)
        ray.init(num_cpus=2, include_dashboard=False, object_store_memory=100 << 20, log_to_driver=False)
        yield
        ray.shutdown()


@pytest.fixture
def seer(tmp_path):
    return partial(seer_card, tmp_path)


@pytest.fixture
def toy(make_tsv):
    def make(rows=6, **changes):
        path = make_tsv(rows)
        changes = {"design": "grid", "corruptions": ("graffiti", "dark_illumination"), **changes}
        return RunPlan(model="seer", benches=(str(path),), **changes), [open_bench(path)]

    return make


def test_mini_and_the_grid_give_the_same_tables_on_every_engine(one_machine, seer, tmp_path):
    plan = RunPlan(model="seer", benches=("mini",), design="grid", sample="2")
    planned, count = (plan, [open_bench("mini")]), 2 * 49
    two = EngineSettings(processes=2)
    assert go(planned, seer(), tmp_path / "one").asked == count
    go(planned, seer(), tmp_path / "two", two)
    summary = go(planned, seer(), tmp_path / "ray", THREE)
    assert summary.workers["engine"] == "ray"
    assert sorted(summary.workers["replies"]) == ["1", "2", "3"]
    assert sum(summary.workers["replies"].values()) == count
    for name, engine in (("killed-two", two), ("killed-ray", THREE)):
        trigger = tmp_path / f"{name}-now"
        trigger.touch()
        died = go(planned, seer(once=str(trigger)), tmp_path / name, engine)
        assert died.workers["restarts"] == 1
        assert not trigger.exists()
    shards = [tmp_path / f"shard{n}" for n in range(1, 5)]
    for number, folder in enumerate(shards, 1):
        go(planned, seer(), folder, shard=(number, 4))
    merge_runs(shards, tmp_path / "merged")
    for name in ("two", "ray", "killed-two", "killed-ray", "merged"):
        assert tables(tmp_path / name) == tables(tmp_path / "one"), name
        asked_once(tmp_path / name, count)


def test_a_request_that_kills_its_worker_is_an_error_and_the_others_are_answered(
    one_machine, seer, toy, tmp_path
):
    news = []
    summary = go(
        toy(levels=("clean",)),
        seer(deadly="Question 2?"),
        tmp_path / "run",
        THREE,
        lambda progress: news.append(progress.note),
    )
    replies = {r.index: r for r in read_replies(tmp_path / "run").values()}
    assert (summary.asked, summary.failed, summary.workers["restarts"]) == (6, 1, 3)
    assert "the worker that asked it exited 3 times" in replies[2].reason
    assert {r.status for i, r in replies.items() if i != 2} == {"ok"}
    assert any("exited and is being restarted" in note for note in news)


def test_a_picture_that_kills_what_makes_it_is_an_error_and_the_others_are_answered(
    one_machine, seer, toy, tmp_path, monkeypatch
):
    make_part = ray_engine.make_part

    def make_or_die(part, wanted):
        if any(planned.question.index == 2 for planned in part):
            os._exit(3)
        return make_part(part, wanted)

    monkeypatch.setattr(ray_engine, "make_part", make_or_die)
    # Private: users do not choose it, and 16 crashes take minutes.
    monkeypatch.setattr(ray_engine, "_TASK_RETRIES", 0)
    summary = go(toy(levels=("clean",)), seer(), tmp_path / "run", EngineSettings(engine="ray", processes=1))
    replies = {r.index: r for r in read_replies(tmp_path / "run").values()}
    assert (summary.asked, summary.failed, summary.workers["restarts"]) == (6, 1, 0)
    assert {i for i, r in replies.items() if r.status != "ok"} == {2}


def test_prompts_prints_and_restored_pictures_are_those_of_one_process(one_machine, seer, toy, tmp_path):
    planned = toy(3, restore="opencv-deblock")
    card = seer(own_prompt=True, batch_size=4)
    go(planned, card, tmp_path / "one")
    go(planned, card, tmp_path / "ray", THREE)
    one, two = (read_replies(tmp_path / name) for name in ("one", "ray"))
    assert {k: (r.text, r.details) for k, r in one.items()} == {
        k: (r.text, r.details) for k, r in two.items()
    }
    assert all(r.images[0]["restored"]["name"] == "opencv-deblock" for r in two.values())
    logs = [path.read_text() for path in sorted((tmp_path / "ray" / "logs").iterdir())]
    assert len(logs) == 3
    assert sum(log.count("asked ") for log in logs) == -(-3 * 7 // 4)
    assert all("holds the model: process" in log for log in logs if "asked" in log)


def test_a_budget_stops_a_cluster_and_the_same_call_resumes(one_machine, seer, toy, tmp_path):
    first = go(toy(), seer(), tmp_path / "run", THREE, budget=Budget(requests=9))
    assert (first.asked, first.stopped) == (9, "--max-requests 9 are sent")
    second = go(toy(), seer(), tmp_path / "run", THREE)
    assert (second.earlier, second.asked) == (9, 33)
    asked_once(tmp_path / "run", 42)


def test_errors_of_opening_the_model_reach_the_caller(one_machine, seer, toy, tmp_path):
    with pytest.raises(ModelError, match=r"'seer'.*nonsense"):
        go(toy(2), seer(nonsense=1), tmp_path / "a", THREE)
    served = ModelCard("served", "openai", model="m", endpoint="http://127.0.0.1:9/v1")
    with pytest.raises(UsageError, match="behind a server"):
        go(toy(2), served, tmp_path / "b", THREE)


def test_workers_that_exit_at_once_end_the_run(one_machine, seer, toy, tmp_path):
    card = seer()
    (tmp_path / "seer.py").write_text("import os\nos._exit(3)\n")
    with pytest.raises(ModelError, match="exited 5 times before it answered anything"):
        go(toy(2), card, tmp_path / "run", EngineSettings(engine="ray", processes=1))


def test_gpus_that_no_node_has_are_refused_at_once(one_machine, seer, toy, tmp_path):
    with pytest.raises(ModelError, match="needs 1 GPUs, and the Ray cluster has 0"):
        go(toy(2), seer(), tmp_path / "run", EngineSettings(engine="ray", gpus_each=1))


def test_sigterm_finishes_what_actors_ask_though_ray_has_a_handler_of_its_own(make_tsv, tmp_path):
    cards = tmp_path / "cards.toml"
    cards.write_text('[guess]\nadapter = "chance"\noptions = {seconds = 0.1}\n')
    words = [
        "eval",
        "--model",
        "guess",
        "--model-card",
        cards,
        "--bench",
        make_tsv(60),
        "-o",
        tmp_path / "run",
    ]
    with Child([*words, "--engine", "ray", "--processes", "1", "--quiet"]) as run:
        run.wait_until(lambda: (tmp_path / "run/cells.jsonl").exists() and read_replies(tmp_path / "run"))
        run.send_signal(signal.SIGTERM)
        assert run.wait() == 130, run.stderr
    (session,) = read_manifest(tmp_path / "run")["sessions"]
    assert session["stopped"] == "interrupted"
    assert session["asked"] == len(read_replies(tmp_path / "run")) < 120
