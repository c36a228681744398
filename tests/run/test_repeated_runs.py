"""Repeated requests: their keys and seeds, what is kept, resumed, merged, reported and compared."""

from __future__ import annotations

import base64
import json
import os
import signal
from collections import Counter
from itertools import count

import numpy as np
import pytest

import mmdbench
from mmdbench.errors import UsageError
from mmdbench.records import Cell, Outcome, RunPlan
from mmdbench.results.graded_run import load_results
from mmdbench.run.json_lines import read_records
from mmdbench.run.merge import merge_runs
from mmdbench.run.repeats import generation_of_repeat, refuse_greedy
from mmdbench.run.reply_records import read_reply
from mmdbench.run.store import read_replies
from mmdbench.system.digest import derive_seed
from pictures import picture, png
from recording_model import CARD, Recorder, toy_run


class Drawing:
    """Right with a chance of each question's own, drawn with the request's seed."""

    def __init__(self, worse=0.0, kill_at=None):
        self.asked, self.worse, self.kill_at = [], worse, kill_at

    def fingerprint(self):
        return {"adapter": "drawing"}

    def generate(self, requests):
        outcomes = []
        for request in requests:
            self.asked.append(request)
            if len(self.asked) == self.kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            number = int(request.question.split()[1].rstrip("?"))
            chance = derive_seed("chance", number) % 1000 / 1000 - self.worse
            right = derive_seed("draw", request.seed) % 1000 / 1000 < chance
            outcomes.append(Outcome("ABCD"[(number + (not right)) % 4]))
        return outcomes


def evaluated(bench, folder, model=None, **options):
    model = model or Drawing()
    options = {"levels": ["clean", "hard"], "progress": False, "fresh": False} | options
    return mmdbench.evaluate(model, str(bench), out=folder, **options)


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """Twenty-four questions."""
    path = tmp_path_factory.mktemp("bench") / "toy.tsv"
    lines = ["index\tquestion\tA\tB\tC\tD\tanswer\timage"]
    for n in range(24):
        image = base64.b64encode(png(picture(n))).decode()
        lines.append(f"{n}\tQuestion {n}?\tred\tgreen\tblue\tgrey\t{'ABCD'[n % 4]}\t{image}")
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def three(bench, tmp_path_factory):
    """A run of three repeats."""
    return evaluated(bench, tmp_path_factory.mktemp("three") / "run", repeat=3)


def test_the_first_repeat_has_the_keys_of_a_run_without_repeats(bench, tmp_path, three):
    once = Drawing()
    run = evaluated(bench, tmp_path / "run", once)
    plain, repeated = read_replies(run.folder), read_replies(three.folder)
    assert set(plain) < set(repeated)
    assert len(repeated) == 3 * len(plain)
    assert {repeated[key].repeat for key in plain} == {1}
    assert all(repeated[key].text == reply.text for key, reply in plain.items())
    assert Counter(reply.repeat for reply in repeated.values()) == {1: 48, 2: 48, 3: 48}


def test_each_repeat_has_a_seed_of_its_own_and_the_same_pictures(bench, tmp_path):
    model = Drawing()
    evaluated(bench, tmp_path / "run", model, repeat=3, sample=4)
    same = {}
    for request in model.asked:
        same.setdefault((request.prompt, request.images[0].data), []).append(request.seed)
    assert [len(set(seeds)) for seeds in same.values()] == [3] * 8


def test_files_without_repeats_are_those_of_earlier_versions(bench, tmp_path, three):
    run = evaluated(bench, tmp_path / "run")
    stored = [*read_records(run.folder / "cells.jsonl"), *read_records(run.folder / "replies-0.jsonl")]
    assert not [record for record in stored if "repeat" in record]
    assert "repeat" not in json.loads((run.folder / "manifest.json").read_text())["plan"]
    assert json.loads((three.folder / "manifest.json").read_text())["plan"]["repeat"] == 3
    assert RunPlan.from_dict({"model": "m", "benches": ["mini"]}).repeat == 1
    record = next(read_records(run.folder / "replies-0.jsonl"))
    assert read_reply(record).cell.repeat == Cell("a", 1, "clean").repeat == 1


def test_more_repeats_continue_in_the_same_folder_and_fewer_are_still_reported(bench, tmp_path, three):
    one = evaluated(bench, tmp_path / "run")
    more = Drawing()
    run = evaluated(bench, tmp_path / "run", more, repeat=3)
    assert len(more.asked) == 2 * 48
    assert run.report.text("csv", "levels") == three.report.text("csv", "levels")
    none = Drawing()
    again = evaluated(bench, tmp_path / "run", none)
    assert not none.asked
    assert again.report.text("csv", "levels") == one.report.text("csv", "levels")


def test_a_killed_run_and_merged_shards_are_the_whole(bench, tmp_path, three):
    child = os.fork()
    if child == 0:
        evaluated(bench, tmp_path / "killed", Drawing(kill_at=50), repeat=3)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    kept, rest = len(read_replies(tmp_path / "killed")), Drawing()
    run = evaluated(bench, tmp_path / "killed", rest, repeat=3)
    assert kept >= 32
    assert len(rest.asked) == 3 * 48 - kept
    shards = [evaluated(bench, tmp_path / f"s{n}", shard=(n, 2), repeat=3).folder for n in (1, 2)]
    merge_runs(shards, tmp_path / "merged")
    for whole in (run, mmdbench.load_run(tmp_path / "merged")):
        assert whole.results.hits == three.results.hits
        assert whole.results.repeats == three.results.repeats
        assert whole.report.text("csv", "repeats") == three.report.text("csv", "repeats")


def test_scores_are_means_over_questions_of_means_over_repeats(three):
    results = three.results
    assert [len(hits) for hits in results.repeats] == [48, 48, 48]
    singles = [{(h.unit, h.level): h.hit for h in hits} for hits in results.repeats]
    for hit in results.hits:
        assert hit.hit == pytest.approx(np.mean([one[hit.unit, hit.level] for one in singles]))
    assert len({h.hit for h in results.hits}) > 2
    assert results.planned == 3 * 48
    table = three.tables["repeats"]
    single = [100 * np.mean([hit for (_, level), hit in one.items() if level == "clean"]) for one in singles]
    row = (three.name, "toy", "clean")
    assert table[row, "lowest"].value == pytest.approx(min(single))
    assert table[row, "highest"].value == pytest.approx(max(single))
    assert table[row, "SD of a repeat"].value == pytest.approx(table[row, "SD repeats"].value / 24**0.5)
    assert three.scores()["toy", "clean"].value == pytest.approx(np.mean(single))
    assert three.scores()["toy", "clean"].n == 24


def test_notes_count_rows_and_not_repeats(bench, tmp_path):
    told = [
        [
            note
            for note in evaluated(bench, tmp_path / str(n), sample=10, repeat=n).notes
            if "mixed drew" in note
        ]
        for n in (1, 3)
    ]
    assert len(told[0]) == 1
    assert told[0] == told[1]


def test_every_rendering_has_the_spread(three):
    for form in ("csv", "json", "markdown", "latex"):
        assert "SD" in three.report.text(form, "repeats")
    assert json.loads(three.report.text("json", "repeats"))["header"]["repeats"] == "3"
    assert three.frame()["repeat"].value_counts().to_dict() == {1: 48, 2: 48, 3: 48}


def test_grades_exports_and_pages_keep_repeats_apart(three, tmp_path):
    from mmdbench.library.rescoring import rescore
    from mmdbench.results.rescoring import read_grades
    from mmdbench.scoring import Rules

    files = three.export(tmp_path / "out", form="jsonl")
    assert len({one.path for one in files}) == len(files) == 6
    assert sum('"repeat": 2' in line for one in files for line in one.path.read_text().splitlines()) == 48
    grades = read_grades(rescore(three.folder, Rules("vlmevalkit/1", "")).files[0])
    assert Counter(cell.repeat for cell in grades) == {1: 48, 2: 48, 3: 48}
    assert three.page(tmp_path / "page.html", examples=4).exists()


def test_repeats_of_the_same_answers_say_so(bench, tmp_path):
    run = toy_run(bench, tmp_path / "run", repeat=2)
    assert run
    (note,) = [note for note in mmdbench.load_run(tmp_path / "run").notes if "repeats" in note]
    assert note.startswith("All 2 repeats of every question have the same grade")


def test_questions_are_paired_by_their_means(bench, three, tmp_path):
    worse = evaluated(bench, tmp_path / "worse", Drawing(worse=0.4), repeat=3)
    base = tmp_path / "base.json"
    three.accept(base)
    assert {row.verdict for row in three.check(base).rows} == {"unchanged"}
    found = worse.check(base, ["macro-hard:1"])
    (row,) = found.rows
    assert row.questions == 24  # not 72
    assert row.loss == pytest.approx(
        three.scores()["toy", "hard"].value - worse.scores()["toy", "hard"].value
    )
    compared = mmdbench.compare(three, worse)
    assert "paired" in compared.markdown()
    once = evaluated(bench, tmp_path / "once")
    notes = once.check(base, ["macro-hard:50"]).as_dict()["notes"]
    assert "repeats: 3 / 1" in notes


@pytest.mark.parametrize(
    ("generation", "fingerprint", "refused"),
    [
        ({"temperature": 0}, None, True),
        ({"temperature": 0.0}, {"generation": {"do_sample": True, "temperature": 0.6}}, True),
        ({}, {"generation": {"do_sample": False, "max_new_tokens": 9}}, True),
        ({"temperature": 0.7}, None, False),
        ({}, {"generation": {"do_sample": True, "temperature": 0.6}}, False),
        ({}, {"name": "a function"}, False),
    ],
)
def test_repeats_need_a_temperature(generation, fingerprint, refused):
    plan = RunPlan("m", ("mini",), repeat=2)
    refuse_greedy(RunPlan("m", ("mini",)), generation, fingerprint)
    if not refused:
        refuse_greedy(plan, generation, fingerprint)
        return
    with pytest.raises(UsageError, match="needs a temperature above 0") as raised:
        refuse_greedy(plan, generation, fingerprint)
    assert "generation.temperature" in raised.value.hint


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"repeat": 0}, "--repeat must be a whole number of at least 1"),
        ({"repeat": True}, "repeat must be of type int"),
        ({"repeat": 2, "task": "perceive"}, "--repeat is for the task answer"),
        ({"repeat": 2, "settings": {"generation.temperature": 0}}, "needs a temperature above 0"),
    ],
)
def test_what_cannot_be_repeated_is_refused_before_anything_is_asked(bench, tmp_path, options, message):
    model = "chance"
    with pytest.raises(UsageError, match=message):
        mmdbench.evaluate(model, str(bench), out=tmp_path / "run", progress=False, **options)
    assert not list(tmp_path.glob("run/replies*"))


def test_degraded_benchmarks_are_not_repeated(tmp_path):
    with pytest.raises(UsageError, match="R-Bench"):
        mmdbench.forecast(
            "chance", "R-Bench-Dis", out=tmp_path / "run", repeat=2, progress=False, offline=True
        )


def test_a_seed_that_the_card_fixes_is_another_in_each_repeat(bench, tmp_path):
    from dataclasses import replace

    model = Recorder()
    card = replace(CARD, generation={"temperature": 0.7, "seed": 5})
    toy_run(bench, tmp_path / "run", model, card, repeat=3, sample="2", levels=("clean",))
    assert Counter(request.generation["seed"] for request in model.asked) == {5: 2, 6: 2, 7: 2}
    assert generation_of_repeat({"temperature": 1}, 2) == {"temperature": 1}


def test_a_function_is_called_for_each_repeat(bench, tmp_path):
    numbers = count()

    def answer(_images, _prompt):
        return "ABCD"[next(numbers) % 4]

    run = mmdbench.evaluate(
        answer, str(bench), out=tmp_path / "run", levels=["clean"], sample=5, repeat=4, progress=False
    )
    assert next(numbers) == 20
    assert len(load_results(run.folder).repeats) == 4


def test_the_command_repeats_and_forecasts(bench, tmp_path, monkeypatch):
    from typer.testing import CliRunner

    from mmdbench.cli import app

    monkeypatch.chdir(tmp_path)
    words = ["eval", "--model", "chance", "--bench", str(bench), "--level", "clean", "--repeat", "3"]
    planned = CliRunner().invoke(app, [*words, "--dry-run", "--json"])
    assert json.loads(planned.stdout)["requests"] == 72
    done = CliRunner().invoke(app, [*words, "--quiet", "-o", "run"])
    assert done.exit_code == 0, done.output
    shown = CliRunner().invoke(app, ["report", "run", "--table", "repeats", "--csv"])
    assert "SD repeats" in shown.stdout
