"""Sample assignment by CLEAR's recipe: drawn cells, modes, filters, balance, traces, the data set."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter

import pytest
from typer.testing import CliRunner

from judge_server import serving
from mmdbench.benches import decode_image, open_bench
from mmdbench.builds.plan import BuildPlan, check_build_plan
from mmdbench.cli import app
from mmdbench.corruptions.spec_file import load_spec
from mmdbench.errors import ModelError, UsageError
from mmdbench.records import Cell, Reply, RunPlan
from mmdbench.report.tables.collect import make_tables
from mmdbench.results.graded_run import load_results
from mmdbench.results.judging.journal import JsonlJournal
from mmdbench.scoring import JudgeReply
from mmdbench.system.digest import pixel_digest
from mmdbench.training import TraceWriter, TrainingSample, find_samples, select_samples, trace_prompt
from mmdbench.variants.design import parse_design, plan_cells
from run_folders import question, write_run

SPEC = load_spec()


# --- the design `drawn` --------------------------------------------------------------------------


def drawn_cells(bench, **changes):
    plan = RunPlan("m", ("toy",), design="drawn", **changes)
    return {q.index: cells for q, cells in plan_cells(plan, [bench], SPEC)}


def test_each_question_meets_one_corruption_at_one_level(make_tsv) -> None:
    bench = open_bench(make_tsv(rows=300))
    cells = drawn_cells(bench)
    assert all(row[0].level == "clean" and len(row) == 2 for row in cells.values())
    levels = Counter(row[1].level for row in cells.values())
    assert set(levels) == {"low", "mid", "hard"}
    assert all(70 <= count <= 130 for count in levels.values())
    assert len({row[1].corruption for row in cells.values()}) == 16
    assert cells == drawn_cells(bench)
    assert cells != drawn_cells(bench, seed=1)


def test_the_corruption_is_that_of_mixed_so_replies_are_shared(make_tsv) -> None:
    bench = open_bench(make_tsv(rows=20))
    mixed = {q.index: cells for q, cells in plan_cells(RunPlan("m", ("toy",)), [bench], SPEC)}
    for index, row in drawn_cells(bench).items():
        assert set(row) <= set(mixed[index])


def test_a_sample_does_not_change_what_a_question_meets(make_tsv) -> None:
    bench = open_bench(make_tsv(rows=40))
    whole, part = drawn_cells(bench), drawn_cells(bench, sample="10")
    assert len(part) == 10
    assert all(whole[index] == row for index, row in part.items())


def test_drawn_takes_no_number_and_is_not_built() -> None:
    assert parse_design("drawn") == ("drawn", 0)
    with pytest.raises(UsageError):
        parse_design("drawn:2")
    with pytest.raises(UsageError, match="assign"):
        check_build_plan(BuildPlan(("mini",), design="drawn"), SPEC)


# --- modes and filters ---------------------------------------------------------------------------


def graded_run(tmp_path, answer, rows=6, levels=("clean", "hard")):
    questions = [question(i) for i in range(rows)]
    folder = write_run(tmp_path / "run", questions, answer, levels=levels)
    return load_results(folder)


def test_modes_follow_from_the_degraded_answer_and_filters_say_why(tmp_path) -> None:
    def answer(q, level, _corruption):
        if q.index == 0:
            return "A"
        if q.index == 1:
            return "A" if level == "clean" else "B"
        if q.index == 2:
            return "B"
        if q.index == 3:
            return "A" if level == "clean" else None
        if q.index == 4:
            return "A" if level == "clean" else "cannot say"
        return {"text": "A", "images": ({"no_op": level != "clean", "recipe": {}},)}

    results = graded_run(tmp_path, answer)
    found = {s.cell.index: (s.mode, s.left_out) for s in find_samples(results)}
    assert found[0] == ("direct", "")
    assert found[1] == ("generate", "")
    assert found[2] == ("generate", "wrong when clean")
    assert found[3][1] == "no answer"
    assert found[4][1] == "not graded"
    assert found[5][1] == "nothing changed"
    loose = {s.cell.index: (s.mode, s.left_out) for s in find_samples(results, clean_check=False)}
    assert loose[2] == ("generate", "")


def test_without_a_clean_answer_the_check_cannot_be_made(tmp_path) -> None:
    results = graded_run(tmp_path, lambda *_: "A", rows=2, levels=("hard",))
    assert {s.left_out for s in find_samples(results)} == {"no clean answer"}
    assert {s.left_out for s in find_samples(results, clean_check=False)} == {""}


# --- balance -------------------------------------------------------------------------------------


def made(direct, generate, corruptions=("graffiti", "lens_blur"), levels=("low", "hard")):
    samples = []
    for mode, count in (("direct", direct), ("generate", generate)):
        for i in range(count):
            cell = Cell("toy", f"{mode}{i}", levels[i // 2 % len(levels)], corruptions[i % len(corruptions)])
            samples.append(TrainingSample(cell, "c", mode, None))
    return samples


@pytest.mark.parametrize(
    ("counts", "balance", "kept"),
    [
        ((40, 10), 1.0, (10, 10)),
        ((10, 40), 1.0, (10, 10)),
        ((40, 10), 0.5, (20, 10)),
        ((10, 40), 2.0, (10, 20)),
        ((7, 3), None, (7, 3)),
        ((5, 0), 1.0, (0, 0)),
    ],
)
def test_modes_are_balanced(counts, balance, kept) -> None:
    found = select_samples(made(*counts), balance=balance)
    modes = Counter(s.mode for s in found.kept)
    assert (modes["direct"], modes["generate"]) == kept
    assert found.left_out.get("surplus", 0) == sum(counts) - sum(kept)


def test_kept_samples_are_spread_and_independent_of_the_order() -> None:
    samples = made(80, 20)
    found = select_samples(samples)
    strata = Counter((s.cell.corruption, s.cell.level) for s in found.kept if s.mode == "direct")
    assert set(strata.values()) == {5}
    turned = select_samples(samples[::-1])
    assert {s.cell for s in turned.kept} == {s.cell for s in found.kept}
    assert {s.cell for s in select_samples(samples, seed=1).kept} != {s.cell for s in found.kept}


@pytest.mark.parametrize("balance", [0, -1.0])
def test_a_balance_must_be_above_nothing(balance) -> None:
    with pytest.raises(UsageError):
        select_samples(made(1, 1), balance=balance)


# --- traces --------------------------------------------------------------------------------------

DIRECT = "<think>grainy, yet the colour is plain</think><answer>A</answer>"
GENERATE = "<think>too dark</think>\n<image_restore>\n=====\n<think>now it is red</think><answer>A</answer>"


class Writer:
    """A judge that replies with the result of a function of prompt and attempt."""

    id = "writer"

    def __init__(self, script) -> None:
        self.script, self.calls = script, []

    def ask(self, call):
        self.calls.append((call.index, call.attempt, call.temperature))
        made = self.script(call.prompt, call.attempt)
        return made if isinstance(made, JudgeReply) else JudgeReply(made)


def sample(mode, index=0):
    cell = Cell("toy", index, "hard", "graffiti")
    return (
        TrainingSample(cell, "c", mode, Reply("k", "toy", index, "hard", "graffiti", "ok", "B")),
        question(index),
        "plain",
    )


def test_the_prompt_holds_the_recipe_and_the_instructions() -> None:
    direct, generate = (trace_prompt(*sample(mode)) for mode in ("direct", "generate"))
    for prompt in (direct, generate):
        assert "graffiti" in prompt
        assert "severity hard" in prompt
        assert "The right answer: A" in prompt
        assert "A. red" in prompt
    assert "<image_restore>" in generate
    assert "<image_restore>" not in direct


def test_traces_are_written_and_checked(tmp_path) -> None:
    rows = [sample("direct", 0), sample("generate", 1), sample("direct", 2)]

    def script(prompt, attempt):
        if "Question 2?" in prompt:
            return GENERATE  # the wrong decision, however often it is asked
        if "Question 1?" in prompt and attempt == 1:
            return GENERATE.replace("<answer>A", "<answer>B")  # a wrong answer, then a right one
        return GENERATE if "<image_restore>" in prompt else DIRECT

    journal = tmp_path / "traces.jsonl"
    writer = Writer(script)
    found = [trace for _, trace in TraceWriter(writer, JsonlJournal(journal)).write(rows)]
    assert [t.status for t in found] == ["ok", "ok", "failed"]
    assert [t.attempts for t in found] == [1, 2, 3]
    assert found[0].turns == (DIRECT,)
    assert found[1].turns == (
        "<think>too dark</think>\n<image_restore>",
        "<think>now it is red</think><answer>A</answer>",
    )
    assert [t for i, _, t in writer.calls if i == 2] == [0.0, 0.5, 1.0]
    again = Writer(script)
    assert [t for _, t in TraceWriter(again, JsonlJournal(journal)).write(rows)] == found
    assert not again.calls


def test_a_writer_that_cannot_be_asked_is_an_error_and_asked_again(tmp_path) -> None:
    journal = tmp_path / "traces.jsonl"
    silent = Writer(lambda *_: JudgeReply("no connection", "error"))
    (first,) = [t for _, t in TraceWriter(silent, JsonlJournal(journal)).write([sample("direct")])]
    assert (first.status, first.turns) == ("error", ())
    (second,) = [
        t for _, t in TraceWriter(Writer(lambda *_: DIRECT), JsonlJournal(journal)).write([sample("direct")])
    ]
    assert second.status == "ok"


def test_replies_in_flight_are_kept_when_another_call_fails(tmp_path) -> None:
    all_under_way, failed = threading.Barrier(4), threading.Event()

    def script(prompt, _attempt):
        all_under_way.wait(30)
        if "Question 0?" in prompt:
            failed.set()
            raise ModelError("the line is cut")
        failed.wait(30)
        time.sleep(0.2)  # comes back while the failure is on its way out
        return DIRECT

    journal = tmp_path / "traces.jsonl"
    rows = [sample("direct", i) for i in range(4)]
    with pytest.raises(ModelError):
        list(TraceWriter(Writer(script), JsonlJournal(journal), workers=4).write(rows))
    kept = [json.loads(line)["index"] for line in journal.read_text().splitlines()]
    assert sorted(kept) == [1, 2, 3]


# --- the command ---------------------------------------------------------------------------------


def assign(tmp_path, *more):
    command = [
        "assign",
        "--model",
        "chance",
        "--bench",
        str(tmp_path / "toy.tsv"),
        "-o",
        str(tmp_path / "set"),
    ]
    return CliRunner().invoke(app, [*command, "--quiet", *more])


def read(tmp_path):
    lines = (tmp_path / "set" / "dataset.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines], json.loads((tmp_path / "set" / "dataset.json").read_text())


def test_assign_writes_a_balanced_data_set_and_resumes(tmp_path, make_tsv) -> None:
    make_tsv(rows=60)
    first = assign(tmp_path, "--no-clean-check", "--max-requests", "20")
    assert first.exit_code == 4, first.output  # not all were asked: incomplete, and the rest is kept
    done = assign(tmp_path, "--no-clean-check")
    assert done.exit_code == 0, done.output
    manifest = json.loads((tmp_path / "set" / "manifest.json").read_text())
    assert [s["asked"] for s in manifest["sessions"]] == [20, 40]
    records, summary = read(tmp_path)
    modes = Counter(record["mode"] for record in records)
    assert modes["direct"] == modes["generate"] > 0
    assert summary["samples"] == 60
    assert summary["kept"] == len(records) == 60 - sum(summary["left_out"].values())
    bench = open_bench(tmp_path / "toy.tsv")
    by_index = {q.index: q for q in bench.questions}
    for record in records:
        right = record["base_reply"].strip().startswith(record["answer"])
        assert right == (record["mode"] == "direct")
        assert record["recipes"][0]["corruption"] == record["corruption"]
        (degraded,), (clean,) = record["images"], record["clean_images"]
        seen = decode_image((tmp_path / "set" / degraded).read_bytes(), degraded)
        assert pixel_digest(seen) == degraded.split("/")[1].split(".")[0]
        (source,) = by_index[record["index"]].images
        original = decode_image(source.read(), source.where)
        assert pixel_digest(original) == pixel_digest(
            decode_image((tmp_path / "set" / clean).read_bytes(), clean)
        )
    before = (tmp_path / "set" / "dataset.jsonl").read_bytes()
    assert assign(tmp_path, "--no-clean-check").exit_code == 0
    assert (tmp_path / "set" / "dataset.jsonl").read_bytes() == before


def test_the_clean_check_asks_the_clean_picture_and_filters(tmp_path, make_tsv) -> None:
    make_tsv(rows=40)
    done = assign(tmp_path, "--balance", "0", "--no-images")
    assert done.exit_code == 0, done.output
    records, summary = read(tmp_path)
    assert summary["left_out"]["wrong when clean"] > 0
    assert "surplus" not in summary["left_out"]
    assert all("images" not in record for record in records)
    assert not (tmp_path / "set" / "pictures").exists()
    assert make_tables(load_results(tmp_path / "set"), SPEC).find("levels") is not None


def test_assign_asks_a_judge_for_traces(tmp_path, make_tsv, monkeypatch) -> None:
    make_tsv(rows=24)

    def script(body):
        prompt = body["messages"][0]["content"]
        answer = prompt.split("The right answer: ")[1][0]
        text = GENERATE if "<image_restore>" in prompt else DIRECT
        return text.replace("<answer>A", f"<answer>{answer}")

    with serving(script) as server:
        done = assign(tmp_path, "--no-clean-check", "--trace", f"openai:writer@{server.url}", "--no-images")
        assert done.exit_code == 0, done.output
        asked = len(server.bodies)
        again = assign(tmp_path, "--no-clean-check", "--trace", f"openai:writer@{server.url}", "--no-images")
        assert again.exit_code == 0
        assert len(server.bodies) == asked  # nothing is asked twice
    records, summary = read(tmp_path)
    assert summary["traces"] == {"judge": "writer@local", "prompt": "mmdbench-trace/1", "ok": len(records)}
    assert {len(r["turns"]) for r in records if r["mode"] == "generate"} == {2}
    assert {len(r["turns"]) for r in records if r["mode"] == "direct"} == {1}


MUTE = """
from mmdbench.records import Outcome

class Mute:
    def fingerprint(self):
        return {"name": "mute"}

    def generate(self, requests):
        return [Outcome("I will not say.") for _ in requests]

def load(card):
    return Mute()
"""


def test_assign_notes_its_judge_and_the_cost_of_both_models(tmp_path, make_tsv) -> None:
    make_tsv(rows=12)
    (tmp_path / "mute.py").write_text(MUTE)
    usage = {"prompt_tokens": 1000, "completion_tokens": 500, "total_tokens": 1500}

    def script(body):
        prompt = body["messages"][0]["content"]
        text = (
            DIRECT.replace("<answer>A", "<answer>" + prompt.split("The right answer: ")[1][0])
            if ("The right answer: " in prompt)
            else "A"
        )
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        answer = {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
        return 200, {"Content-Type": "application/json"}, json.dumps({**answer, "usage": usage}).encode()

    def cards(server):
        stanza = '[{}]\nadapter = "openai"\nmodel = "{}"\nendpoint = "{}"\noptions = {{ concurrency = 1 }}\n'
        price = 'price = { input = 1000, output = 2000, date = "2026-01-01" }\n'
        mute = f'[mute]\nadapter = "{tmp_path}/mute.py"\n{price}'
        text = "".join(stanza.format(name, name, server.url) + price for name in ("j", "w"))
        (tmp_path / "cards.toml").write_text(mute + text)

    def made(*more, code=0):
        done = assign(
            tmp_path, "--model", "mute", "--model-card", str(tmp_path / "cards.toml"), "--no-clean-check",
            "--no-images", "--judge", "j", "--trace", "w", *more,
        )  # fmt: skip
        assert done.exit_code == code, done.output
        return done.output

    with serving(script) as server:
        cards(server)
        assert "--max-usd 3 is used up" in made("--max-usd", "3", code=4)
        made()
        sent = len(server.bodies)
        made()
        assert len(server.bodies) == sent  # nothing is asked twice
    manifest = json.loads((tmp_path / "set" / "manifest.json").read_text())
    assert (manifest["judge"]["id"], manifest["judge"]["prompts"][0]["id"]) == (
        "j@local",
        "mmdbench-mcq-en/1",
    )
    sessions = manifest["judge_sessions"]
    assert {session["judge"] for session in sessions} == {"j@local", "w@local"}
    assert sum(session["requests_sent"] for session in sessions) == sent
    assert sum(session["cost_usd"] for session in sessions) == 2 * sent
    assert load_results(tmp_path / "set").judge == "j@local"


@pytest.mark.parametrize(
    "wrong",
    [
        ("--level", "clean,hard"),
        ("--level", "recoded,hard"),
        ("--balance", "-1"),
        ("--judge", "gpt-4.11"),
        ("--trace", "openai:"),
    ],
)
def test_a_wrong_argument_is_refused_before_anything_is_asked(tmp_path, make_tsv, wrong) -> None:
    make_tsv(rows=2)
    done = assign(tmp_path, *wrong)
    assert done.exit_code == 2, done.output
    assert not (tmp_path / "set").exists()


def test_a_circular_group_is_one_sample_and_right_only_as_a_whole(tmp_path) -> None:
    turned = {"A": "green", "B": "red", "answer": "B", "g_index": "1"}
    questions = [question(1, g_index="1"), question(1000001, **turned), question(2, g_index="2")]

    def answer(q, level, _corruption):
        wrong = level == "hard" and q.index == 1000001
        return "C" if wrong else q.answer

    folder = write_run(tmp_path / "run", questions, answer, family="circular", levels=("clean", "hard"))
    found = {s.cell.index: s.mode for s in find_samples(load_results(folder))}
    assert found == {1: "generate", 2: "direct"}


@pytest.mark.parametrize("level", ["clean", "hard"])
@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (None, "no answer"),
        ({"status": "error", "reason": "down"}, "no answer"),
        ("cannot say", "not graded"),
        ("C", "wrong"),
    ],
)
def test_a_group_with_a_rotation_that_says_nothing_is_left_out(tmp_path, level, reply, why) -> None:
    turned = {"A": "green", "B": "red", "answer": "B", "g_index": "1"}
    questions = [question(1, g_index="1"), question(1000001, **turned)]

    def answer(q, at, _corruption):
        return reply if at == level and q.index == 1000001 else q.answer

    folder = write_run(tmp_path / "run", questions, answer, family="circular", levels=("clean", "hard"))
    (found,) = find_samples(load_results(folder))
    clean = {
        "no answer": "no clean answer",
        "not graded": "clean answer not graded",
        "wrong": "wrong when clean",
    }
    assert found.left_out == (clean[why] if level == "clean" else "" if why == "wrong" else why)


def test_one_wrong_rotation_loses_its_group(tmp_path) -> None:
    turned = {"A": "green", "B": "red", "answer": "B", "g_index": "1"}
    questions = [question(1, g_index="1"), question(1000001, **turned)]

    def answer(q, level, _corruption):
        return q.answer if level == "clean" else "cannot say" if q.index == 1 else "C"

    folder = write_run(tmp_path / "run", questions, answer, family="circular", levels=("clean", "hard"))
    (found,) = find_samples(load_results(folder))
    assert (found.mode, found.left_out) == ("generate", "")


def test_a_pair_is_two_samples(tmp_path) -> None:
    questions = [question(i, question="Which way?") for i in (1, 2)]

    def answer(q, level, _corruption):
        return "B" if (q.index, level) == (2, "hard") else "A"

    folder = write_run(tmp_path / "run", questions, answer, family="mmvp", levels=("clean", "hard"))
    found = {s.cell.index: s.mode for s in find_samples(load_results(folder))}
    assert found == {1: "direct", 2: "generate"}


def test_rotations_meet_the_same_level(make_tsv) -> None:
    path = make_tsv(rows=5)
    lines = path.read_text().splitlines()
    turned = [line.split("\t") for line in lines[1:]]
    more = ["\t".join([str(1_000_000 + int(cells[0])), *cells[1:-1], cells[0]]) for cells in turned]
    path.write_text("\n".join([*lines, *more]) + "\n")
    cells = drawn_cells(open_bench(path, family="circular"))
    for index in range(5):
        assert [(c.level, c.corruption) for c in cells[index]] == [
            (c.level, c.corruption) for c in cells[1_000_000 + index]
        ]
