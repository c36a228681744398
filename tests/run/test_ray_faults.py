"""Faults of a Ray cluster, played by objects in place of Ray's."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from engine_runs import asked_once, seer_card
from mmdbench.benches import open_bench
from mmdbench.errors import ModelError, UsageError
from mmdbench.models.cards import ModelCard
from mmdbench.records import RunPlan
from mmdbench.run.engines.ray_actor import RayActor, checked_versions
from mmdbench.run.engines.ray_pool import RayPool
from mmdbench.run.inputs import RunInputs
from mmdbench.run.manifest import read_manifest
from mmdbench.run.runner import run_plan
from mmdbench.run.store import read_replies


class RayError(Exception):
    pass


class RayActorError(RayError):
    pass


class OutOfMemoryError(RayError):
    pass


class WorkerCrashedError(RayError):
    pass


class RuntimeEnvSetupError(RayError):
    pass


class RayTaskError(RayError):
    cause: Exception


def task_error(cause):
    """As Ray raises it: of its own class and, where that goes, of its cause's."""
    error = type("RayTaskError", (RayTaskError, type(cause)), {"__init__": lambda *_: None})()
    error.cause = cause
    return error


class Ref:
    """A call that is made when its result is asked for."""

    def __init__(self, call):
        self.call = call


class Actor:
    """A worker; every call after the one that killed it raises the same."""

    def __init__(self, ray, worker):
        self.ray, self.worker, self.died = ray, worker, None
        ray.actors.append(self)
        self.number = len(ray.actors)

    def __getattr__(self, name):
        return SimpleNamespace(remote=lambda *given: Ref(lambda: self._call(name, given)))

    def _call(self, name, given):
        given = [self._there(one) if isinstance(one, Ref) else one for one in given]
        if self.died is None:
            self.died = self.ray.fault(self.number, name, given)
        if self.died is not None:
            error, self.died = self.died, self.died if isinstance(self.died, self.ray.deaths) else None
            raise error
        return getattr(self.worker, name)(*given)

    def _there(self, ref):
        try:
            return ref.call()
        except RayError as error:
            raise task_error(error) from error


class Ray:
    """As much of Ray as the engine uses; `fault(actor, method, arguments)` is the fault."""

    exceptions = SimpleNamespace(
        RayError=RayError,
        RayActorError=RayActorError,
        OutOfMemoryError=OutOfMemoryError,
        RayTaskError=RayTaskError,
    )
    deaths = (RayActorError, OutOfMemoryError)

    def __init__(self, fault=lambda *_: None, make_fault=lambda _: None):
        self.fault, self.make_fault, self.actors, self.options = fault, make_fault, [], []

    def remote(self, what):
        if isinstance(what, type):
            return SimpleNamespace(options=lambda **_: self._kind(what))
        return SimpleNamespace(options=lambda **options: self._task(what, options))

    def _kind(self, what):
        return SimpleNamespace(remote=lambda *given: Actor(self, what(*given)))

    def _task(self, what, options):
        self.options.append(options)

        def make(part, wanted):
            error = self.make_fault(part)
            if error is not None:
                raise error
            return what(part, wanted)

        return SimpleNamespace(remote=lambda *given: Ref(lambda: make(*given)))

    def get(self, ref, timeout=None):
        return ref.call()

    def wait(self, refs, num_returns, timeout, fetch_local):
        return list(refs[:num_returns]), list(refs[num_returns:])

    def nodes(self):
        return []

    def cluster_resources(self):
        return {}

    def kill(self, actor, no_restart):
        pass


@pytest.fixture(autouse=True)
def _no_ray(monkeypatch):
    """Ray itself, where it is installed, starts a cluster as soon as a worker asks which node it is on."""
    monkeypatch.setitem(sys.modules, "ray", None)


@pytest.fixture
def run(make_tsv, tmp_path):
    """Six questions, asked of two workers."""
    path = make_tsv(6)

    def go(ray, **options):
        card = seer_card(tmp_path, **options)
        pool = RayPool(ray, card, 2, 0, tmp_path / "run")
        plan = RunPlan(model="seer", benches=(str(path),), levels=("clean",))
        return run_plan(RunInputs(plan, [open_bench(path)], pool, card, tmp_path / "run"))

    return go


def stored(tmp_path):
    return {reply.index: reply for reply in read_replies(tmp_path / "run").values()}


@pytest.mark.parametrize("when", ["ask", "open", "prompt"])
def test_a_worker_killed_for_memory_is_started_again(run, tmp_path, when):
    def fault(actor, method, _):
        return OutOfMemoryError("the memory monitor") if (actor, method) == (1, when) else None

    summary = run(Ray(fault), own_prompt=True)
    assert (summary.asked, summary.failed, summary.workers["restarts"]) == (6, 0, 1)
    asked_once(tmp_path / "run", 6)


@pytest.mark.parametrize("error", [WorkerCrashedError("crashed"), OutOfMemoryError("memory")])
def test_a_picture_that_kills_what_makes_it_is_an_error_and_no_worker_is_blamed(run, tmp_path, error):
    ray = Ray(make_fault=lambda part: error if any(planned.question.index == 2 for planned in part) else None)
    summary = run(ray)
    assert (summary.asked, summary.failed, summary.workers["restarts"]) == (6, 1, 0)
    assert {index for index, reply in stored(tmp_path).items() if reply.status == "error"} == {2}
    assert 0 < ray.options[0]["max_retries"] < 100


def test_a_task_that_fails_otherwise_ends_the_run(run):
    def fault(_, method, __):
        return task_error(ValueError("odd")) if method == "ask" else None

    with pytest.raises(ModelError, match="Worker 1 failed"):
        run(Ray(fault))


def test_replies_in_flight_are_stored_before_a_late_error_ends_the_run(run, tmp_path):
    def fault(actor, method, _):
        if (actor, method) == (1, "ask"):
            return RayActorError("died")
        return RuntimeEnvSetupError("no such package") if (actor, method) == (3, "open") else None

    ray = Ray(fault)
    ray.wait = newest_first(ray)
    with pytest.raises(ModelError, match="Worker 1 cannot be started: no such package"):
        run(ray, batch_size=2)
    assert len(stored(tmp_path)) >= 2


def test_requests_that_no_worker_got_do_not_count_as_sent(run, tmp_path):
    asked = []

    def fault(actor, method, given):
        if method != "ask":
            return None
        asked.append(actor)
        return task_error(ValueError("odd")) if actor == 1 else None

    with pytest.raises(ModelError, match="Worker 1 failed"):
        run(Ray(fault), batch_size=2)
    (session,) = read_manifest(tmp_path / "run")["sessions"]
    assert session["requests_sent"] == 2 * len(asked) == 2 + len(stored(tmp_path)) == 4


def newest_first(ray):
    """A `wait` that has calls of a worker come back last, and those that open one before."""

    def wait(refs, num_returns, timeout, fetch_local):
        return list(refs[::-1][:num_returns]), list(refs[::-1][num_returns:])

    return wait


@pytest.mark.parametrize("cause", [ValueError("odd"), UsageError("not so")])
def test_errors_of_wording_a_prompt_become_errors_of_ours(run, cause):
    def fault(_, method, __):
        return task_error(cause) if method == "prompt" else None

    with pytest.raises((ModelError, UsageError), match=r"ValueError: odd|^not so") as error:
        run(Ray(fault), own_prompt=True)
    assert not isinstance(error.value, RayError)


@pytest.mark.parametrize("where", ["load", "fingerprint"])
def test_errors_of_opening_an_adapter_are_returned(tmp_path, where):
    (tmp_path / "odd.py").write_text(
        "class Odd:\n"
        "    def generate(self, requests): return []\n"
        "    def fingerprint(self): return {}['fingerprint']\n"
        "def load(card): return {}['load'] if card.options else Odd()\n"
    )
    options = {"early": 1} if where == "load" else {}
    opened = RayActor(ModelCard("odd", str(tmp_path / "odd.py"), options=options), checked_versions()).open()
    assert isinstance(opened.error, ModelError)
    assert f"KeyError: '{where}'" in str(opened.error)
    assert opened.facts is None
