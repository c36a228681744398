"""Rows of LLaVA-OneVision as a benchmark: JSON lines and Parquet, pictures in any form, filters."""

from __future__ import annotations

import json

import pytest

from mmdbench.benches import open_bench
from mmdbench.errors import DataError
from mmdbench.records import Question
from mmdbench.training import RowDraw, bench_of_rows
from mmdbench.training.filters import has_cjk, unfit_size
from mmdbench.training.rows import conversation_of, is_row_source
from pictures import picture, png
from training_rows import row, write_jsonl


def opened(source, tmp_path, draw=None):
    made = bench_of_rows(source, tmp_path / "rows", draw)
    return open_bench(made.path, family="mmvet", answers="as is"), dict(made.left_out)


def write_parquet(path, rows):
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    rows = [{**r, "image": r["image"] and {"bytes": r["image"], "path": None}} for r in rows]
    parquet.write_table(pa.Table.from_pylist(rows), path)
    return path


@pytest.mark.parametrize("write", [write_jsonl, write_parquet])
def test_rows_become_questions_with_their_conversation(tmp_path, write) -> None:
    suffix = ".jsonl" if write is write_jsonl else ".parquet"
    rows = [row(0, 'A "quoted"\ttext\nin lines', "two, or 2", subset="ai2d"), row(1, subset="chartqa")]
    bench, left_out = opened(write(tmp_path / f"llava{suffix}", rows), tmp_path)
    assert (bench.name, bench.family, left_out) == ("llava", "mmvet", {})
    first, second = bench.questions
    assert (first.index, first.text, first.answer) == (0, 'A "quoted"\ttext\nin lines', "two, or 2")
    assert (first.fields["id"], second.category) == ("row-0", "chartqa")
    assert second.images[0].read() == rows[1]["image"]
    assert conversation_of(first, "mmvet").as_list() == rows[0]["conversations"]


def test_a_picture_may_be_a_path_base64_a_data_uri_or_an_object(tmp_path) -> None:
    data = png(picture(3))
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.png").write_bytes(data)
    text = write_jsonl(tmp_path / "x.jsonl", [row(0, image=data)]).read_text()
    plain = json.loads(text)["image"]
    forms = ["pictures/a.png", plain, f"data:image/png;base64,{plain}", {"path": "pictures/a.png"}, [plain]]
    rows = [row(i, image=image) for i, image in enumerate(forms)]
    bench, _ = opened(write_jsonl(tmp_path / "forms.jsonl", rows), tmp_path)
    assert [q.images[0].read() for q in bench.questions] == [data] * 5


@pytest.mark.parametrize("name", ["../secret.png", "{above}/secret.png", "a/../../secret.png", "x\0.png"])
def test_a_row_shows_no_file_outside_the_folder_of_its_file(tmp_path, name) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "secret.png").write_bytes(png(picture(3)))
    path = write_jsonl(tmp_path / "data" / "x.jsonl", [row(0, image=name.format(above=tmp_path))])
    with pytest.raises(DataError, match=r"x.jsonl, line 1: .* is outside the folder .*--image-root"):
        opened(path, tmp_path)


def test_an_image_root_holds_the_pictures_of_rows(tmp_path) -> None:
    for folder in ("data", "root"):
        (tmp_path / folder).mkdir()
    data = png(picture(3))
    (tmp_path / "root" / "a.png").write_bytes(data)
    names = ("a.png", str(tmp_path / "root/a.png"), "../root/a.png")
    path = write_jsonl(tmp_path / "data" / "x.jsonl", [row(i, image=name) for i, name in enumerate(names)])
    made = bench_of_rows(path, tmp_path / "rows", image_root=tmp_path / "root")
    bench = open_bench(made.path, family="mmvet", answers="as is")
    assert [q.images[0].read() for q in bench.questions] == [data] * 3
    with pytest.raises(DataError, match="No such file"):
        opened(path, tmp_path)


def test_rows_without_a_picture_or_an_answer_are_counted(tmp_path) -> None:
    rows = [row(0), row(1, answer=" "), {**row(2), "image": None}, row(3, image=["a", "b"])]
    bench, left_out = opened(write_jsonl(tmp_path / "r.jsonl", rows), tmp_path)
    assert [q.index for q in bench.questions] == [0]
    assert left_out == {"no answer in the conversation": 1, "no picture": 1, "several pictures": 1}
    assert opened(tmp_path / "r.jsonl", tmp_path)[1] == left_out  # kept with the copy


def test_a_folder_is_one_benchmark_and_is_copied_once(tmp_path) -> None:
    folder = tmp_path / "ai2d"
    folder.mkdir()
    for part in range(2):
        write_jsonl(folder / f"part-{part}.jsonl", [row(part)])
    assert is_row_source(str(folder))
    assert not is_row_source("mini")
    made = bench_of_rows(folder, tmp_path / "rows")
    assert [q.index for q in open_bench(made.path).questions] == [0, 1]
    before = made.path.stat().st_mtime_ns
    assert bench_of_rows(folder, tmp_path / "rows").path.stat().st_mtime_ns == before
    write_jsonl(folder / "part-2.jsonl", [row(2)])
    assert len(open_bench(bench_of_rows(folder, tmp_path / "rows").path).questions) == 3


TURNS = '"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]'


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{\n", "line 1: not JSON"),
        ('{"id": 1}\n', "line 1: a row needs id, image and conversations. It has: id."),
        ('{"image": "x.png", ' + TURNS + "}", "x.png"),
        ('{"image": "%%", ' + TURNS + "}", "not base64"),
        ('{"image": "", ' + TURNS + "}", "none of its rows"),
    ],
)
def test_rows_that_cannot_be_read_name_file_and_line(tmp_path, text, says) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(text)
    with pytest.raises(DataError, match=r"bad\.jsonl") as error:
        bench_of_rows(path, tmp_path / "rows")
    assert says in str(error.value)


def test_parquet_that_is_none_or_lacks_its_columns_is_an_error(tmp_path) -> None:
    pytest.importorskip("pyarrow")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(DataError, match=r"bad\.parquet"):
        bench_of_rows(tmp_path / "bad.parquet", tmp_path / "rows")
    import pyarrow as pa
    from pyarrow import parquet

    parquet.write_table(pa.table({"id": ["a"]}), tmp_path / "thin.parquet")
    with pytest.raises(DataError, match="It has: id"):
        bench_of_rows(tmp_path / "thin.parquet", tmp_path / "rows")


def test_a_question_of_a_benchmark_has_its_prompt_and_answer_as_conversation() -> None:
    question = Question("toy", 1, {"question": "Which?", "A": "red", "B": "green", "answer": "B"})
    human, gpt = conversation_of(question, "plain").turns
    assert human[1].startswith("<image>\n")
    assert "A. red" in human[1]
    assert gpt == ("gpt", "B")


def test_the_draw_of_rows_has_its_probabilities_and_a_seed() -> None:
    draw = RowDraw()
    splits = [draw.split_of("llava", i) for i in range(40_000)]
    assert 1850 < splits.count("sft") < 2150  # 2,000 of 40,000
    assert 320 < splits.count("rl") < 480  # 400
    assert splits[:100] == [draw.split_of("llava", i) for i in range(100)]
    assert splits != [RowDraw(seed=1).split_of("llava", i) for i in range(40_000)]


def test_only_rows_that_are_drawn_and_fit_are_copied(tmp_path) -> None:
    small, long = png(picture(1, 63, 100)), png(picture(2, 64, 321))
    rows = [
        row(0, image=png(picture(0, 64, 320))),
        row(1, image=small),
        row(2, image=long),
        row(3, "这是什么?", image=png(picture(3, 64, 64))),
        row(4, image=b"no picture"),
    ]
    bench, left_out = opened(write_jsonl(tmp_path / "r.jsonl", rows), tmp_path, RowDraw(p_sft=1, p_rl=0))
    assert [q.index for q in bench.questions] == [0]
    assert left_out == {
        "picture too small": 1,
        "picture too narrow": 1,
        "CJK characters": 1,
        "unreadable picture": 1,
    }
    with pytest.raises(DataError, match="none of its rows"):
        bench_of_rows(tmp_path / "r.jsonl", tmp_path / "rows", RowDraw(p_sft=0, p_rl=0))


@pytest.mark.parametrize(
    ("text", "cjk"), [("Größe µ – ≤ ①", False), ("日", True), ("かな", True), ("한글", True)]
)
def test_any_cjk_character_counts(text, cjk) -> None:
    assert has_cjk(["plain", text]) == cjk


@pytest.mark.parametrize(
    ("size", "reason"),
    [((64, 320), ""), ((63, 64), "picture too small"), ((400, 79), "picture too narrow"), ((400, 80), "")],
)
def test_sides_and_aspect(size, reason) -> None:
    assert unfit_size(size) == reason
