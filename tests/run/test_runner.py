"""Running is resuming: what is asked, what is stored, and what a crash changes (nothing)."""

from __future__ import annotations

import json
import random
import shlex
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest

from child_processes import Child, run_command
from mmdbench.errors import ImageDecodeError, LockedError, ModelError
from mmdbench.models import ModelCard
from mmdbench.results.graded_run import load_results
from mmdbench.run.inputs import RunSettings
from mmdbench.run.json_lines import read_records
from mmdbench.run.store import read_replies
from mmdbench.run.stored_plan import read_cells
from mmdbench.system.locks import folder_lock
from recording_model import Recorder, toy_run


def test_every_cell_is_asked_once_and_stored(make_tsv, tmp_path):
    model, summary = toy_run(make_tsv(5), tmp_path / "run")
    assert (summary.cells, summary.asked, summary.earlier, summary.failed) == (20, 20, 0, 0)
    assert len({r.key for r in model.asked}) == 20
    assert set(read_replies(tmp_path / "run")) == {c.key for c in read_cells(tmp_path / "run")}


def test_the_same_call_asks_nothing_again(make_tsv, tmp_path):
    path = make_tsv(5)
    toy_run(path, tmp_path / "run")
    model, summary = toy_run(path, tmp_path / "run")
    assert (len(model.asked), summary.earlier) == (0, 20)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"codec": "png"},
        {"profile": "scaled"},
        {"model": Recorder("other")},
        {"card": ModelCard("toy", "toy", generation={"max_tokens": 9})},
    ],
    ids=lambda c: next(iter(c)),
)
def test_changed_settings_are_asked_anew(make_tsv, tmp_path, change):
    path = make_tsv(3)
    toy_run(path, tmp_path / "run")
    model, _ = toy_run(path, tmp_path / "run", **change)
    assert len(model.asked) >= 9  # the degraded ones; the clean ones differ only where the model does


def test_more_levels_and_larger_samples_continue_in_the_same_folder(make_tsv, tmp_path):
    path = make_tsv(12)
    toy_run(path, tmp_path / "run", levels=("clean", "hard"), sample="4")
    model, summary = toy_run(path, tmp_path / "run", levels=("clean", "hard"), sample="8")
    assert (len(model.asked), summary.earlier) == (8, 8)


def test_a_copy_of_the_benchmark_under_another_name_shares_its_replies(make_tsv, tmp_path):
    toy_run(make_tsv(3), tmp_path / "run", levels=("clean",))
    model, _ = toy_run(make_tsv(3, name="renamed.tsv"), tmp_path / "run", levels=("clean",))
    assert model.asked == []
    assert load_results(tmp_path / "run").statuses == {"ok": 3}


def test_the_model_sees_the_question_and_the_picture_and_nothing_else(make_tsv, tmp_path):
    model, _ = toy_run(make_tsv(3), tmp_path / "run")
    request = model.asked[0]
    assert "Question: Question 0?" in request.prompt
    assert request.options == {"A": "red", "B": "green", "C": "blue", "D": "grey"}
    assert len(request.images) == 1
    assert not hasattr(request, "answer")
    assert "category" not in str(request)


def test_all_variants_of_a_question_are_adjacent(make_tsv, tmp_path):
    model, _ = toy_run(make_tsv(6), tmp_path / "run", design="grid", corruptions=("graffiti", "lens_blur"))
    order = [r.question for r in model.asked]
    assert order == sorted(order, key=order.index)
    assert len(order) == 6 * 7


def test_batches_are_as_large_as_the_model_likes(make_tsv, tmp_path):
    sizes = []

    class Batched(Recorder):
        def generate(self, requests):
            sizes.append(len(requests))
            return super().generate(requests)

    toy_run(make_tsv(5), tmp_path / "run", Batched(batch_size=8))
    assert sizes == [8, 8, 4]


def test_a_failure_is_a_status_is_counted_and_is_asked_again(make_tsv, tmp_path):
    path = make_tsv(5)
    _, summary = toy_run(path, tmp_path / "run", Recorder(fail=lambda n: n == 3))
    assert summary.failed == 1
    results = load_results(tmp_path / "run")
    assert results.statuses == {"ok": 19, "error": 1}
    assert not results.complete
    assert {g.stage for a in results.arms for g in a.score.grades if g.stage == "error"} == {"error"}
    (failed,) = [r for r in read_replies(tmp_path / "run").values() if r.status == "error"]
    assert (failed.text, failed.reason) == ("", "RuntimeError: out of memory")
    model, _ = toy_run(path, tmp_path / "run")
    assert len(model.asked) == 1
    assert load_results(tmp_path / "run").statuses == {"ok": 20}


def test_a_model_that_only_fails_stops_the_run_and_keeps_what_was_there(make_tsv, tmp_path):
    with pytest.raises(ModelError, match="failed 5 times in a row: RuntimeError: out of memory"):
        toy_run(make_tsv(10), tmp_path / "run", Recorder(fail=lambda n: n > 7))
    replies = read_replies(tmp_path / "run").values()
    assert Counter(r.status for r in replies) == {"ok": 7, "error": 4}


def test_a_model_that_miscounts_is_an_error(make_tsv, tmp_path):
    class Short(Recorder):
        def generate(self, requests):
            return []

    with pytest.raises(ModelError, match="gave 0 outcomes for 1 requests"):
        toy_run(make_tsv(2), tmp_path / "run", Short())


def test_a_broken_picture_is_a_failed_reply_and_the_rest_is_asked(make_tsv, tmp_path):
    path = make_tsv(3)
    lines = path.read_text().splitlines()
    cells = lines[2].split("\t")
    cells[-1] = cells[-1][: len(cells[-1]) // 2 // 4 * 4]
    lines[2] = "\t".join(cells)
    path.write_text("\n".join(lines) + "\n")
    notes = []
    toy_run(path, tmp_path / "run", on_progress=lambda progress: notes.append(progress.note))
    replies = read_replies(tmp_path / "run").values()
    assert {r.index: r.status for r in replies} == {0: "ok", 1: "error", 2: "ok"}
    assert all("line 3, column 'image', index 1" in r.reason for r in replies if r.status == "error")
    assert any("requests have no picture and count as failed" in note for note in notes)
    with pytest.raises(ImageDecodeError, match=r"toy\.tsv.*line 3"):
        toy_run(path, tmp_path / "other", settings=RunSettings(on_bad_image="error"))
    assert not (tmp_path / "other" / "manifest.json").exists()


def test_a_second_process_on_the_same_run_is_refused(make_tsv, tmp_path):
    path = make_tsv(2)
    (tmp_path / "run").mkdir()
    holder = (
        "import sys, time; from pathlib import Path; from mmdbench.system.locks import folder_lock\n"
        "with folder_lock(Path(sys.argv[1]), 'x'):\n"
        "    print(1, flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(tmp_path / "run")], stdout=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        with pytest.raises(LockedError, match="Another process is running a model"):
            toy_run(path, tmp_path / "run")
        process.kill()
        process.stdout.close()


def test_the_manifest_describes_the_run_and_holds_no_path(make_tsv, tmp_path):
    toy_run(make_tsv(2), tmp_path / "run")
    text = (tmp_path / "run" / "manifest.json").read_text()
    manifest = json.loads(text)
    assert manifest["model"]["fingerprint"] == {"name": "toy"}
    assert manifest["benches"][0]["questions"] == 2
    assert len(manifest["benches"][0]["sha256"]) == 64
    assert {"numpy", "opencv", "pillow", "mmdbench"} <= set(manifest["versions"])
    assert str(tmp_path) not in text


@pytest.fixture
def command(make_tsv, tmp_path):
    """A function that gives the words of a run of 160 requests into a folder."""
    path, cards = make_tsv(40), tmp_path / "cards.toml"

    def words(folder, seconds):
        cards.write_text(f'[guess]\nadapter = "chance"\noptions = {{seconds = {seconds}}}\n')
        words = ["eval", "--model", "guess", "--model-card", cards, "--bench", path, "-o", tmp_path / folder]
        return [*words, "--quiet", "--corruption", "graffiti,dark_illumination"]

    return words


def asked_once(folder, count):
    keys = [record["key"] for record in read_records(folder / "replies-0.jsonl")]
    assert len(keys) == len(set(keys)) == count


def test_twenty_kills_change_nothing(command, tmp_path):
    run_command(*command("whole", 0))
    rng = random.Random(4)
    replies = tmp_path / "killed" / "replies-0.jsonl"

    def written():
        return replies.read_bytes().count(b"\n") if replies.exists() else 0

    for number in range(20):
        enough = written() + rng.randint(1, 8)
        with Child(command("killed", 0.01)) as run:
            if number % 4:  # of four, one is killed at any time, also before it asks, and three after replies
                run.wait_until(lambda: written() >= enough)  # noqa: B023 - called before the next round
            time.sleep(rng.uniform(0, 0.02 if number % 4 else 0.3))
            assert run.poll() is None
    assert 60 < len(read_replies(tmp_path / "killed")) < 160
    run_command(*command("killed", 0))
    for name in ("tables.json", "report.md", "grades.jsonl"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    asked_once(tmp_path / "killed", 160)


def test_ctrl_c_leaves_a_run_that_the_same_command_resumes(command, tmp_path):
    words = command("run", 0.05)
    with Child(words) as run:
        run.wait_until(
            lambda: list((tmp_path / "run").glob("replies-*.jsonl")) and read_replies(tmp_path / "run")
        )
        run.send_signal(signal.SIGINT)
        assert run.wait() == 130
        assert f"Run the same command to resume: {shlex.join(['mmdbench', *map(str, words)])}\n" in run.stderr
    before = len(read_replies(tmp_path / "run"))
    assert 0 < before < 160
    with folder_lock(tmp_path / "run", "looking"):
        pass
    run_command(*command("run", 0))
    asked_once(tmp_path / "run", 160)
