"""A cache with short keys, or one that begins late, is found by the probes between and after the requests."""

from __future__ import annotations

import hashlib
import itertools
import json
import random
import re

import pytest
from typer.testing import CliRunner

from api_runs import run
from canary_reader import key_of, read
from faulty_server import FaultyServer
from mmdbench.cli import app
from mmdbench.errors import ModelError
from mmdbench.models.cards import ModelCard
from mmdbench.models.prices import Price
from mmdbench.records import Outcome, Reply
from mmdbench.report.tables.run_notes import run_notes
from mmdbench.results.graded_run import load_results
from mmdbench.run.budget import Budget, Spending
from mmdbench.run.canary import PROMPT, draw_numbers
from mmdbench.run.canary_share import CanaryShare, canary_share
from mmdbench.run.canary_watch import CanaryWatch
from mmdbench.run.merge import merge_runs
from mmdbench.stats import chance_found, key_bits_found
from run_folders import change_manifest

LEVELS = ("clean", "low", "mid", "hard")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MMDBENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def _same_pictures(monkeypatch):
    """Every canary of the test draws the same pictures whenever the test runs."""
    seeds = itertools.count(10**6, 10**4)
    for module in ("canary_watch", "preflight"):
        monkeypatch.setattr(f"mmdbench.run.{module}.draw_seed", lambda: next(seeds))


def served(server, **more):
    options = {"backoff": 0.01, "concurrency": 4}
    return ModelCard("toy", "openai", model="toy-1", endpoint=server.url, options=options, **more)


def sees(prompt, images):
    """A model that reads the canary's digits and answers every question with B."""
    return read(images[0]) if prompt == PROMPT else "B"


class LateCache:
    """A cache of answers by picture alone, which a server begins to use after `healthy` requests."""

    def __init__(self, key, healthy=0):
        self.key, self.healthy, self.kept, self.count = key, healthy, {}, 0

    def __call__(self, prompt, images):
        self.count += 1
        if self.count <= self.healthy:
            return sees(prompt, images)
        return self.kept.setdefault(self.key(prompt, images[0]), sees(prompt, images))


def noting(notes):
    return lambda progress: notes.append(progress.note)


def probes_of(server):
    return [call for call in server.calls if call.prompt == PROMPT]


def canary_of_run(folder):
    return json.loads((folder / "manifest.json").read_text())["canary"]


def test_probes_find_short_keys_as_often_as_the_formula_says():
    draw, bits, pictures = random.Random(1), 6, [10, 12, 14]
    trials = 3000
    found = 0
    for _ in range(trials):
        cached, hit = {draw.getrandbits(bits) for _ in range(pictures[0])}, False
        for _ in pictures:
            key = draw.getrandbits(bits)
            hit |= key in cached
            cached |= {key} | {draw.getrandbits(bits)}
        found += hit
    assert found / trials == pytest.approx(chance_found(bits, pictures), abs=0.03)
    assert chance_found(bits, []) == 0
    assert key_bits_found([]) == 0


@pytest.mark.parametrize(
    ("planned", "to_ask", "total"),
    [(10, 10, 14), (640, 640, 14), (2100, 2100, 42), (33_000, 33_000, 660), (10**6, 10**6, 1000)],
)
def test_a_run_spends_two_percent_and_fourteen_at_least(planned, to_ask, total):
    share = canary_share(planned, to_ask, {}, "f")
    assert share.total == total
    assert share.before in (7, 14)
    assert min(share.during, share.after) > 0
    spent = {"fingerprint": "f", "verdict": "passed", "checks": [{"probes": [{}] * total}]}
    assert canary_share(planned, to_ask, spent, "f").total == 0  # a resumed run has spent it
    again = canary_share(planned, to_ask, spent, "f", generation=1)
    assert again.total <= total
    assert canary_share(planned, 0, {}, "f").total == 0


def test_the_records_of_early_versions_count():
    early = {"fingerprint": "f", "verdict": "passed", "checked": 1, "said": "x", "probes": [{}] * 14}
    assert canary_share(640, 640, early, "f") == CanaryShare()
    assert canary_share(2100, 1000, early, "f").total == 20
    assert canary_share(640, 640, early, "other server").total == 14


class ServedModel:
    """A model in this process whose server answers from the first picture with the same key."""

    concurrency = 4

    def __init__(self, bits):
        self.key, self.cached = key_of(bits), {}

    def fingerprint(self):
        return {"model": "toy"}

    def show(self, picture):
        self.cached.setdefault(self.key("", picture), "B")

    async def agenerate(self, request):
        picture = request.images[0].data
        return Outcome(self.cached.setdefault(self.key("", picture), read(picture)))


@pytest.mark.usefixtures("_same_pictures")
@pytest.mark.parametrize(("bits", "pictures"), [(16, 33_000), (12, 2_100)])
@pytest.mark.parametrize("short", [True, False])
def test_fourteen_probes_find_the_keys_that_they_promise(bits, pictures, short):
    model = ServedModel(bits if short else 32)
    spending = Spending(Budget())
    card = ModelCard("toy", "openai")
    watch = CanaryWatch(model, card, CanaryShare(7, 0, 14), "f", pictures, spending)
    assert watch.before() == ""
    for number in range(pictures):
        model.show(f"{number}".encode())
        pixels = hashlib.sha256(f"{number}".encode()).hexdigest()
        watch.replied(
            Reply(str(number), "toy", number, "clean", None, "ok", "B", images=({"pixels": pixels},))
        )
    watch.after()
    if short:
        assert "came from another picture" in watch.caught
        with pytest.raises(ModelError, match="cannot be measured"):
            watch.require_passed()
    else:
        watch.require_passed()
        assert f"keys of {bits} bits or fewer would have been found with probability > 0.999" in watch.line()
        assert watch.record()["key_bits"] == bits


@pytest.mark.usefixtures("_same_pictures")
def test_a_run_finds_a_cache_with_short_keys_and_keeps_its_replies(make_tsv, tmp_path):
    with FaultyServer(answer=LateCache(key_of(6), healthy=7)) as server:
        with pytest.raises(ModelError, match="an answer came from another picture") as error:
            run(make_tsv(60), tmp_path / "run", served(server), LEVELS, canary=True)
        asked = len(server.calls) - len(probes_of(server))
    assert "--fresh" in error.value.hint
    kept = (tmp_path / "run" / "replies-0.jsonl").read_text().splitlines()
    assert len(kept) == asked > 0
    found = canary_of_run(tmp_path / "run")
    assert found["verdict"] == "caught"
    assert found["checks"][0]["verdict"] == "passed"
    assert found["checks"][-1]["verdict"] == "caught"


def test_a_server_that_begins_to_cache_late_is_stopped_and_the_replies_since_are_suspect(make_tsv, tmp_path):
    seen = LateCache(lambda prompt, data: "one key for all", healthy=150)
    with FaultyServer(answer=seen) as server:
        with pytest.raises(ModelError, match="cannot be measured"):
            run(make_tsv(60), tmp_path / "run", served(server), LEVELS, canary=True)
        stopped_at = len(server.calls)
    assert 150 < stopped_at < 240
    (span,) = canary_of_run(tmp_path / "run")["suspects"]
    rows = [json.loads(line) for line in (tmp_path / "run" / "replies-0.jsonl").read_text().splitlines()]
    count = sum(span["since"] <= row["asked"] <= span["until"] for row in rows)
    assert 0 < count < len(rows)
    (note,) = [n for n in run_notes(load_results(tmp_path / "run")) if n.startswith("SUSPECT")]
    assert note.startswith(f"SUSPECT: {count} replies")


def test_merged_shards_keep_the_suspect_times_of_each(make_tsv, tmp_path):
    path, parts = make_tsv(12), [tmp_path / "1", tmp_path / "2"]
    with FaultyServer(answer=sees) as server:
        for number, folder in enumerate(parts, 1):
            run(path, folder, served(server), canary=True, shard=(number, 2))
    spans = [{"since": f"2026-11-0{n}", "until": f"2026-12-0{n}", "said": "why"} for n in (1, 2)]
    for folder, span in zip(parts, spans, strict=True):
        change_manifest(folder, lambda manifest, span=span: manifest["canary"].update(suspects=[span]))
    merge_runs(parts, tmp_path / "all")
    assert canary_of_run(tmp_path / "all")["suspects"] == spans


def test_a_healthy_server_passes_with_fourteen_requests_spread_over_the_run(make_tsv, tmp_path):
    notes = []
    with FaultyServer(answer=sees) as server:
        summary = run(make_tsv(60), tmp_path / "run", served(server), LEVELS, noting(notes), canary=True)
        places = [at for at, call in enumerate(server.calls) if call.prompt == PROMPT]
        assert len({call.images for call in probes_of(server)}) == len(places) == 14
    assert (summary.asked, summary.stopped) == (240, "")
    assert places[:7] == list(range(7))
    assert places[-4:] == list(range(250, 254))
    assert all(abs(at - due) < 12 for at, due in zip(places[7:10], (67, 128, 189), strict=True)), places
    found = canary_of_run(tmp_path / "run")
    assert [(c["moment"], c["verdict"], len(c["probes"])) for c in found["checks"]] == [
        ("before", "passed", 7),
        ("during", "passed", 3),
        ("after", "passed", 4),
    ]
    assert len({check["seed"] for check in found["checks"]}) == 3
    assert all(check["at"] for check in found["checks"])
    (line,) = [note for note in notes if note.startswith("canary")]
    assert line.startswith(
        "canary: 14 of 14 answers came from their own pictures; a cache with keys of 7 bits"
    )


def test_a_misread_digit_does_not_stop_a_run_and_a_single_wrong_answer_is_asked_again(make_tsv, tmp_path):
    late = itertools.count()

    def answer(prompt, images):
        if prompt != PROMPT:
            return "B"
        number, shown = next(late), read(images[0])
        return {8: shown[:-1] + "0", 9: "I see a cat."}.get(number, shown)

    with FaultyServer(answer=answer) as server:
        run(make_tsv(20), tmp_path / "run", served(server), canary=True)
        assert len(probes_of(server)) == 15
    found = canary_of_run(tmp_path / "run")
    verdicts = [probe["verdict"] for check in found["checks"] for probe in check["probes"]]
    assert (found["verdict"], verdicts.count("unread"), verdicts.count("own")) == ("passed", 2, 12)


def test_a_stopped_run_has_its_last_probes_and_a_resumed_one_spends_what_is_left(make_tsv, tmp_path):
    path = make_tsv(60)
    with FaultyServer(answer=sees) as server:
        stopped = run(path, tmp_path / "run", served(server), LEVELS, canary=True, budget=Budget(requests=50))
        assert "--max-requests" in stopped.stopped
        assert [c["moment"] for c in canary_of_run(tmp_path / "run")["checks"]] == ["before", "after"]
        notes = []
        run(path, tmp_path / "run", served(server), LEVELS, noting(notes), canary=True)
        assert 11 < len(probes_of(server)) <= 14
        assert not [note for note in notes if note.startswith("canary")]


def test_the_line_is_printed_in_full_once(make_tsv, tmp_path):
    path, notes = make_tsv(2), []
    price = Price(1.0, 1.0, "2025-01-01")
    with FaultyServer(answer=sees) as server:
        for number in (1, 2):
            before = len(server.calls)
            run(
                path,
                tmp_path / f"run{number}",
                served(server, price=price),
                on_progress=noting(notes),
                canary=True,
            )
            assert sum(c.prompt == PROMPT for c in server.calls[before:]) == 14
        lines = [note for note in notes if note.startswith("canary")]
        assert "answers came from" in lines[0]
        assert re.fullmatch("canary: passed, keys to [23] bits", lines[1])
        run(path, tmp_path / "run3", served(server), canary=False)
        assert canary_of_run(tmp_path / "run3") == {"verdict": "skipped"}


def test_a_model_that_reads_no_digits_is_unclear_and_has_no_late_probes(make_tsv, tmp_path):
    notes = []
    with FaultyServer(answer=lambda prompt, images: "a picture") as server:
        for number in (1, 2):
            run(
                make_tsv(20),
                tmp_path / f"run{number}",
                served(server),
                on_progress=noting(notes),
                canary=True,
            )
        assert len(probes_of(server)) == 14
    lines = [note for note in notes if note.startswith("canary")]
    assert "does not read the digits" in lines[0]
    assert lines[1:] == ["canary: unclear, as before"]


def test_the_money_for_the_last_probes_is_kept():
    spending = Spending(Budget(usd=1.0))
    spending.usd, spending.held = 0.5, 0.4
    assert not spending.start(0.2)
    assert spending.reason


def test_the_dry_run_counts_the_canary(make_tsv, tmp_path):
    words = [
        "eval",
        "--model",
        "openai:toy-1@http://127.0.0.1:9/v1",
        "--bench",
        str(make_tsv(20)),
        "--level",
        "clean",
    ]
    words += ["-o", str(tmp_path / "run"), "--dry-run", "--json"]
    set_price = ["--set", "price.input=1000", "--set", "price.output=1000", "--set", "price.date=2026-01-01"]
    found = [
        json.loads(CliRunner().invoke(app, [*words, *set_price, *more], catch_exceptions=False).stdout)
        for more in ([], ["--no-canary"])
    ]
    assert [one["canary"] for one in found] == [14, 0]
    assert found[0]["usd"] > found[1]["usd"] + 14
    assert found[0]["to_ask"] == found[1]["to_ask"] == 20
    shown = CliRunner().invoke(app, [word for word in words if word != "--json"], catch_exceptions=False)
    assert "canary  14 requests with a picture each" in shown.stdout


def test_numbers_are_drawn_once_and_never_those_that_were_shown():
    first = draw_numbers(1, 500)
    assert len(set(first)) == 500
    assert not set(first) & set(draw_numbers(2, 1000, first))
    assert all(len(set(number)) == 4 for number in first)
