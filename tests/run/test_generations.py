"""Asking anew: generations of replies, their ages, and a gate that takes no old ones."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mmdbench.cli import app
from mmdbench.records import Reply
from mmdbench.results.freshness import freshness, freshness_line
from mmdbench.results.graded_run import load_results
from mmdbench.run.generations import Generation, time_stamp
from mmdbench.run.merge import merge_runs
from mmdbench.run.store import ReplyStore, read_index, read_replies
from pictures import write_many
from run_folders import change_lines, change_manifest

EVAL = "eval --model own --model-card card.toml --bench toy.tsv --level clean,hard -o run --quiet"
SERVED = """
import json, pathlib
from mmdbench.errors import ModelError
from mmdbench.records import Outcome

class Served:
    batch_size = 1

    def fingerprint(self):
        return {"name": "served"}

    def generate(self, requests):
        state = json.loads(pathlib.Path("state.json").read_text())
        pathlib.Path("state.json").write_text(json.dumps(state | {"asked": state["asked"] + len(requests)}))
        if state["asked"] >= state.get("until", 1000):
            raise ModelError("The server is down.")
        return [Outcome(state["says"], state.get("status", "ok")) for _ in requests]

def load(card):
    return Served()
"""


@pytest.fixture(autouse=True)
def _here(make_tsv, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_tsv(6)
    Path("card.toml").write_text('[own]\nadapter = "own.py"\n')
    Path("own.py").write_text(SERVED)
    served("A")


def served(says, **more):
    Path("state.json").write_text(json.dumps({"says": says, "asked": 0, **more}))


def asked():
    return json.loads(Path("state.json").read_text())["asked"]


def mmdbench(command, code=0):
    done = CliRunner().invoke(app, command.split())
    assert done.exit_code == code, done.output
    return done.output


def age(folder, days, of=lambda _: True):
    """Set the times of stored replies and sessions back."""
    old = time_stamp(datetime.now(timezone.utc) - timedelta(days=days))
    for path in Path(folder).glob("replies-*.jsonl"):
        change_lines(path, lambda row: row | {"asked": old} if of(row) else row)
    change_manifest(Path(folder), lambda made: [session.update(begun=old) for session in made["sessions"]])


def texts(folder="run"):
    return {reply.text for reply in load_results(Path(folder)).replies.values()}


def lines(folder="run"):
    return len(Path(folder, "replies-0.jsonl").read_text("utf-8").splitlines())


def test_fresh_asks_everything_again_and_keeps_the_old_replies():
    mmdbench(EVAL)
    served("B")
    mmdbench(EVAL)
    assert (asked(), texts()) == (0, {"A"})
    assert "to ask  12 with" in mmdbench(f"{EVAL} --fresh --dry-run")
    said = mmdbench(f"{EVAL} --fresh")
    assert "12 of 12 replies are new" in said
    assert (asked(), texts(), lines()) == (12, {"B"}, 24)
    assert Path("run/replies-0.jsonl").read_text("utf-8").count('"text":"A"') == 12
    mmdbench(EVAL)
    assert asked() == 12


def test_a_failure_of_the_newest_generation_is_not_hidden_by_an_older_answer():
    mmdbench(EVAL)
    served("", status="error")
    mmdbench(f"{EVAL} --fresh", 4)
    assert load_results(Path("run")).unanswered == 12


@pytest.mark.parametrize("again", [EVAL, f"{EVAL} --fresh"])
def test_a_stopped_generation_is_refused_until_the_same_command_or_a_plain_one_ends_it(again):
    mmdbench(EVAL)
    mmdbench("check run --baseline b.json --accept")
    served("B")
    assert "7 of 12 replies are of an earlier generation" in mmdbench(f"{EVAL} --fresh --max-requests 5", 4)
    assert "7 are of an earlier generation" in mmdbench("report run")
    said = "7 of 12 are of an earlier generation and not asked again yet."
    assert said in Path("run/report.md").read_text("utf-8")
    assert "earlier generation" in mmdbench("check run --baseline b.json", 4)
    assert "earlier generation" in mmdbench("check run --baseline c.json --accept", 4)
    assert texts() == {"A", "B"}
    mmdbench(again)
    assert (asked(), texts(), lines()) == (12, {"B"}, 24)
    served("C")
    mmdbench(f"{EVAL} --fresh")
    assert (asked(), texts()) == (12, {"C"})


def test_a_generation_that_stopped_long_ago_is_not_continued():
    mmdbench(EVAL)
    mmdbench(f"{EVAL} --fresh --max-requests 5", 4)
    old = time_stamp(datetime.now(timezone.utc) - timedelta(days=2))
    change_manifest(Path("run"), lambda made: made["generation"].update(begun=old, since=old))
    served("B")
    mmdbench(f"{EVAL} --fresh")
    assert asked() == 12


def test_max_age_asks_again_what_is_older():
    mmdbench(EVAL)
    age("run", days=8, of=lambda row: row["level"] == "hard")
    served("B")
    mmdbench(f"{EVAL} --max-age 9d")
    assert asked() == 0
    mmdbench(f"{EVAL} --max-age 7d")
    assert (asked(), texts(), lines()) == (6, {"A", "B"}, 18)
    assert "--fresh asks everything" in mmdbench(f"{EVAL} --fresh --max-age 7d", 2)
    assert (
        "must be an age, got '7 days'"
        in CliRunner().invoke(app, [*EVAL.split(), "--max-age", "7 days"]).output
    )


def test_a_target_interval_starts_one_generation():
    write_many(Path("toy.tsv"), 120)
    target = f"{EVAL} --target-ci 25 --corruption graffiti"
    mmdbench(target)
    first = asked()
    assert 32 <= first < 240  # more than one round, and not all of them
    served("B")
    mmdbench(f"{target} --fresh")
    assert asked() == first
    assert json.loads(Path("run/manifest.json").read_text("utf-8"))["generation"]["number"] == 1


def test_check_and_report_say_how_old_the_replies_are():
    mmdbench(EVAL)
    mmdbench("check run --baseline b.json --accept")
    assert "12 of 12 replies are new" in mmdbench("check run --baseline b.json --require-fresh 1h")
    age("run", days=8)
    mmdbench(EVAL)  # which asks nothing
    for command in (
        "report run",
        "report run --markdown",
        "report run --json",
        "check run --baseline b.json",
    ):
        said = " ".join(mmdbench(command).split())
        assert "0 of 12 replies are new" in said, command
        assert "the oldest was asked 8 days ago" in said, command
    report = json.loads(CliRunner().invoke(app, ["check", "run", "--baseline", "b.json", "--json"]).stdout)
    assert report["freshness"]["new"] == 0
    for more in ("", " --accept"):
        said = " ".join(mmdbench(f"check run --baseline b.json --require-fresh 7d{more}", 4).split())
        assert "The oldest reply is 8 days old, and may be 7 days old at most" in said
    mmdbench("check run --baseline b.json --require-fresh 9d")


def test_every_file_of_a_report_holds_the_dates_of_its_replies_and_no_age():
    mmdbench(EVAL)
    age("run", days=8, of=lambda row: row["level"] == "hard")
    old, new = ((datetime.now(timezone.utc) - timedelta(days=days)).date() for days in (8, 0))
    note = f"Replies asked from {old} to {new} (UTC)."
    mmdbench("report run")
    files = [Path("run", name) for name in ("report.md", "tables.json", "tables.csv", "tables.tex")]
    before = [path.read_bytes() for path in files]
    for path in files:
        assert note in path.read_text("utf-8"), path
        assert " ago" not in path.read_text("utf-8"), path
    assert note in " ".join(mmdbench("cite run").split())
    mmdbench(EVAL.replace("-o run", "-o other"))
    said = " ".join(mmdbench("compare run other").split())
    assert note in said
    assert f"Replies asked on {new} (UTC)." in said
    mmdbench("check run --baseline b.json --accept")
    mmdbench("check run --baseline b.json --junit j.xml")
    assert note in Path("j.xml").read_text("utf-8")
    mmdbench("report run")
    assert [path.read_bytes() for path in files] == before


def test_replies_without_times_are_read_and_their_age_is_unknown():
    mmdbench(EVAL)
    change_lines(Path("run/replies-0.jsonl"), lambda row: {k: v for k, v in row.items() if k != "asked"})
    found = freshness(load_results(Path("run")))
    assert (found.new, found.undated, found.oldest) == (0, 12, "")
    assert "The age of all 12 replies is unknown" in freshness_line(found)
    mmdbench("check run --baseline b.json --accept")
    said = " ".join(mmdbench("check run --baseline b.json --require-fresh 1d", 4).split())
    assert "The age of 12 of 12 replies is unknown" in said
    mmdbench(EVAL)
    assert asked() == 12
    mmdbench(f"{EVAL} --max-age 30d")
    assert asked() == 24


def reply(key, status="ok", text=""):
    return Reply(key, "toy", 1, "hard", None, status, text)


def test_the_newest_generation_counts_in_any_order_of_files(tmp_path):
    for worker, number, status in (("0", 2, "error"), ("1", 1, "ok"), ("2", 0, "ok")):
        with ReplyStore(tmp_path, worker, Generation(number)) as store:
            store.add(reply("k", status, worker))
    assert read_index(tmp_path) == {"k": "error"}
    assert read_replies(tmp_path)["k"].text == "0"


def test_a_merge_takes_the_newest_generation():
    for out in ("one", "two"):
        mmdbench(EVAL.replace("-o run", f"-o {out}"))
    served("B")
    mmdbench(EVAL.replace("-o run", "-o two --fresh"))
    for order in (("one", "two"), ("two", "one")):
        out = Path("-".join(order))
        merge_runs([Path(name) for name in order], out)
        assert texts(out) == {"B"}
        assert freshness(load_results(out)).behind == 0


def test_the_content_of_an_adapters_file_is_part_of_its_fingerprint(tmp_path):
    mmdbench(EVAL)
    first = json.loads(Path("run/manifest.json").read_text("utf-8"))["model"]["fingerprint"]
    assert first["name"] == "served"
    other = tmp_path / "elsewhere"
    other.mkdir()
    (other / "own.py").write_text(SERVED)
    (other / "changed.py").write_text(SERVED + "# changed\n")
    prints = []
    for name in ("own.py", "changed.py"):
        Path("card.toml").write_text(f'[own]\nadapter = "{other / name}"\n')
        mmdbench(EVAL.replace("-o run", f"-o {Path(name).stem}"))
        manifest = json.loads(Path(Path(name).stem, "manifest.json").read_text("utf-8"))
        prints.append(manifest["model"]["fingerprint"])
    assert prints[0] == first
    assert prints[1] != first
