"""The page as a file: its numbers, its escapes, its pictures, its size."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import webbrowser
from html.parser import HTMLParser

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

import page_runs
from mmdbench.cli import app
from mmdbench.cli.page import page
from mmdbench.corruptions.spec_file import load_spec
from mmdbench.errors import UsageError
from mmdbench.records import Recipe
from mmdbench.report.load import open_runs
from mmdbench.report.page import thumbnails, write_page
from mmdbench.report.page.embedded_pictures import LADDER, collect, make_pictures
from mmdbench.report.page.examples import choose, gather
from mmdbench.report.page.quality_curves import quality_curves
from mmdbench.report.page.thumbnails import ThumbnailJob, Thumbnails
from mmdbench.report.tables.table import ranks
from mmdbench.results.pictures import SourceFolders, own_pictures, remake
from mmdbench.stats.rounding import fixed
from mmdbench.variants.recipes import clean_image
from page_runs import (
    CORRUPTIONS,
    SHOWN,
    digest_of,
    graded,
    hard_to_see,
    questions,
    recorded,
    write_bench,
    write_pictured_run,
)
from pictures import picture, png
from run_folders import change_lines, question, write_run


class Page(HTMLParser):
    """A page read back: numbers by path, texts outside of them, scripts by id, attributes."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.numbers, self.bare, self.scripts, self.tags = [], [], {}, []
        self._open = []
        self.feed(text)
        self.close()

    def handle_starttag(self, name, attributes):
        found = dict(attributes)
        self.tags.append((name, found))
        if name not in ("meta", "input", "link", "br"):
            self._open.append((name, found))
        if name == "script":
            self.scripts[found.get("id", f"code-{len(self.scripts)}")] = ""
        if "data-of" in found:
            self.numbers.append([found, "", [n for n, _ in self._open]])

    def handle_startendtag(self, name, attributes):
        self.tags.append((name, dict(attributes)))

    def handle_endtag(self, name):
        while self._open:
            if self._open.pop()[0] == name:
                break

    def handle_data(self, text):
        if not self._open:
            return
        name, found = self._open[-1]
        if name == "script":
            self.scripts[list(self.scripts)[-1]] += text
        elif "data-of" in found:
            self.numbers[-1][1] += text
        elif any(n in ("td", "dd") for n, _ in self._open) and text.strip():
            self.bare.append((text.strip(), {c for _, f in self._open for c in f.get("class", "").split()}))

    def json(self, name):
        return json.loads(self.scripts[name])


def resolve(record, path):
    for step in path.split("/"):
        record = record[int(step)] if isinstance(record, list) else record[step]
    return record


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A page of one run, its text and its tables."""
    folder = tmp_path_factory.mktemp("page")
    write_bench(folder / "data", questions())
    runs, tables = graded(write_pictured_run(folder / "run"))
    summary = write_page(runs, tables, folder / "page.html", folders=SourceFolders(folder / "data"))
    return folder, runs, tables, summary, (folder / "page.html").read_text("utf-8")


def check_numbers(text, tables):
    read = Page(text)
    record = json.loads(json.dumps(tables.as_dict()))
    assert len(read.numbers) > 100
    for attributes, shown, _ in read.numbers:
        number = resolve(record, attributes["data-of"])
        want = fixed(float(number), int(attributes["data-digits"]))
        assert shown.removesuffix(" %").removeprefix("+") == want, attributes
    return read


def test_every_number_of_the_page_is_the_rounded_number_of_the_tables(built):
    _, _, tables, _, text = built
    read = check_numbers(text, tables)
    paths = {attributes["data-of"] for attributes, _, _ in read.numbers}
    for place, row in enumerate(tables.main):
        for level in row.drops:
            assert {f"main/{place}/drops/{level}/{end}" for end in ("value", "low", "high")} <= paths
    for b, part in enumerate(tables.breakdowns):
        for r, row in enumerate(part.rows):
            assert {f"breakdowns/{b}/rows/{r}/scores/{level}/value" for level in row.scores} <= paths
            assert {f"breakdowns/{b}/rows/{r}/drops/{level}/low" for level in row.drops} <= paths
    for t, table in enumerate(tables.tables):
        for r, row in enumerate(table.rows):
            for c, value in enumerate(row.values):
                if value is not None and not isinstance(value.value, str):
                    assert f"tables/{t}/rows/{r}/values/{c}/value" in paths


def test_each_number_in_a_table_has_its_path(built):
    read = Page(built[4])
    texts = {
        text for table in built[2].tables for row in table.rows for v in row.values if v for text in [v.value]
    }
    header = set(built[2].header.values())
    for text, classes in read.bare:
        assert text in {"to", "–", "•"} or text in texts or text in header or "unseen" in classes, text


def test_two_runs_stand_side_by_side(tmp_path):
    write_bench(tmp_path / "data", questions())
    first = write_pictured_run(tmp_path / "a", model="first <i>")
    second = write_pictured_run(tmp_path / "b", model="second", answer=lambda q, *_: q.answer)
    runs, tables = graded(first, second)
    write_page(runs, tables, tmp_path / "p.html", folders=SourceFolders(tmp_path / "data"))
    read = check_numbers((tmp_path / "p.html").read_text("utf-8"), tables)
    viewer = read.json("data-examples")
    assert viewer["runs"] == ["first <i>", "second"]
    assert all(len(shot["a"]) == 2 for e in viewer["examples"] for shot in e["s"].values())
    assert not any(name == "i" for name, _ in read.tags)
    marks = [found["class"] for name, found in read.tags if name == "td" and "class" in found]
    places = [place for table in tables.tables for place in ranks(table).values()]
    assert marks.count("num best") == places.count(1) > 2
    assert marks.count("num second") == places.count(2) > 2


def test_a_grid_run_has_an_example_for_each_corruption_and_each_clean_picture_once(tmp_path):
    asked = questions(4)
    write_bench(tmp_path / "data", asked)
    runs, tables = graded(write_pictured_run(tmp_path / "run", asked, design="grid"))
    summary = write_page(runs, tables, tmp_path / "p.html", folders=SourceFolders(tmp_path / "data"))
    read = check_numbers((tmp_path / "p.html").read_text("utf-8"), tables)
    viewer = read.json("data-examples")
    assert summary.examples == len(viewer["examples"]) == 4 * 4
    clean = {(e["i"], tuple(e["s"]["clean"]["p"])) for e in viewer["examples"]}
    assert len(clean) == 4


def test_texts_of_questions_and_replies_are_escaped(built):
    read = Page(built[4])
    code = [attributes for name, attributes in read.tags if name == "script"]
    assert [a for a in code if "type" not in a] == [{}]
    assert not any("onerror" in attributes for _, attributes in read.tags)
    assert not any(name == "img" for name, _ in read.tags)
    examples = {e["i"]: e for e in read.json("data-examples")["examples"]}
    assert examples[0]["q"] == examples[0]["o"]["A"] == examples[0]["m"] == SHOWN
    assert SHOWN in examples[1]["s"]["hard"]["a"][0]["th"][0]


def test_the_policy_lets_nothing_load_and_only_this_script_run(built):
    read = Page(built[4])
    (policy,) = [a["content"] for n, a in read.tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; img-src data:")
    script = read.scripts[f"code-{len(read.scripts) - 1}"]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    for _, attributes in read.tags:
        for name in ("src", "href", "action"):
            assert attributes.get(name, "#").startswith("#"), attributes


def pictures_of(text):
    read = Page(text)
    viewer = read.json("data-examples")
    data = []
    for name, body in read.scripts.items():
        if name.startswith("pictures-"):
            data += body.split("\n")
    return viewer, data


def opened(data):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")).astype(int)


def test_each_picture_is_the_one_that_the_model_saw(built):
    viewer, data = pictures_of(built[4])
    by_index = {q.index: q for q in questions()}
    seen = set()
    for example in viewer["examples"]:
        for level, shot in example["s"].items():
            (number,) = shot["p"]
            q = by_index[example["i"]]
            recipe = Recipe(**recorded(q, level, None if level == "clean" else example["c"])["recipe"])
            pixels, _ = remake(clean_image(png(picture(q.index)), "x"), recipe)
            small = opened(data[number])
            assert small.shape == pixels.shape
            assert np.abs(small - pixels).mean() < 14
            seen.add(number)
    assert len(seen) == len(data) - 1  # and the one that the model made itself
    kept = next(e for e in viewer["examples"] if e["i"] == 1)["s"]["hard"]["a"][0]["p"]
    assert np.abs(opened(data[kept[0]]) - picture(99)).mean() < 14
    assert built[3].notes == ()


def test_a_picture_with_other_pixels_is_reported(tmp_path):
    asked = questions(3)
    write_bench(tmp_path / "data", asked)
    run = write_pictured_run(tmp_path / "run", asked)
    count = iter(range(1000))

    def change(reply):
        if next(count) == 3:
            reply["images"][0]["pixels"] = "0" * 64
        return reply

    change_lines(run / "replies-0.jsonl", change)
    runs, tables = graded(run)
    summary = write_page(runs, tables, tmp_path / "p.html", folders=SourceFolders(tmp_path / "data"))
    assert any(note.startswith("1 pictures were made again with other pixels") for note in summary.notes)


def test_the_same_run_writes_the_same_bytes(built):
    folder, runs, tables, _, _ = built
    write_page(runs, tables, folder / "again.html", folders=SourceFolders(folder / "data"))
    assert digest_of(folder / "again.html") == digest_of(folder / "page.html")


def test_without_its_benchmark_a_page_has_its_numbers_and_a_note(tmp_path):
    runs, tables = graded(write_pictured_run(tmp_path / "run"))
    summary = write_page(runs, tables, tmp_path / "p.html", folders=SourceFolders(tmp_path))
    assert (summary.pictures, summary.examples) == (0, 12)
    assert any(note.startswith("No pictures: toy: ") for note in summary.notes)
    check_numbers((tmp_path / "p.html").read_text("utf-8"), tables)


def test_an_incomplete_run_is_marked_at_the_top(tmp_path):
    runs, tables = graded(
        write_pictured_run(tmp_path / "run", answer=lambda q, *_: None if q.index else q.answer)
    )
    write_page(runs, tables, tmp_path / "p.html", folders=SourceFolders(tmp_path))
    text = (tmp_path / "p.html").read_text("utf-8")
    assert text.index('role="alert"') < text.index("<section")
    answered = '<span data-of="runs/0/counts/ok" data-digits="0">4</span>'
    assert f'<p class="about"><span>toy</span> · {answered} of <span' in text
    assert '>48</span> planned answers · <strong class="alarm">incomplete' in text


def test_a_clean_run_has_a_page_without_drops(tmp_path):
    runs, tables = graded(write_pictured_run(tmp_path / "run", levels=("clean",)))
    write_page(runs, tables, tmp_path / "p.html", folders=SourceFolders(tmp_path), examples=0)
    text = (tmp_path / "p.html").read_text("utf-8")
    assert "no degraded level" in text
    assert '<section id="examples" aria-labelledby="h-examples" hidden>' in text


def test_examples_come_worst_first_and_from_every_corruption(tmp_path):
    asked = questions(10)
    runs, _ = graded(write_pictured_run(tmp_path / "run", asked, design="grid"))
    examples = gather(runs)
    kept = choose(examples, 8)
    assert {e.corruption for e in kept} == {"graffiti", "lens_blur", "scan_lines", "gaussian_noise"}
    assert [e.rank for e in kept] == sorted(e.rank for e in kept)
    assert all(e.rank[0] == 0 for e in kept)
    for example in kept:
        assert example.answers["clean"][0].right
        assert not example.answers["hard"][0].right
    ranks = sorted(e.rank for e in examples)
    right = [e for e in choose(examples, len(examples)) if all(a[0].right for a in e.answers.values())]
    assert len(choose(examples, 1000)) == len(examples)
    assert all(e.rank == ranks[-1] for e in right)


def test_pictures_keep_to_their_budget(tmp_path):
    asked = questions(8)
    write_bench(tmp_path / "data", asked)
    runs, _ = graded(write_pictured_run(tmp_path / "run", asked))
    examples = choose(gather(runs), 100)
    rich = make_pictures(runs, examples, load_spec(), budget=10**7, folders=SourceFolders(tmp_path / "data"))
    poor = make_pictures(
        runs, examples, load_spec(), budget=rich.size // 2, folders=SourceFolders(tmp_path / "data")
    )
    assert poor.size <= rich.size // 2
    assert len(poor.cells) < len(rich.cells)
    assert poor.size == sum(len(text) + 1 for text in poor.data)
    assert poor.left_out > 0
    assert set(poor.cells) >= set(examples[0].cells)
    assert [shape.side for shape in LADDER] == sorted((shape.side for shape in LADDER), reverse=True)


def test_a_smaller_format_is_chosen_before_a_picture_is_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(page_runs, "picture", lambda seed: picture(seed, 300, 400))
    asked, made, make = questions(2), [], ThumbnailJob.make
    monkeypatch.setattr(ThumbnailJob, "make", lambda job, kept: made.append(job) or make(job, kept))
    write_bench(tmp_path / "data", asked)
    runs, _ = graded(write_pictured_run(tmp_path / "run", asked))
    examples = choose(gather(runs), 100)
    rich = make_pictures(runs, examples, load_spec(), budget=10**7, folders=SourceFolders(tmp_path / "data"))
    assert len(made) == 2
    poor = make_pictures(
        runs, examples, load_spec(), budget=rich.size // 2, folders=SourceFolders(tmp_path / "data")
    )
    assert len(made) == 4
    assert (poor.left_out, poor.cells.keys()) == (0, rich.cells.keys())
    sides = {max(opened(data).shape) for data in poor.data}
    assert max(sides) in {shape.side for shape in LADDER[1:-1]}
    assert poor.size <= rich.size // 2
    monkeypatch.setattr(thumbnails, "make_preview", lambda *_: pytest.fail("made again"))
    again = make_pictures(
        runs, examples, load_spec(), budget=rich.size // 2, folders=SourceFolders(tmp_path / "data")
    )
    assert again.data == poor.data


def test_progress_counts_each_question_once_and_as_soon_as_it_is_made(tmp_path, monkeypatch):
    asked, seen, made = questions(110), [], []
    monkeypatch.setattr(ThumbnailJob, "make", lambda job, _: made.append(job) or Thumbnails({}, {}))
    write_bench(tmp_path / "data", asked)
    runs, _ = graded(write_run(tmp_path / "run", asked, hard_to_see))
    make_pictures(
        runs,
        choose(gather(runs), 200),
        load_spec(),
        budget=10**7,
        folders=SourceFolders(tmp_path / "data"),
        on_progress=lambda *state: seen.append((*state, len(made))),
    )
    assert [state[:2] for state in seen] == [(n, 110) for n in range(1, 111)]
    assert all(done <= made for done, _, made in seen)
    assert len(made) == 110


def test_the_first_examples_keep_their_pictures_when_there_is_no_room(tmp_path):
    runs, _ = graded(write_pictured_run(tmp_path / "run"))
    examples = choose(gather(runs), 100)
    made = [Thumbnails({cell: (bytes([n]) * 300,) for cell in e.cells}, {}) for n, e in enumerate(examples)]
    found = collect(examples, made, budget=401 * 5)
    assert set(found.cells) == {cell for e in examples[:5] for cell in e.cells}
    assert found.left_out == 4 * (len(examples) - 5)


def test_a_reply_cannot_fetch_a_file_from_elsewhere(tmp_path):
    (tmp_path / "secret.png").write_bytes(png(picture(5)))
    run = tmp_path / "deep" / "run"

    def answer(q, level, corruption):
        return {
            "text": "A",
            "details": {"images": ["../../secret.png", str(tmp_path / "secret.png"), 7, "!" * 300]},
        }

    runs, _ = graded(write_pictured_run(run, answer=answer))
    reply = next(r for r in runs[0].replies.values() if r.index == 0)
    assert list(own_pictures(reply, run, runs[0].manifest)) == []
    (run / "secret.png").write_bytes(png(picture(6)))
    assert list(own_pictures(reply, run, runs[0].manifest)) == [png(picture(6))] * 2


def test_a_damaged_picture_of_the_model_costs_only_itself(tmp_path):
    asked = questions(3)
    write_bench(tmp_path / "data", asked)
    damaged = {"text": "A", "details": {"images": ["damaged.png"]}}
    run = write_pictured_run(tmp_path / "run", asked, answer=lambda q, *_: damaged if q.index == 2 else "A")
    (run / "damaged.png").write_bytes(b"no picture")
    runs, tables = graded(run)
    summary = write_page(runs, tables, tmp_path / "p.html", folders=SourceFolders(tmp_path / "data"))
    assert summary.pictures == 3 * 4 + 1
    assert any("the model's picture in reply toy-2" in note for note in summary.notes)


def test_half_a_surrogate_pair_is_no_obstacle(tmp_path):
    asked = questions(3, text="half \ud83d")
    runs, tables = graded(write_pictured_run(tmp_path / "run", asked, answer=lambda q, *_: "said \udc00"))
    write_page(runs, tables, tmp_path / "p.html", folders=SourceFolders(tmp_path))
    viewer = Page((tmp_path / "p.html").read_text("utf-8")).json("data-examples")
    examples = {e["i"]: e for e in viewer["examples"]}
    assert examples[0]["q"] == r"half \ud83d"
    assert examples[1]["s"]["hard"]["a"][0]["t"] == "said \ufffd"


def test_long_replies_are_cut_and_say_so(tmp_path):
    runs, tables = graded(write_pictured_run(tmp_path / "run", answer=lambda q, *_: "x" * 7000))
    write_page(runs, tables, tmp_path / "p.html", folders=SourceFolders(tmp_path))
    viewer = Page((tmp_path / "p.html").read_text("utf-8")).json("data-examples")
    said = viewer["examples"][0]["s"]["hard"]["a"][0]["t"]
    assert said == "x" * 6000 + " … (1000 more characters)"


def test_quality_is_drawn_where_it_was_measured(built, tmp_path):
    _, _, tables, _, _ = built
    run = write_pictured_run(tmp_path / "run")
    rows = {}
    for line in (run / "replies-0.jsonl").read_text().splitlines():
        reply = json.loads(line)
        kind = "clean" if reply["level"] == "clean" else "degraded"
        depth = ("clean", "low", "mid", "hard").index(reply["level"])
        rows[reply["images"][0]["pixels"]] = {"kind": kind, "level": reply["level"], "brisque": 10.0 * depth}
    images = [{"pixels": pixels, **row} for pixels, row in rows.items()]
    (run / "quality.json").write_text(json.dumps({"metrics": ["brisque"], "images": images}))
    runs, tables = graded(run)
    (curve,) = quality_curves(runs)
    assert [b.quality for b in curve.bins] == [0.0, 10.0, 20.0, 30.0]
    by_level = {level: row.value for level, row in tables.main[0].scores.items()}
    assert [b.accuracy.value for b in curve.bins] == pytest.approx(list(by_level.values()))
    write_page(runs, tables, tmp_path / "p.html", folders=SourceFolders(tmp_path))
    assert "BRISQUE (lower is better quality)" in (tmp_path / "p.html").read_text("utf-8")


def test_the_verb_writes_the_page_and_says_what_it_holds(tmp_path):
    write_bench(tmp_path / "data", questions(6))
    run = write_pictured_run(tmp_path / "run", questions(6))
    app = typer.Typer()
    app.command()(page)
    wanted = [
        str(run),
        "-o",
        str(tmp_path / "p.html"),
        "--data-dir",
        str(tmp_path / "data"),
        "--examples",
        "4",
    ]
    done = CliRunner().invoke(app, [*wanted, "--quiet"])
    assert done.exit_code == 0, done.output
    assert "4 of 6 examples are here" in done.stdout
    assert "MB, 4 examples, 16 pictures)" in done.stdout
    assert (tmp_path / "p.html").stat().st_size > 50_000


def test_a_page_can_go_to_standard_output_alone_on_it(tmp_path):
    write_bench(tmp_path / "data", questions(3))
    words = [
        "page",
        str(write_pictured_run(tmp_path / "run", questions(3))),
        "--data-dir",
        str(tmp_path / "data"),
    ]
    assert CliRunner().invoke(app, [*words, "-o", str(tmp_path / "p.html")]).exit_code == 0
    done = CliRunner().invoke(app, [*words, "-o", "-"])
    assert done.exit_code == 0, done.output
    assert done.stdout_bytes == (tmp_path / "p.html").read_bytes()
    assert "  - (0.2 MB, 3 examples, 13 pictures)" in done.stderr
    assert "The age of all 12 replies" in done.stderr
    report = CliRunner().invoke(app, ["report", str(tmp_path / "run"), "--html", "-"])
    assert report.stdout.startswith("<!doctype html>")
    assert report.stdout.endswith("</html>\n")


def test_a_page_is_opened_in_a_browser(tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr(webbrowser, "open", lambda uri: opened.append(uri) or len(opened) == 1)
    words = ["page", str(write_pictured_run(tmp_path / "run")), "-o", str(tmp_path / "p.html"), "--open"]
    done = CliRunner().invoke(app, words)
    assert (done.exit_code, opened) == (0, [(tmp_path / "p.html").as_uri()])
    assert "No browser" not in done.output
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0
    assert "No browser could be started" in done.stderr
    refused = CliRunner().invoke(app, [*words[:2], "-o", "-", "--open"])
    assert refused.exit_code == 2
    assert "--open needs a file" in refused.output
    assert len(opened) == 2


def test_a_picture_that_cannot_be_decoded_says_so_in_its_place(tmp_path):
    asked = questions(3)
    file = write_bench(tmp_path / "data", asked)
    run = write_pictured_run(tmp_path / "run", asked)
    text = file.read_text("utf-8")
    image = text.split("\n")[2].rsplit("\t", 1)[1]
    file.write_text(text.replace(image, base64.b64encode(b"no picture" * 9).decode()), "utf-8")
    runs, tables = graded(run)
    summary = write_page(runs, tables, tmp_path / "p.html", folders=SourceFolders(tmp_path / "data"))
    viewer = Page((tmp_path / "p.html").read_text("utf-8")).json("data-examples")
    damaged = next(e for e in viewer["examples"] if e["i"] == 1)
    for shot in damaged["s"].values():
        assert "p" not in shot
        assert "not a picture of a known kind" in shot["e"]
    assert all("e" not in s for e in viewer["examples"] if e["i"] != 1 for s in e["s"].values())
    assert any("not a picture of a known kind" in note for note in summary.notes)


def test_a_level_that_cannot_be_made_leaves_the_others_their_pictures(tmp_path):
    asked = questions(2)
    write_bench(tmp_path / "data", asked)
    run = write_pictured_run(tmp_path / "run", asked)

    def change(reply):
        if (reply["index"], reply["level"]) == (0, "hard"):
            reply["images"][0]["recipe"]["code"] = "f" * 64  # of code that is not here
            reply["images"][0]["recipe"]["corruption"] = "mine"
        return reply

    change_lines(run / "replies-0.jsonl", change)
    runs, tables = graded(run)
    write_page(runs, tables, tmp_path / "p.html", folders=SourceFolders(tmp_path / "data"))
    viewer = Page((tmp_path / "p.html").read_text("utf-8")).json("data-examples")
    shots = next(e for e in viewer["examples"] if e["i"] == 0)["s"]
    assert [("p" in shot, "e" in shot) for shot in shots.values()] == [(True, False)] * 3 + [(False, True)]


def test_a_drop_has_a_colour_where_its_interval_leaves_out_zero(tmp_path):
    def colours(answer):
        run = write_pictured_run(tmp_path / "run", questions(24), answer=answer)
        runs, tables = graded(run)
        write_page(runs, tables, tmp_path / "p.html", folders=SourceFolders(tmp_path), examples=0)
        read = Page((tmp_path / "p.html").read_text("utf-8"))
        drop = tables.main[0].drops["hard"]
        classes = [f["class"] for _, f in read.tags if str(f.get("class", "")).startswith("tile ")]
        return [c.removeprefix("tile ") for c in classes if c != "tile"], drop.low <= 0 <= drop.high

    right = lambda q, *_: q.answer  # noqa: E731
    wrong = lambda q: "ABCD"[("ABCD".index(q.answer) + 1) % 4]  # noqa: E731
    lost = lambda q, level, _: q.answer if level != "hard" else wrong(q)  # noqa: E731
    won = lambda q, level, _: q.answer if level == "hard" else wrong(q)  # noqa: E731
    open_ = lambda q, level, _: wrong(q) if (level, q.index) == ("hard", 3) else q.answer  # noqa: E731
    assert colours(right) == ([], True)
    assert colours(lost) == (["lost"], False)
    assert colours(won) == (["won"], False)
    assert colours(open_) == ([], True)


def test_a_published_result_has_no_heat_map_of_dashes(tmp_path):
    asked = [question(n, "MMBench_DEV_EN", "ABCD"[n % 4]) for n in range(12)]
    run = write_run(tmp_path / "run", asked, hard_to_see, corruptions=CORRUPTIONS)
    write_page(*open_runs([str(run), "paper:clear-rl"]), tmp_path / "p.html", examples=0)
    read = Page((tmp_path / "p.html").read_text("utf-8"))
    names = [f["aria-label"] for _, f in read.tags if f.get("class") == "scroll"]
    maps = [name for name in names if name.startswith("By ") and "–" in name]
    assert maps == ["By corruption – toy-model", "By question category – toy-model"]


def test_a_page_of_minus_one_examples_is_refused(built, tmp_path):
    with pytest.raises(UsageError, match="examples must be a whole number of at least 0, got -1"):
        write_page(built[1], built[2], tmp_path / "p.html", examples=-1)


def test_the_lost_questions_are_those_of_the_scripted_model():
    lost = [
        q.index
        for q in questions()
        if hard_to_see(q, "clean", None) == q.answer != hard_to_see(q, "hard", "x")
    ]
    assert lost == [0, 2, 3, 4, 5, 7, 8, 9, 10]


def test_a_place_that_is_a_folder_is_refused_before_the_run_is_read(tmp_path):
    done = CliRunner().invoke(app, ["page", str(tmp_path / "no run"), "-o", str(tmp_path)])
    assert done.exit_code == 4
    assert f"Cannot write {tmp_path}" in done.stderr
    assert "no run" not in done.stderr
