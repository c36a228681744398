"""Dry runs: they download nothing, and count benchmarks that are not on this machine by their rows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mmdbench.benches.catalog import find_bench
from mmdbench.benches.stand_in import stand_in
from mmdbench.cli import app
from mmdbench.errors import DataError, DownloadError


@pytest.fixture(autouse=True)
def _nothing_here(tmp_path, monkeypatch):
    """No benchmark is on the machine, and a download fails the test."""

    def download(*_args: object, **_named: object) -> None:
        raise AssertionError("a dry run downloads")

    monkeypatch.setattr("mmdbench.benches.fetch.download_to", download)
    monkeypatch.setattr("mmdbench.benches.fetch.data_folders", lambda *_: (tmp_path / "none",))
    monkeypatch.chdir(tmp_path)


def call(*words, code=0):
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result


def test_eval_counts_the_published_rows():
    words = ("eval", "--model", "chance", "--bench", "MM-Vet,MMVP", "--level", "clean,hard", "--dry-run")
    result = call(*words, "--json")
    found = json.loads(result.stdout)
    assert found["to_ask"] == found["images"] == 2 * (218 + 300)
    assert found["questions"] == {"MMVet": 218, "MMVP": 300}
    said = result.stderr
    assert "Not on this machine: MM-Vet (218 rows), MMVP (300 rows)." in said
    assert said.count("mmdbench data get MMVet MMVP") == 1
    assert not list(Path("runs").glob("*/replies*"))


def test_rotations_and_samples_are_counted_as_those_of_the_file():
    whole = ("eval", "--model", "chance", "--bench", "MMBench", "--level", "clean", "--dry-run", "--json")
    found = json.loads(call(*whole).stdout)
    assert (found["to_ask"], found["questions"]) == (4876, {"MMBench_DEV_EN_V11": 1292})
    part = json.loads(call(*whole, "--sample", "100").stdout)
    assert part["questions"] == {"MMBench_DEV_EN_V11": 100}
    assert 300 <= part["to_ask"] <= 400


def test_build_counts_the_published_rows_and_shared_pictures():
    said = call("build", "--bench", "MMVP,MMBench", "--level", "hard", "-o", "out", "--dry-run").output
    assert "MMVP: 300 questions" in said
    assert "1592 pictures in 2 tsv outputs" in said  # the rotations of MMBench refer to their first row
    assert not Path("out").exists()


def test_a_benchmark_of_unknown_size_is_an_error_that_says_how_to_get_it():
    with pytest.raises(DataError, match="number of questions is not known") as raised:
        stand_in(find_bench("R-Bench-Ref"))
    assert "mmdbench data get R-Bench-Ref" in raised.value.hint


def test_files_that_are_not_the_published_ones_are_one_line(tmp_path, make_tsv, monkeypatch):
    monkeypatch.setattr("mmdbench.benches.fetch.data_folders", lambda *_: (tmp_path,))
    for name in ("MMStar", "RealWorldQA"):
        make_tsv(3, f"{name}.tsv")
    said = call("build", "--bench", "MMStar,RealWorldQA", "--level", "hard", "-o", "out").stderr
    assert said.count("FILE of") == 1
    assert (
        "MMStar: 3 rows, the published one has 1500; RealWorldQA: 3 rows, the published one has 765." in said
    )


def test_released_files_are_not_waited_for(monkeypatch):
    waited = []

    def listing(settings):
        waited.append(settings.retries)
        raise DownloadError("no connection")

    monkeypatch.setattr("mmdbench.variants.released_data.list_published", listing)
    words = ("eval", "--model", "chance", "--bench", "MMStar", "--design", "released", "--dry-run")
    said = call(*words, code=2).stderr
    assert "cannot be counted before they are downloaded" in said
    assert waited == [0]
