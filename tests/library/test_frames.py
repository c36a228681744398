"""Runs as tables, frames and rows: their columns are fixed, and their numbers are those of the report."""

from __future__ import annotations

import subprocess
import sys

import pytest

import mmdbench
from mmdbench.library.frames import NUMBER_COLUMNS, REPLY_COLUMNS


def answer(images, prompt):
    return "A" if images[0].getpixel((3, 3))[0] > 100 else "<script>B</script>"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return mmdbench.evaluate(
        answer,
        "mini",
        levels=["clean", "hard"],
        sample=12,
        out=tmp_path_factory.mktemp("run") / "run",
        progress=False,
        version="1",
    )


COLUMNS = {
    "model": "string",
    "bench": "string",
    "question": "string",
    "level": "string",
    "corruption": "string",
    "repeat": "Int64",
    "category": "string",
    "status": "string",
    "answer": "string",
    "reply": "string",
    "label": "string",
    "verdict": "string",
    "grade": "Float64",
    "stage": "string",
    "reason": "string",
    "tokens_read": "Int64",
    "tokens_written": "Int64",
    "usd": "Float64",
    "seconds": "Float64",
    "attempts": "Int64",
    "asked": "string",
    "recipe": "string",
    "key": "string",
}


def test_columns_of_replies_are_these(run):
    frame = run.frame()
    assert dict(REPLY_COLUMNS) == COLUMNS
    assert {name: str(kind) for name, kind in frame.dtypes.items()} == COLUMNS
    assert [list(row) for row in run.rows()] == [list(COLUMNS)] * 24
    assert set(frame["level"]) == {"clean", "hard"}
    assert frame["corruption"].isna().sum() == 12
    assert frame["recipe"].str.len().eq(64).all()


def test_scores_of_the_frame_are_those_of_the_table(run):
    means = run.frame().groupby("level")["grade"].mean() * 100
    for level in ("clean", "hard"):
        value = run.scores()["mini", level]
        assert value.value == pytest.approx(means[level])
        assert value.low <= value.value <= value.high
        assert value.n == 12
    drop = run.drops()
    assert drop.key == "drops"
    by = run.drops(by="corruption")
    assert by.key == "corruption"
    with pytest.raises(mmdbench.errors.UnknownNameError, match="corruption-category"):
        run.drops(by="weather")


def test_a_table_is_read_number_by_number(run):
    table = run.tables["levels"]
    assert list(run.tables)[:1]
    assert "levels" in run.tables
    with pytest.raises(mmdbench.errors.UnknownNameError, match="Did you mean 'levels'"):
        run.tables["level"]
    with pytest.raises(mmdbench.errors.UnknownNameError, match="column of the table levels"):
        table["mini", "hrad"]
    with pytest.raises(mmdbench.errors.UnknownNameError, match="row of the table levels"):
        table["MMStar", "hard"]
    frame = table.frame()
    assert {name: str(kind) for name, kind in frame.dtypes.items()} == dict(NUMBER_COLUMNS)
    assert set(frame["table"]) == {"levels"}
    assert all("SAMPLE 12" in notes for notes in frame["notes"])


def test_notebooks_show_tables_with_their_notes_and_no_markup_of_replies(run, monkeypatch):
    html, text = run.scores()._repr_html_(), run.scores()._repr_markdown_()
    assert html.startswith("<table>")
    assert "SAMPLE 12" in html
    assert "SAMPLE 12" in text
    assert "<script>" not in run._repr_html_()
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "Score by level" in repr(run.scores())
    assert "\x1b" not in repr(run.scores())
    assert "levels" in repr(run.tables)
    assert run._repr_markdown_() == text


def test_arrow_tables_have_the_same_columns(run):
    pyarrow = pytest.importorskip("pyarrow")
    table = run.arrow()
    assert table.column_names == list(COLUMNS)
    assert table.schema.field("grade").type == pyarrow.float64()
    assert table.num_rows == 24
    assert run.scores().arrow().column_names == list(NUMBER_COLUMNS)


def test_a_check_in_python_has_the_verdicts_of_the_command(run, tmp_path):
    assert run.accept(tmp_path / "baseline.json").grades == 24
    found = run.check(tmp_path / "baseline.json")
    assert (found.outcome, found.exit_code) == ("no regression", 0)
    assert "no regression" in repr(found)
    assert found.table.rows()
    assert found.junit().startswith("<?xml")
    worse = mmdbench.evaluate(
        wrong, "mini", levels=["clean", "hard"], sample=12, out=tmp_path / "w", progress=False
    )
    assert worse.check(tmp_path / "baseline.json", gates=["macro-clean:0"]).outcome in (
        "regression",
        "cannot tell",
    )


def wrong(images, prompt):
    return "Z"


def test_comparisons_and_pages(run, tmp_path):
    other = mmdbench.evaluate(
        wrong, "mini", levels=["clean", "hard"], sample=12, out=tmp_path / "w", progress=False
    )
    found = mmdbench.compare(run, other)
    assert found.title.startswith("wrong − answer")
    row = next(row for table in found.tables.values() for row in table.rows() if row["value"] is not None)
    assert row["table"] == next(iter(found.tables))
    assert "# wrong − answer" in found.markdown()
    assert run.page(tmp_path / "page.html").read_text("utf-8").startswith("<!doctype html>")
    with pytest.raises(mmdbench.errors.UsageError, match="at least one run"):
        mmdbench.load_report()
    both = mmdbench.load_report(run, other)
    assert both.text("csv").startswith("table,")
    assert "answer" in both.text()
    assert "@" in mmdbench.cite(run)


def test_pandas_is_imported_for_frames_alone(run):
    code = (
        "import sys, mmdbench\n"
        f"run = mmdbench.load_run({str(run.folder)!r})\n"
        "run.rows(), run.scores().markdown(), repr(run.tables)\n"
        f"run.page({str(run.folder.parent / 'page.html')!r})\n"
        "print('pandas' in sys.modules)\n"
        "run.frame()\n"
        "print('pandas' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]


def test_commands_do_without_pandas(tmp_path):
    code = """
import sys
from typer.testing import CliRunner
from mmdbench.cli import app

def call(*words):
    assert CliRunner().invoke(app, words).exit_code == 0, words

call("eval", "--model", "chance", "--bench", "mini", "--sample", "4", "--level", "clean,hard", "-o", "run")
call("report", "run", "--table", "all", "--csv")
call("check", "run", "--baseline", "baseline.json", "--accept")
call("check", "run", "--baseline", "baseline.json", "--gate", "macro-hard:1")
call("page", "run", "-o", "page.html")
call("score", "run", "--protocol", "vlmevalkit/1")
print("pandas" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout.split() == ["False"]


def test_a_run_is_reported_compared_and_cited_by_the_rules_it_was_loaded_with(run):
    other = mmdbench.load_run(run.folder, protocol="vlmevalkit/1", extraction="none")
    assert other.report.content.header["protocol"] == "vlmevalkit/1"
    assert mmdbench.load_report(other).content.header["protocol"] == "vlmevalkit/1"
    assert mmdbench.load_report(other, protocol="clear/1").content.header["protocol"] == "clear/1"
    with pytest.raises(mmdbench.errors.IncomparableError, match="protocol"):
        mmdbench.compare(run, other)
    assert mmdbench.compare(run, other, protocol="clear/1", extraction="sane").tables
    assert "vlmevalkit/1" in mmdbench.cite(other)
    with pytest.raises(mmdbench.errors.UnknownNameError, match="judge"):
        mmdbench.cite(other, judge="nobody")
