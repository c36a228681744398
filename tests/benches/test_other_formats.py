"""COCO-VQA's JSON, folders of pictures with metadata, and tasks of lmms-eval, as benchmarks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mmdbench.benches import open_bench
from mmdbench.benches.lmms_task import read_task
from mmdbench.errors import DataError, UsageError
from mmdbench.library import build
from pictures import picture, png

PICTURES = [png(picture(seed)) for seed in range(3)]


@pytest.fixture(autouse=True)
def _data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LMUData", str(tmp_path / "data"))


def write_coco(folder: Path, **changes: Any) -> Path:
    """Questions and annotations as COCO-VQA has them, two of them about the same picture."""
    (folder / "val2014").mkdir(parents=True)
    for number in (1, 2):
        (folder / f"val2014/COCO_val2014_{number:012d}.jpg").write_bytes(PICTURES[number])
    questions = [
        {"image_id": image, "question": text, "question_id": number}
        for number, (image, text) in enumerate([(1, "What?"), (2, "Where?"), (1, "Who?")], 10)
    ]
    answers = [
        {"question_id": 10, "multiple_choice_answer": "a cat", "answers": [{"answer": "cat"}]},
        {"question_id": 11, "answers": [{"answer": "left"}, {"answer": "right"}, {"answer": "right"}]},
        {"question_id": 12, "multiple_choice_answer": "nobody"},
    ]
    head = {"data_subtype": "val2014", "questions": questions, **changes}
    path = folder / "v2_OpenEnded_mscoco_val2014_questions.json"
    path.write_text(json.dumps(head))
    (folder / "v2_mscoco_val2014_annotations.json").write_text(json.dumps({"annotations": answers}))
    return path


def test_coco_vqa_is_read_with_its_annotations(tmp_path: Path) -> None:
    bench = open_bench(write_coco(tmp_path / "coco"))
    assert [q.index for q in bench.questions] == [10, 11, 12]
    assert [q.answer for q in bench.questions] == ["a cat", "right<OR>left", "nobody"]
    assert [q.images[0].read() for q in bench.questions] == [PICTURES[1], PICTURES[2], PICTURES[1]]
    assert bench.family == "mmvet"
    assert bench.family_reason == "its answers are open"


def test_a_picture_of_several_questions_is_held_once(tmp_path: Path) -> None:
    bench = open_bench(write_coco(tmp_path / "coco"))
    assert bench.questions[2].images[0] is bench.questions[0].images[0]


def test_coco_style_images_and_options_are_read(tmp_path: Path) -> None:
    (tmp_path / "p.png").write_bytes(PICTURES[0])
    question = {"image_id": 7, "question": "What?", "question_id": 1, "answer": "dog"}
    table = {
        "images": [{"id": 7, "file_name": "p.png"}],
        "questions": [{**question, "multiple_choices": ["cat", "dog"]}],
    }
    (tmp_path / "own.json").write_text(json.dumps(table))
    bench = open_bench(tmp_path / "own.json")
    assert (bench.family, bench.questions[0].answer) == ("plain", "B")


def test_a_coco_file_names_no_picture_outside_its_folder(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(PICTURES[0])
    inner = tmp_path / "inner"
    inner.mkdir()
    rows = [{"question": "What?", "image": "../secret.png", "answer": "x"}]
    (inner / "own.json").write_text(json.dumps(rows))
    with pytest.raises(DataError, match=r"'../secret.png' is outside the folder"):
        open_bench(inner / "own.json")
    assert len(open_bench(inner / "own.json", image_root=tmp_path).questions) == 1


def test_changed_pictures_are_read_again(tmp_path: Path) -> None:
    path = write_coco(tmp_path / "coco")
    before = open_bench(path).sha256
    (tmp_path / "coco/val2014/COCO_val2014_000000000002.jpg").write_bytes(PICTURES[0])
    after = open_bench(path)
    assert after.sha256 != before
    assert after.questions[1].images[0].read() == PICTURES[0]


@pytest.mark.parametrize("text", ["[", '{"a": 1}', '{"questions": []}', '{"questions": ["x"]}'])
def test_other_json_is_one_clear_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "bad.json").write_text(text)
    with pytest.raises(DataError, match=r"bad\.json"):
        open_bench(tmp_path / "bad.json")


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
def test_a_folder_of_pictures_with_metadata_is_read(tmp_path: Path, form: str) -> None:
    rows = [
        {"file_name": f"{n}.png", "question": f"Q{n}?", "A": "yes", "B": "no", "answer": "AB"[n]}
        for n in (0, 1)
    ]
    folder = tmp_path / "photos"
    folder.mkdir()
    for n in (0, 1):
        (folder / f"{n}.png").write_bytes(PICTURES[n])
    if form == "jsonl":
        (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    else:
        import pandas as pd

        frame = pd.DataFrame(rows)
        if form == "csv":
            frame.to_csv(folder / "metadata.csv", index=False)
        else:
            frame.to_parquet(folder / "metadata.parquet")
    bench = open_bench(folder)
    assert bench.name == "photos"
    assert [q.answer for q in bench.questions] == ["A", "B"]
    assert [q.images[0].read() for q in bench.questions] == PICTURES[:2]


def test_several_pictures_of_a_row_are_a_list_also_in_csv(tmp_path: Path) -> None:
    import csv

    for name in ("0.png", "[1.png"):
        (tmp_path / name).write_bytes(PICTURES[0])
    rows = [["file_names", "question", "A", "B", "answer"]]
    rows += [['["0.png", "[1.png"]', "Same?", "yes", "no", "A"], ["[1.png", "One?", "yes", "no", "B"]]
    with (tmp_path / "metadata.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    assert [len(q.images) for q in open_bench(tmp_path).questions] == [2, 1]


def test_a_build_in_the_folder_format_is_a_source(tmp_path: Path) -> None:
    build("mini", tmp_path / "built", format="folder", levels=["hard"], sample=3, progress=False)
    bench = open_bench(tmp_path / "built/mini_hard")
    assert len(bench.questions) == 3
    assert bench.without_picture == 0


def test_a_folder_without_metadata_names_those_below(tmp_path: Path) -> None:
    (tmp_path / "set/test").mkdir(parents=True)
    (tmp_path / "set/test/metadata.jsonl").write_text("{}")
    with pytest.raises(DataError, match=r"holds none of metadata\.jsonl") as caught:
        open_bench(tmp_path / "set")
    assert "test" in caught.value.hint


TASK = """
include: _base.yaml
task: own_val
test_split: val
doc_to_visual: !function utils.pictures
doc_to_text: "{{query}}"
doc_to_target: label
"""


def test_a_task_of_lmms_eval_names_its_dataset_and_columns(tmp_path: Path) -> None:
    (tmp_path / "_base.yaml").write_text(
        "dataset_path: me/vqa\ndataset_name: en\ndataset_kwargs:\n  token: true\n"
    )
    path = tmp_path / "own.yaml"
    path.write_text(TASK)
    assert read_task(path) == ("hf:me/vqa:en:val", {"question": "query", "answer": "label"})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("task: x\n", "names no dataset of the Hub"),
        ("include: ../x.yaml\n", "not in its folder"),
        ("include: own.yaml\n", "not in its folder"),
        ("a: [\n", "no YAML of a task"),
        ("- a\n", "is no task"),
    ],
)
def test_files_that_are_no_task_are_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(text)
    with pytest.raises(DataError, match=said):
        open_bench(path)


def test_no_python_of_a_task_is_run(tmp_path: Path) -> None:
    (tmp_path / "utils.py").write_text("raise SystemExit('run')\n")
    path = tmp_path / "own.yaml"
    path.write_text("dataset_path: me/vqa\ntest_split: val\ndoc_to_text: !function utils.text\n")
    assert read_task(path) == ("hf:me/vqa:val", {})


@pytest.mark.parametrize("given", ["question", "=x", "quest=x", "question=a,question=b", "first_answer=2"])
def test_maps_that_are_none_are_refused(given: str) -> None:
    from mmdbench.library.sources import given_columns

    with pytest.raises(UsageError, match="--column"):
        given_columns(given)
