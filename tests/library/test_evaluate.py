"""`evaluate` in Python: models of every kind, the same folder as the command, loops, threads and resuming."""

from __future__ import annotations

import asyncio
import io
import json
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import mmdbench
from mmdbench.cli import app
from mmdbench.errors import IncompleteError, UnknownNameError, UsageError
from mmdbench.records import Outcome

SMALL = {"levels": ["clean", "hard"], "sample": 6, "progress": False}


def first(images, prompt):
    """Answers A; every call is counted by `calls`."""
    calls.append((images, prompt))
    return "A"


calls: list = []


@pytest.fixture(autouse=True)
def _no_calls():
    calls.clear()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return mmdbench.evaluate(lambda_free, "mini", out=tmp_path_factory.mktemp("run"), **SMALL)


def lambda_free(images, prompt):
    return "A" if images[0].getpixel((3, 3))[0] > 100 else "B"


def test_a_function_gets_pictures_and_prompt_and_is_asked_once_for_each_request(tmp_path):
    run = mmdbench.evaluate(first, "mini", out=tmp_path, **SMALL)
    assert run.complete
    assert not run.problem
    assert len(calls) == 12
    images, prompt = calls[0]
    assert all(isinstance(image, Image.Image) and image.mode == "RGB" for image in images)
    assert "A. " in prompt
    assert {row["reply"] for row in run.rows()} == {"A"}
    assert run.name == "first"


def test_a_function_without_a_version_is_asked_anew_and_one_with_a_version_is_not(tmp_path):
    mmdbench.evaluate(first, "mini", out=tmp_path / "anew", **SMALL)
    mmdbench.evaluate(first, "mini", out=tmp_path / "anew", **SMALL)
    assert len(calls) == 24
    calls.clear()
    mmdbench.evaluate(first, "mini", out=tmp_path / "kept", version="step-1", **SMALL)
    mmdbench.evaluate(first, "mini", out=tmp_path / "kept", version="step-1", **SMALL)
    assert len(calls) == 12
    with pytest.raises(mmdbench.errors.MmdbenchError):
        mmdbench.evaluate(first, "mini", out=tmp_path / "kept", version="step-1", name="other", **SMALL)


def test_an_async_function_inside_a_running_loop(tmp_path):
    async def answer(images, prompt):
        await asyncio.sleep(0)
        return "B"

    async def notebook():
        return mmdbench.evaluate(answer, "mini", out=tmp_path, canary=False, concurrency=4, **SMALL)

    run = asyncio.run(notebook())
    assert run.complete
    assert {row["reply"] for row in run.rows()} == {"B"}


def test_a_batched_function_gets_lists(tmp_path):
    sizes = []

    @mmdbench.batched(4)
    def answer(images, prompts):
        assert len(images) == len(prompts)
        sizes.append(len(prompts))
        return ["C"] * len(prompts)

    assert mmdbench.evaluate(answer, "mini", out=tmp_path, **SMALL).complete
    assert sum(sizes) == 12
    assert max(sizes) == 4


def test_a_function_that_fails_leaves_an_incomplete_run_and_no_exit(tmp_path):
    def answer(images, prompt):
        calls.append(prompt)
        if len(calls) == 3:
            raise RuntimeError("out of memory")
        return 7 if len(calls) == 5 else "A"

    run = mmdbench.evaluate(answer, "mini", out=tmp_path, **SMALL)
    assert not run.complete
    assert "2 of 12" in run.problem
    reasons = {row["reason"] for row in run.rows() if row["status"] == "error"}
    assert any("out of memory" in reason for reason in reasons)
    assert any("must return a text, got int" in reason for reason in reasons)
    with pytest.raises(IncompleteError, match="10 of 12"):
        run.require_complete()


def test_models_of_every_kind(tmp_path):
    class Own:
        def fingerprint(self):
            return {"name": "own", "version": "1"}

        def generate(self, requests):
            return [Outcome("A") for _ in requests]

    adapter = tmp_path / "my_model.py"
    adapter.write_text(
        "from mmdbench import Outcome\n"
        "class M:\n"
        "    def fingerprint(self): return {'v': 1}\n"
        "    def generate(self, requests): return [Outcome('A') for _ in requests]\n"
        "def load(card): return M()\n"
    )
    card = mmdbench.ModelCard("mine", str(adapter))
    given = {"own": Own(), "my_model": str(adapter), "mine": card, "chance": "chance"}
    for name, model in given.items():
        run = mmdbench.evaluate(model, "mini", out=tmp_path / name, **SMALL)
        assert (run.name, run.complete) == (name, True)
    assert len(mmdbench.load_run(tmp_path / "own").rows()) == 12


def test_the_command_and_the_library_make_the_same_run(tmp_path):
    ours = mmdbench.evaluate("chance", "mini", out=tmp_path / "library", **SMALL)
    words = ["eval", "--model", "chance", "--bench", "mini", "--level", "clean,hard", "--sample", "6"]
    done = CliRunner().invoke(app, [*words, "-o", str(tmp_path / "command"), "--quiet"])
    assert done.exit_code == 0, done.output
    theirs = mmdbench.load_run(tmp_path / "command")
    same = ("question", "level", "corruption", "key", "reply", "grade", "recipe")
    assert [[row[k] for k in same] for row in ours.rows()] == [
        [row[k] for k in same] for row in theirs.rows()
    ]
    again = CliRunner().invoke(app, [*words, "-o", str(tmp_path / "library"), "--quiet"])
    assert again.exit_code == 0, again.output
    (replies,) = (tmp_path / "library").glob("replies*")
    assert len(replies.read_text("utf-8").splitlines()) == 12


def test_progress_goes_to_a_function_and_threads_may_run_side_by_side(tmp_path):
    states, runs = [], {}

    def work(name):
        runs[name] = mmdbench.evaluate(
            "chance", "mini", out=tmp_path / name, levels=["clean"], sample=4, progress=states.append
        )

    threads = [threading.Thread(target=work, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(run.complete for run in runs.values())
    assert {(state.done, state.total) for state in states} >= {(4, 4)}
    assert all("chance on mini" in state.task for state in states)


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        ("chance", {"level": ["clean"]}, "Did you mean 'levels'"),
        ("chance", {"levels": []}, "must name a level"),
        ("chance", {"levels": ["hrad"]}, "Did you mean 'hard'"),
        ("chance", {"seed": "3"}, "option seed must be of type int, got '3'"),
        ("chance", {"seed": True}, "option seed must be of type int, got True"),
        ("chance", {"restore_clean": "no"}, "option restore_clean must be of type bool, got 'no'"),
        ("chance", {"codec": None}, "option codec must be of type str, got None"),
        ("chance", {"workers": "2"}, "option workers must be of type int"),
        ("chance", {"shard": "1/2"}, "option shard must be of type tuple"),
        ("chance", {"data_dir": 3}, "option data_dir must be of type str . Path . None"),
        ("chance", {"corruptions": ["graffiti", 3]}, "option corruptions must be of type Sequence"),
        ("chance", {"restore_cards": "nosuch.toml", "restore": "x"}, "nosuch.toml"),
        ("chance", {"model_cards": "nosuch.toml"}, "nosuch.toml"),
        ("chance", {"name": "x"}, "option name is for functions"),
        (first, {"settings": {"a": 1}}, "option settings is for model cards"),
        (first, {"concurrency": 3}, "is not async"),
        (lambda images, prompt: "A", {}, "A lambda has no name"),
        (7, {}, "A model must be a name"),
        ("nosuch", {}, "nosuch"),
    ],
)
def test_wrong_use_is_an_error_before_anything_is_asked(tmp_path, model, options, message):
    with pytest.raises((UsageError, UnknownNameError), match=message):
        mmdbench.evaluate(model, "mini", out=tmp_path / "run", progress=False, **options)
    assert not (tmp_path / "run").exists()
    assert not calls


def test_one_text_is_a_list_of_one_and_a_number_of_numpy_a_number(tmp_path):
    options = {"levels": "hard", "corruptions": "graffiti", "sample": np.int64(3), "seed": np.int32(7)}
    run = mmdbench.evaluate("chance", "mini", out=tmp_path / "run", progress=False, **options)
    assert {row["corruption"] for row in run.rows()} == {"graffiti"}
    assert len(mmdbench.load_run(run.folder).rows()) == 3
    run.accept(tmp_path / "baseline.json")
    (row,) = run.check(tmp_path / "baseline.json", "mini/hard:2").rows
    assert row.tolerance == 2
    assert run.report.text("csv", "levels") == run.report.text("csv", ["levels"])


def test_settings_are_those_of_the_card(tmp_path):
    from mmdbench.library.given_models import setting_texts

    assert setting_texts({"a.b": True, "c": "x y", "d": [1, 2], "e": None}) == [
        "a.b=true",
        'c="x y"',
        "d=[1, 2]",
        "e=none",
    ]
    run = mmdbench.evaluate("chance", "mini", out=tmp_path, settings={"summary": "mine"}, **SMALL)
    assert run.complete


def test_a_forecast_asks_nothing(tmp_path):
    found = mmdbench.forecast("chance", "mini", levels=["clean"], sample=5, out=tmp_path / "run")
    assert (found.requests, found.to_ask) == (5, 5)
    assert not list((tmp_path / "run").glob("replies*"))


def test_an_incomplete_judge_is_named_and_the_replies_are_kept(tmp_path):
    tsv = tmp_path / "own.tsv"
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (200, 10, 10)).save(buffer, "PNG")
    import base64

    picture = base64.b64encode(buffer.getvalue()).decode()
    tsv.write_text(f"index\tquestion\tanswer\timage\n1\tWhat colour?\tred\t{picture}\n", "utf-8")
    with pytest.raises(mmdbench.errors.MmdbenchError):
        mmdbench.evaluate(first, tsv, family="mmvet", judge="nosuch", out=tmp_path / "run", progress=False)
    assert not calls
    run = mmdbench.evaluate(
        first, tsv, family="mmvet", levels=["clean"], out=tmp_path / "run", progress=False
    )
    assert [row["status"] for row in run.rows()] == ["ok"]


def test_nothing_of_the_library_is_read_when_the_package_is_imported(tmp_path):
    import subprocess
    import sys

    heavy = ("numpy", "pandas", "cv2", "rich", "typer")
    code = f"import sys, mmdbench; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_run_is_read_lazily_and_a_folder_without_one_is_an_error(tmp_path, run):
    with pytest.raises(mmdbench.errors.StoreError):
        mmdbench.load_run(tmp_path)
    assert (
        json.loads((Path(run.folder) / "manifest.json").read_text("utf-8"))["model"]["name"] == "lambda_free"
    )
