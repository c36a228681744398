"""Notes of a report on truncated replies, finish reasons, old runs, and letters that are words."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from mmdbench.cli import app
from mmdbench.corruptions.spec_file import load_spec
from mmdbench.records import Outcome
from mmdbench.report.identity import differences, identity
from mmdbench.report.tables.collect import make_tables
from mmdbench.results.graded_run import load_results
from run_folders import change_manifest
from scripted_runs import make_run, write_tsv

CUT = Outcome("<think>it may be A but", "truncated")
ROWS = [{"index": i, "question": f"q{i}", "A": "cat", "B": "dog", "answer": "A"} for i in range(4)]


@pytest.fixture
def asked(tmp_path):
    def ask(script):
        return make_run(tmp_path / "run", [write_tsv(tmp_path / "own.tsv", ROWS)], script)

    return ask


def cut_when_hard():
    seen = set()

    def script(request):
        # The clean pictures are asked about first.
        first = request.question not in seen
        seen.add(request.question)
        return "A" if first or request.question == "q0" else CUT

    return script


def notes(run):
    return " ".join(make_tables(load_results(run), load_spec()).notes)


def test_truncation_is_reported_by_level(asked):
    run = asked(cut_when_hard())
    tables = make_tables(load_results(run), load_spec())
    (note,) = [note for note in tables.notes if "Truncated" in note]
    assert note.startswith("Truncated replies by level: clean 0.0 %, hard 75.0 %. 3 end inside their thought")
    stages = tables.find("stages")
    place = [column.name for column in stages.columns].index("truncated")
    assert [(row.labels[1], row.values[place].value) for row in stages.rows] == [("clean", 0), ("hard", 75)]


def test_an_unfinished_thought_with_finish_reason_stop_is_truncated_too(asked):
    assert "clean 100.0 %, hard 100.0 %. 8 end" in notes(asked(lambda _: "[THINK]it may be A but"))


def test_a_run_without_truncation_has_no_note(asked):
    assert "Truncated" not in notes(asked(lambda _: "A"))


def test_unknown_finish_reasons_are_counted_and_shown(asked):
    ends = {"q0": "foo", "q1": "\x1b[31mbar", "q2": "stop", "q3": "foo"}
    note = notes(asked(lambda request: Outcome("A", details={"finish_reason": ends[request.question]})))
    assert "finish reason that mmdbench does not know: '\\x1b[31mbar' 2, 'foo' 4. They count" in note
    assert "count as answers although" not in note


def test_a_finish_reason_that_a_gateway_does_not_know_is_not_unknown_if_its_provider_says_more(asked):
    ended = {"finish_reason": "foo", "native_finish_reason": "STOP"}
    assert "does not know" not in notes(asked(lambda _: Outcome("A", details=ended)))


def test_replies_of_an_early_version_that_were_broken_off_are_named(asked):
    ends = {"q0": "error", "q1": "MAX_TOKENS", "q2": "stop", "q3": "content_filter"}

    def script(request):
        status = "refused" if request.question == "q3" else "ok"
        return Outcome("A", status, details={"finish_reason": ends[request.question]})

    note = notes(asked(script))
    assert "cut, refused or broken off: 'MAX_TOKENS' 2, 'error' 2. An earlier version" in note
    assert "does not know" not in note


def test_an_old_run_is_graded_by_the_new_version_with_a_note(asked):
    run = asked(lambda _: Outcome("it may be option A but", "truncated"))
    assert load_results(run).manifest["extraction"] == "sane/2"
    assert "sane/1" not in notes(run)
    change_manifest(run, lambda manifest: manifest.pop("extraction"))
    assert "first read by sane/1, now by sane/2: it reads no answer from 8 unfinished replies" in notes(run)
    make_again = CliRunner().invoke(app, ["report", str(run)])
    assert "sane/2" in make_again.output
    assert "sane/1" in " ".join(make_again.output.split())


def test_a_resumed_old_run_keeps_its_note(tmp_path, asked):
    run = asked(lambda _: CUT)
    change_manifest(run, lambda manifest: manifest.pop("extraction"))
    asked(lambda _: CUT)
    assert "extraction" not in load_results(run).manifest


def test_the_card_or_the_replies_say_that_the_prompt_opens_the_thought(asked):
    run = asked(lambda _: "round, so A is possible")
    assert {grade.stage for grade in load_results(run).grades.values()} == {"letter"}
    change_manifest(run, lambda manifest: manifest["model"]["options"].update(opens_thought=True))
    assert {grade.stage for grade in load_results(run).grades.values()} == {"unfinished_thought"}


def test_replies_at_one_level_tell_how_those_at_another_began(asked):
    seen = set()

    def script(request):
        first = request.question not in seen
        seen.add(request.question)
        return "round</think>A" if first else "round, so A is possible"

    found = load_results(asked(script))
    assert {cell.level: grade.stage for cell, grade in found.grades.items()} == {
        "clean": "letter",
        "hard": "unfinished_thought",
    }


def test_a_baseline_of_the_first_version_differs_in_it(asked):
    now = identity(load_results(asked(lambda _: "A")))
    versions = {k: v for k, v in now["versions"].items() if k != "answer extraction"}
    (found,) = differences({**now, "versions": versions}, now)
    assert str(found) == "version of answer extraction: sane/1 / sane/2"


def test_letters_that_are_words_are_counted(asked):
    run = asked(lambda request: "A brown thing is to be seen in it" if request.question < "q2" else "A")
    said = notes(run)
    assert '4 of 8 answers rest on a single letter that is also a word of the reply ("A brown …")' in said
    assert "mmdbench report RUN --protocol vlmevalkit/1" in said
    assert load_results(run).arms[0].score.headline == 100
    other = load_results(run, protocol="vlmevalkit/1")
    assert other.arms[0].score.headline == 50
    assert "single letter" not in " ".join(make_tables(other, load_spec()).notes)


def test_a_providers_finish_reason_that_its_gateway_calls_stop_is_shown(asked):
    ended = {"finish_reason": "stop", "native_finish_reason": "bar"}
    assert "does not know: 'bar' 8. They" in notes(asked(lambda _: Outcome("A", details=ended)))
