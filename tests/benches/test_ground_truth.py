"""Right answers and options in every spelling: understood and counted, or refused with line and column."""

from __future__ import annotations

import base64
import csv
import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from mmdbench.benches import Bench, open_bench
from mmdbench.benches.bench import read_bench
from mmdbench.benches.catalog import find_bench
from mmdbench.benches.ground_truth import read_answer
from mmdbench.benches.option_columns import rename_options
from mmdbench.errors import DataError

IMAGE = base64.b64encode(b"picture" * 20).decode()
PETS = {"A": "cat", "B": "dog"}


def written(path: Path, names: list[str], *rows: list[str]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(["index", "question", *names, "image"])
        writer.writerows([str(n), f"What is it, {n}?", *row, IMAGE] for n, row in enumerate(rows))
    return path


def pets(tmp_path: Path, *answers: str, **options: str) -> Bench:
    rows = [["cat", "dog", answer] for answer in answers]
    return open_bench(written(tmp_path / "own.tsv", ["A", "B", "answer"], *rows), **options)


@pytest.mark.parametrize(
    ("answer", "way"),
    [
        ("b", "1 in another case"),
        ("(B)", "1 with brackets or a full stop"),
        ("B.", "1 with brackets or a full stop"),
        ("[b]:", "1 with brackets or a full stop"),
        (" B ", "1 with spaces"),
        ("Ｂ", "1 with spaces"),
        ("dog", "1 as the option's text"),
        ("Dog.", "1 as the option's text"),
        ("B. dog", "1 as label and text"),
        ("(b) Dog", "1 as label and text"),
        ("2", "1 as a number, counted from 1"),
        ("2.0", "1 as a number, counted from 1"),
    ],
)
def test_an_answer_in_another_spelling_is_read_as_its_label_and_counted(
    tmp_path: Path, answer: str, way: str
) -> None:
    bench = pets(tmp_path, "A", answer)
    assert [q.answer for q in bench.questions] == ["A", "B"]
    assert bench.notes == (f"1 answer was read as the label of an option ({way})",)


def test_right_labels_leave_the_fields_as_they_are_and_no_note(tmp_path: Path) -> None:
    bench = pets(tmp_path, "A", "B")
    assert bench.notes == ()
    assert bench.questions[1].fields == {
        "index": "1",
        "question": "What is it, 1?",
        "A": "cat",
        "B": "dog",
        "answer": "B",
    }


@pytest.mark.parametrize(
    "answer", ["E", "AB", "A,B", "A B", "0", "3", "bird", "cat or dog", "B. cat", "?", "-1"]
)
def test_an_answer_that_is_no_option_names_line_column_and_the_options(tmp_path: Path, answer: str) -> None:
    with pytest.raises(
        DataError, match=r"own.tsv, line 3, column 'answer': the answer .* \(A, B\)"
    ) as raised:
        pets(tmp_path, "A", answer, answer)
    assert "1 more row has such an answer" in raised.value.message
    assert raised.value.exit_code == 2
    assert [q.answer for q in pets(tmp_path, "A", answer, answers="any").questions] == ["A", answer]


@pytest.mark.parametrize("answer", ["", "  "])
def test_an_empty_answer_is_refused(tmp_path: Path, answer: str) -> None:
    with pytest.raises(DataError, match=r"line 4, column 'answer': the answer is empty"):
        pets(tmp_path, "A", "B", answer)


@pytest.mark.parametrize(
    ("answer", "options", "meant"),
    [
        ("3", {"A": "3", "B": "5"}, "A"),
        ("2", {"A": "1", "B": "3", "C": "2"}, "C"),
        ("C", {"A": "C", "B": "D"}, "A"),
        ("A", {"A": "B", "B": "A"}, "A"),
        ("cat", {"A": "Cat", "B": "cat"}, "B"),
        ("c", {"A": "x", "C": "y"}, "C"),
    ],
)
def test_which_of_two_readings_holds(answer: str, options: dict[str, str], meant: str) -> None:
    assert read_answer(answer, options)[0] == meant


@pytest.mark.parametrize(
    ("answer", "options", "problem"),
    [
        ("b", {"A": "b", "B": "a"}, "can mean A or B"),
        ("dog", {"A": "dog", "B": "dog"}, "can mean A or B"),
        ("2", {"A": "4", "B": "5"}, "is no option"),
        ("2", {"A": "three", "B": "four"}, "is no option"),
        ("2", {"A": "5 cats", "B": "7 cats"}, "is no option"),
        ("2", {"A": "cat", "C": "dog"}, "is no option"),
    ],
)
def test_an_answer_that_can_mean_two_options_or_none_is_refused(
    answer: str, options: dict[str, str], problem: str
) -> None:
    with pytest.raises(DataError, match=problem):
        read_answer(answer, options)


def test_a_letter_that_is_label_and_text_is_refused_where_other_answers_are_texts(tmp_path: Path) -> None:
    rows = [["cat", "dog", "dog"], ["B", "A", "A"]]
    path = written(tmp_path / "own.tsv", ["A", "B", "answer"], *rows)
    with pytest.raises(DataError, match=r"line 3, column 'answer': 'A' is a label and a text"):
        open_bench(path)
    written(path, ["A", "B", "answer"], ["cat", "dog", "B"], rows[1])
    assert [q.answer for q in open_bench(path).questions] == ["B", "A"]


@pytest.mark.parametrize("family", [None, "mmvet", "circular", "mmvp"])
def test_a_file_without_answers_is_refused(tmp_path: Path, family: str | None) -> None:
    path = written(tmp_path / "own.tsv", ["A", "B"], ["cat", "dog"])
    with pytest.raises(DataError, match=r"own.tsv, line 1: no column 'answer'"):
        open_bench(path, family=family)
    assert open_bench(path, family=family, answers="any").questions[0].answer == ""


def test_a_header_without_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"own.tsv, line 1: a header, but no rows"):
        pets(tmp_path, answers="any")


def test_a_file_without_options_is_refused_unless_its_answers_are_open(tmp_path: Path) -> None:
    path = written(tmp_path / "own.tsv", ["answer"], ["a dog"])
    with pytest.raises(DataError, match=r"line 1: no column of options.*--family mmvet"):
        open_bench(path)
    bench = open_bench(path, family="mmvet")
    assert (bench.questions[0].answer, bench.notes) == ("a dog", ())
    with pytest.raises(DataError, match=r"line 2, column 'answer': the answer is empty"):
        open_bench(written(path, ["answer"], [""]), family="mmvet")


@pytest.mark.parametrize(
    ("names", "read"),
    [
        (["a", "b"], ["A", "B"]),
        (["1", "2"], ["A", "B"]),
        (["0", "1"], ["A", "B"]),
        (["option_a", "option_b"], ["A", "B"]),
        (["Option A", "Option B"], ["A", "B"]),
        (["optionA", "optionB"], ["A", "B"]),
        (["choice_1", "choice_2"], ["A", "B"]),
        (["answer_a", "answer_b"], ["A", "B"]),
        (["(a)", "(b)"], ["A", "B"]),
        (["A.", "B."], ["A", "B"]),
    ],
)
def test_columns_of_options_in_other_spellings_are_read_and_named(
    tmp_path: Path, names: list[str], read: list[str]
) -> None:
    bench = open_bench(written(tmp_path / "own.tsv", [*names, "answer"], ["cat", "dog", "dog"]))
    assert bench.questions[0].options == dict(zip(read, ["cat", "dog"], strict=True))
    assert bench.questions[0].answer == "B"
    assert bench.notes[0] == f"options are read from {', '.join(map(repr, names))}"


@pytest.mark.parametrize(
    "names",
    [
        ("A", "B", "a", "x"),
        ("options", "answers"),
        ("x", "y"),
        ("answer_1", "answer_2"),
        ("option_a", "option_b", "a", "b"),
        ("b", "c"),
    ],
)
def test_other_columns_keep_their_names(names: tuple[str, ...]) -> None:
    assert rename_options(names) == names


@pytest.mark.parametrize(
    ("names", "column"),
    [
        (["A", "B", "c"], "c"),
        (["A", "C", "b"], "b"),
        (["A", "B", "option_c"], "option_c"),
        (["a", "b", "d"], "d"),
        (["A", "B", "h"], ""),
    ],
)
def test_a_column_that_only_seems_to_be_an_option_is_refused(
    tmp_path: Path, names: list[str], column: str
) -> None:
    path = written(tmp_path / "own.tsv", [*names, "answer"], ["cat", "dog", "bird", "A"])
    if column:
        with pytest.raises(DataError, match=rf"line 1: the column '{column}' seems to be an option"):
            open_bench(path)
    else:  # a height, perhaps
        assert len(open_bench(path).questions[0].options) == 2


@pytest.mark.parametrize(
    "cell",
    [
        '["cat", "dog"]',
        "['cat', 'dog']",
        '{"A": "cat", "B": "dog"}',
        "{'b': 'dog', 'a': 'cat'}",
        '["A. cat", "B. dog"]',
        "['(A) cat', '(B) dog']",
    ],
)
def test_a_column_of_lists_is_read_as_options(tmp_path: Path, cell: str) -> None:
    path = written(tmp_path / "own.tsv", ["choices", "answer", "category"], [cell, "dog", "pets"])
    bench = open_bench(path)
    assert (bench.family, bench.questions[0].options, bench.questions[0].answer) == ("plain", PETS, "B")
    assert bench.notes[0] == "options are read from 'choices'"


@pytest.mark.parametrize("cell", ["['cat' 'dog']", "[1, [2]]", "[cat, dog]", '{"A": "cat", "no": "dog"}'])
def test_a_list_that_cannot_be_read_is_refused(tmp_path: Path, cell: str) -> None:
    path = written(tmp_path / "own.tsv", ["options", "answer"], ["['x', 'y']", "A"], [cell, "A"])
    with pytest.raises(DataError, match=r"line 3, column 'options': .* is not a list of two or more options"):
        open_bench(path)


def test_a_list_in_a_benchmark_with_open_answers_is_left_alone(tmp_path: Path) -> None:
    path = written(tmp_path / "own.tsv", ["choices", "answer"], ["['x', 'y']", "anything"])
    assert open_bench(path, family="mmvet").questions[0].options == {}


def test_a_published_file_is_read_as_it_is(tmp_path: Path) -> None:
    path = written(tmp_path / "MMStar.tsv", ["A", "B", "answer"], ["cat", "dog", "b"], ["cat", "dog", "E"])
    info = replace(find_bench("MMStar"), md5=hashlib.md5(path.read_bytes()).hexdigest())
    bench = read_bench(path, info=info)
    assert [q.answer for q in bench.questions] == ["b", "E"]
    with pytest.raises(DataError, match="line 3, column 'answer'"):
        read_bench(path, info=replace(info, md5="0" * 32))
    assert [q.answer for q in read_bench(path, answers="as is").questions] == ["b", "E"]


def test_a_published_file_without_answers_cannot_be_scored(tmp_path: Path) -> None:
    path = written(tmp_path / "MMStar.tsv", ["A", "B"], ["cat", "dog"])
    info = replace(find_bench("MMStar"), md5=hashlib.md5(path.read_bytes()).hexdigest())
    with pytest.raises(DataError, match="no column 'answer'"):
        read_bench(path, info=info)
