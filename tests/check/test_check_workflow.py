"""The action, its steps run one after the other as a runner would, with a worse model planted."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import yaml

from forked_program import forked_program
from mmdbench.benches import open_bench
from mmdbench.models.cards import known_cards

ROOT = Path(__file__).parents[2]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text("utf-8"))
WORKFLOW = ROOT / "examples" / "github-actions" / "robustness.yml"
STEPS = {step["name"]: step for step in ACTION["runs"]["steps"] if "run" in step}


KNOWING = """
from mmdbench.records import Outcome

class Knowing:
    def fingerprint(self):
        return {"adapter": "knowing"}

    def generate(self, requests):
        return [Outcome("ABCD"[int(r.question.split()[1].rstrip("?")) % 4]) for r in requests]

def load(card):
    return Knowing()
"""


@pytest.fixture
def place(make_tsv, tmp_path):
    """A checkout with a small benchmark, and a model `baseline` that knows its answers."""
    make_tsv(32)
    (tmp_path / "config" / "mmdbench").mkdir(parents=True)
    (tmp_path / "config" / "mmdbench" / "models.toml").write_text('[baseline]\nadapter = "knowing.py"\n')
    (tmp_path / "knowing.py").write_text(KNOWING)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    with forked_program(tmp_path / "bin"):
        yield tmp_path


@pytest.fixture
def github():
    """A server that keeps comments as GitHub's API does; `calls` has what was asked of it."""

    class Api(BaseHTTPRequestHandler):
        def answer(self):
            server.calls.append((self.command, self.path))
            if self.headers["Authorization"] != "Bearer the-token":
                return self.send({}, 403)
            size = int(self.headers["Content-Length"] or 0)
            body = json.loads(self.rfile.read(size)) if size else None
            if self.command == "GET":
                page = int(self.path.rpartition("page=")[2])
                return self.send(server.comments[100 * (page - 1) : 100 * page])
            if self.command == "POST":
                bot = {"login": "github-actions[bot]"}
                server.comments.append({"id": 1000 + len(server.comments), "user": bot} | body)
                return self.send(server.comments[-1], 201)
            (comment,) = [c for c in server.comments if self.path.endswith(f"/comments/{c['id']}")]
            comment.update(body)
            return self.send(comment)

        do_GET = do_POST = do_PATCH = answer  # noqa: N815 - names of the standard library

        def send(self, value, code=200):
            text = json.dumps(value).encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    server.comments, server.calls = [], []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def run(place, step, github=None, token="the-token", **inputs):
    """One step, with what a runner sets; expressions of its `env` are read from the inputs."""
    given = {key: str(value.get("default", "")) for key, value in ACTION["inputs"].items()}
    given |= {"model": "baseline", "bench": "toy.tsv", "sample": "24"} | inputs
    known = {f"inputs.{key}": value for key, value in given.items()}
    known |= {"github.token": token, "github.event.pull_request.number": "7"}
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GITHUB_")}
    for variable, value in STEPS[step].get("env", {}).items():
        environment[variable] = known[re.fullmatch(r"\$\{\{ (.+) \}\}", value)[1]]
    environment["PATH"] = f"{place / 'bin'}{os.pathsep}{environment['PATH']}"
    environment |= {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(place / "summary.md")}
    environment |= {"GITHUB_ACTION_PATH": str(ROOT), "GITHUB_REPOSITORY": "someone/models"}
    environment["XDG_CONFIG_HOME"] = str(place / "config")
    if github:
        environment["GITHUB_API_URL"] = f"http://127.0.0.1:{github.server_port}"
    # What a runner does with `shell: bash`.
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", STEPS[step]["run"]]
    return subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=False)


def test_the_action_is_one_that_github_reads():
    assert ACTION["runs"]["using"] == "composite"
    assert list(STEPS) == ["Install", "Evaluate", "Check", "Comment"]
    for step in STEPS.values():
        assert step["shell"] == "bash"
        assert "${{" not in step["run"]  # an input is a value of a variable, never a part of a script
    for text in re.findall(r"inputs\.([a-z-]+)", (ROOT / "action.yml").read_text("utf-8")):
        assert text in ACTION["inputs"]
    last = ACTION["runs"]["steps"][-2:]
    assert all("always()" in step["if"] for step in last)  # after a failed check too
    assert (
        STEPS["Check"]["if"] == "always() && steps.evaluate.outcome != 'skipped'"
    )  # tells of an incomplete run
    assert STEPS["Evaluate"]["id"] == "evaluate"
    assert "head.repo.full_name == github.repository" in STEPS["Comment"]["if"]
    uses = [step["uses"] for step in ACTION["runs"]["steps"] if "uses" in step]
    assert uses == ["actions/setup-python@v7", "actions/upload-artifact@v7"]  # no cache: it asks anew


def test_the_workflow_uses_the_action():
    text = yaml.safe_load(WORKFLOW.read_text("utf-8"))
    assert text[True] == {"pull_request": None, "workflow_dispatch": None}  # YAML 1.1 reads `on` as true
    assert text["permissions"] == {"contents": "read", "pull-requests": "write"}
    _, step = text["jobs"]["robustness"]["steps"]
    assert step["uses"].endswith("/mmdbench@v1")
    needed = {key for key, value in ACTION["inputs"].items() if value.get("required")}
    assert needed <= set(step["with"]) <= set(ACTION["inputs"])
    assert step["with"]["model"] in known_cards()
    assert step["with"]["sample"] <= len(open_bench(step["with"]["bench"]).questions)
    assert "secrets." not in WORKFLOW.read_text("utf-8")


@pytest.mark.parametrize(("extras", "wanted"), [("demo,fast", "[demo,fast]"), ("", "")])
def test_the_action_installs_its_own_copy(place, extras, wanted):
    (place / "bin" / "python").unlink()
    (place / "bin" / "python").write_text('#!/bin/bash\nprintf "%s\\n" "$@"\n')
    (place / "bin" / "python").chmod(0o755)
    asked = run(place, "Install", extras=extras).stdout.splitlines()
    assert asked == ["-m", "pip", "install", "--quiet", f"{ROOT}{wanted}"]


@pytest.mark.slow
def test_a_worse_model_fails_the_action_and_the_same_one_passes(place, github):
    assert run(place, "Check").returncode == 4  # there is no run yet
    assert "ERROR" in (place / "runs" / "robustness.md").read_text("utf-8")
    assert run(place, "Evaluate").returncode == 0
    missing = run(place, "Check")
    assert missing.returncode == 2
    assert "--accept" in missing.stderr
    assert run(place, "Comment", github).returncode == 0
    assert "ERROR" in github.comments[0]["body"]

    accept = ["mmdbench", "check", "runs/robustness", "--baseline", "robustness-baseline.json", "--accept"]
    environment = os.environ | {"PATH": f"{place / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    environment["XDG_CONFIG_HOME"] = str(place / "config")
    subprocess.run(accept, cwd=place, env=environment, check=True, capture_output=True)
    same = run(place, "Check")
    assert same.returncode == 0, same.stdout + same.stderr
    assert "::error" not in same.stdout
    assert "::warning" not in same.stdout

    assert run(place, "Evaluate", name="worse", model="chance").returncode == 0
    gate = "macro-hard:1.0\nmacro-clean:1.0\n"
    worse = run(place, "Check", name="worse", gate=gate)
    assert worse.returncode == 1, worse.stdout + worse.stderr
    cases = ET.parse(place / "runs" / "worse.xml").getroot()
    failed = [case.attrib["name"] for case in cases if case.find("failure") is not None]
    assert sorted(failed) == ["macro/all/clean", "macro/all/hard"]
    for name in failed:
        assert f"::error title=mmdbench%3A {name}::" in worse.stdout
    assert "✗ regressed" in (place / "summary.md").read_text("utf-8")
    assert "<html" in (place / "runs" / "worse.html").read_text("utf-8")[:200]
    run(place, "Comment", github, name="worse")
    assert "✗ regressed" in github.comments[1]["body"]  # a name has a comment of its own
    assert len(github.comments) == 2


def test_a_pull_request_has_one_comment_that_is_replaced(place, github):
    marker = "<!-- mmdbench: robustness -->\n"
    others = [{"id": n, "user": {"login": "someone"}, "body": f"{marker}mine"} for n in range(100)]
    github.comments += others
    (place / "runs").mkdir()
    for text in ("first", "second"):
        (place / "runs" / "robustness.md").write_text(text)
        done = run(place, "Comment", github)
        assert done.returncode == 0, done.stderr
        assert github.comments[100:] == [
            {"id": 1100, "user": {"login": "github-actions[bot]"}, "body": f"{marker}{text}"}
        ]
    assert all(comment["body"] == f"{marker}mine" for comment in others)
    assert [call for call in github.calls if call[0] != "GET"] == [
        ("POST", "/repos/someone/models/issues/7/comments"),
        ("PATCH", "/repos/someone/models/issues/comments/1100"),
    ]


def test_a_token_that_may_not_write_gives_a_warning(place, github):
    (place / "runs").mkdir()
    (place / "runs" / "robustness.md").write_text("text")
    done = run(place, "Comment", github, token="another")
    assert done.returncode == 0
    assert "::warning title=mmdbench::No comment was written (HTTP 403)" in done.stdout
    assert "pull-requests: write" in done.stdout
    assert "another" not in done.stdout + done.stderr


@pytest.mark.parametrize("name", ["../out", "a b", "$(touch planted)", ".git", ""])
def test_a_name_that_is_a_path_or_a_script_is_refused(place, name):
    done = run(place, "Evaluate", name=name)
    assert done.returncode == 2
    assert "::error title=mmdbench::name may hold letters" in done.stdout
    assert not (place / "runs").exists()
    assert not (place / "planted").exists()


def test_an_input_is_never_a_script(place):
    done = run(place, "Evaluate", model="$(touch planted); touch planted #")
    assert done.returncode == 2
    assert not (place / "planted").exists()
