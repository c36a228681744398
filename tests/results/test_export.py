"""Exported runs: the files' layout, and what VLMEvalKit's own code makes of them."""

from __future__ import annotations

import json
import os
import re
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from mmdbench.cli._shared.errors import guarded
from mmdbench.cli.export import export
from mmdbench.cli.score import score as score_verb
from mmdbench.errors import UnknownNameError
from mmdbench.records import Outcome
from mmdbench.results.arms import read_run
from mmdbench.results.export import NO_ANSWER, export_run
from mmdbench.results.graded_arms import grade_arm
from mmdbench.run.manifest import read_manifest, save_manifest
from mmdbench.scoring import Rules, infer_option, is_truncated, read_predictions
from mmdbench.system.digest import derive_seed
from scripted_runs import make_run, write_tsv
from vlmevalkit_upstream import Evaluator, load_fuzz

pytestmark = pytest.mark.skipif(
    any(find_spec(name) is None for name in ("xlsxwriter", "openpyxl")),
    reason="spreadsheets need the extra `compat`",
)

PLAIN_REPLIES = (
    "A",
    "B",
    "C.",
    "The answer is B",
    "(D)",
    "I think A because the left one is a dog, not B",
    "answer is **C",
    "Z",
    "none",
    "It is the second option, {B}",
    "red",
    "Green",
    "a red and green thing",
    "Sorry, I can't help with images of people yet.",
    "B " + "word " * 30,
    "Failed to obtain answer via API.",
    "<think>A or B</think><answer>D</answer>",
    "<think>hm",
    "hm " * 60 + "blue",
)
SPECIAL_REPLIES = ("None", "nan", "NA", "3", "12", "", "  ", "line\rbreak C", "True", "0.50", "\x07bell B")


def script(replies):
    """Replies that follow from the request alone, and now and then a failure, a refusal or nothing."""

    def reply(request):
        draw = derive_seed("reply", request.key)
        if draw % 11 == 0:
            return (Outcome("", "error", "down"), Outcome("B", "refused"), Outcome("", "empty"))[
                draw // 11 % 3
            ]
        if draw % 3 == 0 and request.options:
            return list(request.options)[draw // 3 % len(request.options)]
        return replies[draw // 3 % len(replies)]

    return reply


def plain_rows(n, *, special=False):
    texts = ("red", "green", "blue", "grey", "a dog", "the left one")
    odd = ("None", "NA", "3", "12", "0.50", "nan")
    for i in range(n):
        row = {"index": i, "question": f"What is {i}?"}
        row |= {label: texts[(i + k) % len(texts)] for k, label in enumerate("ABCD")}
        if special:
            row["A"] = odd[i % len(odd)] if i % 2 else row["A"]
            row |= {"D": str(i % 5), "E": "" if i % 4 else str(i)}
        yield row | {"answer": "ABCD"[i % 4], "category": ("ocr", "logic_reasoning", "math")[i % 3]}


def circular_rows(n):
    texts = ("red", "green", "blue", "grey")
    for i in range(n):
        for turn in range(4):
            options = dict(zip("ABCD", texts[turn:] + texts[:turn], strict=True))
            yield {
                "index": i + 1_000_000 * turn,
                "question": f"What is {i}?",
                **options,
                "answer": "ABCD"[-turn % 4],
                "l2-category": ("coarse_perception", "attribute_reasoning")[i % 2],
                "category": ("ocr", "math", "x y")[i % 3],
                "split": ("dev", "test")[i % 2],
            }


def mmvp_rows(n):
    for i in range(n):
        yield {
            "index": i + 1,
            "question": f"Is it {i // 2}?",
            "A": f"yes, {i}",
            "B": "open",
            "answer": "AB"[i % 2],
        }


def cvbench_rows(n):
    for i in range(n):
        row = {
            "index": i,
            "question": f"How many {i}?",
            "prompt": f"How many? {i}",
            "A": "1",
            "B": "2",
            "C": "4",
        }
        row |= {"D": "" if i % 3 == 0 else "7", "answer": "ABC"[i % 3], "split": "2D"}
        yield row | {"source": ("ADE20K", "COCO", "COCO")[i % 3]}


def mostly_right(rows, replies):
    """A model that is mostly right, so that circular groups and pairs are won as well."""
    answers = {(row["question"], *(row.get(k) for k in "ABC")): row["answer"] for row in rows}
    other = script(replies)

    def reply(request):
        if derive_seed("right", request.key) % 10 < 8:
            answer = answers[(request.question, *(request.options.get(k) for k in "ABC"))]
            return (answer, f"({answer})", f"The answer is {answer}")[derive_seed("how", request.key) % 3]
        return other(request)

    return reply


CASES = {
    "MMBench_DEV_EN": ("circular", list(circular_rows(24)), PLAIN_REPLIES),
    "MMStar": ("plain", list(plain_rows(60)), PLAIN_REPLIES),
    "RealWorldQA": ("plain", list(plain_rows(60, special=True)), PLAIN_REPLIES + SPECIAL_REPLIES),
    "MMVP": ("mmvp", list(mmvp_rows(40)), PLAIN_REPLIES),
    "CV-Bench-2D": ("cvbench", list(cvbench_rows(48)), PLAIN_REPLIES + SPECIAL_REPLIES),
    "own": ("plain", list(plain_rows(30)), PLAIN_REPLIES),
}
SPECIAL = ("RealWorldQA", "CV-Bench-2D")


@pytest.fixture(scope="module", params=["0.0.17", "0.0.20"])
def evaluator(request, tmp_path_factory):
    folder = os.environ.get("MMDBENCH_VLMEVAL_WHEELS")
    if not folder:
        pytest.skip("set MMDBENCH_VLMEVAL_WHEELS to a folder with the ms-vlmeval wheels 0.0.17 and 0.0.20")
    made = Evaluator(Path(folder), request.param, tmp_path_factory.mktemp("scratch"))
    if made.upstream is None:
        pytest.skip(f"ms-vlmeval {request.param} is not in {folder}")
    return made


@pytest.fixture(scope="module", params=list(CASES))
def exported(request, tmp_path_factory):
    family, rows, replies = CASES[request.param]
    folder = tmp_path_factory.mktemp("run")
    tsv = write_tsv(folder / f"{request.param}.tsv", rows)
    run = make_run(folder / "run", [tsv], mostly_right(rows, replies))
    return request.param, family, tsv, run, export_run(run, folder / "out")


def same(ours, theirs):
    key = lambda record: str(record.get("split"))  # noqa: E731
    ours, theirs = sorted(ours, key=key), sorted(theirs, key=key)
    assert [set(record) for record in ours] == [set(record) for record in theirs]
    for mine, other in zip(ours, theirs, strict=True):
        for name in mine:
            assert mine[name] == other[name] or mine[name] == pytest.approx(other[name], abs=1e-9), name


def test_vlmevalkit_grades_the_files_to_our_numbers(evaluator, exported, tmp_path):
    name, family, tsv, run, files = exported
    protocol = load_fuzz().VERSIONS[evaluator.version]
    modes = ("compat",) if name in SPECIAL else ("compat", "literal")
    for arm, file in zip(read_run(run).arms, files, strict=True):
        # The wheel lacks one rule of the protocol; no reply here depends on it.
        assert_no_reply_needs_the_missing_rule(evaluator, arm, protocol)
        # A copy: VLMEvalKit keeps grades beside the file and believes them later, whatever the file holds.
        copy = shutil.copy(file.path, tmp_path / f"{file.level}_{file.path.name}")
        # The code of CLEAR has no class of its own for CV-Bench.
        kind = family if protocol == "vlmevalkit/1" else "plain"
        theirs = evaluator.evaluate(file.dataset, kind, copy, tsv)
        for io in modes:
            made = grade_arm(arm, Rules(protocol, "sane", io)).score
            same(made.vlmevalkit_table, theirs)
            assert 0 < made.headline < 100
            if family == "mmvp" or made.metric == "mean of sources":
                assert made.headline == pytest.approx(100 * theirs[0]["Overall"])


def assert_no_reply_needs_the_missing_rule(evaluator, arm, protocol):
    from dataclasses import replace

    from mmdbench.scoring import extract_answer, get_protocol

    full = get_protocol(protocol)
    for question in arm.bench.questions:
        reply = arm.replies[question.index]
        text = extract_answer(reply.text)
        shared = infer_option(text, question.options, protocol=replace(full, answer_is=False))
        assert infer_option(text, question.options, protocol=protocol) == shared, text


def test_a_spreadsheet_holds_what_was_graded(exported):
    name, _, _, run, files = exported
    assert {file.path.name for file in files} == {f"toy-model_{name}.xlsx"}
    assert [file.path.parts[-3:-1] for file in files] == [("clean", "toy-model"), ("hard", "toy-model")]
    for arm, file in zip(read_run(run).arms, files, strict=True):
        read = read_predictions(file.path)
        assert set(read) == {question.index for question in arm.bench.questions}
        failed = [
            i
            for i, r in arm.replies.items()
            if r.status not in ("ok", "truncated") or is_truncated(r.text)  # an unfinished thought
        ]
        assert file.without_answer == len(failed)
        assert {read[i] for i in failed} <= {NO_ANSWER}
    assert name == "own" or sum(file.without_answer for file in files)
    for protocol in ("clear/1", "vlmevalkit/1"):
        assert infer_option(NO_ANSWER, {"A": "a", "B": "answer"}, protocol=protocol) == "Z"


def test_arms_of_several_corruptions_and_degraded_copies_stand_apart(tmp_path):
    tsv = write_tsv(tmp_path / "MMVP_LOW_LEVEL_HIGH.tsv", list(mmvp_rows(4)))
    run = make_run(
        tmp_path / "run", [tsv], lambda _: "A", design="grid", corruptions=("graffiti", "lens_blur")
    )
    paths = [file.path.relative_to(tmp_path / "out") for file in export_run(run, tmp_path / "out")]
    assert list(map(str, paths)) == [
        f"MMVP_LOW_LEVEL_HIGH-{arm}/toy-model/toy-model_MMVP.xlsx"
        for arm in ("clean", "hard-graffiti", "hard-lens_blur")
    ]


def test_replies_that_a_spreadsheet_would_change_are_counted(tmp_path):
    replies = iter(["=1+1", "mailto:B", "B", "http://x/" + "y" * 2500, "tab\tB", "line\nB", "\x01B", "C"])
    tsv = write_tsv(tmp_path / "own.tsv", list(plain_rows(8)))
    run = make_run(tmp_path / "run", [tsv], lambda _: next(replies), levels=("clean",))
    (file,) = export_run(run, tmp_path / "out")
    assert file.rewritten == 4
    assert read_predictions(file.path)[0] == "=1+1"


def app():
    made = typer.Typer()
    made.command("export")(guarded(export))
    made.command("score")(guarded(score_verb))
    return made


def test_json_lines_keep_replies_and_statuses_and_are_scored_to_the_same_numbers(tmp_path):
    rows = list(plain_rows(20))
    tsv = write_tsv(tmp_path / "own.tsv", rows)
    run = make_run(tmp_path / "run", [tsv], mostly_right(rows, PLAIN_REPLIES), levels=("clean",))
    call = CliRunner().invoke(app(), ["export", str(run), "-o", str(tmp_path / "o"), "--format", "jsonl"])
    assert call.exit_code == 0, call.output
    path = tmp_path / "o/clean/toy-model/toy-model_own.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    (arm,) = read_run(run).arms
    assert [(x["index"], x["prediction"], x["status"]) for x in lines] == [
        (q.index, arm.replies[q.index].text, arm.replies[q.index].status) for q in arm.bench.questions
    ]
    call = CliRunner().invoke(
        app(), ["score", "--predictions", str(path), "--bench", str(tsv), "--json", "--quiet"]
    )
    assert call.exit_code == 0, call.output
    own = grade_arm(arm, Rules("clear/1", "sane")).score
    assert json.loads(call.output)["headline"] == own.headline


def test_the_command_prints_the_files_that_it_wrote(tmp_path):
    tsv = write_tsv(tmp_path / "MMStar.tsv", list(plain_rows(3)))
    run = make_run(tmp_path / "run", [tsv], lambda _: Outcome("", "error", "down"), levels=("clean",))
    before = sorted((p, p.read_bytes()) for p in run.rglob("*"))
    call = CliRunner().invoke(app(), ["export", str(run), "-o", str(tmp_path / "out")])
    assert "3 rows have no reply" in call.output
    assert "vlmutil eval MMStar" in call.output
    assert sorted((p, p.read_bytes()) for p in run.rglob("*")) == before
    with pytest.raises(UnknownNameError):
        export_run(run, tmp_path / "out", form="pkl")
    with pytest.raises(UnknownNameError):
        export_run(run, tmp_path / "out", extraction="all")


def test_a_long_name_of_a_model_is_cut_to_what_a_file_can_have(tmp_path):
    tsv = write_tsv(tmp_path / "own.tsv", list(plain_rows(2)))
    run = make_run(tmp_path / "run", [tsv], lambda _: "A", levels=("clean",))
    manifest = read_manifest(run)
    manifest["model"]["name"] = "長" * 400
    save_manifest(run, manifest)
    (file,) = export_run(run, tmp_path / "out", form="jsonl")
    assert file.path.is_file()
    assert re.fullmatch("長{20,}-[0-9a-f]{8}", file.path.parent.name)
