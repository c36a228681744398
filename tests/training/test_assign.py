"""The recipe of CLEAR's paper: drawn cells, modes, filters, balance, halves, traces, the set on disk."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest
from typer.testing import CliRunner

from judge_server import serving
from mmdbench.benches import decode_image, open_bench
from mmdbench.builds.plan import BuildPlan, check_build_plan
from mmdbench.cli import app
from mmdbench.corruptions.spec_file import load_spec
from mmdbench.errors import UsageError
from mmdbench.models.endpoints import host_label
from mmdbench.records import Cell, RunPlan
from mmdbench.report.tables.collect import make_tables
from mmdbench.results.graded_run import load_results
from mmdbench.system.digest import pixel_digest
from mmdbench.training import TrainingSample, find_samples, first_part, read_records, select_samples
from mmdbench.variants.design import parse_design, plan_cells
from run_folders import question, write_run
from training_rows import DIRECT, GENERATE, row, sent, trace_script, write_jsonl

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
    for index, met in drawn_cells(bench).items():
        assert set(met) <= set(mixed[index])


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
    found = {s.cell.index: (s.mode, s.left_out) for s in find_samples(results, clean_check=True)}
    assert found[0] == ("direct", "")
    assert found[1] == ("generate", "")
    assert found[2] == ("generate", "wrong when clean")
    assert found[3][1] == "no answer"
    assert found[4][1] == "not graded"
    assert found[5][1] == "nothing changed"
    loose = {s.cell.index: (s.mode, s.left_out) for s in find_samples(results)}
    assert loose[2] == ("generate", "")  # the paper does not look at the clean picture


def test_right_on_the_degraded_picture_alone_is_direct(tmp_path) -> None:
    results = graded_run(
        tmp_path,
        lambda q, level, _: "AB"[level == "clean"] if q.index else "B",
        rows=2,
        levels=("clean", "hard"),
    )
    assert [(s.mode, s.left_out) for s in find_samples(results)] == [("generate", ""), ("direct", "")]


def test_without_a_clean_answer_the_check_cannot_be_made(tmp_path) -> None:
    results = graded_run(tmp_path, lambda *_: "A", rows=2, levels=("hard",))
    assert {s.left_out for s in find_samples(results, clean_check=True)} == {"no clean answer"}
    assert {s.left_out for s in find_samples(results)} == {""}


# --- balance and halves --------------------------------------------------------------------------


def made(direct, generate, corruptions=("graffiti", "lens_blur"), levels=("low", "hard")):
    samples = []
    for mode, count in (("direct", direct), ("generate", generate)):
        for i in range(count):
            cell = Cell("toy", f"{mode}{i}", levels[i // 2 % len(levels)], corruptions[i % len(corruptions)])
            samples.append(TrainingSample(cell, "c", mode, None))
    return samples


@pytest.mark.parametrize("counts", [(30, 50), (50, 30), (7, 3), (5, 0), (1227, 1262)])
def test_the_larger_mode_is_subsampled_to_the_smaller(counts) -> None:
    found = select_samples(made(*counts))
    modes = Counter(s.mode for s in found.kept)
    assert modes["direct"] == modes["generate"] == min(counts)
    assert found.left_out.get("surplus", 0) == sum(counts) - 2 * min(counts)


def test_kept_samples_are_spread_and_independent_of_the_order() -> None:
    samples = made(80, 20)
    found = select_samples(samples)
    strata = Counter((s.cell.corruption, s.cell.level) for s in found.kept if s.mode == "direct")
    assert set(strata.values()) == {5}
    turned = select_samples(samples[::-1])
    assert {s.cell for s in turned.kept} == {s.cell for s in found.kept}
    assert {s.cell for s in select_samples(samples, seed=1).kept} != {s.cell for s in found.kept}


def test_halves_are_disjoint_by_picture_and_seeded() -> None:
    pictures = [f"picture {i % 48}" for i in range(96)]  # each is shown by two rows
    first = first_part(pictures, 0.5)
    assert len(first) == 24
    assert first == first_part(reversed(pictures), 0.5)
    assert first != first_part(pictures, 0.5, seed=1)
    assert len(first_part(pictures, 0.25)) == 12


# --- the command ---------------------------------------------------------------------------------


def assign(tmp_path, *more, model="chance"):
    command = [
        "assign",
        "--model",
        model,
        "--bench",
        str(tmp_path / "toy.tsv"),
        "-o",
        str(tmp_path / "set"),
    ]
    return CliRunner().invoke(app, [*command, "--quiet", *more])


def read(tmp_path):
    records = {split: list(read_records(tmp_path / "set" / f"{split}.jsonl")) for split in ("sft", "rl")}
    return records, json.loads((tmp_path / "set" / "dataset.json").read_text())


def test_assign_makes_two_balanced_halves_and_resumes(tmp_path, make_tsv) -> None:
    make_tsv(rows=60)
    first = assign(tmp_path, "--max-requests", "20")
    assert first.exit_code == 4, first.output  # not all were asked: incomplete, and the rest is kept
    done = assign(tmp_path)
    assert done.exit_code == 0, done.output
    manifest = json.loads((tmp_path / "set" / "manifest.json").read_text())
    assert [s["asked"] for s in manifest["sessions"]] == [20, 40]  # the clean picture is not asked
    assert manifest["plan"]["design"] == "drawn:uniform"
    records, summary = read(tmp_path)
    both = [*records["sft"], *records["rl"]]
    modes = Counter(record.mode for record in both)
    assert modes["direct"] == modes["generate"] > 0
    assert summary["samples"] == 60
    assert summary["kept"] == len(both) == 60 - sum(summary["left_out"].values())
    assert abs(len(records["sft"]) - len(records["rl"])) <= 1
    assert not {r.clean_image for r in records["sft"]} & {r.clean_image for r in records["rl"]}
    bench = open_bench(tmp_path / "toy.tsv")
    by_index = {q.index: q for q in bench.questions}
    for record in both:
        right = record.details["base_reply"].strip().startswith(record.details["answer"])
        assert right == (record.mode == "direct")
        assert [record.details["recipe"]["corruption"]] == record.details["corruptions"]
        seen = decode_image((tmp_path / "set" / record.image).read_bytes(), record.image)
        assert pixel_digest(seen) == record.image.split("/")[1].split(".")[0]
        (source,) = by_index[record.details["index"]].images
        original = decode_image(source.read(), source.where)
        kept = (tmp_path / "set" / record.clean_image).read_bytes()
        assert pixel_digest(original) == pixel_digest(decode_image(kept, record.clean_image))
    assert all(r.conversation.solution == r.details["answer"] for r in records["rl"])
    assert not any(r.conversation.solution for r in records["sft"])  # nobody wrote traces
    before = (tmp_path / "set" / "sft.jsonl").read_bytes()
    assert assign(tmp_path).exit_code == 0
    assert (tmp_path / "set" / "sft.jsonl").read_bytes() == before


def test_the_clean_check_is_a_choice(tmp_path, make_tsv) -> None:
    make_tsv(rows=40)
    done = assign(tmp_path, "--clean-check")
    assert done.exit_code == 0, done.output
    _, summary = read(tmp_path)
    assert summary["left_out"]["wrong when clean"] > 0
    assert make_tables(load_results(tmp_path / "set"), SPEC).find("levels") is not None


def test_a_judge_that_sees_both_pictures_writes_the_traces(tmp_path, make_tsv) -> None:
    make_tsv(rows=24)
    with serving(trace_script) as server:
        done = assign(tmp_path, "--trace", f"openai:writer@{server.url}")
        assert done.exit_code == 0, done.output
        bodies = list(server.bodies)
        assert assign(tmp_path, "--trace", f"openai:writer@{server.url}").exit_code == 0
        assert len(server.bodies) == len(bodies)  # nothing is asked twice
    records, summary = read(tmp_path)
    assert len(bodies) == len(records["sft"]) > 0
    arrived = {}
    for body in bodies:
        text, pictures, _ = sent(body)
        clean, degraded = (pixel_digest(decode_image(data, "sent")) for data in pictures)
        arrived[clean, degraded] = text
    for record in records["sft"]:
        digests = tuple(Path(p).stem for p in (record.clean_image, record.image))
        assert record.conversation.question in arrived[digests]
        assert f"Right answer: {record.details['answer']}" in arrived[digests]
        assert len(record.texts) == (2 if record.mode == "generate" else 1)
    assert summary["writer"] == f"writer@{host_label(server.url)}"
    sessions = json.loads((tmp_path / "set" / "manifest.json").read_text())["judge_sessions"]
    assert [s["requests_sent"] for s in sessions] == [len(bodies)]


def test_the_statistics_of_table_8_are_printed_and_stored(tmp_path, make_tsv) -> None:
    make_tsv(rows=24)
    with serving(trace_script) as server:
        done = assign(tmp_path, "--trace", f"openai:writer@{server.url}")
    records, summary = read(tmp_path)
    found = summary["statistics"]
    lengths = ["mean trace length direct", "mean trace length generate"]
    assert list(found) == [
        "SFT", "SFT direct", "SFT generate", *lengths, "GRPO", "corruptions", "levels"
    ]  # fmt: skip
    assert found["SFT"] == found["SFT direct"] + found["SFT generate"] == len(records["sft"])
    assert found["GRPO"] == len(records["rl"])
    assert (found["mean trace length direct"], found["mean trace length generate"]) == (
        len(DIRECT.format("A")),
        len(GENERATE.format("A")),
    )
    assert found["levels"] == len({r.details["level"] for both in records.values() for r in both})
    assert f"SFT direct  {found['SFT direct']}" in done.output


def test_wrong_traces_drop_their_samples_after_the_given_tries(tmp_path, make_tsv) -> None:
    make_tsv(rows=24)
    with serving(lambda _body: "<think>who knows</think><answer>Z</answer>") as server:
        done = assign(tmp_path, "--trace", f"openai:writer@{server.url}", "--regenerations", "1")
        asked = len(server.bodies)
    assert done.exit_code == 0, done.output
    records, summary = read(tmp_path)
    assert records["sft"] == []
    assert asked == 2 * summary["left_out"]["trace: wrong"] > 0
    assert records["rl"]


OWN = """
from mmdbench.records import Outcome

class Own:
    def fingerprint(self):
        return {"own": 1}

    def generate(self, requests):
        return [Outcome("a reddish colour") for _ in requests]

def load(card):
    return Own()
"""


def test_rows_with_conversations_are_graded_by_a_judge(tmp_path) -> None:
    source = write_jsonl(tmp_path / "llava.jsonl", [row(i, f"Question {i}?", "red") for i in range(12)])
    (tmp_path / "own.py").write_text(OWN)
    (tmp_path / "card.toml").write_text(f'[own]\nadapter = "{tmp_path}/own.py"\n')
    command = ["assign", "--model", "own", "--model-card", str(tmp_path / "card.toml"), "--quiet"]
    command += ["--bench", str(source), "-o", str(tmp_path / "set")]
    refused = CliRunner().invoke(app, command)
    assert refused.exit_code == 2
    assert "--judge" in refused.output

    def script(body):
        text = sent(body)[0]
        if "Right answer:" in text:
            return trace_script(body)
        return "1.0" if int(re.findall(r"Question (\d+)\?", text)[-1]) % 2 else "0.0"

    with serving(script) as server:
        judge = f"openai:judge@{server.url}"
        done = CliRunner().invoke(app, [*command, "--judge", judge, "--trace", judge])
        assert done.exit_code == 0, done.output
    records, summary = read(tmp_path)
    both = [*records["sft"], *records["rl"]]
    assert len(both) == summary["kept"] == 12
    assert {r.mode for r in both if r.details["index"] % 2} == {"direct"}
    assert {r.conversation.question for r in records["rl"]} == {
        f"Question {r.details['index']}?" for r in records["rl"]
    }
    assert {r.conversation.solution for r in records["rl"]} == {"red"}
    assert {r.subset for r in both} == {"llava"}
    assert {r.id for r in both} == {f"row-{i}" for i in range(12)}


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
        text = trace_script(body) if "Right answer: " in sent(body)[0] else "A"
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
            tmp_path, "--model-card", str(tmp_path / "cards.toml"),
            "--judge", "j", "--trace", "w", *more, model="mute",
        )  # fmt: skip
        assert done.exit_code == code, done.output
        return done.output

    with serving(script) as server:
        cards(server)
        stopped = made("--max-usd", "3", code=4)  # after a call, or two before its cost is known
        assert re.search("--max-usd 3 (is used up|does not pay for another request)", stopped)
        said = made()
        asked = len(server.bodies)
        made()
        assert len(server.bodies) == asked  # nothing is asked twice
    place = host_label(server.url)
    assert f"mmdbench: writer w@{place}: " in said
    assert "judge w@" not in said
    manifest = json.loads((tmp_path / "set" / "manifest.json").read_text())
    assert (manifest["judge"]["id"], manifest["judge"]["prompts"][0]["id"]) == (
        f"j@{place}",
        "mmdbench-mcq-en/1",
    )
    sessions = manifest["judge_sessions"]
    assert {session["judge"] for session in sessions} == {f"j@{place}", f"w@{place}"}
    assert sum(session["requests_sent"] for session in sessions) == asked
    assert sum(session["cost_usd"] for session in sessions) == 2 * asked
    assert load_results(tmp_path / "set").judge == f"j@{place}"


@pytest.mark.parametrize(
    "wrong",
    [
        ("--level", "clean,hard"),
        ("--level", "recoded,hard"),
        ("--regenerations", "-1"),
        ("--right-at", "2"),
        ("--draw", "twice"),
        ("--recipe", "papers"),
        ("--p-sft", "0.5"),
        ("--recipe", "code", "--trace", "gpt-4.1"),
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
    (found,) = find_samples(load_results(folder), clean_check=True)
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
