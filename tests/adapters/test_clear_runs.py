"""Whole runs of CLEAR by the command line: their measurements reach report, page and quality."""

from __future__ import annotations

from clear_checkpoints import GOLDEN, RESTORE, write_speaker  # isort: skip

import re
from collections import Counter
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mmdbench.cli import app
from mmdbench.corruptions.spec_file import load_spec
from mmdbench.report.tables.collect import make_tables
from mmdbench.results.graded_run import load_results
from mmdbench.results.quality.pictures import run_pictures
from mmdbench.run.merge import merge_runs
from mmdbench.run.store import read_replies

CHEAP = "jpeg_compression,scan_lines"
"""Fast corruptions; the model gives the same answers for all of them."""


@pytest.fixture(scope="module")
def asker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that always asks for a restoration, and its system prompt."""
    folder = write_speaker(tmp_path_factory.mktemp("asker"), RESTORE)
    (folder / "ema.safetensors").rename(folder / "model.safetensors")
    (folder / "prompt.txt").write_text("Restore with a tag, then answer.", "utf-8")
    return folder


def call(*words: object) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def evaluate(asker: Path, out: Path, *more: object) -> str:
    options = {
        "base_dir": asker,
        "weights": asker / "model.safetensors",
        "sizes_file": GOLDEN / "settings.json",
        "system_prompt_file": asker / "prompt.txt",
        "steps": 2,
        "max_turns": 2,
        "max_new_tokens": 11,
        "batch_size": 16,
        "device": "cpu",
    }
    settings = [word for name, value in options.items() for word in ("--set", f"{name}={value}")]
    words = ("eval", "--model", "clear-rl", *settings, "--bench", "mini", "--level", "clean,hard")
    return call(*words, "--corruption", CHEAP, "-o", out, "--quiet", *more)


@pytest.mark.slow
def test_all_of_mini_and_its_report(asker: Path, tmp_path: Path) -> None:
    evaluate(asker, tmp_path)
    replies = list(read_replies(tmp_path).values())
    assert Counter(r.level for r in replies) == {"clean": 160, "hard": 160}
    assert "error" not in {r.status for r in replies}, {r.reason for r in replies}
    assert all(r.details["restorations"] == 1 and r.details["stop"] == "turn limit" for r in replies)
    tables = make_tables([load_results(tmp_path)], load_spec())
    (bench, *_) = tables.find("trigger").rows
    assert [(round(v.value), v.n) for v in bench.values] == [(100, 160), (100, 160)]
    times = tables.find("time").rows[-1].values
    for level, minutes in zip(("clean", "hard"), times, strict=True):
        assert minutes.value == pytest.approx(sum(r.seconds for r in replies if r.level == level) / 60)
    phases = tables.find("phases")
    assert [column.name for column in phases.columns] == ["image", "text", "denoise", "feedback", "decode"]
    assert [row.labels[1] for row in phases.rows] == ["clean", "hard"]
    assert all(row.values[2].value > 0 for row in phases.rows)
    text = call("report", tmp_path, "--table", "all")
    for title in ("Restorations asked for", "Time", "Seconds of a reply"):
        assert title in text


def test_kept_pictures_are_in_the_run_and_on_its_page(asker: Path, tmp_path: Path) -> None:
    evaluate(asker, tmp_path / "plain", "--sample", 4)
    assert not (tmp_path / "plain" / "images").exists()
    for number in (1, 2):
        evaluate(asker, tmp_path / f"s{number}", "--sample", 4, "--keep-images", "--shard", f"{number}/2")
    merge_runs([tmp_path / "s1", tmp_path / "s2"], tmp_path / "run")
    replies = read_replies(tmp_path / "run").values()
    assert read_replies(tmp_path / "plain").keys() == {r.key for r in replies}
    named = {name for reply in replies for name in reply.details["images"]}
    assert {path.name for path in (tmp_path / "run" / "images").iterdir()} == named
    assert len(named) == 8
    assert all(reply.details["seconds"]["decode"] > 0 for reply in replies)
    found, missing = run_pictures(tmp_path / "run")
    assert Counter((p.kind, p.level) for p in found)["restored", "hard"] == 4
    assert not missing
    sizes = {}
    for name in ("plain", "run"):
        output = call("page", tmp_path / name, "-o", tmp_path / f"{name}.html", "--quiet")
        sizes[name] = int(re.search(r"(\d+) pictures", output)[1])
    assert sizes["run"] == sizes["plain"] + 8


def test_a_model_that_makes_no_pictures_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    words = ("eval", "--model", "openai:x", "--bench", "mini", "-o", tmp_path, "--keep-images")
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert (result.exit_code, "keep_images" in result.output) == (2, True)
