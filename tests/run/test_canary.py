"""A server that answers from another picture is caught before it costs anything."""

from __future__ import annotations

import json

import pytest
import typer
from typer.testing import CliRunner

from api_runs import run
from canary_reader import EXIF_FOLDER, UNIQUE_ID, answering, opened, read
from faulty_server import FaultyServer
from mmdbench.errors import ModelError
from mmdbench.models import open_model
from mmdbench.models.cards import ModelCard
from mmdbench.records import Outcome, Reply
from mmdbench.run.cache_alarm import SameReplies
from mmdbench.run.canary import PROMPT, draw_seed, make_probes, run_canary

CACHES = {
    "placeholder token": lambda prompt, data: prompt,
    "exif id": lambda prompt, data: opened(data)[0].get_ifd(EXIF_FOLDER).get(UNIQUE_ID),
    "path": lambda prompt, data: "/tmp/image.png",
    "first 1,000 characters": lambda prompt, data: __import__("base64").b64encode(data)[:1000],
    "bytes without shape": lambda prompt, data: opened(data)[1].tobytes(),
}


SEED = 1
NUMBER, _, _, TWIN, ALONE, *_ = (probe.shows for probe in make_probes(SEED))


def merged(shows, numbers):
    """Digits as read by a model that writes those of some numbers once where they are shown twice."""
    half = shows[: len(shows) // 2]
    return half if shows == half * 2 and half in {n[:2] for n in numbers} else shows


def asking(answer):
    return lambda requests: [Outcome(answer(r.prompt, [i.data for i in r.images])) for r in requests]


def test_the_probes_agree_in_all_that_a_cache_might_look_at():
    probes = make_probes(draw_seed())
    alike = [p for p in probes if "wide" not in p.name]
    assert len({len(p.image.data) for p in alike}) == 1
    assert len({p.image.data[:750] for p in alike}) == 1  # 1,000 characters of base64
    assert {opened(p.image.data)[0].get_ifd(EXIF_FOLDER)[UNIQUE_ID] for p in probes} == {f"{1:032d}"}
    assert len({opened(p.image.data)[1].shape for p in alike}) == 1
    by_name = {p.name: opened(p.image.data)[1] for p in probes}
    tall, wide = by_name["shape, tall"], by_name["shape, wide"]
    assert tall.shape != wide.shape
    assert tall.tobytes() == wide.tobytes()
    assert [read(p.image.data) for p in probes] == [p.shows for p in probes]


def test_an_independent_reader_reads_the_digits_of_the_probes():
    rapidocr = pytest.importorskip("rapidocr")
    # At their own size: the reader by itself would enlarge the pictures, which takes six times as long.
    reader = rapidocr.RapidOCR(params={"Det.limit_type": "max", "Global.use_cls": False})
    for probe in make_probes(1):
        found = reader(opened(probe.image.data)[1]).txts or ()
        assert ("".join(found) or "none") == probe.shows, probe.name


def test_every_canary_has_numbers_and_bytes_of_its_own():
    first, second = make_probes(draw_seed()), make_probes(draw_seed())
    assert {p.shows for p in first} != {p.shows for p in second}
    assert not {p.image.data for p in first} & {p.image.data for p in second}
    assert [p.image.data for p in make_probes(5)] == [p.image.data for p in make_probes(5)]
    for seed in (0, 9, 37, draw_seed()):  # the first three draw a pair of digits twice
        rounds = run_canary(asking(answering()), {}, seed).probes
        assert len({p.shows for p in rounds} - {"none"}) == 12


def test_a_server_that_looks_passes():
    assert run_canary(asking(answering()), {}, 1).verdict == "passed"


@pytest.mark.parametrize("kind", CACHES)
def test_each_kind_of_wrong_cache_is_caught(kind):
    found = run_canary(asking(answering(CACHES[kind])), {}, draw_seed())
    assert found.verdict == "caught", found
    assert "came from another picture" in found.summary


def test_answers_swapped_between_requests_in_flight_are_caught():
    right = asking(answering())

    def ask(requests):
        outcomes = right(requests)
        return [outcomes[1], outcomes[0], *outcomes[2:]] if len(outcomes) > 1 else outcomes

    assert run_canary(ask, {}, 1).verdict == "caught"


@pytest.mark.parametrize(
    ("say", "verdict"),
    [
        (lambda shows: f"The digits are {shows}." if shows != "none" else "There are no digits.", "passed"),
        (lambda shows: "I see a picture.", "unclear"),
        (lambda shows: "<think>maybe 831?</think> " + shows, "passed"),
        (lambda shows: merged(shows, (TWIN, ALONE)), "unclear"),  # merges what repeats
        (lambda shows: merged(shows, (TWIN,)), "caught"),
        (lambda shows: NUMBER if shows == "none" else shows, "caught"),
        (lambda shows: shows[:-1] + "0" if len(shows) == 4 else shows, "unclear"),
    ],
)
def test_answers_in_many_wordings_are_understood(say, verdict):
    sees = answering()
    assert run_canary(asking(lambda p, i: say(sees(p, i))), {}, SEED, rounds=1).verdict == verdict


def test_a_failed_request_is_no_pass():
    found = run_canary(lambda requests: [Outcome("", "error", "no")] * len(requests), {}, 1)
    assert found.verdict == "failed"


@pytest.fixture
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MMDBENCH_CACHE", str(tmp_path / "cache"))


def served(server, **more):
    options = {"backoff": 0.01, "concurrency": 4}
    return ModelCard("toy", "openai", model="toy-1", endpoint=server.url, options=options, **more)


@pytest.mark.usefixtures("_own_cache")
@pytest.mark.parametrize("kind", CACHES)
def test_a_run_on_a_wrong_cache_never_starts(make_tsv, tmp_path, kind):
    with FaultyServer(answer=answering(CACHES[kind])) as server:
        with pytest.raises(ModelError, match="cannot be measured: an answer came from another picture"):
            run(make_tsv(3), tmp_path / "run", served(server), canary=True)
        assert all(call.prompt == PROMPT for call in server.calls)


@pytest.mark.usefixtures("_own_cache")
@pytest.mark.parametrize(
    ("cache", "reads", "code", "word"),
    [
        (None, read, 0, "passed"),
        (CACHES["path"], read, 4, "caught"),
        (None, lambda data: "nothing I know", 3, "unclear"),
    ],
)
def test_doctor(tmp_path, cache, reads, code, word):
    from mmdbench.cli._shared.errors import guarded
    from mmdbench.cli.doctor import doctor

    app = typer.Typer()
    app.command()(guarded(doctor))
    with FaultyServer(answer=answering(cache, reads)) as server:
        words = ["--model", f"openai:toy-1@{server.url}"]
        result = CliRunner().invoke(app, words, catch_exceptions=False, env={"COLUMNS": "200"})
        assert (result.exit_code, word in result.output) == (code, True), result.output
        as_json = CliRunner().invoke(app, [*words, "--json"], catch_exceptions=False)
        assert json.loads(as_json.output)["verdict"] == word


def test_a_model_that_is_called_directly_can_be_examined_too():
    from mmdbench.run.preflight import canary_of

    card = ModelCard("chance", "chance")
    assert canary_of(open_model(card), card).verdict == "unclear"


def replies(count, text, variants=4):
    for index in range(count):
        for variant in range(variants):
            yield Reply(
                f"{index}-{variant}",
                "toy",
                index,
                ("clean", "low", "mid", "hard")[variant % 4],
                None,
                "ok",
                text(index, variant),
                images=({"pixels": f"{index}-{variant}"},),
            )


def alarm_of(rows):
    seen = SameReplies()
    for reply in rows:
        seen.see(reply)
    return seen.alarm


def test_replies_that_never_change_raise_an_alarm():
    assert "same as the reply to another picture" in alarm_of(replies(80, lambda q, v: "ABCD"[q % 4]))
    assert alarm_of(replies(40, lambda q, v: "A")) == ""  # too few to say
    flips = replies(80, lambda q, v: "B" if (q * 4 + v) % 25 == 3 else "A")
    assert alarm_of(flips) == ""  # four in a hundred changed: a robust model


def test_long_replies_that_are_the_same_letter_for_letter_raise_it_sooner():
    long = "The picture shows a dog on a couch, looking at the camera with an expression of mild surprise. A"
    assert "letter for letter" in alarm_of(replies(10, lambda q, v: long))
    assert alarm_of(replies(60, lambda q, v: f"{long}{v if q % 3 else 'x'}")) == ""


def test_the_alarm_looks_at_different_pictures_only_and_keeps_nothing_but_counts():
    rows = list(replies(300, lambda q, v: "A"))
    same_picture = [Reply(**{**r.as_dict(), "images": ({"pixels": f"{r.index}"},)}) for r in rows]
    assert alarm_of(same_picture) == ""
    failed = [Reply(**{**r.as_dict(), "status": "error", "images": r.images}) for r in rows]
    assert alarm_of(failed) == ""
    seen = SameReplies()
    for reply in replies(2000, lambda q, v: "A"):
        seen.see(reply)
    assert len(seen._first) <= 512  # noqa: SLF001 - the bound shows in memory only


@pytest.mark.usefixtures("_own_cache")
def test_the_alarm_of_a_run_is_in_its_summary_and_its_manifest(make_tsv, tmp_path):
    levels = ("clean", "low", "mid", "hard")
    with FaultyServer(answer=lambda prompt, images: "B") as server:
        summary = run(make_tsv(70), tmp_path / "run", served(server), levels=levels)
    assert "may answer from a cache" in summary.alarm
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["sessions"][0]["alarm"] == summary.alarm
