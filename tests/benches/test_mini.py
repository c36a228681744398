"""The embedded benchmark `mini` is complete, balanced, licensed, and equal to its hand-written source."""

from __future__ import annotations

import base64
import csv
import io
import re
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from PIL import Image

from mmdbench.benches import find_bench
from mmdbench.benches.data_files import list_data, verify_data

ROOT = Path(__file__).resolve().parents[2]
TSV = ROOT / "mmdbench" / "benches" / "data" / "mini.tsv"
NOTICE = TSV.with_name("mini_NOTICE.md")
QUESTIONS = ROOT / "tools" / "mini" / "questions.tsv"
COLUMNS = [
    "index", "question", "A", "B", "C", "D", "answer", "category", "l2-category", "pair", "photo", "image",
]  # fmt: skip
GROUPS = {
    "presence": "object",
    "counting": "object",
    "position": "attribute",
    "colour": "attribute",
    "reading": "text",
    "scene": "scene",
}
AT_LEAST = {"presence": 40, "counting": 20, "position": 18, "colour": 20, "reading": 18, "scene": 12}
REFERENCE = 64

Row = dict[str, str]


def read_rows(path: Path) -> list[Row]:
    before = csv.field_size_limit(10_000_000)
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            return list(csv.DictReader(stream, delimiter="\t", strict=True))
    finally:
        csv.field_size_limit(before)


def options(row: Row) -> list[str]:
    return [row[letter] for letter in "ABCD" if row[letter]]


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return read_rows(TSV)


def test_size_columns_and_line_ends(rows: list[Row]) -> None:
    data = TSV.read_bytes()
    assert len(data) <= 6_000_000
    assert b"\r" not in data
    assert list(rows[0]) == COLUMNS
    assert 140 <= len(rows) <= 170
    assert [row["index"] for row in rows] == [str(n) for n in range(len(rows))]
    assert len({row["photo"] for row in rows}) >= 55


def test_the_catalogue_knows_its_checksum(tmp_path: Path) -> None:
    (found,) = verify_data("mini", data_dir=tmp_path)
    assert (found.state, found.checksum, found.md5) == ("shipped", "ok", find_bench("mini").md5)
    assert found in list_data(tmp_path)
    assert not TSV.with_name(TSV.name + ".json").exists()


def test_equals_the_written_source_cell_for_cell(rows: list[Row]) -> None:
    source = read_rows(QUESTIONS)
    shipped = [{name: cell for name, cell in row.items() if name != "image"} for row in rows]
    assert shipped == source


def test_categories_are_all_there_and_grouped(rows: list[Row]) -> None:
    counts = Counter(row["category"] for row in rows)
    assert set(counts) == set(GROUPS)
    assert {name: counts[name] for name in AT_LEAST if counts[name] < AT_LEAST[name]} == {}
    assert [row["index"] for row in rows if row["l2-category"] != GROUPS[row["category"]]] == []


def test_each_answer_is_one_of_distinct_options(rows: list[Row]) -> None:
    for row in rows:
        found = options(row)
        cells = [row[letter] for letter in "ABCD"]
        assert cells[: len(found)] == found, row["index"]
        assert 2 <= len(found) == len({option.casefold() for option in found}), row["index"]
        assert row["answer"] in list("ABCD"[: len(found)]), row["index"]


def test_no_question_is_asked_twice_of_one_photograph(rows: list[Row]) -> None:
    asked = Counter((row["photo"], row["question"]) for row in rows)
    assert [key for key, times in asked.items() if times > 1] == []


def test_no_letter_and_no_word_wins_by_habit(rows: list[Row]) -> None:
    four = Counter(row["answer"] for row in rows if len(options(row)) == 4)
    assert max(four.values()) <= 0.40 * four.total()
    assert min(four[letter] for letter in "ABCD") >= 0.15 * four.total()
    asked = [row["answer"] for row in rows if options(row) == ["Yes", "No"]]
    assert len(asked) >= 30
    assert 0.40 <= asked.count("A") / len(asked) <= 0.60
    other = [row["answer"] for row in rows if len(options(row)) == 2 and row["A"] != "Yes"]
    assert 0.30 <= other.count("A") / len(other) <= 0.70


def test_pairs_ask_the_same_and_want_the_opposite(rows: list[Row]) -> None:
    pairs: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row["pair"]:
            pairs[row["pair"]].append(row)
    assert len(pairs) >= 10
    for one, two in pairs.values():
        assert int(two["index"]) == int(one["index"]) + 1
        assert one["question"] == two["question"]
        assert options(one) == options(two)
        assert len(options(one)) == 2
        assert {one["answer"], two["answer"]} == {"A", "B"}
        assert one["photo"] != two["photo"]


def test_references_lead_to_the_photographs_first_row(rows: list[Row]) -> None:
    first: dict[str, str] = {}
    for row in rows:
        if row["photo"] in first:
            assert row["image"] == first[row["photo"]], row["index"]
        else:
            assert len(row["image"]) > REFERENCE, row["index"]
            first[row["photo"]] = row["index"]


def test_every_photograph_is_a_small_clean_jpeg(rows: list[Row]) -> None:
    for row in rows:
        if len(row["image"]) <= REFERENCE:
            continue
        data = base64.b64decode(row["image"], validate=True)
        with Image.open(io.BytesIO(data)) as photo:
            photo.load()
            assert photo.format == "JPEG", row["photo"]
            assert photo.mode == "RGB", row["photo"]
            assert 100 <= max(photo.size) <= 512, row["photo"]
            assert not {"exif", "icc_profile", "comment", "xmp"} & set(photo.info), row["photo"]


def test_notice_names_each_photograph_its_licence_and_credit(rows: list[Row]) -> None:
    table = [
        [cell.strip() for cell in line.strip("|\n ").split("|")]
        for line in NOTICE.read_text(encoding="utf-8").splitlines()
        if re.match(r"\| \S+\.(jpg|png) \|", line)
    ]
    names = [cells[0] for cells in table]
    assert names == sorted({row["photo"] for row in rows})
    assert [cells[0] for cells in table if len(cells) != 6 or not all(cells)] == []
    accepted = ("CC0", "PD", "CC BY", "MIT", "Apache-2.0")
    assert [cells[0] for cells in table if not cells[4].startswith(accepted)] == []
