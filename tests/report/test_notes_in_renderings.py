"""The notes of a run that is incomplete, judged, sampled and of a truncated file, in every rendering.

The page `docs/run_notes.md` holds the table that is made here; `MMDBENCH_UPDATE=1` writes it.
"""

from __future__ import annotations

import csv
import html
import io
import json
import os
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mmdbench.cli import app
from mmdbench.report.tables.run_notes import run_notes
from mmdbench.results.graded_run import load_results
from mmdbench.results.judging.journal import JsonlJournal
from mmdbench.scoring import JudgeReply
from run_folders import question, write_run

PAGE = Path(__file__).parents[2] / "docs" / "run_notes.md"
BEGIN, END = "<!-- made by tests/report/test_notes_in_renderings.py -->\n", "<!-- end -->\n"

KINDS = (
    "INCOMPLETE",
    "FILE",
    "SAMPLE",
    "hesitant",
    "in our own words",
    "could not settle",
    "Truncated",
    "SUSPECT",
    "SEVERAL MODELS",
    "System fingerprints",
    "Replies asked",
)
"""A word of each note that the run must have."""

ROWS = 40
BEFORE, AFTER = "before the numbers", "after the numbers"
EACH = "in each record"


class Hesitant:
    """A judge that settles a reply only if it says so."""

    id = "hesitant"

    def ask(self, call):
        return JudgeReply("0.5" if "settled" in call.prompt else "perhaps")


def limited_run(folder, errors, unsettled=1):
    """A judged sample of a truncated file, with cut replies.

    The first `errors` questions failed at hard; the judge settles all but `unsettled` replies there. Another
    model answered at hard.
    """

    def answer(q, level, _):
        served = {"model": "toy-2" if level == "hard" else "toy-1-2026-01-01", "system_fingerprint": "fp_1"}
        time = f"2026-11-{22 if level == 'clean' else 30}T10:00:00.000+00:00"
        asked = {"asked": time, "details": served}
        if level == "hard" and q.index < errors:
            return {"status": "error", "reason": "HTTP 500", **asked}
        if q.index == 11:
            return {"status": "truncated", "text": "settled, it may be", **asked}
        is_unsettled = 12 <= q.index < 12 + unsettled and level == "hard"
        return {"text": "a dog" if is_unsettled else "settled, a cat", **asked}

    rows = [question(i, "MMVet", "a cat", category="rec") for i in range(ROWS)]
    bench = {"name": "MMVet", "family": "mmvet", "questions": 60, "sha256": "0" * 64}
    since, until = (f"2026-11-{time}:00:00.000+00:00" for time in ("29T10", "30T12"))
    span = {"since": since, "until": until, "said": "an answer came from another picture"}
    manifest = {"benches": [bench], "canary": {"verdict": "caught", "suspects": [span]}}
    names = ("graffiti", "lens_blur", "mean_shift", "gaussian_noise")  # one of each category
    plan = {"model": folder.name, "sample": f"{ROWS}/bench"}
    write_run(folder, rows, answer, "mmvet", names, manifest=manifest, **plan)
    load_results(folder, judge=Hesitant(), journal=JsonlJournal(folder / "judge.jsonl"))
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return {"incomplete": limited_run(folder / "one", 4), "complete": limited_run(folder / "two", 0)}


def printed(*words, code=0):
    done = CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": "1000"})
    assert done.exit_code == code, done.output
    return done.stdout


def squashed(text):
    return re.sub(r"[^0-9A-Za-z]", "", text.replace(r"\textdagger{}", "").replace(r"\ldots{}", ""))


def place(text, notes, numbers):
    """The side of the numbers that all notes are on, by the words at which the numbers begin."""
    flat, border = squashed(text), squashed(text).index(squashed(numbers))
    found = {flat.find(squashed(note)) for note in notes}
    assert -1 not in found, [note for note in notes if squashed(note) not in flat]
    sides = {at < border for at in found}
    assert len(sides) == 1, found
    return BEFORE if sides.pop() else AFTER


def in_each(records, notes):
    """The place of notes in records, which must hold all of them each, and a marked number."""
    records = list(records)
    assert records
    assert all(note in record["notes"] for record in records for note in notes)
    return EACH, next((f"{record['value']}{record['mark']}" for record in records if record["mark"]), "")


def marked_cell(text):
    """The first number with the mark of an incomplete run, as a terminal shows it; may be empty."""
    plain = text.replace("\\textdagger{}", "†").replace("\\%", "%")
    found = re.search(r"-?[0-9.]+( %)?†", re.sub(r"<[^>]*>", "", plain))
    return found[0] if found else ""


def in_figure(folder, notes):
    """The side of the axes that the notes are on in all figures, and a marked number of the heat map."""
    sides, cell = set(), ""
    for path in sorted(folder.glob("*.svg")):
        found = re.findall(
            r"<text[^>]*(?: y=\"|translate\([-0-9.]+ )([-0-9.]+)[^>]*>([^<]*)<", path.read_text("utf-8")
        )
        words = [(float(y), html.unescape(text)) for y, text in found]
        flat = squashed("".join(text for _, text in words))
        assert all(squashed(note) in flat for note in notes)
        ticks = [y for y, text in words if text == "hard" or text.startswith("drop")]
        first = next(y for y, text in words if text.startswith(notes[0][:20]))
        sides.add(BEFORE if first < min(ticks) else AFTER)
        cell = cell or marked_cell(" ".join(text for _, text in words))
    assert len(sides) == 1
    return sides.pop(), cell


def renderings(run, other, folder):
    """The place of the notes in each rendering of a run, and a marked number of it."""
    notes = run_notes(load_results(run))
    table = ("report", run, "--table", "levels")
    found = {}
    for option in ("", "--markdown", "--latex"):
        text = printed(*table, *filter(None, [option]))
        start = {"--latex": "toprule"}.get(option, "Benchmark n clean")
        found[f"report {option}".strip()] = place(text, notes, start.replace(" ", "")), marked_cell(text)
    sheet = printed(*table, "--csv")
    found["report --csv"] = in_each(csv.DictReader(io.StringIO(sheet)), notes)
    record = json.loads(printed(*table, "--json"))
    assert list(record["notes"]) == list(record["runs"][0]["notes"]) == list(notes)
    marks = [
        f"{v['value']}{v['mark']}" for t in record["tables"] for r in t["rows"] for v in r["values"] if v
    ]
    order = list(record).index("notes") < list(record).index("tables")
    found["report --json"] = BEFORE if order else AFTER, next((m for m in marks if "†" in m), "")
    printed(*table, "--parquet", folder / "numbers.parquet")
    parquet = pytest.importorskip("pyarrow.parquet")
    found["report --parquet"] = in_each(parquet.read_table(folder / "numbers.parquet").to_pylist(), notes)
    printed("page", run, "-o", folder / "page.html", "--quiet", "--examples", 0)
    page = re.sub(r"(?s)<(script|style).*?</\1>", "", (folder / "page.html").read_text("utf-8"))
    found["page"] = (
        place(html.unescape(re.sub(r"<[^>]*>", " ", page)), notes, "Score clean"),
        marked_cell(page),
    )
    pytest.importorskip("matplotlib")
    printed("figures", run, "-o", folder / "figures", "--format", "svg")
    found["figures"] = in_figure(folder / "figures", notes)
    found["cite"] = place(printed("cite", run), notes, "We measured"), ""
    found["score"] = scored(run), ""
    text = printed("compare", run, other)
    flat = squashed(text)
    assert any(squashed(whose + notes[0]) in flat for whose in (run.name, "both runs"))
    found["compare"] = place(text, notes, "Level Part"), marked_cell(text)
    return found


def scored(run):
    """The place of the notes in the output of `score`, which asks no judge here; JSON holds them too."""
    notes = run_notes(load_results(run, judged_by="none"))
    assert json.loads(printed("score", run, "--json"))["notes"] == list(notes)
    return place(printed("score", run), notes, "Benchmark Metric n")


def checked(run, baseline, code):
    """The place of the notes in the output of `check`; JSON, JUnit XML and GitHub hold them too."""
    notes = run_notes(load_results(run))
    words = ("check", run, "--baseline", baseline, "--gate", "macro-hard:90")
    junit = baseline.with_suffix(".xml")
    summary = baseline.with_name(f"{run.name}.md")
    github = {"GITHUB_ACTIONS": "1", "GITHUB_STEP_SUMMARY": str(summary)}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in github.items():
            patch.setenv(name, value)
        annotated = printed(*words, "--junit", junit, code=code)
    assert sum(line.startswith("::notice") for line in annotated.splitlines()) == len(notes)
    assert all(squashed(note) in squashed(summary.read_text("utf-8")) for note in notes)
    text = printed(*words, code=code)
    assert json.loads(printed(*words, "--json", code=code))["run_notes"] == list(notes)
    assert all(squashed(note) in squashed(html.unescape(junit.read_text("utf-8"))) for note in notes)
    return place(text, notes, "(exit code 4)" if code else "Row n baseline"), ""


@pytest.fixture(scope="module")
def found(runs, tmp_path_factory):
    """The places of the notes, by run and rendering."""
    sides = {}
    for name, other in (("incomplete", "complete"), ("complete", "incomplete")):
        folder = tmp_path_factory.mktemp(name)
        sides[name] = renderings(runs[name], runs[other], folder)
    baseline = tmp_path_factory.mktemp("check") / "baseline.json"
    printed("check", runs["complete"], "--baseline", baseline, "--accept", "--allow-model-change")
    for name, code in (("incomplete", 4), ("complete", 0)):
        sides[name]["check"] = checked(runs[name], baseline, code)
    return sides


def as_page_part(runs, found):
    """The part of the page that is made of the renderings: the notes, and the table."""
    notes = "".join(f"- {note}\n" for note in run_notes(load_results(runs["incomplete"])))
    lines = [
        "| rendering | notes of this run | notes of a complete run | a drop of this run |",
        "|---|---|---|---|",
    ]
    for name, (place_here, cell) in found["incomplete"].items():
        lines.append(f"| `{name}` | {place_here} | {found['complete'][name][0]} | {cell or 'none'} |")
    return f"{notes}\n" + "\n".join(lines) + "\n"


@pytest.mark.parametrize("kind", KINDS)
def test_the_run_has_a_note_of_each_kind(runs, kind):
    assert sum(kind in note for note in run_notes(load_results(runs["incomplete"]))) >= 1


def test_notes_of_an_incomplete_run_stand_before_its_numbers(found):
    assert {place_here for place_here, _ in found["incomplete"].values()} == {BEFORE, EACH}


def test_drops_of_an_incomplete_run_are_marked_wherever_there_are_numbers_of_it(found):
    without = [name for name, (_, cell) in found["incomplete"].items() if not cell]
    assert without == ["cite", "score", "check"]
    marked = [name for name, (_, cell) in found["complete"].items() if cell]
    assert marked == ["compare"]  # with the incomplete run


def test_the_page_says_what_the_renderings_say(runs, found):
    made, text = as_page_part(runs, found), PAGE.read_text("utf-8")
    head, tail = text[: text.index(BEGIN) + len(BEGIN)], text[text.index(END) :]
    if os.environ.get("MMDBENCH_UPDATE"):
        PAGE.write_text(f"{head}\n{made}\n{tail}", "utf-8")
        return
    assert text == f"{head}\n{made}\n{tail}", "MMDBENCH_UPDATE=1 makes the page again"


def test_a_run_whose_judge_settled_too_little_is_marked_too(tmp_path, runs):
    run = limited_run(tmp_path / "three", 0, unsettled=6)
    notes = run_notes(load_results(run))
    assert notes[0].startswith("JUDGING INCOMPLETE")
    assert "†" in notes[0]
    text = printed("report", run, "--table", "levels")
    assert place(text, notes, "Benchmark n clean") == BEFORE
    assert marked_cell(text)
    assert place(printed("cite", run), notes, "We measured") == BEFORE
    assert marked_cell(printed("compare", run, runs["complete"]))
