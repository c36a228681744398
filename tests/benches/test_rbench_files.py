"""R-Bench's published files: GB18030, options in one cell, lists of captions, two kinds of pictures."""

from __future__ import annotations

import base64
import csv
import os

import pytest

from mmdbench.benches import build_prompt, expand_benches, open_bench
from mmdbench.benches.catalog import is_degraded, refuse_degraded
from mmdbench.benches.option_columns import lettered_options
from mmdbench.benches.rbench import distortion_of, strength_of
from mmdbench.benches.rbench_files import find_published
from mmdbench.errors import DataError, UsageError
from rbench_samples import picture_of, published_rows, write_csv, write_parquet

ROWS = published_rows()


@pytest.fixture(params=["csv", "utf-8", "parquet", "parts"])
def data(request, tmp_path, monkeypatch):
    monkeypatch.setenv("LMUData", str(tmp_path))
    if request.param in ("csv", "utf-8"):
        write_csv(tmp_path, encoding="gb18030" if request.param == "csv" else "utf-8")
        return tmp_path
    pytest.importorskip("pyarrow", reason="pyarrow is not installed (extra: parquet)")
    if request.param == "parquet":
        write_parquet(tmp_path / "R-Bench.parquet")
    else:
        write_parquet(tmp_path / "R-Bench" / "part-0.parquet", ROWS[:4])
        write_parquet(tmp_path / "R-Bench" / "part-1.parquet", ROWS[4:], start=4)
    return tmp_path


def test_every_form_gives_the_same_questions_and_pictures(data) -> None:
    for place, task in enumerate(("mcq", "vqa", "cap")):
        for suffix, kind in (("", "dis"), ("-ref", "ref")):
            bench = open_bench(f"rbench:{task}{suffix}")
            assert bench.name == f"R-Bench-{task.upper()}{suffix.title()}"
            assert [q.index for q in bench.questions] == [place, place + 3, place + 6]
            assert [strength_of(q) for q in bench.questions] == ["low", "mid", "high"]
            assert [distortion_of(q) for q in bench.questions] == [place + 1, place + 4, place + 7]
            for question in bench.questions:
                row = ROWS[question.index]
                assert question.text == row["question"]
                assert question.answer == row["answer"]
                assert question.fields["choice"] == row["choice"]
                (image,) = question.images
                assert image.read() == picture_of(question.index, kind)


def test_parquet_parts_which_hold_their_pictures_come_before_the_csv(tmp_path) -> None:
    path = write_csv(tmp_path)
    (tmp_path / "R-Bench").mkdir()
    part = tmp_path / "R-Bench" / "part-0.parquet"
    part.touch()
    assert find_published(tmp_path) == [part]
    part.unlink()
    assert find_published(tmp_path) == [path]


def test_options_are_read_from_one_cell(data) -> None:
    for question in open_bench("rbench:mcq").questions:
        assert question.options == {"A": "red", "B": "blue", "C": "green"}
    assert not any(q.options for q in open_bench("rbench:vqa").questions)


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("A.running; B.Play football", {"A": "running", "B": "Play football"}),
        ("A.1;B.2;C.3", {"A": "1", "B": "2", "C": "3"}),
        ("A.a lamp.; B.a cup.;", {"A": "a lamp.", "B": "a cup."}),
        (
            "A.red;B.black;D.no; C.orange\uff1bD.yellow",
            {"A": "red", "B": "black;D.no", "C": "orange", "D": "yellow"},
        ),
        ("N", {}),
        ("no options; B.here", {}),
        ('["A. cat", "B. dog"]', {}),
    ],
)
def test_lettered_options(text, options) -> None:
    assert lettered_options(text) == options


def test_the_csv_is_not_read_as_utf_8(tmp_path) -> None:
    path = write_csv(tmp_path)
    with pytest.raises(UnicodeDecodeError):
        path.read_bytes().decode("utf-8")
    path.write_bytes(path.read_bytes() + b"\xff\xff")
    with pytest.raises(DataError, match="neither UTF-8 nor GB18030"):
        open_bench("rbench:mcq", data_dir=tmp_path)


def test_a_changed_file_is_read_again(tmp_path) -> None:
    path = write_csv(tmp_path)
    before = open_bench("rbench:vqa", data_dir=tmp_path)
    assert open_bench("rbench:vqa", data_dir=tmp_path).path == before.path
    rows = published_rows()
    rows[1]["answer"] = "Go"
    write_csv(tmp_path, rows)
    os.utime(path, ns=(1, 1))
    assert open_bench("rbench:vqa", data_dir=tmp_path).questions[0].answer == "Go"


def test_a_file_that_cannot_be_used_is_refused_with_the_place(tmp_path) -> None:
    def refused(match, rows=None, task="mcq"):
        write_csv(tmp_path, rows)
        with pytest.raises(DataError, match=match):
            open_bench(f"rbench:{task}", data_dir=tmp_path)

    def with_cell(number, **cells):
        rows = published_rows()
        rows[number] |= cells
        return rows

    refused(r"line 2, column 'answer': the answer 'D' is no option", with_cell(0, answer="D"))
    refused("column 'choice': 'A.red' is not a list of two or more options", with_cell(3, choice="A.red"))
    refused("line .: a row of MCQ has no options", with_cell(3, choice="N"))
    refused("line .: a row of MCQ has no options", with_cell(0, choice=""))
    refused(
        r"column 'answer': \"\['A sign.'\" is not a list of 1 to 100",
        with_cell(2, answer="['A sign.'"),
        "cap",
    )
    refused("the answer is empty", with_cell(1, answer=" "), "vqa")
    path = write_csv(tmp_path)
    path.write_text(path.read_text("gb18030").replace("strength", "severity", 1), "gb18030")
    with pytest.raises(DataError, match="no column 'strength'"):
        open_bench("rbench:mcq", data_dir=tmp_path)


def test_missing_pictures_are_counted_and_a_missing_folder_is_refused(tmp_path) -> None:
    write_csv(tmp_path)
    (tmp_path / "dis_image" / "VQA_1.png").unlink()
    bench = open_bench("rbench:vqa", data_dir=tmp_path)
    assert bench.without_picture == 1
    for path in (tmp_path / "ref_image").iterdir():
        path.unlink()
    (tmp_path / "ref_image").rmdir()
    with pytest.raises(DataError, match="no folder ref_image or ref beside it"):
        open_bench("rbench:vqa-ref", data_dir=tmp_path)


def test_a_parquet_file_without_pictures_is_refused(tmp_path) -> None:
    arrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed (extra: parquet)")
    from pyarrow.parquet import write_table

    write_table(arrow.Table.from_pylist(ROWS), tmp_path / "R-Bench.parquet")
    with pytest.raises(DataError, match="no column 'dis_image'"):
        open_bench("rbench:mcq", data_dir=tmp_path)


def test_the_files_of_vlmevalkit_work_as_before(tmp_path) -> None:
    head = ["index", "question", "A", "B", "C", "D", "answer", "image"]
    for kind in ("dis", "ref"):
        picture = base64.b64encode(picture_of(7, kind)).decode()
        row = [7, "Which?", "red", "blue", "", "", "A", picture]
        with (tmp_path / f"R-bench-{kind}.tsv").open("w", newline="") as file:
            csv.writer(file, delimiter="\t", lineterminator="\n").writerows([head, row])
    for task, kind in (("mcq", "dis"), ("mcq-ref", "ref")):
        (question,) = open_bench(f"rbench:{task}", data_dir=tmp_path).questions
        assert question.images[0].read() == picture_of(7, kind)
        assert (question.index, question.options, strength_of(question)) == (7, {"A": "red", "B": "blue"}, "")
    with pytest.raises(DataError, match="no row of R-Bench's task VQA"):
        open_bench("rbench:vqa", data_dir=tmp_path)
    assert open_bench("R-Bench-Dis", data_dir=tmp_path, offline=True).family == "plain"


def test_undistorted_pictures_have_names_and_are_asked_as_they_are() -> None:
    assert expand_benches("rbench:ref") == ("rbench:mcq-ref", "rbench:vqa-ref", "rbench:cap-ref")
    for name in ("rbench:vqa-ref", "R-Bench-VQA-Ref", "R-Bench-MCQ"):
        assert is_degraded(name)
    with pytest.raises(UsageError, match="rbench:vqa-ref are asked as they are published"):
        refuse_degraded(["rbench:vqa-ref"], "assign")


def test_the_official_prompts_have_the_authors_structure(tmp_path) -> None:
    write_csv(tmp_path)
    prompts = {}
    for task in ("mcq", "vqa", "cap"):
        bench = open_bench(f"rbench:{task}", data_dir=tmp_path)
        question = bench.questions[0]
        prompts[task] = build_prompt(question, bench.family, "rbench/official")
        plain = build_prompt(question, bench.family)
        assert plain == build_prompt(question, bench.family, "rbench/ours")
        # Reply keys are made of the prompt: these must not move.
        assert plain == (build_prompt(question, "plain") if task == "mcq" else question.text)
    question, choice, sentence = prompts["mcq"].split("\n")
    assert (question, choice) == (ROWS[0]["question"], ROWS[0]["choice"])
    assert "letter" in sentence
    assert prompts["vqa"].startswith(f"{ROWS[1]['question']}. ")
    assert "10 words" in prompts["vqa"]
    assert prompts["cap"] == ROWS[2]["question"]
