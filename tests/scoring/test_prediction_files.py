"""Files made elsewhere or for elsewhere, and the trips through them that `compat` repeats."""

from __future__ import annotations

import json
import pickle
from dataclasses import dataclass
from importlib.util import find_spec

import pytest

from mmdbench.errors import DataError, MissingExtraError, UsageError
from mmdbench.records import Outcome, Question
from mmdbench.scoring import JudgeReply, get_protocol, read_predictions, write_predictions
from mmdbench.scoring import compat as compat_module
from scoring_by_keyword import score

VLM = "vlmevalkit/1"
needs_xlsx = pytest.mark.skipif(
    any(find_spec(name) is None for name in ("pandas", "xlsxwriter", "openpyxl")),
    reason="spreadsheets need pandas, xlsxwriter and openpyxl",
)


@dataclass(frozen=True)
class Bench:
    questions: tuple[Question, ...]
    family: str = "plain"
    name: str = "toy"


def toy(*rows, family="plain"):
    return Bench(
        tuple(Question("toy", i, {"question": f"q{i}", "answer": "A", **row}) for i, row in enumerate(rows)),
        family,
    )


def inferred(bench, replies, **options):
    result = score(bench, dict(enumerate(replies)), io="compat", extraction="none", **options)
    return [grade.label for grade in result.grades]


# compat


@needs_xlsx
@pytest.mark.parametrize(
    "word", ["None", "NA", "N/A", "n/a", "nan", "NaN", "null", "NULL", "<NA>", "#N/A", "-nan", "1.#IND"]
)
def test_na_words_leave_the_options(word):
    bench = toy({"A": word, "B": "dog"}, {"A": "cat", "B": "dog"})
    assert inferred(bench, ["A", "A"]) == [None, "A"]
    literal = score(bench, {0: "A", 1: "A"}, extraction="none")
    assert [grade.label for grade in literal.grades] == ["A", "A"]


@needs_xlsx
def test_an_na_prediction_becomes_the_text_nan():
    assert inferred(toy({"A": "n", "B": "dog"}, {"A": "cat", "B": "dog"}), ["None", "B"]) == ["A", "B"]
    assert inferred(toy({"A": "n", "B": "dog"}, {"A": "cat", "B": "dog"}), ["", "B"]) == ["A", "B"]


@needs_xlsx
def test_numeric_columns_with_gaps_become_floats():
    bench = toy({"A": "3", "B": "4"}, {"A": "x", "B": "y"}, {"A": "cat", "B": "dog", "C": "7"})
    assert inferred(bench, ["it is 3", "x", "the 7"]) == ["A", "A", None]
    bench = toy({"A": "007", "B": "cat"}, {"A": "8", "B": "dog"})
    assert inferred(bench, ["it is 007", "8"]) == ["A", "A"]
    assert inferred(toy({"A": "007", "B": "cat"}), ["00"]) == [None]


@needs_xlsx
@pytest.mark.parametrize(("protocol", "label"), [("clear/1", None), (VLM, "A")])
def test_the_formula_flag(protocol, label):
    bench = toy({"A": "a dog", "B": "cat"}, {"A": "x", "B": "y"})
    assert inferred(bench, ["=A dog", "x"], protocol=protocol)[0] == label


@needs_xlsx
def test_long_texts_and_links_are_cut_or_dropped():
    bench = toy({"A": "cat", "B": "dog"}, {"A": "n", "B": "dog"}, {"A": "mail", "B": "dog"})
    replies = ["x" * 32765 + " cat", "http://x.y/" + "z" * 3000, "mailto:dog"]
    assert inferred(bench, replies) == [None, "A", "B"]


@needs_xlsx
def test_control_characters_are_escaped_and_circular_files_travel_once_more():
    class Judge:
        id = "j"
        prompts = ()

        def ask(self, call):
            self.prompts += (call.prompt,)
            return JudgeReply("A")

    for family, text in (("plain", "mailto:?_x000D_!"), ("circular", "?_x000D_!")):
        judge = Judge()
        assert inferred(
            toy({"A": "cat", "B": "dog"}, family=family), ["mailto:mailto:?\r!"], judge=judge
        ) == ["A"]
        assert f"Answer: {text}\n" in judge.prompts[0]


@needs_xlsx
def test_an_na_named_category_disappears():
    bench = toy(
        {"A": "x", "B": "y", "category": "NA", "split": "dev"},
        {"A": "x", "B": "y", "category": "ocr", "split": "N/A"},
    )
    result = score(bench, {0: "A", 1: "A"}, io="compat")
    assert result.vlmevalkit_table == [{"split": "dev", "Overall": 1, "ocr": None}]
    assert score(bench, {0: "A", 1: "A"}).vlmevalkit_table[0].keys() == {"split", "Overall", "NA", "ocr"}
    assert result.headline == 100


@needs_xlsx
def test_an_na_answer_is_never_right_and_mmvets_is_the_text_nan():
    bench = toy({"A": "x", "B": "y", "answer": "NA"}, {"A": "x", "B": "y"})
    assert score(bench, {0: "A", 1: "A"}, io="compat").headline == 50
    prompts = []

    class Judge:
        id = "j"

        def ask(self, call):
            prompts.append(call.prompt)
            return JudgeReply("1")

    vet = toy({"answer": "NA", "category": "rec"}, {"answer": "x", "category": "ocr"}, family="mmvet")
    assert score(vet, {0: "p", 1: "null"}, io="compat", judge=Judge()).headline == 100
    assert [prompt.rsplit("\n", 1)[1] for prompt in prompts] == ["q0 | nan | p | ", "q1 | x | nan | "]


@needs_xlsx
def test_compat_keeps_rows_without_replies_and_groups():
    rows = ({"A": "x", "B": "y", "g_index": "1"}, {"A": "x", "B": "y", "g_index": "1", "category": "c"})
    result = score(toy(*rows, family="circular"), {1: "A"}, io="compat")
    assert result.group_hits == {1: 0}
    assert result.counts["missing"] == 1
    assert score(toy(*rows, family="circular"), {1: "A"}, io="compat", partial=True).group_hits == {1: 1}
    assert result.vlmevalkit_table == [{"split": "none", "Overall": 0, "c": 0}]
    assert score(toy({"A": "x"}), {}, io="compat", partial=True).headline is None


@needs_xlsx
def test_the_fields_as_pandas_sees_them():
    frame = compat_module.prediction_frame(toy({"A": "None", "B": "3"}, {"A": "cat"}), ["", ""])
    assert frame["A"].isna().tolist() == [True, False]
    assert str(frame["B"][0]) == "3.0"


def test_a_missing_package_names_the_extra(monkeypatch):
    monkeypatch.setattr(compat_module, "find_spec", lambda name: None if name == "xlsxwriter" else object())
    with pytest.raises(MissingExtraError, match=r"xlsxwriter is not installed.*mmdbench\[compat\]"):
        score(toy({"A": "x"}), {0: "A"}, io="compat")


# Prediction files


def test_reading_tsv_json_and_jsonl(tmp_path):
    records = [{"index": 3, "prediction": 'A\n\tB "x"'}, {"index": -1, "prediction": ""}]
    expected = {3: 'A\n\tB "x"', -1: ""}
    (tmp_path / "p.tsv").write_text('index\tprediction\textra\n3\t"A\n\tB ""x"""\t1\n-1\t\t2\n')
    (tmp_path / "p.json").write_text(json.dumps(records))
    (tmp_path / "columns.json").write_text(json.dumps({"index": [3, -1], "prediction": ['A\n\tB "x"', None]}))
    (tmp_path / "map.json").write_text(json.dumps({"3": 'A\n\tB "x"', "-1": ""}))
    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, records)) + "\n\n")
    (tmp_path / "t.jsonl").write_text(
        "\ufeff" + "\n".join(json.dumps({"index": r["index"], "text": r["prediction"]}) for r in records),
        "utf-8",
    )
    for name in ("p.tsv", "p.json", "columns.json", "map.json", "p.jsonl", "t.jsonl"):
        assert read_predictions(tmp_path / name) == expected, name


def test_indices_are_text_unless_all_are_integers(tmp_path):
    (tmp_path / "p.tsv").write_text("index\tprediction\n1\tA\nv1_0\tB\n")
    assert read_predictions(str(tmp_path / "p.tsv")) == {"1": "A", "v1_0": "B"}


@pytest.mark.parametrize(("name", "content", "kind", "message"), [
    ("p.pkl", pickle.dumps({1: "A"}), DataError, "runs any code"),
    ("p.csv", b"", UsageError, "Cannot read predictions"),
    ("p.tsv", b"index\tanswer\n1\tA\n", DataError, "record 1: no prediction.*index, answer"),
    ("p.jsonl", b'{"prediction": "A"}\n', DataError, "record 1: no index"),
    ("p.json", b"[1]", DataError, "no index and no prediction"),
    ("p.json", b'{"index": [1, 2], "prediction": ["A"]}', DataError, "2 indices and 1 predictions"),
    ("p.jsonl", b"", DataError, "holds no prediction"),
    ("p.tsv", b"index\tprediction\n", DataError, "holds no prediction"),
    ("p.json", b"{", DataError, "not a readable json file"),
    ("p.tsv", b"\xff\xfe\x00", DataError, "not a readable tsv file"),
    ("p.tsv", b"index\tprediction\n1\tA\n1\tB\n", DataError, "index 1 occurs more than once"),
    ("p.xlsx", b"PK", DataError, "not a readable xlsx file"),
])  # fmt: skip
def test_files_that_cannot_be_used(tmp_path, name, content, kind, message):
    if name == "p.xlsx":
        pytest.importorskip("openpyxl", reason="spreadsheets need openpyxl")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(kind, match=message):
        read_predictions(tmp_path / name)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        read_predictions(tmp_path / "p.tsv")


REPLIES = {
    0: "A",
    1: Outcome("=B", "truncated"),
    2: Outcome("A", "error"),
    3: "line\r\nbreak\x01 \u00e9",
    5: "C.",
}


def export_bench():
    return toy(*({"A": "1", "B": "2", **({"C": "3"} if i else {})} for i in range(6)))


@pytest.mark.parametrize("suffix", ["tsv", "json", pytest.param("xlsx", marks=needs_xlsx)])
def test_written_files_read_back_the_same(tmp_path, suffix):
    path = tmp_path / f"p.{suffix}"
    write_predictions(path, export_bench(), REPLIES)
    assert read_predictions(path) == {0: "A", 1: "=B", 2: "", 3: "line\r\nbreak\x01 \u00e9", 4: "", 5: "C."}
    with pytest.raises(UsageError, match="Cannot write"):
        write_predictions(tmp_path / "p.pkl", export_bench(), {})


@needs_xlsx
def test_the_export_is_the_table_that_vlmevalkit_expects(tmp_path):
    import pandas as pd

    write_predictions(tmp_path / "p.xlsx", export_bench(), REPLIES)
    frame = pd.read_excel(tmp_path / "p.xlsx")
    assert list(frame.columns) == ["index", "question", "answer", "A", "B", "C", "prediction"]
    assert list(frame["index"]) == list(range(6))
    assert frame["C"].tolist()[1:] == [3.0] * 5
    assert frame["prediction"][1] == "=B"


@needs_xlsx
def test_an_export_scores_the_same_when_read_again(tmp_path):
    bench = toy(*({"A": "cat", "B": "dog"} for _ in range(4)))
    replies = {0: "A", 1: "=A", 2: "None", 3: "http://x.y/" + "z" * 3000 + " A"}
    write_predictions(tmp_path / "p.xlsx", bench, replies)
    again = read_predictions(tmp_path / "p.xlsx")
    assert again == replies
    for protocol in ("clear/1", VLM):
        assert get_protocol(protocol).name == protocol
        assert (
            score(bench, again, protocol=protocol).headline
            == score(bench, replies, protocol=protocol).headline
        )
