"""Reading a TSV: every cell as it is in the file, in memory that does not grow with the file."""

from __future__ import annotations

import csv
import io
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmdbench.benches.tsv_reader import ReadLimits, read_table
from mmdbench.benches.tsv_table import TsvTable, unquote
from mmdbench.errors import DataError

RELAXED = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12) | st.text(
    '"\t\n\r ,a', max_size=8
)
NAMES = ["index", "Question", "A", "L2-Category", "image"]


def write(path: Path, data: bytes | str) -> Path:
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def texts(table: TsvTable) -> list[list[str]]:
    return [[row.text(name) for name in table.header.names] for row in table.rows]


def encoded(rows: list[list[str]], quoting: int, newline: str, *, bom: bool = False) -> bytes:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, delimiter="\t", quoting=quoting, lineterminator=newline)
    writer.writerows(rows)
    return (b"\xef\xbb\xbf" if bom else b"") + buffer.getvalue().encode()


@RELAXED
@given(
    rows=st.lists(st.lists(TEXTS, min_size=5, max_size=5), max_size=6),
    every=st.booleans(),
    newline=st.sampled_from(["\n", "\r\n"]),
    bom=st.booleans(),
    cut=st.booleans(),
    text_bytes=st.sampled_from([0, 3, 4096]),
)
def test_output_of_the_csv_module_is_read_back(
    tmp_path: Path, rows: list[list[str]], every: bool, newline: str, bom: bool, cut: bool, text_bytes: int
) -> None:
    if newline == "\n" and not every:
        # Older csv writers leave a lone carriage return bare if rows do not end in one.
        rows = [[cell.replace("\r", "") for cell in row] for row in rows]
    rows = [row for row in rows if any(row)] if not every else rows
    data = encoded([NAMES, *rows], csv.QUOTE_ALL if every else csv.QUOTE_MINIMAL, newline, bom=bom)
    data = data.removesuffix(newline.encode()) if cut else data
    table = read_table(write(tmp_path / "t.tsv", data), limits=ReadLimits(text_bytes=text_bytes))
    assert texts(table) == rows
    assert table.header.columns == tuple(NAMES)
    assert table.header.names == ("index", "question", "A", "l2-category", "image")
    assert (table.header.bom, table.header.newline) == (bom, newline.encode() if rows or not cut else b"\n")
    assert table.ends_with_newline == (not cut)
    lines = [b"\t".join(row.raw(name) for name in table.header.names) for row in table.rows]
    whole = newline.encode().join([table.header.raw, *lines]) + (b"" if cut else newline.encode())
    assert (b"\xef\xbb\xbf" if bom else b"") + whole == data
    for row, line in zip(table.rows, lines, strict=True):
        before, after = row.split_at("A")
        assert before + row.raw("A") + after == line


@RELAXED
@given(data=st.binary(max_size=200) | st.text('index\timage\n\r"Aé', max_size=60).map(str.encode))
def test_any_bytes_are_a_table_or_an_error_of_ours(tmp_path: Path, data: bytes) -> None:
    problem = ""
    try:
        table = read_table(write(tmp_path / "t.tsv", data))
        texts(table)
    except DataError as error:
        problem = str(error)
    if problem:
        assert str(tmp_path) in problem
        return
    for row in table.rows:
        for name in filter(None, table.header.names):
            assert unquote(row.raw(name)).decode() == row.text(name)


@RELAXED
@given(cells=st.lists(st.text('"a ,', max_size=8), min_size=2, max_size=2))
def test_loose_quotes_are_read_like_the_csv_module_does(tmp_path: Path, cells: list[str]) -> None:
    line = "\t".join(cells)
    expected = next(csv.reader([line], delimiter="\t"))
    path = write(tmp_path / "t.tsv", f"one\ttwo\n{line}\n")
    try:
        table = read_table(path)
    except DataError:
        unclosed = next(csv.reader([line + "\n"], delimiter="\t"))[-1].endswith("\n")
        assert unclosed or len(expected) != 2
        return
    assert texts(table) == [expected]


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b'"a"', b"a"),
        (b'"a""b"', b'a"b'),
        (b'a"b', b'a"b'),
        (b'"a"b"', b'ab"'),
        (b'"a""', b'a"'),
        (b'"', b""),
    ],
)
def test_unquote_ends_on_anything(raw: bytes, text: bytes) -> None:
    assert unquote(raw) == text


def test_words_that_mean_missing_elsewhere_are_kept(tmp_path: Path) -> None:
    path = write(tmp_path / "t.tsv", "index\tA\tB\tC\tD\n1\tNone\tNA\tnan\t007\n2\t\tnull\t 1.0 \tTrue\n")
    assert texts(read_table(path)) == [["1", "None", "NA", "nan", "007"], ["2", "", "null", " 1.0 ", "True"]]


def test_lines_are_counted_over_newlines_in_cells_and_empty_lines(tmp_path: Path) -> None:
    table = read_table(write(tmp_path / "t.tsv", 'index\tA\n1\t"x\n\ny"\n\n2\tb\n'))
    assert [row.line for row in table.rows] == [2, 6]
    assert table.rows[1].where("A").endswith("line 6, column 'A'")


def test_a_cell_of_many_megabytes_stays_in_the_file(tmp_path: Path) -> None:
    big = b"x" * (9 << 20)
    data = b"index\tnote\timage\n1\t" + big + b'\t"a""' + big + b'"\n2\ts\tt\n'
    table = read_table(write(tmp_path / "t.tsv", data))
    assert not isinstance(table.rows[0].cells[1], str)
    assert len(table.rows[0].text("note")) == 9 << 20
    assert table.rows[0].raw("image") == b'"a""' + big + b'"'
    assert table.rows[0].text("image")[:3] == 'a"x'
    assert table.rows[1].text("image") == "t"


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"a\tb\n1\t2\n3\n", "line 3: 1 cells, but the header has 2 columns"),
        (b"a\tb\n1\t2\t3\n", "line 2: 3 cells"),
        (b'a\tb\n1\t"2\n3\t4\n', "line 2: a quote that opens in column 2 is never closed"),
        (b"a\tb\tc\n1\tx\t\xff\n", r"line 2, column 'c': byte 0xff is not UTF-8"),
        (b"a\xff\tb\n", "line 1, column 'header'"),
        (b"a\ta\n", "'a' is there twice"),
        (b"a,b,c\n1,2,3\n", "commas"),
        ("a\tb\n".encode("utf-16"), "UTF-16"),
        (b"\x1f\x8b\x08\x00", "compressed"),
        (b"<!DOCTYPE html><html>", "web page.*resolve"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        (b"a\t" * 5000 + b"b\n", "more than 4096 columns"),
    ],
)
def test_an_invalid_file_is_an_error_with_its_line(tmp_path: Path, data: bytes, problem: str) -> None:
    path = write(tmp_path / "broken.tsv", data)
    with pytest.raises(DataError, match=problem) as caught:
        read_table(path)
    assert str(path) in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_missing_file_and_a_folder_are_errors(tmp_path: Path) -> None:
    for path in (tmp_path / "none.tsv", tmp_path):
        with pytest.raises(DataError, match="Cannot read"):
            read_table(path)


def test_an_endless_row_is_refused_before_memory_is_full(tmp_path: Path) -> None:
    limits = ReadLimits(row_bytes=1 << 20)
    path = write(tmp_path / "t.tsv", b"a\tb\n1\t" + b"x" * (2 << 20))
    with pytest.raises(DataError, match="line 2: a row of more than 1 MiB"):
        read_table(path, limits=limits)
    write(path, b'a\tb\n1\t"' + b"x\n" * (1 << 20))
    with pytest.raises(DataError, match="line 2: "):
        read_table(path, limits=limits)


def test_a_file_that_changes_while_in_use_is_noticed(tmp_path: Path) -> None:
    path = write(tmp_path / "t.tsv", "index\tA\n1\tx\n")
    row = pickle.loads(pickle.dumps(read_table(path))).rows[0]
    assert row.raw("A") == b"x"
    write(path, "index\tA\n1\ty\n")
    os.utime(path, ns=(1, 1))
    with pytest.raises(DataError, match="changed while"):
        row.raw("A")
    path.unlink()
    with pytest.raises(DataError, match="Cannot read"):
        row.raw("A")


def test_a_column_that_is_not_there(tmp_path: Path) -> None:
    row = read_table(write(tmp_path / "t.tsv", "index\tA\n1\tx\n")).rows[0]
    assert row.text("B") == ""
    with pytest.raises(DataError, match="no column 'B'"):
        row.raw("B")


MEASURE = """
import resource, sys
from pathlib import Path
from mmdbench.benches.bench import read_bench
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
bench = read_bench(Path(sys.argv[1]), answers="any")
size = sum(len(q.images[0].read()) for q in bench.questions)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, size)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB on Linux")
def test_peak_memory_does_not_grow_with_the_pictures(tmp_path: Path) -> None:
    peaks = []
    for copies in (1, 10):
        path = tmp_path / "big.tsv"
        with path.open("wb") as file:
            file.write(b"index\tquestion\timage\n")
            for index in range(100 * copies):
                file.write(b"%d\twhat?\t" % index + b"QUJD" * 37_500 + b"\n")
        output = subprocess.run(
            [sys.executable, "-c", MEASURE, str(path)], check=True, capture_output=True, text=True
        ).stdout.split()
        assert int(output[1]) == 112_500 * 100 * copies
        peaks.append(int(output[0]) >> 10)
    assert peaks[1] < peaks[0] + 15, f"MiB above the imports at 15 and at 150 MB: {peaks}"
    assert peaks[1] < 60
