"""The authors' dataset of degraded files, from a server that plays the Hub."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from mmdbench.benches.download import FetchSettings
from mmdbench.cli import app
from mmdbench.errors import DataError, DownloadError
from mmdbench.library import downloads
from mmdbench.report.tables.run_notes import run_notes
from mmdbench.results.graded_run import load_results
from mmdbench.run.manifest import read_manifest
from mmdbench.variants.released import KNOWN_SHA256
from mmdbench.variants.released_data import (
    DATASET,
    PublishedFile,
    fetch_published,
    list_published,
)

from local_hub import LocalHub, serve_hub  # isort: skip
from pictures import picture, png  # isort: skip

REPO = f"datasets/{DATASET}"


def tsv(seed: int) -> bytes:
    """A small file in the shape of MMStar's, with other pictures for another seed."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    writer.writerow(["index", "question", "A", "B", "C", "D", "answer", "category", "image"])
    for i in range(4):
        image = base64.b64encode(png(picture(seed + i))).decode()
        writer.writerow([i, f"Question {i}?", "red", "green", "blue", "grey", "ABCD"[i], "c", image])
    return text.getvalue().encode()


FILES = {
    **{f"MMStar_LOW_LEVEL_{name}.tsv": tsv(100 * n) for n, name in enumerate(("LOW", "MID", "HIGH"), 1)},
    "MMVP_LOW_LEVEL_LOW.tsv": tsv(7),
    "single/MMStar_motion_blur.tsv": tsv(400),
    "single/MMStar_scan_lines.tsv": tsv(500),
    "README.md": b"hello",
}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalHub]:
    """A hub with a small copy of the dataset, and a data folder with the clean benchmark alone."""
    for name in ("MMDBENCH_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    for name in list(KNOWN_SHA256):
        monkeypatch.delitem(KNOWN_SHA256, name)
    monkeypatch.setenv("LMUData", str(tmp_path / "data"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "MMStar.tsv").write_bytes(tsv(0))
    with serve_hub() as made:
        monkeypatch.setenv("HF_ENDPOINT", made.url)
        made.repositories[REPO] = dict(FILES)
        yield made


def call(*words: object) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, [str(word) for word in words])


def evaluate(out: Path, *more: object) -> Result:
    words = ("eval", "--model", "chance", "--bench", "MMStar", "--design", "released", "-o", out, "--quiet")
    return call(*words, *more)


def sha256(name: str) -> str:
    return hashlib.sha256(FILES[name]).hexdigest()


def test_the_known_digests_are_of_files_of_the_paper() -> None:
    assert {name: digest[:6] for name, digest in KNOWN_SHA256.items()} == {
        "MMStar_LOW_LEVEL_HIGH": "c8254e",
        "RealWorldQA_LOW_LEVEL_HIGH": "f60255",
        "MMVet_LOW_LEVEL_LOW": "9f28d8",
        "MMBench_DEV_EN_V11_LOW_LEVEL_MID": "b835b7",
    }
    assert {len(digest) for digest in KNOWN_SHA256.values()} == {64}


def test_the_design_released_is_one_command(hub: LocalHub, tmp_path: Path) -> None:
    first = evaluate(tmp_path / "run")
    assert first.exit_code == 0, first.output
    assert "3 files to download" in first.output
    released = read_manifest(tmp_path / "run")["released"]
    assert [row["sha256"] for row in released] == [
        sha256(f"MMStar_LOW_LEVEL_{name}.tsv") for name in ("LOW", "MID", "HIGH")
    ]
    hub.seen.clear()
    assert evaluate(tmp_path / "again").exit_code == 0
    assert hub.seen == []
    record = json.loads((tmp_path / "data" / "MMStar_LOW_LEVEL_MID.tsv.json").read_text("utf-8"))
    assert record["expected_sha256"] == sha256("MMStar_LOW_LEVEL_MID.tsv")


def test_files_of_the_user_win(hub: LocalHub, tmp_path: Path) -> None:
    own = tsv(900)
    (tmp_path / "data" / "MMStar_LOW_LEVEL_HIGH.tsv").write_bytes(own)
    assert evaluate(tmp_path / "run", "--level", "clean,hard").exit_code == 0
    assert hub.seen == []
    (row,) = read_manifest(tmp_path / "run")["released"]
    assert row["sha256"] == hashlib.sha256(own).hexdigest()


def test_files_of_one_corruption_are_found_by_listing_and_are_hard(hub: LocalHub, tmp_path: Path) -> None:
    one = ("--corruption", "motion_blur")
    refused = evaluate(tmp_path / "run", *one, "--level", "clean,mid")
    assert refused.exit_code == 2
    assert "are all at hard, got mid" in refused.output
    made = evaluate(tmp_path / "run", *one, "--level", "clean,hard")
    assert made.exit_code == 0, made.output
    (row,) = read_manifest(tmp_path / "run")["released"]
    assert (row["file"], row["corruption"]) == ("MMStar_motion_blur.tsv", "motion_blur")
    lacking = evaluate(tmp_path / "none", "--corruption", "graffiti", "--level", "clean,hard")
    assert lacking.exit_code == 2
    assert "MMStar_graffiti.tsv were not found" in lacking.output


def test_consent_dry_runs_and_offline(hub: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "ASKED_ABOVE_BYTES", 1000)
    total = downloads.size_text(sum(len(FILES[f"MMStar_LOW_LEVEL_{n}.tsv"]) for n in ("LOW", "MID", "HIGH")))
    for words, code in (((), 2), (("--dry-run",), 2)):
        result = evaluate(tmp_path / "run", *words)
        assert (result.exit_code, f"3 files to download, {total}." in result.output) == (code, True)
    offline = evaluate(tmp_path / "run", "--offline")
    assert "were not found" in offline.output
    assert not hub.asked("GET", "resolve")
    refused = call("data", "get", "released")
    assert (refused.exit_code, "--yes" in refused.output) == (2, True)
    assert evaluate(tmp_path / "run", "--yes").exit_code == 0


def test_a_changed_file_is_no_published_one(hub: LocalHub, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(KNOWN_SHA256, "MMStar_LOW_LEVEL_HIGH", "0" * 64)
    got = call("data", "get", "MMStar_LOW_LEVEL_HIGH", "MMStar_LOW_LEVEL_LOW")
    assert got.exit_code == 4
    digest = sha256("MMStar_LOW_LEVEL_HIGH.tsv")
    assert f"MMStar_LOW_LEVEL_HIGH: not the published file (SHA-256 {digest})" in got.output
    assert "The dataset has another file of this name now." in got.output
    assert "MMStar_LOW_LEVEL_LOW: not" not in got.output
    assert call("data", "verify", "MMStar_LOW_LEVEL_HIGH").exit_code == 4
    assert call("data", "verify", "MMStar_LOW_LEVEL_LOW").exit_code == 0
    assert evaluate(tmp_path / "run", "--level", "clean,hard").exit_code == 0
    notes = " ".join(run_notes(load_results(tmp_path / "run")))
    assert "MMStar_LOW_LEVEL_HIGH.tsv is not the file that its authors published" in notes
    monkeypatch.setitem(KNOWN_SHA256, "MMStar_LOW_LEVEL_HIGH", digest)
    assert call("data", "get", "MMStar_LOW_LEVEL_HIGH").exit_code == 0
    assert "authors published" not in " ".join(run_notes(load_results(tmp_path / "run")))


def test_a_file_that_changed_after_its_download_is_found(hub: LocalHub, tmp_path: Path) -> None:
    assert call("data", "get", "MMStar_LOW_LEVEL_LOW").exit_code == 0
    path = tmp_path / "data" / "MMStar_LOW_LEVEL_LOW.tsv"
    path.write_bytes(path.read_bytes()[:-1])
    assert call("data", "verify").exit_code == 4


def test_a_listed_file_is_not_written_outside_the_data_folder(hub: LocalHub, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="which is not inside"):
        fetch_published([PublishedFile("a\\..\\..\\x.tsv", 1)], tmp_path / "data", FetchSettings())
    assert hub.seen == []


def test_a_damaged_download_is_refused_and_one_that_stopped_resumes(hub: LocalHub, tmp_path: Path) -> None:
    hub.damage = "MMStar_LOW_LEVEL_LOW.tsv"
    damaged = call("data", "get", "MMStar_LOW_LEVEL_LOW")
    assert (damaged.exit_code, "is damaged" in damaged.output) == (4, True)
    assert not list((tmp_path / "data").glob("MMStar_LOW*"))
    hub.damage, hub.cuts = "", {"MMStar_LOW_LEVEL_LOW.tsv": 1000}
    with pytest.raises(DownloadError, match="the connection ended after 1000"):
        fetch_published(list_published()[1:2], None, FetchSettings(retries=0))
    hub.cuts = {}
    hub.seen.clear()
    assert call("data", "get", "MMStar_LOW_LEVEL_LOW").exit_code == 0
    (resumed,) = hub.asked("GET", "", large=True)
    assert resumed.headers["Range"] == "bytes=1000-"


def test_the_dataset_is_listed_whatever_its_folders_and_pages(hub: LocalHub, tmp_path: Path) -> None:
    hub.page = 2
    listed = list_published()
    assert {file.path for file in listed} == {name for name in FILES if name.endswith(".tsv")}
    assert call("data", "get", "released:MMStar").exit_code == 0
    got = sorted(path.name for path in (tmp_path / "data").glob("*_*.tsv"))
    assert got == [f"MMStar_LOW_LEVEL_{name}.tsv" for name in ("HIGH", "LOW", "MID")]
    shown = call("data", "list", "--released").output
    for name in ("MMStar_scan_lines", "MMVP_LOW_LEVEL_LOW", "absent", "present"):
        assert name in shown
    plain = call("data", "list").output
    assert "MMStar_LOW_LEVEL_MID" in plain
    assert "MMStar_scan_lines" not in plain
    assert (
        call("data", "path", "MMStar_LOW_LEVEL_LOW").output.strip().endswith("data/MMStar_LOW_LEVEL_LOW.tsv")
    )
    unknown = call("data", "get", "MMStar_graffiti")
    assert (unknown.exit_code, "Unknown released file 'MMStar_graffiti'" in unknown.output) == (2, True)


def test_a_hub_that_cannot_be_read(hub: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.repositories.clear()
    refused = evaluate(tmp_path / "run")
    assert (refused.exit_code, "answered 401" in refused.output) == (4, True)
    hub.texts[f"api/{REPO}/tree/main"] = b"<html>log in</html>"
    assert "gave no listing" in evaluate(tmp_path / "run").output
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    gone = evaluate(tmp_path / "run")
    assert (gone.exit_code, "HF_ENDPOINT names a mirror" in gone.output) == (4, True)
