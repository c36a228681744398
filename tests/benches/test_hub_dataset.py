"""Datasets of the Hub as benchmarks, through the real clients and a server on this machine."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("datasets", reason="datasets is not installed (extra: hub)")

from typer.testing import CliRunner

import mmdbench
from hub_clients import IMAGE, NUMBER, TEXTS, VALUE, card, parquet, point_clients_at
from local_hub import LocalHub, serve_hub
from mmdbench.benches import open_bench
from mmdbench.cli import app
from mmdbench.errors import DataError, DownloadError, MissingExtraError, UsageError
from mmdbench.library import Run
from pictures import picture, png

REPO = "datasets/me/vqa"
COLUMNS = {"question": "prompt", "answer": "label"}
PICTURES = [png(picture(seed)) for seed in range(4)]
FEATURES = {"prompt": VALUE, "choices": TEXTS, "label": NUMBER, "picture": IMAGE}


def rows(**changes: list[Any]) -> bytes:
    """Four questions with options in a list, answers that count from 0, and a picture."""
    columns: dict[str, list[Any]] = {
        "prompt": ["What is it?", "And\tthis?", 'A "third"\none', "Last?"],
        "choices": [["cat", "dog"], ["red", "green", "blue"], ["up", "down"], ["one more", "none"]],
        "label": [0, 2, 1, 1],
        "picture": [{"bytes": data, "path": f"{n}.png"} for n, data in enumerate(PICTURES)],
    }
    return parquet(columns | changes, FEATURES)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalHub]:
    """A hub with one dataset of one configuration and one split."""
    with serve_hub() as made:
        point_clients_at(made, tmp_path, monkeypatch)
        monkeypatch.setenv("LMUData", str(tmp_path / "data"))
        monkeypatch.chdir(tmp_path)
        made.repositories[REPO] = {
            "README.md": card("cc-by-nd-4.0", default={"test": "data/test-*"}),
            "data/test-00000-of-00001.parquet": rows(),
        }
        yield made


def test_a_dataset_is_asked_with_a_map_of_columns(hub: LocalHub) -> None:
    bench = open_bench("hf:me/vqa", columns=COLUMNS)
    assert bench.name == "me.vqa.test"
    assert bench.family == "plain"
    assert [dict(q.fields)["question"] for q in bench.questions][1:3] == ["And\tthis?", 'A "third"\none']
    assert [q.answer for q in bench.questions] == ["A", "C", "B", "B"]
    assert dict(bench.questions[1].fields)["C"] == "blue"
    assert [q.images[0].read() for q in bench.questions] == PICTURES
    assert bench.info.licence == "cc-by-nd-4.0"


def test_the_revision_is_in_the_files_digest_and_in_records(hub: LocalHub) -> None:
    first = open_bench("hf:me/vqa", columns=COLUMNS)
    assert first.source == f"hf:me/vqa@{hub.commit}:default:test"
    hub.commit = "f" * 40  # the same rows in another commit
    second = open_bench("hf:me/vqa", columns=COLUMNS)
    assert second.name == first.name
    assert second.sha256 != first.sha256
    assert second.source == f"hf:me/vqa@{'f' * 40}:default:test"


def test_a_revision_may_be_named(hub: LocalHub) -> None:
    bench = open_bench("hf:me/vqa@main:test", columns=COLUMNS)
    assert bench.source.startswith(f"hf:me/vqa@{hub.commit}")
    with pytest.raises(DownloadError, match=r"me/vqa: the Hub answered 404\."):
        open_bench("hf:me/vqa@gone", columns=COLUMNS)


def test_a_converted_dataset_is_not_downloaded_again_and_opens_offline(hub: LocalHub) -> None:
    made = open_bench("hf:me/vqa", columns=COLUMNS)
    hub.seen.clear()
    assert open_bench("hf:me/vqa").sha256 == made.sha256  # the map is remembered
    assert [request.path for request in hub.seen] == ["api/datasets/me/vqa"]
    hub.seen.clear()
    assert open_bench("hf:me/vqa", offline=True).sha256 == made.sha256
    assert open_bench("me.vqa.test", offline=True).sha256 == made.sha256
    assert not hub.seen
    with pytest.raises(DataError, match="hf:me/vqa:other is not on this machine"):
        open_bench("hf:me/vqa:other", offline=True)


def test_the_map_is_remembered_in_a_small_file(hub: LocalHub, tmp_path: Path) -> None:
    open_bench("hf:me/vqa", columns=COLUMNS)
    kept = json.loads((tmp_path / "data/converted/columns.json").read_text())
    assert kept == {"hf:me/vqa": "question=prompt,answer=label"}
    assert "its columns are question=prompt,answer=label" in open_bench("hf:me/vqa").notes


def test_streaming_reads_no_more_rows_than_are_named(hub: LocalHub) -> None:
    shards = {f"data/test-{n}.parquet": rows() for n in range(5)}
    hub.repositories[REPO] = {"README.md": card(default={"test": "data/test-*"}), **shards}
    bench = open_bench("hf:me/vqa:test[:3]", columns=COLUMNS)
    assert len(bench.questions) == 3
    assert bench.name == "me.vqa.test.first3"
    assert not hub.asked("GET", "test-4.parquet", large=True)


def test_configurations_and_splits_are_chosen_or_named(hub: LocalHub) -> None:
    hub.repositories[REPO] = {
        "README.md": card(en={"test": "en.parquet", "dev": "en.parquet"}, zh={"train": "zh.parquet"}),
        "en.parquet": rows(),
        "zh.parquet": rows(label=[0, 0, 0, 0]),
    }
    with pytest.raises(UsageError, match="several configurations") as caught:
        open_bench("hf:me/vqa", columns=COLUMNS)
    assert "en, zh" in caught.value.hint
    assert open_bench("hf:me/vqa:en", columns=COLUMNS).name == "me.vqa.en.test"
    assert open_bench("hf:me/vqa:en:dev", columns=COLUMNS).name == "me.vqa.en.dev"
    assert open_bench("hf:me/vqa:zh", columns=COLUMNS).questions[1].answer == "A"
    with pytest.raises(UsageError, match="no split 'nope'"):
        open_bench("hf:me/vqa:zh:nope", columns=COLUMNS)


def test_a_missing_column_is_named_with_those_that_are_there(hub: LocalHub) -> None:
    with pytest.raises(DataError, match=r"no column is 'question'. It has: prompt, choices, label") as caught:
        open_bench("hf:me/vqa")
    assert "--column question=COLUMN" in caught.value.hint
    with pytest.raises(DataError, match="has no column 'text' for question"):
        open_bench("hf:me/vqa", columns={"question": "text"})
    with pytest.raises(DataError, match="no column is 'question'"):  # a wrong map is not kept
        open_bench("hf:me/vqa")


def test_numbers_of_answers_are_not_guessed(hub: LocalHub) -> None:
    hub.repositories[REPO]["data/test-00000-of-00001.parquet"] = rows(label=[1, 1, 2, 1])
    with pytest.raises(DataError, match=r"row 2: the answer 2 is the number of no option, counted from 0"):
        open_bench("hf:me/vqa", columns=COLUMNS)
    bench = open_bench("hf:me/vqa", columns={**COLUMNS, "first_answer": "1"})
    assert [q.answer for q in bench.questions] == ["A", "A", "B", "A"]
    hub.repositories[REPO]["data/test-00000-of-00001.parquet"] = rows(label=[1, 1, 1, 1])
    hub.commit = "e" * 40
    with pytest.raises(DataError, match=r"the answers are numbers, and none is 0"):
        open_bench("hf:me/vqa", columns=COLUMNS)


def test_a_path_in_a_dataset_shows_no_file_of_this_machine(hub: LocalHub, tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(PICTURES[3])
    inside = f"hf://datasets/me/vqa@{hub.commit}/x.png"
    hostile = [str(secret), f"file://{secret}", f"file://{secret}::{inside}"]
    named = [{"bytes": None, "path": path} for path in hostile]
    held = [{"bytes": PICTURES[0], "path": "0.png"}, *named]
    hub.repositories[REPO]["data/test-00000-of-00001.parquet"] = rows(picture=held)
    bench = open_bench("hf:me/vqa", columns=COLUMNS)
    assert bench.without_picture == 3


def test_pictures_of_an_image_folder_are_read_from_the_same_dataset(hub: LocalHub) -> None:
    lines = [
        {"file_name": f"{n}.png", "question": "Which?", "A": "this", "B": "that", "answer": "AB"[n % 2]}
        for n in range(2)
    ]
    hub.repositories["datasets/me/photos"] = {
        "test/metadata.jsonl": "\n".join(map(json.dumps, lines)).encode(),
        **{f"test/{n}.png": PICTURES[n] for n in range(2)},
    }
    bench = open_bench("hf:me/photos")
    assert [q.images[0].read() for q in bench.questions] == PICTURES[:2]


def test_a_run_about_a_dataset_says_where_it_is_from(hub: LocalHub, tmp_path: Path) -> None:
    words = ["eval", "--model", "chance", "--bench", "hf:me/vqa", "--column", "question=prompt,answer=label"]
    done = CliRunner().invoke(app, [*words, "--level", "clean,hard", "-o", "RUN", "--quiet"])
    assert done.exit_code == 0, done.output
    record = json.loads((tmp_path / "RUN/manifest.json").read_text())["benches"][0]
    assert record["source"] == f"hf:me/vqa@{hub.commit}:default:test"
    assert CliRunner().invoke(app, ["report", "RUN"]).exit_code == 0
    shown = CliRunner().invoke(app, ["show", "me.vqa.test:0", "--run", "RUN", "-o", "sheet.png"])
    assert shown.exit_code == 0, shown.output


def test_a_resumed_run_shows_the_newest_commit_and_asks_what_changed(hub: LocalHub) -> None:
    def evaluate() -> Run:
        return mmdbench.evaluate(
            "chance", "hf:me/vqa", levels=["clean"], columns=COLUMNS, out="RUN", progress=False
        )

    assert evaluate().session.summary.asked == 4
    hub.commit = "f" * 40
    assert evaluate().session.summary.asked == 0
    changed = ["What is it?", "And this?", "Third?", "Last?"]
    hub.repositories[REPO]["data/test-00000-of-00001.parquet"] = rows(prompt=changed)
    hub.commit = "e" * 40
    run = evaluate()
    assert run.session.summary.asked == 2
    assert run.results.manifest["benches"][0]["source"] == f"hf:me/vqa@{'e' * 40}:default:test"


def test_a_build_of_a_dataset_is_verified_without_the_hub(hub: LocalHub, tmp_path: Path) -> None:
    mmdbench.build("hf:me/vqa", "OUT", columns=COLUMNS, levels=["hard"], progress=False)
    manifest = json.loads((tmp_path / "OUT/manifest.json").read_text())
    assert manifest["benches"][0]["source"] == f"hf:me/vqa@{hub.commit}:default:test"
    hub.seen.clear()
    done = CliRunner().invoke(app, ["verify", "OUT"])
    assert done.exit_code == 0, done.output
    assert not hub.seen


def test_a_missing_package_names_its_extra(monkeypatch: pytest.MonkeyPatch, hub: LocalHub) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtraError, match="datasets") as caught:
        open_bench("hf:me/vqa", columns=COLUMNS)
    assert "mmdbench[hub]" in caught.value.hint


@pytest.mark.parametrize("name", ["hf:vqa", "hf:a/b/c", "hf:../b", "hf:a/b:c:d:e", "hf:a/b:test[5]"])
def test_names_that_are_none_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="names no dataset of the Hub"):
        open_bench(name)


def test_a_gated_dataset_says_what_to_do_and_shows_no_key(
    hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_abcdefghijklmnopqrstuvwxyz")
    del hub.repositories[REPO]
    with pytest.raises(DownloadError, match="me/vqa: the Hub answered 401") as caught:
        open_bench("hf:me/vqa", columns=COLUMNS)
    assert "HF_TOKEN" in caught.value.hint
    assert "hf_abc" not in caught.value.message
