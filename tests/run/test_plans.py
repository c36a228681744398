"""Before and around a run: forecasts, precision, shards, merging, and what the manifest keeps."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import pytest
import typer
from typer.testing import CliRunner

from mmdbench.benches import open_bench
from mmdbench.cli import app
from mmdbench.cli._shared.errors import guarded
from mmdbench.corruptions.spec_file import load_spec
from mmdbench.errors import DataError, IncomparableError, StoreError, UsageError
from mmdbench.models.prices import Price
from mmdbench.records import Outcome, RunPlan
from mmdbench.results.graded_run import load_results
from mmdbench.results.precision import half_width_points, until_precise
from mmdbench.run.budget import Budget
from mmdbench.run.forecast import forecast
from mmdbench.run.inputs import RunInputs, RunSettings
from mmdbench.run.json_lines import read_records
from mmdbench.run.merge import merge_runs
from mmdbench.run.runner import run_plan, shard_of
from mmdbench.run.store import read_replies
from mmdbench.variants.design import plan_cells
from recording_model import CARD, Recorder, toy_run
from run_folders import change_manifest

PRICED = replace(CARD, price=Price(2.0, 10.0, "2025-01-01"), images={"tokens": {"base": 100, "per_tile": 0}})


def call(*args, code=0):
    result = CliRunner().invoke(app, [str(a) for a in args], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result.output


def foretell(path, folder, card=PRICED, model=None, **changes):
    plan = RunPlan(model=card.name, benches=(str(path),), **changes)
    return forecast(RunInputs(plan, [open_bench(path)], model or Recorder(), card, folder))


class Counting(Recorder):
    """Says what each answer cost."""

    def generate(self, requests):
        return [
            replace(o, details={"usage": {"prompt": 1000, "completion": 50}})
            for o in super().generate(requests)
        ]


def test_a_forecast_counts_without_asking(make_tsv, tmp_path):
    model = Recorder()
    found = foretell(make_tsv(12), tmp_path / "run", model=model)
    assert model.asked == []
    assert (found.requests, found.answered, found.to_ask, found.images) == (48, 0, 48, 48)
    assert found.questions == {"toy": 12}
    assert 48 * 120 < found.tokens_read < 48 * 250
    assert found.usd == pytest.approx(found.tokens_read * 2e-6 + found.tokens_written * 1e-5)
    assert found.seconds is None
    assert not list((tmp_path / "run").glob("replies*"))
    assert not (tmp_path / "run" / "manifest.json").exists()


def test_a_forecast_knows_what_is_answered_and_what_it_cost(make_tsv, tmp_path):
    path = make_tsv(12)
    toy_run(path, tmp_path / "run", Counting(), sample="6")
    found = foretell(path, tmp_path / "run")
    assert (found.requests, found.answered, found.to_ask) == (48, 24, 24)
    assert (found.tokens_read, found.tokens_written) == (24_000, 1200)
    assert found.usd == pytest.approx(0.06)
    assert found.seconds > 0
    assert "24 earlier replies" in found.basis
    beside = foretell(path, tmp_path / "another")
    assert (beside.answered, beside.tokens_read) == (0, 48_000)
    other = foretell(path, tmp_path / "another", model=Recorder("other"))
    assert "no earlier reply" in other.basis


def test_the_interval_of_a_forecast_is_that_of_its_questions(make_tsv, tmp_path):
    wide, narrow = (foretell(make_tsv(n, name=f"{n}.tsv"), tmp_path / str(n)) for n in (10, 40))
    assert wide.score / narrow.score == pytest.approx(2)
    assert narrow.drop == pytest.approx(196 * (0.1 / 40) ** 0.5, rel=1e-3)
    assert foretell(make_tsv(10), tmp_path / "c", levels=("clean",)).drop is None


def test_a_drop_is_foretold_from_the_questions_of_one_level(make_tsv, tmp_path):
    path = make_tsv(30)
    found = foretell(path, tmp_path / "drawn", design="drawn")
    planned = plan_cells(RunPlan("toy", (str(path),), design="drawn"), [open_bench(path)], load_spec())
    fewest = min(Counter(c.level for _, cells in planned for c in cells if c.level != "clean").values())
    assert found.questions == {"toy": 30}
    assert fewest <= 10
    assert found.drop == pytest.approx(196 * (0.1 / fewest) ** 0.5, rel=1e-3)
    assert foretell(path, tmp_path / "mixed").drop == pytest.approx(196 * (0.1 / 30) ** 0.5, rel=1e-3)


def test_the_interval_of_a_forecast_is_that_of_the_mean_over_benchmarks(make_tsv, tmp_path):
    benches = []
    for name, rows in (("MMStar", 40), ("RealWorldQA", 60), ("CV-Bench-3D", 5), ("R-Bench-Dis", 7)):
        path = make_tsv(rows).rename(tmp_path / f"{name}.tsv")
        benches.append(open_bench(path, family="plain"))

    def widths(*chosen):
        plan = RunPlan("toy", tuple(bench.name for bench in chosen))
        found = forecast(RunInputs(plan, chosen, Recorder(), CARD, tmp_path / "run"))
        return found.score, found.drop

    assert widths(*benches) == widths(*benches[:2])
    assert widths(benches[3])[1] is None  # its pictures are degraded as they are published: nothing drops


@pytest.mark.parametrize(
    ("card", "each"),
    [
        ({"generation": {"max_tokens": 2048}}, 60),
        ({"generation": {"max_tokens": 2048, "reasoning_effort": "none"}}, 60),
        ({"generation": {"max_tokens": 2048, "reasoning_effort": "low"}}, 600),
        ({"generation": {"max_completion_tokens": 300}, "options": {"reasoning": True}}, 300),
        ({"options": {"reasoning": True}}, 600),
    ],
)
def test_a_forecast_reckons_with_thoughts(make_tsv, tmp_path, card, each):
    found = foretell(make_tsv(2), tmp_path / "run", replace(PRICED, **card))
    assert found.tokens_written == 8 * each


def test_dry_run_prints_and_asks_nothing(make_tsv, tmp_path, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    path = make_tsv(10)
    words = (
        "eval",
        "--model",
        "gpt-4.1-mini",
        "--bench",
        path,
        "-o",
        tmp_path / "run",
        "--dry-run",
        "--quiet",
    )
    text = call(*words)
    for part in (
        "40 with 40 images",
        "US dollars at 0.4 / 1.6",
        "1.6 a million tokens (",
        "points on a score",
        "one answer in ten",
    ):
        assert part in text, text
    text = call(*words, "--json")
    found = json.loads(text[text.index("{") :])  # stderr names the day of its retirement
    assert (found["to_ask"], found["answered"]) == (40, 0)
    assert not list((tmp_path / "run").glob("replies*"))


def test_a_budget_in_money_needs_a_price(make_tsv, tmp_path):
    words = ("eval", "--model", "chance", "--bench", make_tsv(2), "-o", tmp_path / "run")
    assert not (tmp_path / "run").exists()
    result = CliRunner().invoke(app, [str(w) for w in (*words, "--max-usd", "3")], catch_exceptions=False)
    assert result.exit_code == 2
    assert "its card has none" in result.output
    with pytest.raises(UsageError, match="must be above 0, got"):
        Budget(usd=0)


def test_a_model_that_is_called_directly_stops_at_its_budget_too(make_tsv, tmp_path):
    path = make_tsv(10)
    plan = RunPlan(model="toy", benches=(str(path),))
    model = Recorder(batch_size=4)
    settings = RunSettings(budget=Budget(requests=10))
    summary = run_plan(RunInputs(plan, [open_bench(path)], model, CARD, tmp_path / "run", settings))
    assert (summary.asked, len(model.asked), summary.stopped) == (10, 10, "--max-requests 10 are sent")
    again = run_plan(RunInputs(plan, [open_bench(path)], model, CARD, tmp_path / "run"))
    assert (again.earlier, again.asked, len(model.asked)) == (10, 30, 40)


def test_a_batch_that_fails_is_halved_until_what_fails_is_alone(make_tsv, tmp_path):
    sizes = []

    class Small(Recorder):
        def generate(self, requests):
            sizes.append(len(requests))
            if len(requests) > 2:
                raise MemoryError("too much at once")
            return [Outcome("B")] * len(requests)

    _, summary = toy_run(make_tsv(4), tmp_path / "run", Small(batch_size=8))
    assert summary.failed == 0
    assert sizes == [8, 4, 2, 2, 4, 2, 2, 8, 4, 2, 2, 4, 2, 2]


def test_an_incomplete_run_is_marked_and_a_later_one_completes_it(make_tsv, tmp_path):
    path = make_tsv(10)
    words = ["eval", "--model", "chance", "--bench", str(path), "-o", str(tmp_path / "run"), "--quiet"]
    result = CliRunner().invoke(app, [*words, "--max-requests", "30"], catch_exceptions=False)
    assert result.exit_code == 4
    assert "30 of 40 planned requests are answered" in result.output
    assert "--max-requests 30 are sent" in result.output
    assert not load_results(tmp_path / "run").complete
    call(*words)
    assert load_results(tmp_path / "run").complete
    for folder, rate in (("a", "0.3"), ("b", "0.2")):
        limited = [*words[:-2], str(tmp_path / folder), "--quiet", "--max-requests", "30"]
        code = 0 if rate == "0.3" else 4
        call(*limited, "--max-error-rate", rate, code=code)


def test_shards_are_disjoint_complete_and_merge_to_the_same_tables(make_tsv, tmp_path):
    path = make_tsv(12)
    merge_app = typer.Typer()
    from mmdbench.cli.merge import merge

    merge_app.command()(guarded(merge))
    words = ["eval", "--model", "chance", "--bench", str(path), "--quiet"]
    call(*words, "-o", tmp_path / "whole")
    keys = []
    for i in (1, 2, 3):
        call(*words, "-o", tmp_path / f"s{i}", "--shard", f"{i}/3")
        keys += [r["key"] for r in read_records(tmp_path / f"s{i}" / "replies-0.jsonl")]
        assert {shard_of(key, 3) for key in read_replies(tmp_path / f"s{i}")} == {i}
    assert len(keys) == len(set(keys)) == 48
    shards = [str(tmp_path / f"s{i}") for i in (3, 1, 2)]
    for _ in range(2):  # again into what a merge made
        result = CliRunner().invoke(merge_app, [*shards, "-o", str(tmp_path / "m")], catch_exceptions=False)
        assert "3 runs, 48 of 48 planned replies" in result.output
    call("report", tmp_path / "m")
    for name in ("report.md", "grades.jsonl"):
        assert (tmp_path / "m" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    other = merge_runs([tmp_path / "s1", tmp_path / "s2", tmp_path / "s3"], tmp_path / "n")
    assert other.replies == 48
    assert (tmp_path / "n" / "replies-0.jsonl").read_bytes() == (
        tmp_path / "m" / "replies-0.jsonl"
    ).read_bytes()
    assert "must be between 1/3 and 3/3, got 4/3" in call(
        *words, "-o", tmp_path / "x", "--shard", "4/3", code=2
    )


def test_a_merge_takes_answers_before_errors_and_refuses_what_is_not_one_run(make_tsv, tmp_path):
    path = make_tsv(4)
    toy_run(path, tmp_path / "a", Recorder(fail=lambda n: n == 2))
    toy_run(path, tmp_path / "b")
    change_manifest(tmp_path / "a", lambda manifest: manifest.update(judge={"id": "j@local"}))
    for order in (("a", "b"), ("b", "a")):
        out = tmp_path / "".join(order)
        assert merge_runs([tmp_path / name for name in order], out).failed == 0
        assert json.loads((out / "manifest.json").read_text())["judge"] is None
    toy_run(path, tmp_path / "c", seed=1)
    with pytest.raises(IncomparableError, match="differ in plan: seed"):
        merge_runs([tmp_path / "a", tmp_path / "c"], tmp_path / "x")
    toy_run(path, tmp_path / "d", Recorder("other"))
    with pytest.raises(IncomparableError, match="differ in model: fingerprint"):
        merge_runs([tmp_path / "a", tmp_path / "d"], tmp_path / "x")
    (tmp_path / "e").mkdir()
    (tmp_path / "e" / "manifest.json").write_text('{"kind": "mmdbench build"}')
    with pytest.raises(StoreError, match="e holds no run"):
        merge_runs([tmp_path / "e"], tmp_path / "x")
    with pytest.raises(UsageError, match="is one of the runs"):
        merge_runs([tmp_path / "a", tmp_path / "b"], tmp_path / "b")
    with pytest.raises(UsageError, match="no merge made"):
        merge_runs([tmp_path / "a"], tmp_path / "b")
    assert not (tmp_path / "x").exists()


class Unsure(Recorder):
    """Right on clean pictures; on degraded ones as often as a fair coin falls on its head."""

    def generate(self, requests):
        outcomes = super().generate(requests)
        right = {q: "ABCD"[int(q.split()[1][:-1]) % 4] for q in (r.question for r in requests)}
        return [
            Outcome(right[r.question] if int(r.key[:8], 16) % 2 else "Z") if o.status == "ok" else o
            for r, o in zip(requests, outcomes, strict=True)
        ]


def test_target_ci_adds_nested_questions_until_it_is_reached(make_tsv, tmp_path):
    path = make_tsv(120)
    bench = open_bench(path)
    model = Unsure()
    plan = RunPlan(model="toy", benches=(str(path),), levels=("clean", "hard"), sample="12")

    def carry_out(current):
        run_plan(RunInputs(current, [bench], model, CARD, tmp_path / "run"))
        return half_width_points(load_results(tmp_path / "run"))

    steps = list(until_precise(plan, [bench], 20.0, carry_out))
    assert len(steps) >= 2
    assert [s.questions for s in steps] == sorted({s.questions for s in steps})
    assert steps[-1].reached
    assert steps[-1].half_width <= 20 < steps[-2].half_width
    assert steps[-1].questions < 120
    assert len(model.asked) == len({r.key for r in model.asked}) == 2 * steps[-1].questions
    unreachable = list(until_precise(plan, [bench], 0.01, carry_out))
    assert (unreachable[-1].questions, unreachable[-1].reached) == (120, False)
    assert [step.exhausted for step in unreachable] == [False] * (len(unreachable) - 1) + [True]
    assert list(until_precise(plan, [bench], 1.0, lambda _: None)) == []
    with pytest.raises(UsageError, match="--target-ci, in points, must be above 0"):
        list(until_precise(plan, [bench], 0.0, carry_out))


def test_target_ci_from_the_command_line(make_tsv, tmp_path):
    words = ("eval", "--model", "chance", "--bench", make_tsv(60), "-o", tmp_path / "run", "--quiet")
    text = call(*words, "--target-ci", "25", "--sample", "10", "--level", "clean,hard")
    assert "(reached)" in text
    asked = len(read_replies(tmp_path / "run"))
    assert 20 <= asked < 120


def test_a_target_that_all_questions_cannot_reach_says_so_and_leaves_the_whole_run(make_tsv, tmp_path):
    words = ("eval", "--model", "chance", "--bench", make_tsv(12), "--level", "clean,hard", "--quiet")
    text = call(*words, "-o", tmp_path / "grown", "--target-ci", "0.5", "--sample", "6")
    assert "(not yet)" in text
    assert "12 questions: ± " in text
    assert "(not reached, and no question is left)" in text
    assert "SAMPLE" not in call("report", tmp_path / "grown")
    call(*words, "-o", tmp_path / "whole")
    call("compare", tmp_path / "grown", tmp_path / "whole")  # an error if one were a sample


def test_the_manifest_keeps_sessions_versions_and_the_card_but_no_place(make_tsv, tmp_path):
    path = make_tsv(3)
    card = replace(CARD, options={"checkpoint": str(tmp_path / "weights")}, price=Price(1, 2, "2025-01-01"))
    toy_run(path, tmp_path / "run", Counting(), card)
    toy_run(path, tmp_path / "run", Counting(), card)
    text = (tmp_path / "run" / "manifest.json").read_text()
    manifest = json.loads(text)
    first, second = manifest["sessions"]
    assert (first["asked"], second["asked"], second["answered_before"]) == (12, 0, 12)
    assert first["tokens"] == {"read": 12_000, "written": 600}
    assert first["seconds"] > 0
    assert manifest["model"]["options"] == {"checkpoint": "weights"}
    assert manifest["model"]["price"]["date"] == "2025-01-01"
    assert manifest["git"] is None or len(manifest["git"]["commit"]) == 40
    assert str(tmp_path) not in text


def test_another_price_makes_no_other_run(make_tsv, tmp_path):
    """The shards of one run may be made where prices are of different days."""
    path, shards = make_tsv(3), [tmp_path / "1", tmp_path / "2"]
    for shard, price in zip(shards, (None, Price(1, 2, "2026-01-01", source="litellm 1")), strict=True):
        toy_run(path, shard, Counting(), replace(CARD, price=price))
    assert merge_runs(shards, tmp_path / "whole").replies == 12
    toy_run(path, shards[0], Counting(), replace(CARD, price=Price(3, 4, "2026-02-02")))
    manifest = json.loads((shards[0] / "manifest.json").read_text())
    assert (manifest["model"]["price"]["input"], manifest["model"]["price"]["source"]) == (3, "")


def test_memory_does_not_grow_with_the_replies(make_tsv, tmp_path):
    import tracemalloc

    path = make_tsv(4)
    seen = []

    class Long(Recorder):
        def generate(self, requests):
            return [Outcome("x" * 100_000)] * len(requests)

    plan = RunPlan(model="toy", benches=(str(path),), design="grid")
    bench = open_bench(path)
    tracemalloc.start()
    try:
        run_plan(
            RunInputs(plan, [bench], Long(), CARD, tmp_path / "run"),
            lambda p: seen.append(tracemalloc.get_traced_memory()[0]),
        )
    finally:
        tracemalloc.stop()
    assert len(seen) > 190
    assert max(seen) - seen[20] < 5_000_000  # 19 MB were written


def test_importing_the_models_is_light():
    code = "import sys, mmdbench.models; print({'numpy', 'openai', 'asyncio', 'cv2'} & set(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "set()"


def test_pictures_are_made_ahead_of_the_model_but_not_far(make_tsv, tmp_path, monkeypatch):
    import threading
    import time

    from mmdbench.run import prefetch

    path = make_tsv(20)
    real, lock = prefetch.make_variants, threading.Lock()
    made = []

    def slow_variants(planned, images):
        time.sleep(0.01)
        with lock:
            made.append(planned.key)
        return real(planned, images)

    gaps = []

    class Slow(Recorder):
        def generate(self, requests):
            with lock:
                gaps.append(len(made) - len(self.asked))
            time.sleep(0.01)
            return super().generate(requests)

    monkeypatch.setattr(prefetch, "make_variants", slow_variants)
    plan = RunPlan(model="toy", benches=(str(path),), levels=("clean", "recoded"))
    run_plan(RunInputs(plan, [open_bench(path)], Slow(), CARD, tmp_path / "run", RunSettings(workers=2)))
    assert len(made) == 40
    assert max(gaps) <= 9  # what is asked, and eight ahead: never the whole benchmark in memory
    assert sum(gap > 1 for gap in gaps) > 20  # and the model does not wait for its pictures


@pytest.mark.parametrize("small", [True, False])
def test_pictures_that_take_no_time_are_made_without_threads(make_tsv, tmp_path, monkeypatch, small):
    import threading

    from mmdbench.run import prefetch

    real, makers = prefetch.make_variants, []

    def watched(planned, images):
        makers.append(threading.current_thread() is threading.main_thread())
        if len(makers) == 70:
            raise DataError("a bad picture")
        return real(planned, images)

    monkeypatch.setattr(prefetch, "make_variants", watched)
    # Private: these bounds stand for the speed of a machine, which a test cannot choose.
    monkeypatch.setattr(prefetch, "_SMALL_SECONDS", 1e9 if small else 0.0)
    monkeypatch.setattr(prefetch, "_SLOW_SECONDS", 1e9)
    model = Recorder()
    _, summary = toy_run(make_tsv(20), tmp_path / "run", model)
    assert (summary.asked, summary.failed, len(makers), len(model.asked)) == (80, 1, 80, 79)
    # The first ones are timed, and some more are then in flight.
    assert sum(makers) >= 80 - 32 - 9 if small else not any(makers)
    assert not any(makers[:32])


def test_small_pictures_on_a_slow_disk_are_made_by_threads(make_tsv, tmp_path, monkeypatch):
    import threading
    import time

    from mmdbench.run import prefetch

    real, makers = prefetch.make_variants, []

    def slow(planned, images):
        makers.append(threading.current_thread() is threading.main_thread())
        time.sleep(0.07)  # waiting, not working
        return real(planned, images)

    monkeypatch.setattr(prefetch, "make_variants", slow)
    monkeypatch.setattr(prefetch, "_SMALL_SECONDS", 1e9)
    _, summary = toy_run(make_tsv(40), tmp_path / "run", Recorder())
    assert (summary.asked, len(makers)) == (160, 160)
    assert sum(makers) == 1  # once tried here, and found slow
    assert not any(makers[:32])


@pytest.mark.parametrize(
    "line", ["{", '{"key": "k", "status": "ok"}', '{"key": "k", "status": "ok", "details": []}', "[" * 5000]
)
def test_a_damaged_run_beside_this_one_foretells_nothing_and_stops_nothing(make_tsv, tmp_path, line):
    path = make_tsv(4)
    toy_run(path, tmp_path / "other", Counting(), sample="2")
    stored = tmp_path / "other" / "replies-0.jsonl"
    stored.write_text(f"{line}\n{stored.read_text('utf-8')}", "utf-8")
    manifest = tmp_path / "other" / "manifest.json"
    record = json.loads(manifest.read_text("utf-8"))
    record.pop("digest", None)
    record["sessions"] = [{"asked": 20, "seconds": 0}, {"seconds": 1.0}, {"asked": 30}]
    manifest.write_text(json.dumps(record), "utf-8")
    for kind in ("build", "odd"):
        (tmp_path / kind).mkdir()
        (tmp_path / kind / "manifest.json").write_text(json.dumps({"kind": f"mmdbench {kind}", "model": 3}))
    assert foretell(path, tmp_path / "run").basis.startswith("estimated from the sizes")
