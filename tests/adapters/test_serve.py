"""A real server, `transformers serve`, with a tiny vision-language model: a whole run through the client.

Needs an interpreter with `transformers[serving]` and torch and *without* torchvision: the one that
MMDBENCH_SERVE_PYTHON names, or the one that runs the tests.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from mmdbench.benches import open_bench
from mmdbench.cli.evaluate import evaluate
from mmdbench.models import open_model
from mmdbench.models.cards import find_card, set_options
from mmdbench.records import RunPlan
from mmdbench.run.inputs import RunInputs, RunSettings
from mmdbench.run.runner import run_plan
from mmdbench.run.store import read_replies
from verb_calls import call

PYTHON = os.environ.get("MMDBENCH_SERVE_PYTHON", sys.executable)
NEEDED = "import torch, transformers, fastapi, uvicorn; from transformers.cli import serve"
TOKENS = 6

BUILD = """
import sys; sys.path.insert(0, sys.argv[1])
from pathlib import Path
from tiny_checkpoints import FAMILIES
FAMILIES["gemma3"](Path(sys.argv[2]))
"""

SERVE = "import sys; from transformers.cli.transformers import main; sys.argv[0] = 'transformers'; main()"

GENERATE = """
import base64, io, json, sys
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

torch.set_num_threads(1)
processor = AutoProcessor.from_pretrained(sys.argv[1])
model = AutoModelForImageTextToText.from_pretrained(sys.argv[1]).eval()
for line in sys.stdin:
    row = json.loads(line)
    image = Image.open(io.BytesIO(base64.b64decode(row["image"]))).convert("RGB")
    content = [{"type": "image", "image": image}, {"type": "text", "text": row["prompt"]}]
    inputs = processor.apply_chat_template(
        [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=True,
        return_dict=True, return_tensors="pt",
    )
    with torch.no_grad():
        made = model.generate(**inputs, do_sample=False, max_new_tokens=row["tokens"])
    text = processor.tokenizer.decode(made[0, inputs["input_ids"].shape[1]:], skip_special_tokens=True)
    print(json.dumps({"key": row["key"], "text": text}))
"""


def _why_not():
    try:
        missing = subprocess.run(
            [PYTHON, "-c", NEEDED], capture_output=True, text=True, check=False, timeout=120
        )
    except OSError as error:
        return f"{PYTHON} cannot be run: {error}"
    if missing.returncode:
        return f"{PYTHON} cannot serve: {(missing.stderr.strip().splitlines() or ['?'])[-1]}"
    return ""


class Remembering:
    """The adapter's model, with the requests that it was asked."""

    def __init__(self, model):
        self.model = model
        self.throttle = model.throttle
        self.concurrency = model.concurrency
        self.fingerprint = model.fingerprint
        self.aclose = model.aclose
        self.requests = []

    async def agenerate(self, request):
        self.requests.append(request)
        return await self.model.agenerate(request)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A tiny checkpoint, and the environment in which it is served."""
    if reason := _why_not():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("served")
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(folder), "OMP_NUM_THREADS": "1"}
    checkpoint = folder / "tiny"
    checkpoint.mkdir()
    build = [PYTHON, "-c", BUILD, str(Path(__file__).parents[1] / "support"), str(checkpoint)]
    subprocess.run(build, check=True, capture_output=True, env=environment)
    return checkpoint, environment


@pytest.fixture(scope="module")
def served(checkpoint, tmp_path_factory):
    """Address and checkpoint of a server that runs until the tests of this file are done."""
    checkpoint, environment = checkpoint
    folder = tmp_path_factory.mktemp("served")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["serve", str(checkpoint), "--device", "cpu", "--host", "127.0.0.1", "--port", str(port)]
    log = (folder / "log").open("wb")
    with (
        log,
        subprocess.Popen(
            [PYTHON, "-c", SERVE, *words], env=environment, stdout=log, stderr=subprocess.STDOUT
        ) as server,
    ):
        try:
            _wait_for(f"http://127.0.0.1:{port}/health", server, folder / "log")
            yield f"http://127.0.0.1:{port}/v1", checkpoint, environment
        finally:
            server.terminate()
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()


def _wait_for(url, server, log):
    deadline = time.monotonic() + 120
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            assert server.poll() is None, log.read_text()[-2000:]
            assert time.monotonic() < deadline, log.read_text()[-2000:]
            time.sleep(0.2)


@pytest.mark.slow
def test_a_real_server_answers_all_of_mini_with_the_texts_of_generate(served, tmp_path):
    url, checkpoint, environment = served
    card = set_options(find_card(f"transformers-serve:{checkpoint}@{url}"), [f"max_tokens={TOKENS}"])
    assert str(checkpoint.parent) not in card.name
    model = Remembering(open_model(card))
    plan = RunPlan(model=card.name, benches=("mini",))
    summary = run_plan(
        RunInputs(plan, [open_bench("mini")], model, card, tmp_path / "run", RunSettings(canary=False))
    )
    assert (summary.cells, summary.failed, summary.stopped) == (640, 0, "")
    replies = read_replies(tmp_path / "run")
    assert len(replies) == summary.asked == len({r.key for r in model.requests})
    assert {r.status for r in replies.values()} <= {"ok", "truncated"}
    assert all(r.details["usage"]["completion"] <= TOKENS for r in replies.values())
    assert str(checkpoint.parent) not in (tmp_path / "run" / "manifest.json").read_text()
    assert str(checkpoint.parent) not in (tmp_path / "run" / "replies-0.jsonl").read_text()
    some = model.requests[::16]
    rows = [
        {"key": r.key, "prompt": r.prompt, "image": _base64(r.images[0].data), "tokens": TOKENS} for r in some
    ]
    lines = "\n".join(json.dumps(row) for row in rows)
    done = subprocess.run(
        [PYTHON, "-c", GENERATE, str(checkpoint)],
        input=lines,
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    said = {row["key"]: row["text"] for row in map(json.loads, done.stdout.splitlines())}
    assert len(said) == len(some) >= 40
    assert {key: replies[key].text for key in said} == said
    assert len(set(said.values())) >= 5  # it does look at the pictures


@pytest.mark.slow
def test_eval_starts_uses_and_ends_a_real_server(checkpoint, make_tsv, tmp_path, monkeypatch):
    checkpoint, environment = checkpoint
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    command = [PYTHON, "-c", SERVE, "serve", checkpoint, "--device", "cpu", "--host", "127.0.0.1", "--port"]
    serve = f"{shlex.join(map(str, command))} {{port}}"
    model = ["--model", f"transformers-serve:{checkpoint}", "--set", f"max_tokens={TOKENS}", "--no-canary"]
    bench = ["--bench", make_tsv(3), "--level", "clean", "-o", tmp_path / "run"]
    said = call(evaluate, *model, "--serve", serve, *bench)
    replies = read_replies(tmp_path / "run")
    assert len(replies) == 3
    assert {reply.status for reply in replies.values()} <= {"ok", "truncated"}
    place = re.search(r"at (http://127\.0\.0\.1:\d+/v1);", said)[1]
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"{place}/models", timeout=5)
    assert "Uvicorn running" in (tmp_path / "run" / "logs" / "server.log").read_text()


def _base64(data):
    import base64

    return base64.b64encode(data).decode()
