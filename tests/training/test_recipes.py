"""The recipes without a base model: CLEAR's published code, and Robust-R1's."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from judge_server import error, serving
from mmdbench.benches import decode_image
from mmdbench.cli import app
from mmdbench.corruptions.chain import Chain
from mmdbench.corruptions.spec_file import load_spec
from mmdbench.system.digest import pixel_digest
from mmdbench.training import read_records
from mmdbench.training.chains import target_words, type_list
from mmdbench.training.prompts import AGENT_SYSTEM
from own_corruption import write_rain
from pictures import picture, png
from training_rows import row, sent, write_jsonl


@pytest.fixture
def source(tmp_path):
    rows = [row(i, f"Question {i}?", f"answer {i}", png(picture(i, 66, 80))) for i in range(20)]
    return write_jsonl(tmp_path / "llava.jsonl", rows)


def assign(tmp_path, server, *more, recipe="code", bench="llava.jsonl", out="set"):
    model = f"openai:gpt@{server.url}"
    command = ["assign", "--recipe", recipe, "--bench", str(tmp_path / bench), "-o", str(tmp_path / out)]
    judge = ["--judge", model] if recipe == "code" else []
    return CliRunner().invoke(app, [*command, "--trace", model, *judge, "--quiet", *more])


def read(tmp_path, out="set"):
    records = {split: list(read_records(tmp_path / out / f"{split}.jsonl")) for split in ("sft", "rl")}
    return records, json.loads((tmp_path / out / "dataset.json").read_text())


# --- CLEAR's code --------------------------------------------------------------------------------


def number(text):
    return int(re.findall(r"Question (\d+)\?", text)[-1])


def agent(body):
    """Asks for the picture of every third question, and is wrong about every fourth."""
    text, pictures, system = sent(body)
    i = number(text)
    if not system:
        return json.dumps({"consistent": i % 4 != 3})
    if i % 3 == 0 and len(pictures) == 1:
        return "<think>too dark to tell</think>\n<image_restore>"
    return f"<think>plain</think>\n<answer>answer {i}</answer>"


def test_an_agent_decides_and_a_judge_drops_what_is_inconsistent(tmp_path, source) -> None:
    with serving(agent) as server:
        done = assign(tmp_path, server, "--p-sft", "0.7", "--p-rl", "0.3")
        assert done.exit_code == 0, done.output
        bodies = list(server.bodies)
        assert assign(tmp_path, server, "--p-sft", "0.7", "--p-rl", "0.3").exit_code == 0
        assert len(server.bodies) == len(bodies)  # every reply was in the journal
    records, summary = read(tmp_path)
    assert {r.mode for r in records["sft"]} == {"direct", "generate"}
    for record in records["sft"]:
        i = record.details["index"]
        assert i % 4 != 3
        assert record.mode == ("generate" if i % 3 == 0 else "direct")
        assert record.texts[-1].endswith(f"<answer>answer {i}</answer>")
    for record in records["rl"]:  # the original conversation, and no request
        i = record.details["index"]
        assert (record.conversation.question, record.conversation.solution) == (
            f"Question {i}?",
            f"answer {i}",
        )
        assert record.conversation.as_list()[0]["value"].startswith("<image>\n")
        assert not record.mode
    asked = {number(sent(body)[0]) for body in bodies}
    assert asked.isdisjoint(r.details["index"] for r in records["rl"])
    dropped = summary["left_out"]["trace: inconsistent"]
    assert len(records["sft"]) + len(records["rl"]) + dropped == summary["samples"] == 20
    assert summary["design"] == "drawn:published"


def test_the_agent_sees_the_degraded_picture_and_then_the_clean_one(tmp_path, source) -> None:
    with serving(agent) as server:
        assert assign(tmp_path, server, "--p-sft", "1", "--p-rl", "0").exit_code == 0
    records, _ = read(tmp_path)
    paths = {r.details["index"]: (r.clean_image, r.image) for r in records["sft"]}
    seen = {}
    for body in server.bodies:
        text, pictures, system = sent(body)
        assert system in ("", AGENT_SYSTEM)
        if number(text) in paths and system:
            digests = [pixel_digest(decode_image(data, "sent")) for data in pictures]
            seen.setdefault(number(text), []).append(digests)
            assert body["temperature"] == 0.3
    for index, kept in paths.items():
        clean, degraded = (Path(path).stem for path in kept)
        again = [[degraded, clean]] if index % 3 == 0 else []
        assert sorted(seen[index], key=len) == [[degraded], *again]


def test_unfit_rows_are_dropped_and_counted(tmp_path) -> None:
    rows = [
        row(0, "Question 0?", "answer 0", png(picture(0, 64, 64))),
        row(1, "Question 1?", "答案", png(picture(1, 64, 64))),
        row(2, "Question 2?", "answer 2", png(picture(2, 63, 64))),
        row(4, "Question 4?", "answer 4", png(picture(4, 64, 330))),
    ]
    write_jsonl(tmp_path / "llava.jsonl", rows)
    with serving(agent) as server:
        done = assign(tmp_path, server, "--p-sft", "1", "--p-rl", "0")
    records, summary = read(tmp_path)
    assert len(records["sft"]) == 1
    assert summary["rows_left_out"] == {
        "CJK characters": 1, "picture too small": 1, "picture too narrow": 1
    }  # fmt: skip
    assert "1 left out: picture too narrow" in done.output


def test_benchmarks_are_filtered_as_rows_are(tmp_path, make_tsv) -> None:
    make_tsv(rows=4)  # pictures of 64×48 px
    with serving(agent) as server:
        done = assign(tmp_path, server, "--p-sft", "1", "--p-rl", "0", bench="toy.tsv")
        assert not server.bodies
    assert done.exit_code == 0, done.output
    assert read(tmp_path)[1]["left_out"] == {"picture too small": 4}


def test_a_stopped_set_keeps_every_reply_and_resumes(tmp_path, source) -> None:
    with serving(agent) as server:
        first = assign(tmp_path, server, "--p-sft", "1", "--p-rl", "0", "--max-requests", "5")
        assert first.exit_code == 4, first.output
        half = len(server.bodies)
        assert assign(tmp_path, server, "--p-sft", "1", "--p-rl", "0").exit_code == 0
        total = len(server.bodies)
    with serving(agent) as whole:
        assert assign(tmp_path, whole, "--p-sft", "1", "--p-rl", "0", out="other").exit_code == 0
    assert 0 < half < total == len(whole.bodies)  # nothing was asked twice
    for name in ("sft.jsonl", "rl.jsonl"):
        assert (tmp_path / "set" / name).read_bytes() == (tmp_path / "other" / name).read_bytes()
    sessions = json.loads((tmp_path / "set" / "manifest.json").read_text())["judge_sessions"]
    assert sum(session["requests_sent"] for session in sessions) == total


def test_a_corruption_from_outside_is_drawn_and_its_code_belongs_to_the_set(tmp_path, source) -> None:
    named = ("--p-sft", "1", "--p-rl", "0", "--corruption")
    write_rain(tmp_path / "new", "250→251")
    with serving(agent) as server:
        for _ in range(2):
            done = assign(tmp_path, server, *named, f"{write_rain(tmp_path)}:rain")
            assert done.exit_code == 0, done.output
        code = load_spec().corruption("rain").code
        other = assign(tmp_path, server, *named, f"{tmp_path / 'new' / 'my_rain.py'}:rain")
    assert other.exit_code == 2
    assert "holds a training set with code" in other.output
    recipes = [record.details["recipe"] for record in read(tmp_path)[0]["sft"]]
    assert {(recipe["corruption"], recipe["code"]) for recipe in recipes} == {("rain", code)}


def test_a_folder_belongs_to_one_set(tmp_path, source) -> None:
    with serving(agent) as server:
        assert assign(tmp_path, server, "--p-sft", "0.2", "--p-rl", "0.2").exit_code == 0
        other = assign(tmp_path, server, "--p-sft", "0.3", "--p-rl", "0.2")
        assert other.exit_code == 2
        assert "training set with draw" in other.output
        assert assign(tmp_path, server, recipe="robust-r1").exit_code == 2
        run = ["eval", "--model", "chance", "--bench", "mini", "-o", str(tmp_path / "set"), "--quiet"]
        refused = CliRunner().invoke(app, run)
        assert "holds a training set, not a run" in refused.output
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "thesis.tex").write_text("years of work")
        foreign = assign(tmp_path, server, out="mine")
    assert foreign.exit_code == 2
    assert "thesis.tex" in foreign.output
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["thesis.tex"]


def test_a_key_never_reaches_folder_or_output(tmp_path, source, monkeypatch) -> None:
    monkeypatch.setenv("MMDBENCH_API_KEY", "sk-secret-of-the-writer")
    with serving(lambda _body: error(401, "wrong key sk-secret-of-the-writer", "invalid_api_key")) as server:
        done = assign(tmp_path, server, "--p-sft", "1", "--p-rl", "0")
    assert done.exit_code == 4
    assert "sk-secret" not in done.output
    files = [p for p in (tmp_path / "set").rglob("*") if p.is_file()]
    assert not [p for p in files if b"sk-secret" in p.read_bytes()]


# --- Robust-R1 -----------------------------------------------------------------------------------


def chain_writer(body):
    """Writes each step of a chain; which one it is follows from what is sent."""
    text, pictures, _ = sent(body)
    if len(pictures) == 2:
        return "The edges are gone."
    if len(pictures) == 1:
        return "What is left shows it."
    if "<INFLUENCE>" in text:
        return text[text.index("<INFLUENCE>") :].replace("gone", "mostly gone")
    return "So it is this."


def test_chains_have_five_steps_in_the_model_s_own_form(tmp_path, source) -> None:
    with serving(chain_writer) as server:
        done = assign(tmp_path, server, "--codec", "png", recipe="robust-r1")
        assert done.exit_code == 0, done.output
    records, summary = read(tmp_path)
    assert (len(records["sft"]), len(records["rl"])) == (5, 15)  # a quarter, and three
    assert len(server.bodies) == 4 * 20
    for record in (*records["sft"], *records["rl"]):
        steps = record.details["chain"]["steps"]
        i = record.details["index"]
        assert record.conversation.solution == (
            f"<TYPE>{type_list(steps)}<TYPE_END>\n<INFLUENCE>The edges are mostly gone.<INFLUENCE_END>\n"
            "<REASONING>What is left shows it.<REASONING_END>\n<CONCLUSION>So it is this.<CONCLUSION_END>\n"
            f"<ANSWER>answer {i}<ANSWER_END>"
        )
        clean = decode_image((tmp_path / "set" / record.clean_image).read_bytes(), "clean")
        kept = decode_image((tmp_path / "set" / record.image).read_bytes(), "degraded")
        assert (Chain.replay(clean, record.details["chain"]) == kept).all()
        assert record.details["strengths"] == {s["corruption"]: round(s["intensity"], 2) for s in steps}
    strengths = [s for r in records["rl"] for s in r.details["strengths"].values()]
    assert min(strengths) < 0.2
    assert max(strengths) > 0.8
    assert summary["statistics"]["GRPO"] == 15


def test_the_length_to_aim_at_grows_with_the_summed_strength(tmp_path, source) -> None:
    with serving(chain_writer) as server:
        assert assign(tmp_path, server, recipe="robust-r1").exit_code == 0
    records, _ = read(tmp_path)
    for record in (*records["sft"], *records["rl"]):
        steps = record.details["chain"]["steps"]
        assert (
            record.details["words"]
            == target_words(steps)
            == round(40 + 40 * sum(s["intensity"] for s in steps))
        )
    asked = sorted(int(m[1]) for b in server.bodies if (m := re.search(r"about (\d+) words", sent(b)[0])))
    assert asked == sorted(r.details["words"] for r in (*records["sft"], *records["rl"]))


def test_a_rewriting_without_its_blocks_is_written_again_and_then_dropped(tmp_path, source) -> None:
    def script(body):
        text = sent(body)[0]
        return "No blocks." if "<INFLUENCE>" in text else chain_writer(body)

    with serving(script) as server:
        done = assign(tmp_path, server, "--regenerations", "1", recipe="robust-r1")
    assert done.exit_code == 0, done.output
    assert len(server.bodies) == 20 * (3 + 2)
    assert read(tmp_path)[1]["left_out"] == {"chain: not of the form": 20}


def test_options_of_other_recipes_are_refused(tmp_path, source) -> None:
    with serving(chain_writer) as server:
        for option in (
            ("--p-sft", "0.5"),
            ("--draw", "uniform"),
            ("--model", "chance"),
            ("--clean-check",),
            ("--judge", "gpt-4.1"),
            ("--level", "hard"),
            ("--set", "generation.seed=1"),
        ):
            done = assign(tmp_path, server, *option, recipe="robust-r1")
            assert done.exit_code == 2
            assert f"{option[0]} does not belong to the recipe 'robust-r1'" in done.output
    assert not (tmp_path / "set").exists()
