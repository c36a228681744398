"""Damage to a run's files: a changed line, a lost line, a flipped bit, a damaged manifest."""

from __future__ import annotations

import json
import random
import resource
import signal
from collections import Counter
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mmdbench.cli import app
from mmdbench.corruptions.spec_file import load_spec
from mmdbench.errors import MmdbenchError, StoreError
from mmdbench.records import Outcome
from mmdbench.report.tables.collect import make_tables
from mmdbench.results.graded_arms import Judging
from mmdbench.results.graded_run import load_results
from mmdbench.results.judging.journal import JsonlJournal
from mmdbench.results.rescoring import record_judge, regrade, write_regraded
from mmdbench.run.json_lines import LineAppender, checked_line, count_lines, read_lines, read_records
from mmdbench.run.manifest import find_manifest, read_manifest
from mmdbench.run.merge import merge_runs
from mmdbench.run.stored_plan import read_cells
from mmdbench.scoring import OWN_HEADS, JudgeReply
from recording_model import Recorder, toy_run
from run_folders import as_early, change_manifest

CHECKED = ("cells.jsonl", "questions.jsonl", "replies-0.jsonl")
EVAL = "eval --model chance --bench toy.tsv --level clean,hard -o run --quiet"


def mmdbench(command, code=0):
    done = CliRunner().invoke(app, command.split())
    assert done.exit_code == code, done.output
    return " ".join(done.output.split())


class Vague(Recorder):
    """Answers nothing that a rule can read."""

    def generate(self, requests):
        return [Outcome("It is the other one.") for _ in super().generate(requests)]


class Judge:
    id = "fake@local"

    def ask(self, call):
        return JudgeReply("A")


def judged_run(folder, bench):
    """A run of four cells that a judge settled."""
    toy_run(bench, folder, Vague(), levels=("clean", "hard"))
    journal = JsonlJournal(folder / "judge.jsonl")
    made = regrade(folder, judging=Judging(Judge(), OWN_HEADS, journal, workers=1))
    record_judge(made)
    write_regraded(made)
    assert {arm.score.judge for arm in load_results(folder).arms} == {Judge.id}
    return folder


def flip(data, rng):
    at = rng.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]


# --- lines ----------------------------------------------------------------------------------------


def lines_of(path, count=3):
    path.write_bytes(b"".join(checked_line(json.dumps({"n": n}), n) for n in range(1, count + 1)))
    return path.read_bytes().splitlines(keepends=True)


def test_a_line_is_plain_json_with_its_check_as_the_last_field(tmp_path):
    for line in lines_of(tmp_path / "a.jsonl"):
        assert list(json.loads(line)) == ["n", "check"]
    assert list(read_lines(tmp_path / "a.jsonl")) == [(n, {"n": n}) for n in (1, 2, 3)]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda a, b, c: a + b.replace(b"2", b"5", 1) + c, "line 2 was changed"),
        (lambda a, b, c: a + c, "line 2 was changed, or a line before it was removed"),
        (lambda a, b, c: b + c, "line 1 was changed, or a line before it was removed"),
        (lambda a, b, c: a + c + b, "line 2 was changed"),
        (lambda a, b, c: a + b + b + c, "line 3 was changed"),
        (lambda a, b, c: a + b'{"n": 2}\n' + c, "line 2 has no check"),
        (lambda a, b, c: a + b[:-9] + b"\n" + c, "line 2 has no check"),
        (lambda a, b, c: a + b + c[:-1] + b"!", "line 3 has no check"),
        (lambda a, b, c: a + b + c[:-1] + b"\x8a", "line 3 has no check"),
        (lambda a, b, c: b"[1]\n" + b + c, "line 1 is not a JSON record: not an object"),
    ],
)
def test_a_changed_added_or_removed_line_is_named(tmp_path, change, says):
    path = tmp_path / "a.jsonl"
    path.write_bytes(change(*lines_of(path)))
    with pytest.raises(StoreError, match=rf"a.jsonl, {says}"):
        list(read_lines(path))


def test_a_cut_last_line_is_left_out_a_whole_one_is_read_and_an_empty_one_holds_a_place(tmp_path):
    path = tmp_path / "a.jsonl"
    a, b, c = lines_of(path)
    for cut in range(2, len(c)):
        path.write_bytes(a + b + c[:-cut])
        assert [n for n, _ in read_lines(path)] == [1, 2], cut
        assert count_lines(path).lines == 2
        LineAppender(path).close()
        assert path.read_bytes() == a + b
    path.write_bytes(a + b + c[:-1])
    assert [n for n, _ in read_lines(path)] == [1, 2, 3]
    assert count_lines(path).lines == 3
    LineAppender(path).close()
    assert path.read_bytes() == a + b + c
    path.write_bytes(a + b"\n" + c)
    assert [n for n, _ in read_lines(path)] == [1, 3]


def test_lines_without_checks_come_first(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"n": 1}\n{"n": 2}\n')
    with closing(LineAppender(path)) as file:
        file.append('{"n": 3}')
    assert [record["n"] for record in read_records(path)] == [1, 2, 3]
    count = count_lines(path)
    assert (count.lines, count.unchecked) == (3, 2)


def test_a_line_that_the_disk_refuses_leaves_no_part_of_itself(tmp_path):
    path, most = tmp_path / "a.jsonl", 2000
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, limits[1]))
        with closing(LineAppender(path)) as file:
            file.append('{"n": 1}')
            with pytest.raises(OSError, match="too large"):
                file.append(json.dumps({"n": "x" * most}))
            file.append('{"n": 2}')
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    assert [record["n"] for record in read_records(path)] == [1, 2]


def test_a_journal_of_an_early_version_with_a_cut_line_inside_is_read_and_continued(tmp_path):
    path = tmp_path / "judge.jsonl"
    whole = [json.dumps({"key": key, "text": key.upper(), "status": "ok"}) for key in "abcd"]
    path.write_text("\n".join([whole[0], whole[1][:17], whole[2], whole[3][:9]]))
    JsonlJournal(path).add({"key": "e", "text": "E", "status": "ok"})
    journal = JsonlJournal(path)
    assert [key for key in "abcde" if journal.find(key)] == ["a", "c", "e"]
    path.write_bytes(path.read_bytes().replace(b'"E"', b'"F"'))
    with pytest.raises(StoreError, match=r"judge.jsonl, line 4 was changed"):
        JsonlJournal(path)


# --- runs -----------------------------------------------------------------------------------------


def loaded(run):
    """The graded run, or the message of its error."""
    try:
        return load_results(run), ""
    except MmdbenchError as error:
        return None, error.message


def test_one_flipped_bit_gives_the_same_results_or_an_error(make_tsv, tmp_path):
    run = judged_run(tmp_path / "run", make_tsv(2))
    change_manifest(run, lambda manifest: [manifest.pop(name) for name in ("versions", "git")])
    names = {path.name for path in run.iterdir() if path.stat().st_size}
    tables = {"manifest.json", *CHECKED, "judge.jsonl", "judge-heads.json"}
    assert tables < names
    good, found, rng = load_results(run), Counter(), random.Random(17)
    # Files that no table is made from may be damaged without an error.
    for name in [*sorted(tables) * 325, *sorted(names - tables) * 10]:
        path = run / name
        data = path.read_bytes()
        path.write_bytes(flip(data, rng))
        same, error = loaded(run)
        if error:
            assert path.name in error
            found[path.name] += 1
        else:
            assert same == replace(good, manifest=same.manifest), path.name
            assert {**same.manifest, **good.manifest} == same.manifest, path.name
        path.write_bytes(data)
    assert set(found) == tables
    assert min(found.values()) > 300


@pytest.mark.parametrize("name", [*CHECKED, "judge.jsonl"])
def test_a_last_line_that_is_gone_a_lost_file_and_lost_checks_are_errors(make_tsv, tmp_path, name):
    path = judged_run(tmp_path / "run", make_tsv(2)) / name
    lines = path.read_bytes().splitlines(keepends=True)
    unchecked = b"".join(line.rpartition(b',"check"')[0] + b"}\n" for line in lines)
    for damaged in (b"".join(lines[:-1]), unchecked, None):
        path.unlink()
        if damaged is not None:
            path.write_bytes(damaged)
        with pytest.raises(StoreError, match=name):
            load_results(path.parent)
        path.touch()
    if name in CHECKED:
        with pytest.raises(StoreError, match=name):
            merge_runs([path.parent], tmp_path / "merged")


def test_replies_that_are_gone_are_asked_again_and_the_run_says_so(make_tsv, tmp_path):
    bench, run = make_tsv(3), tmp_path / "run"
    toy_run(bench, run)
    good = load_results(run).hits
    path = run / "replies-0.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:2]))
    said = []
    _, summary = toy_run(bench, run, on_progress=lambda progress: said.append(progress.note))
    assert (summary.earlier, summary.asked) == (2, len(good) - 2)
    assert any("replies-0.jsonl must have at least" in note for note in said)
    assert load_results(run).hits == good


def test_other_prompts_than_the_judge_was_asked_with_are_refused(make_tsv, tmp_path):
    run = judged_run(tmp_path / "run", make_tsv(2))
    path = run / "judge-heads.json"
    for early in (False, True):
        if early:  # a run without digests knows the prompts by the record of its scorings
            as_early(run)
        heads = path.read_text()
        path.write_text(heads.replace("You compare", "You weigh"))
        with pytest.raises(StoreError, match=r"judge-heads.json does not"):
            load_results(run)
        assert load_results(run, judged_by="none").judge == ""
        path.write_text(heads)
        assert load_results(run).judge == Judge.id


def test_a_kill_between_the_plan_and_the_manifest_is_resumed(make_tsv, tmp_path, monkeypatch):
    bench, run = make_tsv(4), tmp_path / "run"
    toy_run(bench, run, levels=("clean",))

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("mmdbench.run.plan_record.save_manifest", killed)
        with pytest.raises(KeyboardInterrupt):
            toy_run(bench, run, levels=("clean", "hard"))
    with pytest.raises(StoreError, match=r"cells.jsonl does not match its digest .* another plan"):
        load_results(run)
    _, summary = toy_run(bench, run, levels=("clean", "hard"))
    assert (summary.asked, summary.earlier) == (4, 4)
    assert len(load_results(run).cells) == len(read_cells(run)) == 8


def test_an_early_run_is_read_with_a_note_continued_with_checks_and_merged(make_tsv, tmp_path):
    bench, run = make_tsv(3), tmp_path / "run"
    toy_run(bench, run, levels=("clean",))
    as_early(run)
    note = "An earlier version stored this run, or a part of it, without checks"
    assert note in " ".join(make_tables(load_results(run), load_spec()).notes)
    _, summary = toy_run(bench, run, levels=("clean", "hard"))
    assert (summary.asked, summary.earlier) == (3, 3)
    assert read_manifest(run)["files"]["replies-0.jsonl"] == {"lines": 6, "unchecked": 3}
    assert note in " ".join(make_tables(load_results(run), load_spec()).notes)
    merge_runs([run], tmp_path / "merged")
    assert read_manifest(tmp_path / "merged")["files"]["replies-0.jsonl"] == {"lines": 6}
    merged = load_results(tmp_path / "merged")
    assert merged.hits == load_results(run).hits
    assert note not in " ".join(make_tables(merged, load_spec()).notes)


# --- manifests ------------------------------------------------------------------------------------


def spoil(manifest, how):
    data = manifest.read_bytes()
    spoilt = {
        "cut": data[: len(data) // 2],
        "empty": b"",
        "another shape": b"[]",
        "changed": data.replace(b'"asked": 4', b'"asked": 7', 1),
        "nested": b"[" * 100_000,
        "sessions of another type": data.replace(b'"sessions": [', b'"sessions": 3, "old": ['),
    }[how]
    assert spoilt != data
    manifest.write_bytes(spoilt)
    return spoilt


@pytest.mark.parametrize(
    "how", ["cut", "empty", "another shape", "changed", "nested", "sessions of another type"]
)
def test_eval_keeps_a_damaged_manifest_beside_the_new_one_and_forgets_nothing(make_tsv, tmp_path, how):
    bench, run = make_tsv(2), tmp_path / "run"
    judged_run(run, bench)
    good, manifest = read_manifest(run), run / "manifest.json"
    spoilt = spoil(manifest, how)
    with pytest.raises(StoreError, match=r"manifest.json"):
        load_results(run)
    said = []
    _, summary = toy_run(
        bench, run, Vague(), on_progress=lambda p: said.append(p.note), levels=("clean", "hard")
    )
    assert (summary.asked, summary.earlier) == (0, 4)
    assert any("kept as manifest.damaged.json" in note and "all that it held" in note for note in said)
    assert (run / "manifest.damaged.json").read_bytes() == spoilt
    found = read_manifest(run)
    assert found["sessions"][:-1] == good["sessions"]
    assert (found["judge"], found["judges"]) == (good["judge"], good["judges"])
    assert load_results(run).judge == Judge.id
    spoil(manifest, "empty")
    toy_run(bench, run, Vague(), levels=("clean", "hard"))
    assert (run / "manifest.damaged2.json").read_bytes() == b""
    assert len(read_manifest(run)["sessions"]) == 3


def test_of_a_damaged_manifest_of_an_early_run_what_can_be_read_is_kept(make_tsv, tmp_path):
    bench, run = make_tsv(2), tmp_path / "run"
    judged_run(run, bench)
    as_early(run)
    good, manifest = read_manifest(run), run / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"versions": {', '"versions": ', 1))
    said = []
    toy_run(bench, run, Vague(), on_progress=lambda p: said.append(p.note), levels=("clean", "hard"))
    assert any("kept as manifest.damaged.json" in note for note in said)
    found = read_manifest(run)
    assert found["sessions"][:-1] == good["sessions"]
    assert found["judges"] == good["judges"]
    as_early(run)
    text = manifest.read_text()
    manifest.write_text(text[: text.index('"sessions"') + 20])
    said.clear()
    toy_run(bench, run, Vague(), on_progress=lambda p: said.append(p.note), levels=("clean", "hard"))
    assert any("without sessions, " in note and "of which nothing can be read" in note for note in said)


@pytest.mark.parametrize("left", [b"", b"\0" * 900, b"[]"])
def test_the_history_in_a_manifest_of_which_nothing_is_left_is_named_as_lost(make_tsv, tmp_path, left):
    bench, run = make_tsv(1), tmp_path / "run"
    toy_run(bench, run, Vague(), levels=("clean",))
    as_early(run)
    (run / "manifest.json").write_bytes(left)
    said = []
    toy_run(bench, run, Vague(), on_progress=lambda p: said.append(p.note), levels=("clean",))
    (note,) = [note for note in said if "manifest.damaged.json" in note]
    assert "without sessions, judge, judges, judge_sessions, of which nothing can be read" in note


def test_a_damaged_manifest_of_another_model_is_refused_and_a_dry_run_changes_nothing(
    make_tsv, tmp_path, monkeypatch
):
    make_tsv(3)
    monkeypatch.chdir(tmp_path)
    mmdbench(EVAL)
    Path("run/manifest.json").write_text("{")
    before = {path.name: path.read_bytes() for path in Path("run").iterdir()}
    assert "holds a run of the model chance" in mmdbench(EVAL.replace("chance", "baseline"), 2)
    mmdbench(f"{EVAL} --dry-run")
    assert {path.name: path.read_bytes() for path in Path("run").iterdir()} == before
    assert "manifest.json" in mmdbench("report run", 4)
    done = CliRunner().invoke(app, EVAL.replace(" --quiet", "").split())
    assert "it is kept as manifest.damaged.json" in " ".join(done.output.split())
    assert find_manifest(Path("run"))["sessions"]
