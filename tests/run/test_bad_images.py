"""Rows never vanish: a picture that is missing, broken or too large is a failed reply with its reason."""

from __future__ import annotations

import base64
import json

import pytest

from mmdbench.benches import open_bench
from mmdbench.builds import BuildPlan, run_build
from mmdbench.cli.evaluate import evaluate
from mmdbench.errors import ImageDecodeError, MmdbenchError, UsageError
from mmdbench.records import RunPlan
from mmdbench.run import prefetch
from mmdbench.run.forecast import forecast
from mmdbench.run.inputs import RunInputs, RunSettings
from mmdbench.run.store import read_replies
from pictures import damaged_pages, picture, png
from recording_model import CARD, Recorder, toy_run
from run_folders import change_lines
from verb_calls import call


@pytest.fixture
def make_broken(make_tsv):
    """A function that writes a benchmark whose rows 1, 2 and 3 have a cut, no, and a lost picture."""

    def make(rows=8):
        path = make_tsv(rows)
        lines = [line.split("\t") for line in path.read_text().splitlines()]
        lines[2][-1] = lines[2][-1][: len(lines[2][-1]) // 2 // 4 * 4]
        lines[3][-1] = ""
        lines[4][-1] = "77"
        path.write_text("\n".join(map("\t".join, lines)) + "\n")
        return path

    return make


def test_every_kind_of_bad_picture_is_counted_and_the_rest_is_asked(make_broken, tmp_path):
    model, summary = toy_run(make_broken(), tmp_path / "run", levels=("clean", "hard"))
    replies = read_replies(tmp_path / "run").values()
    assert (summary.cells, summary.failed, len(model.asked)) == (16, 6, 10)
    reasons = {r.index: r.reason for r in replies if r.status == "error"}
    assert sorted(reasons) == [1, 2, 3]
    assert "line 3, column 'image', index 1" in reasons[1]
    assert "cannot be decoded" in reasons[1]
    assert "line 4, column 'image', index 2: the row has no picture" in reasons[2]
    assert "line 5, column 'image', index 3: '77' is short" in reasons[3]


@pytest.fixture
def make_awkward(make_tsv):
    """A function that writes a benchmark whose row 1 has a side of 32,767 px, and row 2 a damaged page."""

    def make():
        path = make_tsv(4)
        lines = [line.split("\t") for line in path.read_text().splitlines()]
        lines[2][-1] = base64.b64encode(png(picture(1, 2, 32_767))).decode()
        lines[3][-1] = base64.b64encode(damaged_pages(picture(2))).decode()
        path.write_text("\n".join(map("\t".join, lines)) + "\n")
        return path

    return make


TURBULENCE = {"levels": ("hard",), "design": "grid", "corruptions": ("atmospheric_turbulence",)}


def test_a_picture_that_decodes_but_cannot_be_degraded_is_a_failed_reply_with_its_name(
    make_awkward, tmp_path
):
    model, summary = toy_run(make_awkward(), tmp_path / "run", **TURBULENCE)
    reasons = {r.index: r.reason for r in read_replies(tmp_path / "run").values() if r.status == "error"}
    assert (summary.failed, len(model.asked), sorted(reasons)) == (2, 2, [1, 2])
    assert "line 3, column 'image', index 1: no picture with atmospheric_turbulence" in reasons[1]
    assert "32767×2 px" in reasons[1]
    assert "line 4, column 'image', index 2: " in reasons[2]
    assert "cannot be decoded" in reasons[2]


def test_such_a_picture_is_left_out_of_a_build(make_awkward, tmp_path):
    path = make_awkward()
    summary = run_build(BuildPlan((str(path),), **TURBULENCE), [open_bench(path)], tmp_path / "out")
    (output,) = summary.outputs
    assert (output.rows, output.left_out) == (2, 2)


@pytest.mark.parametrize("where", ["corruptions.operations._applied", "system.images._to_rgb"])
def test_too_little_memory_for_a_picture_ends_a_build_with_what_to_lower(
    make_tsv, tmp_path, monkeypatch, where
):
    """Private: a real lack of memory would end the tests. The row is not left out: its picture is good."""

    def fail(*_):
        raise MemoryError

    path = make_tsv(2)
    bench = open_bench(path)
    monkeypatch.setattr(f"mmdbench.{where}", fail)
    with pytest.raises(MmdbenchError, match=r"index 0: not enough memory .* 64×48 pixels\. Lower --workers"):
        run_build(BuildPlan((str(path),), **TURBULENCE), [bench], tmp_path / "out")


def test_a_sample_and_its_pictures_do_not_depend_on_what_is_broken(make_broken, make_tsv, tmp_path):
    toy_run(make_tsv(8), tmp_path / "whole", levels=("clean", "hard"))
    keys = {r.key for r in read_replies(tmp_path / "whole").values() if r.index > 3}
    toy_run(make_broken(), tmp_path / "run", levels=("clean", "hard"))
    assert keys == {r.key for r in read_replies(tmp_path / "run").values() if r.index > 3}


def test_a_picture_that_is_mended_is_asked_about(make_broken, make_tsv, tmp_path):
    make_broken()
    toy_run(tmp_path / "toy.tsv", tmp_path / "run", levels=("clean",))
    make_tsv(8)
    model, summary = toy_run(tmp_path / "toy.tsv", tmp_path / "run", levels=("clean",))
    assert (summary.asked, len(model.asked), summary.failed) == (3, 3, 0)


def test_error_stops_before_anything_is_asked(make_broken, tmp_path):
    model = Recorder()
    with pytest.raises(ImageDecodeError, match=r"toy\.tsv, line 3, column 'image', index 1"):
        toy_run(make_broken(), tmp_path / "run", model, settings=RunSettings(on_bad_image="error"))
    assert model.asked == []
    assert not (tmp_path / "run" / "manifest.json").exists()


def test_a_forecast_counts_what_will_be_sent(make_broken, tmp_path):
    path = make_broken()
    plan = RunPlan("toy", (str(path),), ("clean",))
    found = forecast(RunInputs(plan, [open_bench(path)], Recorder(), CARD, tmp_path / "run"))
    assert (found.requests, found.images, found.questions) == (5, 5, {"toy": 8})


def test_the_limit_of_pixels_is_a_setting(make_tsv, tmp_path):
    for limit, failed in ((64 * 48 - 1, 4), (64 * 48, 0)):
        folder = tmp_path / "run"
        _, summary = toy_run(
            make_tsv(4), folder, levels=("clean", "hard"), settings=RunSettings(max_pixels=limit)
        )
        assert summary.failed == 2 * failed
    # The digests of pictures are known by now: a lower limit holds all the same.
    _, again = toy_run(make_tsv(5), folder, levels=("clean",), settings=RunSettings(max_pixels=3000))
    assert again.failed == 1 + 4 - again.earlier
    reasons = [r.reason for r in read_replies(folder).values() if r.status == "error"]
    assert any("64×48 pixels is above the limit of 3000" in reason for reason in reasons)


def test_a_picture_above_the_usual_limit_is_degraded_where_the_limit_is_raised(
    make_tsv, tmp_path, monkeypatch
):
    for module in ("system.images", "variants.recipes", "run.prefetch"):
        monkeypatch.setattr(f"mmdbench.{module}.MAX_PIXELS", 1000)
    settings = RunSettings(max_pixels=64 * 48)
    model, summary = toy_run(make_tsv(3), tmp_path / "run", levels=("clean", "hard"), settings=settings)
    assert (summary.failed, len(model.asked)) == (0, 6)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"on_bad_image": "skip"}, "Unknown value of --on-bad-image 'skip'"),
        ({"max_pixels": 0}, "--max-pixels must be a whole number of at least 1, got 0"),
    ],
)
def test_wrong_settings_are_refused(changes, problem):
    with pytest.raises(UsageError, match=problem):
        RunSettings(**changes)


def test_eval_says_what_failed_and_what_to_do(make_broken, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "250")
    args = ("--model", "chance", "--bench", make_broken(), "--level", "clean", "-o", "run", "--quiet")
    said = " ".join(call(evaluate, *args, code=4).split())
    assert "3 of 8 requests have no picture and count as failed; the first: " in said
    assert "3 answers lack a picture that can be read: mend the file" in said
    assert "Run the same command again" not in said
    note = "3 of 8 planned answers have no picture that can be read; they count as wrong"
    for name in ("report.md", "tables.json"):
        assert note in (tmp_path / "run" / name).read_text()
    call(evaluate, *args, "--max-error-rate", "0.5")
    assert "line 3, column 'image', index 1" in call(
        evaluate, *args[:-3], "-o", "other", "--on-bad-image", "error", code=2
    )
    assert not (tmp_path / "other" / "manifest.json").exists()


def test_eval_and_report_name_the_answers_that_were_read_as_labels(make_tsv, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "250")
    path = make_tsv(8)
    path.write_text(path.read_text().replace("\tA\tc", "\ta\tc").replace("\tgrey\tD\t", "\tgrey\t4\t"))
    args = ("--model", "chance", "--bench", path, "--level", "clean", "-o", "run")
    note = "4 answers were read as the label of an option (2 in another case, 2 as a number, counted from 1)"
    said = " ".join(call(evaluate, *args).split())
    assert said.count(f"toy: {note}") == 2  # on standard error, and under the tables
    assert json.loads((tmp_path / "run" / "manifest.json").read_text())["benches"][0]["notes"] == [note]
    assert f"toy: {note}" in (tmp_path / "run" / "report.md").read_text()


def test_a_run_whose_stored_answers_name_no_option_says_so(make_tsv, tmp_path):
    from mmdbench.results.graded_run import load_results

    toy_run(make_tsv(4), tmp_path / "run", levels=("clean",))

    def lower(row):
        row["fields"]["answer"] = row["fields"]["answer"].replace("B", "b")
        return row

    change_lines(tmp_path / "run" / "questions.jsonl", lower)
    (arm,) = load_results(tmp_path / "run").arms
    assert (
        "toy: the right answer of 1 rows is no option of theirs; any reply to them is wrong."
        in arm.score.warnings
    )


def test_a_picture_file_that_is_lost_is_a_failed_row(tmp_path):
    (tmp_path / "a.png").write_bytes(png(picture(1)))
    path = tmp_path / "own.tsv"
    path.write_text("index\tquestion\tA\tB\tanswer\timage_path\n1\tq\tx\ty\tA\ta.png\n2\tq\tx\ty\tB\tb.png\n")
    model, summary = toy_run(path, tmp_path / "run", levels=("clean",))
    assert (summary.failed, len(model.asked)) == (1, 1)


def test_few_large_pictures_wait_for_the_model(make_tsv, tmp_path, monkeypatch):
    """Two pictures of 64×48 pixels are more than the limit of pixels that wait."""
    made, gaps = [], []
    real = prefetch.make_variants

    def counted(planned, images):
        made.append(planned.key)
        return real(planned, images)

    class Counting(Recorder):
        def generate(self, requests):
            gaps.append(len(made) - len(self.asked))
            return super().generate(requests)

    monkeypatch.setattr(prefetch, "make_variants", counted)
    settings = RunSettings(max_pixels=64 * 48 + 1, workers=2)
    model, _ = toy_run(make_tsv(12), tmp_path / "run", Counting(), levels=("recoded",), settings=settings)
    assert len(model.asked) == 12
    assert max(gaps) <= 3
