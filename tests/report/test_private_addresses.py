"""Nothing of a private address leaves a run's folder, in any rendering, file or error of it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mmdbench.cli import app
from mmdbench.models.endpoints import public_address
from mmdbench.results.graded_run import load_results
from run_folders import question, write_run

URL = "http://gpu7.corp.example:8123/team-x/v1"
PRIVATE = ("gpu7", "corp.example", "8123", "team-x")
NAMES = ("graffiti", "lens_blur", "mean_shift", "gaussian_noise")


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """Two runs of a model at a private address, one with a request that failed."""
    monkeypatch.chdir(tmp_path)

    def answer(q, level, _):
        if q.index == 0 and level == "hard":
            return {"status": "error", "reason": "Cannot connect to host gpu7.corp.example:8123 ssl:default"}
        return {"text": "A"}

    for folder, options in (("one", {}), ("two", {"served_by": "lab"})):
        model = {
            "name": f"openai:q@{URL}",
            "adapter": "openai",
            "model": "q",
            "endpoint": URL,
            "options": options,
            "fingerprint": {"adapter": "openai", "endpoint": options.get("served_by", URL)},
        }
        bench = {"name": "toy", "family": "plain", "questions": 8, "sha256": "0" * 64}
        rows = [question(i, "toy", "A", A="red", B="blue") for i in range(8)]
        settings = {"model": f"openai:q@{URL}", "max_error_rate": 1.0}
        write_run(
            Path(folder),
            rows,
            answer,
            "plain",
            NAMES,
            manifest={"benches": [bench], "model": model},
            **settings,
        )
    return "one", "two"


VERBS = [
    "report one",
    "report one two --markdown",
    "report one --latex",
    "report one --csv",
    "report one --json",
    "cite one",
    "compare one two",
    "score one --json",
    "score one",
    "show one --bench toy --index 0 --out sheet.png",
    "page one -o page.html --quiet",
    "figures one -o figures --format svg",
    "export one -o exported --format jsonl",
    "check one --baseline baseline.json --accept",
    "check two --baseline baseline.json",
    "check two --baseline baseline.json --json --junit junit.xml",
]


def test_no_rendering_holds_the_address(runs, tmp_path):
    pytest.importorskip("matplotlib")
    for words in VERBS:
        done = CliRunner().invoke(app, words.split())
        leaks = [word for word in PRIVATE if word in done.output]
        assert not leaks, (words, done.output)
        assert done.exit_code == 0 or words.startswith("show"), (words, done.output)
    for path in tmp_path.rglob("*"):
        if path.is_file() and not {"one", "two"} & set(path.relative_to(tmp_path).parts[:1]):
            text = path.read_bytes().decode("utf-8", "replace") + str(path.relative_to(tmp_path))
            # A font and the coordinates of lines hold any digits.
            text = re.sub(r"base64,[\w+/=]+|-?\d+\.\d+", "", text) if path.suffix == ".svg" else text
            assert not [word for word in PRIVATE if word in text], path
    for name in ("report.md", "report.json"):
        for run in runs:
            written = Path(run, name)
            if written.exists():
                assert not [word for word in PRIVATE if word in written.read_text("utf-8")], written


def test_the_digest_or_the_label_takes_its_place(runs):
    one, two = map(load_results, map(Path, runs))
    assert (one.name, two.name) == ("q", "q")  # the label of a server's model is its short name
    assert one.model == f"openai:q@{public_address(URL)}"
    assert two.model == "openai:q@lab"
    baseline = Path("baseline.json")
    assert CliRunner().invoke(app, ["check", "one", "--baseline", str(baseline), "--accept"]).exit_code == 0
    kept = json.loads(baseline.read_text("utf-8"))["identity"]
    assert (kept["model"], kept["fingerprint"]["endpoint"]) == (one.model, public_address(URL))
