"""Opening a benchmark: indices, images of every kind, families, and the folders that are searched."""

from __future__ import annotations

import base64
import csv
import hashlib
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmdbench.benches import Bench, build_prompt, decode_image, open_bench
from mmdbench.benches.bench import read_bench
from mmdbench.benches.catalog import clean_bench
from mmdbench.benches.fetch import data_folders
from mmdbench.benches.question_images import decode_text, split_list
from mmdbench.errors import DataError, ImageDecodeError, MmdbenchError, UnknownNameError, UsageError
from mmdbench.records import Question
from mmdbench.scoring.families import infer_family

RED, BLUE = b"red" * 40, b"blue" * 40
R, B = base64.b64encode(RED).decode(), base64.b64encode(BLUE).decode()


def tsv(path: Path, names: str, *rows: list[object]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerows([names.split(), *rows])
    return path


def opened(tmp_path: Path, *rows: list[object], names: str = "index question image") -> Bench:
    return open_bench(tsv(tmp_path / "own.tsv", names, *rows), answers="any")


def pictures(bench: Bench) -> list[list[bytes]]:
    return [[source.read() for source in q.images] for q in bench.questions]


def problem_of(call: Callable[[], object], otherwise: str) -> str:
    """The text of the call's error if it is one of ours; any other error is raised."""
    try:
        call()
    except MmdbenchError as error:
        return str(error)
    return otherwise


def test_fields_are_verbatim_and_empty_cells_absent(tmp_path: Path) -> None:
    bench = opened(
        tmp_path, ["1", " q\n", "", "None", "007", R], names="index question hint A L2-Category image"
    )
    question = bench.questions[0]
    assert question == Question(
        "own", 1, {"index": "1", "question": " q\n", "A": "None", "l2-category": "007"}, question.images
    )
    assert bench.columns == ("index", "question", "hint", "A", "l2-category", "image")


def test_a_very_long_text_is_read_when_asked_for_and_equal(tmp_path: Path) -> None:
    long = 'é"\t' * 5000
    fields = opened(tmp_path, ["1", "q", long, R], names="index question note image").questions[0].fields
    assert fields["note"] == long
    assert dict(fields) == {"index": "1", "question": "q", "note": long}
    assert "hint" not in fields
    assert len(fields) == 3
    assert pickle.loads(pickle.dumps(fields))["note"] == long


@pytest.mark.parametrize(
    ("texts", "indices"),
    [
        (["1", "-2", "003"], [1, -2, 3]),
        (["1", "v1_0"], ["1", "v1_0"]),
        (["1", "2.0"], ["1", "2.0"]),
        (["1", "٣"], ["1", "٣"]),
        (["7" * 5000], ["7" * 5000]),
    ],
)
def test_indices_are_integers_if_all_are(tmp_path: Path, texts: list[str], indices: list[object]) -> None:
    bench = opened(tmp_path, *([text, "q", R] for text in texts))
    assert [q.index for q in bench.questions] == indices
    assert list(bench.rows) == indices


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ([["1", "q", R], ["2", "q", R], ["01", "q", R]], "line 4.*indices must differ, 01 is also in line 2"),
        ([["1", "q", R], ["", "q", R]], "line 3, column 'index': an index is needed, the cell is empty"),
        ([], "line 1: a header, but no rows"),
        ([["1", "q", "1"], ["2", "q", ""]], "No row has a picture.*line 2.*is a reference, too"),
    ],
)
def test_invalid_files_are_refused_with_line_and_index(
    tmp_path: Path, rows: list[list[object]], problem: str
) -> None:
    with pytest.raises(DataError, match=problem):
        opened(tmp_path, *rows)


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ([["1", "q", ""]], "line 2, column 'image', index 1: the row has no picture"),
        ([["1", "q", "9"]], "line 2, column 'image', index 1: '9' is short"),
        (
            [["2", "q", "7"], ["3", "q", "2"]],
            "index 3: it refers to index 2 in line 2, which is a reference",
        ),
        ([["1", "q", ""], ["2", "q", "1"]], "refers to index 1 in line 2, which has no image"),
        ([["1", "q", "1"]], "is a reference, too"),
        ([["1", "q", "[1, 2]"]], "line 2, column 'image', index 1: not a list of texts"),
        ([["1", "q", "[" + "x" * 400]], "no closing bracket"),
        ([["1", "q", "[]"]], "the row has no picture"),
    ],
)
def test_a_row_without_a_picture_stays_a_question_whose_picture_names_the_reason(
    tmp_path: Path, rows: list[list[object]], problem: str
) -> None:
    bench = opened(tmp_path, *rows, ["7", "q", R])
    assert [len(q.images) for q in bench.questions] == [1] * (len(rows) + 1)
    bad = bench.questions[len(rows) - 1]
    kept = bench.with_pictures.questions
    assert bad not in kept
    assert bench.questions[-1] in kept
    with pytest.raises(ImageDecodeError, match=problem):
        bench.questions[len(rows) - 1].images[0].read()


@pytest.mark.parametrize("names", ["question image", "index question", "index image"])
def test_missing_columns_are_named(tmp_path: Path, names: str) -> None:
    with pytest.raises(DataError, match=r"line 1: no column .* needs the columns index, "):
        opened(tmp_path, ["1", R], names=names)


def test_g_index_must_be_integers(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"line 2, column 'g_index': must be a whole number, got '1.0'"):
        opened(tmp_path, ["1", "q", "1.0", R], names="index question g_index image")


def test_a_reference_is_the_very_same_source(tmp_path: Path) -> None:
    bench = opened(tmp_path, ["3000001", "q", "1"], ["1", "q", R], ["2", "q", B], ["5", "q", "002"])
    assert pictures(bench) == [[RED], [RED], [BLUE], [BLUE]]
    assert bench.questions[0].images[0] is bench.questions[1].images[0]
    assert len({source for q in bench.questions for source in q.images}) == 2
    assert bench.rows[3000001].raw("image") == b"1"


def test_a_reference_to_a_row_of_several_pictures_gives_all(tmp_path: Path) -> None:
    bench = opened(tmp_path, ["a", "q", f"['{R}', '{B}']"], ["b", "q", "a"])
    assert pictures(bench) == [[RED, BLUE]] * 2


def test_sixty_four_characters_are_a_reference_and_one_more_is_a_picture(tmp_path: Path) -> None:
    name, longer = "QUJD" * 16, "QUJD" * 16 + "R"
    bench = opened(tmp_path, [name, "q", R], ["short", "q", name], ["long", "q", longer + "A"])
    assert pictures(bench) == [[RED], [RED], [b"ABC" * 16 + b"D"]]
    with pytest.raises(DataError, match="must be the index of another row"):
        opened(tmp_path, ["1", "q", "QUJD" * 16])


@pytest.mark.parametrize(
    "cell",
    [
        f"['{R}', '{B}']",
        f'["{R}",\n "{B}"]',
        f'["data:image/png;base64,{R}", "{B}"]',
        '["' + R.replace("c", "\\u0063", 1) + f'", "{B}"]',
        f"('x', '{R}')",
    ],
)
def test_lists_of_pictures(tmp_path: Path, cell: str) -> None:
    if cell.startswith("("):
        with pytest.raises(ImageDecodeError, match="index 1: not base64"):
            pictures(opened(tmp_path, ["1", "q", cell]))
        return
    bench = opened(tmp_path, ["1", "q", cell])
    assert [p[:12] for p in pictures(bench)[0]] == [RED[:12], BLUE[:12]]
    assert bench.questions[0].images[1].where.endswith("line 2, column 'image', index 1, image 2")


@given(st.lists(st.binary(max_size=60)), st.sampled_from(["json", "python"]))
@settings(deadline=None)
def test_split_list_undoes_joining(parts: list[bytes], kind: str) -> None:
    import json

    texts = [base64.b64encode(p).decode() for p in parts]
    cell = json.dumps(texts) if kind == "json" else repr(texts)
    assert [decode_text(t, "x") for t in split_list(cell.encode(), "x")] == parts


@given(st.binary(max_size=80) | st.text("[]'\",\\ aB=", max_size=40).map(str.encode))
@settings(deadline=None)
def test_any_cell_is_a_picture_or_an_error_of_ours(data: bytes) -> None:
    for read in (split_list, decode_text):
        assert "here" in problem_of(lambda read=read: read(data, "here"), "here")


@pytest.mark.parametrize(
    "cell",
    [
        f"data:image/png;base64,{R}",
        f"DATA:image/png;charset=x;BASE64,{R}",
        R[:50] + "\n" + R[50:] + "\n",
        R.rstrip("="),
        "data:,rEd".replace("rEd", "red" * 40),
    ],
)
def test_spellings_of_base64(tmp_path: Path, cell: str) -> None:
    assert pictures(opened(tmp_path, ["1", "q", cell])) == [[RED]]


@pytest.mark.parametrize("cell", ["!" + R, R[:-5] + "é" * 4, R + "A", R[:80] + "=" + R[80:]])
def test_text_that_is_not_base64_is_refused(tmp_path: Path, cell: str) -> None:
    bench = opened(tmp_path, ["17", "q", cell])
    with pytest.raises(ImageDecodeError, match=r"own.tsv, line 2, column 'image', index 17"):
        bench.questions[0].images[0].read()


def test_image_path_beside_the_file_or_in_images(tmp_path: Path) -> None:
    (tmp_path / "images" / "own").mkdir(parents=True)
    for name, data in {"a.jpg": RED, "images/b.jpg": BLUE, "images/own/c.jpg": RED}.items():
        (tmp_path / name).write_bytes(data)
    rows = [
        ["1", "q", "a.jpg"],
        ["2", "q", "['b.jpg', 'c.jpg']"],
        ["3", "q", str(tmp_path / "a.jpg")],
        ["4", "q", ""],
    ]
    bench = opened(tmp_path, *rows, names="index question image_path")
    assert pictures(bench.with_pictures) == [[RED], [BLUE, RED], [RED]]
    assert "image_path" not in bench.questions[0].fields
    (tmp_path / "a.jpg").unlink()
    with pytest.raises(DataError, match=r"a.jpg \(.*line 2, column 'image_path', index 1"):
        bench.questions[0].images[0].read()
    with pytest.raises(DataError, match=r"index 1: there is no file 'a.jpg'"):
        opened(tmp_path, *rows, names="index question image_path").questions[0].images[0].read()


@pytest.mark.parametrize(
    "name", ["../secret.jpg", "{above}/secret.jpg", "images/../../secret.jpg", "..", "x\0"]
)
@pytest.mark.parametrize("as_list", [False, True])
def test_a_row_shows_no_file_outside_the_folder_of_its_tsv(tmp_path: Path, name: str, as_list: bool) -> None:
    (tmp_path / "data" / "images").mkdir(parents=True)
    (tmp_path / "secret.jpg").write_bytes(RED)
    (tmp_path / "data" / "a.jpg").write_bytes(BLUE)
    cell = name.format(above=tmp_path)
    rows = ["1", "q", "./a.jpg"], ["2", "q", f"['a.jpg', {cell!r}]" if as_list else cell]
    bench = opened(tmp_path / "data", *rows, names="index question image_path")
    assert pictures(bench.with_pictures) == [[BLUE]]
    with pytest.raises(DataError, match=r"line 3, column 'image_path', index 2.* is outside .*--image-root"):
        bench.questions[1].images[0].read()


def test_an_image_root_holds_files_that_rows_name(tmp_path: Path) -> None:
    for folder in ("data", "root/photos"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "root" / "photos" / "a.jpg").write_bytes(RED)
    (tmp_path / "secret.jpg").write_bytes(RED)
    names = ("photos/a.jpg", str(tmp_path / "root/photos/a.jpg"), "../root/photos/a.jpg", "../secret.jpg")
    rows = [[str(number), "q", name] for number, name in enumerate(names)]
    path = tsv(tmp_path / "data" / "own.tsv", "index question image_path", *rows)
    bench = read_bench(path, answers="any", image_root=tmp_path / "root")
    assert pictures(bench.with_pictures) == [[RED]] * 3
    with pytest.raises(DataError, match="No row has a picture"):
        read_bench(path, answers="any")


def test_links_below_the_users_own_data_are_followed(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "a.jpg").write_bytes(RED)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "images").symlink_to(tmp_path / "disk")
    bench = opened(tmp_path / "data", ["1", "q", "a.jpg"], names="index question image_path")
    assert pictures(bench) == [[RED]]
    # The same folder as a build of a stranger's: a link there may lead to any file of the reader.
    (tmp_path / "data" / "manifest.json").write_text("{}")
    with pytest.raises(DataError, match="images is a link"):
        opened(tmp_path / "data", ["1", "q", "a.jpg"], names="index question image_path")
    path = tmp_path / "data" / "own.tsv"
    bench = read_bench(path, answers="any", image_root=tmp_path / "disk")
    assert pictures(bench) == [[RED]]


@pytest.mark.parametrize(
    ("columns", "indices", "family"),
    [
        ("index g_index question A", [1], "circular"),
        ("index question A B", [5, 1000005], "circular"),
        ("index question A B", [1000005, 2000007], "plain"),
        ("index question prompt source A", [1], "cvbench"),
        ("index question answer category", ["v1_0"], "mmvet"),
        ("index question A B answer category", [1], "plain"),
        ("index question", [1], "plain"),
    ],
)
def test_the_family_is_inferred_with_a_reason(columns: str, indices: list[int], family: str) -> None:
    found, reason = infer_family(columns.split(), indices)
    assert found == family
    assert reason


def test_a_degraded_copy_keeps_the_clean_family(tmp_path: Path) -> None:
    path = tsv(
        tmp_path / "MMVP_LOW_LEVEL_HIGH.tsv", "index question A B answer image", ["1", "q", "a", "b", "A", R]
    )
    bench = open_bench(path)
    assert (bench.name, bench.family, bench.info.name) == ("MMVP_LOW_LEVEL_HIGH", "mmvp", "MMVP")
    assert "MMVP" in bench.family_reason
    assert open_bench(path, family="plain").family == "plain"
    with pytest.raises(UnknownNameError, match="Did you mean 'plain'"):
        open_bench(path, family="plane")


def test_the_longest_name_wins() -> None:
    for stem, name in {
        "MMBench_DEV_EN_V11_graffiti": "MMBench_DEV_EN_V11",
        "MMBench_DEV_EN_x": "MMBench_DEV_EN",
    }.items():
        info = clean_bench(stem)
        assert info is not None
        assert info.name == name
    assert clean_bench("MMVPlus") is None


def test_a_name_is_found_in_the_data_folders_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.setenv("LMUData", str(tmp_path / "lmu"))
    for number, folder in enumerate(["home/LMUData", "lmu", "own"]):
        (tmp_path / folder).mkdir(parents=True)
        tsv(tmp_path / folder / "MMStar.tsv", "index question A answer image", [number, "q", "a", "A", R])
    assert open_bench("mm-star", data_dir=tmp_path / "own").questions[0].index == 2
    assert open_bench("MMStar").questions[0].index == 1
    monkeypatch.delenv("LMUData")
    assert open_bench("MMStar").questions[0].index == 0
    tsv(tmp_path / "home/LMUData/MMStar_graffiti.tsv", "index question A answer image", [7, "q", "a", "A", R])
    assert open_bench("MMStar_graffiti").info.name == "MMStar"
    with pytest.raises(DataError, match=r"not on this machine; the folders are .*LMUData.*Without --offline"):
        open_bench("MMVP", offline=True)
    with pytest.raises(UsageError):
        open_bench("CV-Bench", offline=True)


def test_a_user_without_a_home_has_a_data_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless(_: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("LMUData", raising=False)
    monkeypatch.setattr(Path, "expanduser", homeless)
    assert data_folders() == (Path("LMUData"),)


def test_digests_are_of_the_whole_file(tmp_path: Path) -> None:
    bench = opened(tmp_path, ["1", "q", R])
    data = bench.path.read_bytes()
    assert bench.md5 == hashlib.md5(data).hexdigest()
    assert bench.sha256 == hashlib.sha256(data).hexdigest()


def test_a_bench_survives_pickling(tmp_path: Path) -> None:
    bench = pickle.loads(pickle.dumps(opened(tmp_path, ["1", "q", R])))
    assert pictures(bench) == [[RED]]


def test_the_shipped_bench_opens_and_every_picture_decodes() -> None:
    bench = open_bench("mini", offline=True)
    assert len(bench.questions) >= 100
    assert bench.with_pictures is bench
    assert bench.notes == ()
    assert bench.path.stat().st_size < 6 << 20
    sources = {source for question in bench.questions for source in question.images}
    assert all(decode_image(source.read(), source.where).ndim == 3 for source in sources)
    for question in bench.questions:
        assert question.answer in question.options
        assert build_prompt(question, bench.family).startswith("Question: ")


@pytest.mark.parametrize(("family", "column"), [("cvbench", "prompt"), ("mmvet", "question")])
def test_raw_prompts_need_their_column(family: str, column: str) -> None:
    assert build_prompt(Question("b", 1, {column: " as it is\n", "A": "x"}), family) == " as it is\n"
    with pytest.raises(DataError, match=f"b, index 1: the column '{column}' is empty"):
        build_prompt(Question("b", 1, {}), family)


def test_prompts_of_choices_leave_out_missing_options() -> None:
    question = Question("b", 1, {"question": "Q\nq ", "C": "3", "A": "1", "hint": "h"})
    closing = "Please select the correct answer from the options above. \n"
    assert build_prompt(question, "mmvp") == f"Hint: h\nQuestion: Q\nq \nOptions:\nA. 1\nC. 3\n{closing}"
    assert build_prompt(Question("b", 1, {"question": "Q"}), "plain") == "Question: Q\n"
    with pytest.raises(UnknownNameError):
        build_prompt(question, "odd")


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cells=st.lists(st.lists(st.text("[]12=\"'a\t", max_size=6), min_size=3, max_size=3), max_size=4))
def test_any_table_opens_or_gives_an_error_of_ours(tmp_path: Path, cells: list[list[str]]) -> None:
    try:
        bench = opened(tmp_path, *cells)
    except MmdbenchError:
        return
    for question in bench.questions:
        for source in question.images:
            place = os.fspath(tmp_path)
            assert place in problem_of(source.read, place)
