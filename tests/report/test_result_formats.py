"""Scores in the formats of other tools, read back by these tools where they are installed."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from mmdbench.cli import app
from mmdbench.errors import UnknownNameError, UsageError
from mmdbench.library import evaluate, load_run
from mmdbench.library.run import RESULT_FORMATS, Run
from optional_packages import needs
from pictures import picture, png

LEVELS = ("clean", "hard")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of the chance model about some questions of mini, at two levels."""
    folder = tmp_path_factory.mktemp("formats") / "run"
    return evaluate("chance", "mini", levels=LEVELS, sample=12, out=folder, progress=False)


@pytest.fixture(scope="module")
def scores(run: Run) -> dict[str, float]:
    """The scores in points by level, as the report has them."""
    frame = run.scores().frame()
    rows = frame[frame["row"] == "mini"]
    return {level: float(rows[rows["column"] == level]["value"].iloc[0]) for level in LEVELS}


def exported(run: Run, folder: Path, form: str) -> list[Path]:
    return list(run.export_scores(folder, form).files)


def test_inspect_logs_hold_every_sample_and_the_score(
    run: Run, scores: dict[str, float], tmp_path: Path
) -> None:
    paths = exported(run, tmp_path, "inspect")
    logs = [json.loads(path.read_text()) for path in paths]
    assert [log["eval"]["task"] for log in logs] == ["mini_clean", "mini_hard"]
    for log, level in zip(logs, LEVELS, strict=True):
        metrics = log["results"]["scores"][0]["metrics"]
        assert metrics["accuracy"]["value"] == pytest.approx(scores[level] / 100)
        rows = [row for row in run.rows() if row["level"] == level]
        assert [s["output"]["completion"] for s in log["samples"]] == [row["reply"] for row in rows]
        values = ["C" if row["grade"] == 1 else "I" for row in rows]
        assert [s["scores"]["mmdbench"]["value"] for s in log["samples"]] == values
        assert all(s["target"] and s["choices"] and s["input"] for s in log["samples"])


@needs("inspect_ai")
def test_inspect_itself_reads_the_logs(run: Run, scores: dict[str, float], tmp_path: Path) -> None:
    from inspect_ai.log import list_eval_logs, read_eval_log

    exported(run, tmp_path, "inspect")
    found = {info.task: read_eval_log(info) for info in list_eval_logs(str(tmp_path))}
    assert set(found) == {"mini-clean", "mini-hard"}
    log = found["mini-hard"]
    assert log.status == "success"
    assert log.results.scores[0].metrics["accuracy"].value == pytest.approx(scores["hard"] / 100)
    assert len(log.samples) == log.eval.dataset.samples == 12
    assert log.samples[0].messages[-1].text == log.samples[0].output.completion


@needs("inspect_ai")
def test_inspects_viewer_takes_the_logs(run: Run, tmp_path: Path) -> None:
    from inspect_ai.log import bundle_log_dir

    paths = exported(run, tmp_path / "logs", "inspect")
    bundle_log_dir(str(tmp_path / "logs"), str(tmp_path / "site"))
    assert (tmp_path / "site/index.html").exists()
    listed = json.loads((tmp_path / "site/logs/listing.json").read_text())
    assert sorted(listed) == sorted(path.name for path in paths)
    assert {found["status"] for found in listed.values()} == {"success"}


def test_lm_eval_files_hold_scores_and_samples(run: Run, scores: dict[str, float], tmp_path: Path) -> None:
    results, *samples = exported(run, tmp_path, "lm-eval")
    record = json.loads(results.read_text())
    assert re.fullmatch(r"results_\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{6}\.json", results.name)
    for level in LEVELS:
        entry = record["results"][f"mini_{level}"]
        assert entry["acc,none"] == pytest.approx(scores[level] / 100)
        assert 0 < entry["acc_stderr,none"] < 0.5
        assert record["n-samples"][f"mini_{level}"] == {"original": 12, "effective": 12}
    lines = [json.loads(line) for line in samples[0].read_text().splitlines()]
    assert math.fsum(line["acc"] for line in lines) / 12 == pytest.approx(scores["clean"] / 100)
    assert len({line["doc_hash"] for line in lines}) == 12


@needs("lm_eval", "pytablewriter", "jinja2")
def test_lm_eval_itself_prints_the_scores(run: Run, scores: dict[str, float], tmp_path: Path) -> None:
    from lm_eval.utils import get_file_datetime, get_file_task_name, make_table

    results, *samples = exported(run, tmp_path, "lm-eval")
    table = make_table(json.loads(results.read_text()))
    assert f"{scores['hard'] / 100:.4f}" in table
    assert get_file_task_name(samples[0].name) == "mini_clean"
    assert get_file_datetime(results.name).startswith(get_file_datetime(samples[0].name))


def test_every_eval_ever_files_have_their_place_and_digest(
    run: Run, scores: dict[str, float], tmp_path: Path
) -> None:
    path, samples = exported(run, tmp_path, "every-eval-ever")
    record = json.loads(path.read_text())
    details = record["detailed_evaluation_results"]
    assert tmp_path / details["file_path"] == samples
    assert details["checksum"] == hashlib.sha256(samples.read_bytes()).hexdigest()
    by_name = {result["evaluation_name"]: result for result in record["evaluation_results"]}
    for level in LEVELS:
        found = by_name[f"mini_{level}"]["score_details"]
        assert found["score"] == pytest.approx(scores[level])
        interval = found["uncertainty"]["confidence_interval"]
        assert interval["lower"] <= found["score"] <= interval["upper"]
    lines = [json.loads(line) for line in samples.read_text().splitlines()]
    assert len(lines) == details["total_rows"] == 24
    assert {line["evaluation_id"] for line in lines} == {record["evaluation_id"]}


@needs("every_eval_ever")
def test_every_eval_ever_itself_accepts_the_files(run: Run, tmp_path: Path) -> None:
    from every_eval_ever.cli import main

    paths = run.export_scores(tmp_path, "every-eval-ever", developer="mmdbench").files
    assert main(["validate", *map(str, paths)]) == 0


@needs("every_eval_ever")
def test_every_eval_ever_converts_the_files_of_lm_eval(
    run: Run, scores: dict[str, float], tmp_path: Path
) -> None:
    from every_eval_ever.converters.lm_eval.adapter import LMEvalAdapter

    results, *_ = exported(run, tmp_path, "lm-eval")
    adapter = LMEvalAdapter()
    metadata = {
        "source_organization_name": "me",
        "evaluator_relationship": "other",
        "parent_eval_output_dir": str(tmp_path),
    }
    made = adapter.transform_from_file(str(results), metadata_args=metadata)
    values = {
        found.evaluation_name: found.score_details.score for log in made for found in log.evaluation_results
    }
    assert values["mini_hard"] == pytest.approx(scores["hard"] / 100)


def test_huggingface_files_are_of_a_published_build(
    run: Run, scores: dict[str, float], tmp_path: Path
) -> None:
    made = run.export_scores(tmp_path, "huggingface", dataset="me/degraded")
    clean, hard, _ = made.files
    assert hard == tmp_path / ".eval_results/mini_hard.yaml"
    (entry,) = yaml.safe_load(hard.read_text())
    assert entry["dataset"] == {"id": "me/degraded", "task_id": "mini_hard"}
    assert entry["value"] == pytest.approx(scores["hard"], abs=1e-4)
    assert "protocol clear/1" in entry["notes"]
    assert clean.exists()


def test_degraded_scores_have_no_place_on_the_leaderboard_of_the_clean_dataset(
    run: Run, tmp_path: Path
) -> None:
    """`mini` has no dataset on the Hub; without one there is a model-index alone."""
    (path,) = exported(run, tmp_path, "huggingface")
    assert path.name == "model-index.yaml"


@needs("huggingface_hub")
def test_the_hubs_client_reads_evaluation_results(run: Run, scores: dict[str, float], tmp_path: Path) -> None:
    from huggingface_hub import parse_eval_result_entries

    _, hard, _ = run.export_scores(tmp_path, "huggingface", dataset="me/degraded").files
    (entry,) = parse_eval_result_entries(yaml.safe_load(hard.read_text()))
    assert (entry.dataset_id, entry.task_id) == ("me/degraded", "mini_hard")
    assert entry.value == pytest.approx(scores["hard"], abs=1e-4)


@needs("huggingface_hub")
def test_the_hubs_client_reads_the_model_index(run: Run, scores: dict[str, float], tmp_path: Path) -> None:
    from huggingface_hub import ModelCard

    (path,) = exported(run, tmp_path, "huggingface")
    results = ModelCard(f"---\n{path.read_text()}---\nhello\n").data.eval_results
    values = {result.dataset_args["level"]: result.metric_value for result in results}
    assert values == {level: pytest.approx(scores[level], abs=1e-4) for level in LEVELS}


def test_the_same_run_gives_the_same_files(run: Run, tmp_path: Path) -> None:
    for form in RESULT_FORMATS:
        one, two = (exported(run, tmp_path / part / form, form) for part in "ab")
        assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]


def test_the_command_writes_scores_and_replies(run: Run, tmp_path: Path) -> None:
    def export(*words: Any) -> Any:
        return CliRunner().invoke(app, ["export", str(run.folder), *map(str, words)])

    done = export("--format", "inspect", "-o", tmp_path / "logs")
    assert done.exit_code == 0, done.output
    assert len(list((tmp_path / "logs").iterdir())) == 2
    wrong = export("--format", "inspekt", "-o", tmp_path / "x")
    assert wrong.exit_code == 2
    assert "inspect" in wrong.output
    assert export("--format", "lm-eval", "--dataset", "a/b", "-o", tmp_path / "x").exit_code == 2


def test_formats_and_datasets_that_are_none_are_refused(run: Run, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="result format"):
        run.export_scores(tmp_path, "jsonl")
    with pytest.raises(UsageError, match="--developer must be one word"):
        run.export_scores(tmp_path, "every-eval-ever", developer="../x")
    with pytest.raises(UsageError, match="--dataset takes owner/name"):
        run.export_scores(tmp_path, "huggingface", dataset="degraded")


def test_several_corruptions_and_repeats_are_samples_of_their_own(tmp_path: Path) -> None:
    made = evaluate(
        "chance", "mini", levels=["hard"], sample=2, design="grid", out=tmp_path / "run", progress=False
    )
    (path,) = made.export_scores(tmp_path / "logs", "inspect").files
    samples = json.loads(path.read_text())["samples"]
    assert len({sample["id"] for sample in samples}) == len(samples) == len(made.rows()) > 2


def test_a_run_of_another_task_is_refused(tmp_path: Path) -> None:
    made = evaluate("chance", "mini", task="perceive", sample=4, out=tmp_path / "run", progress=False)
    with pytest.raises(UsageError, match="are for the task answer, this run is of perceive"):
        made.export_scores(tmp_path / "x", "inspect")


def test_open_answers_without_a_judge_are_left_out_and_named(tmp_path: Path) -> None:
    text = base64.b64encode(png(picture(1))).decode()
    lines = [f"{n}\tWhat is it?\ta cat\t{text}" for n in range(3)]
    path = tmp_path / "MMVet_own.tsv"  # its name says its family
    path.write_text("\n".join(["index\tquestion\tanswer\timage", *lines, ""]))
    made = evaluate(
        "chance",
        ["mini", str(path)],
        levels=["clean"],
        sample="3/bench",
        out=tmp_path / "run",
        progress=False,
    )
    assert made.export_scores(tmp_path / "x", "lm-eval").without_score == ("MMVet_own",)


def test_failed_replies_are_errors_of_their_sample(tmp_path: Path) -> None:
    def fails(images: Any, prompt: str) -> str:
        raise ValueError("no")

    made = evaluate(
        fails, "mini", levels=["clean"], sample=3, out=tmp_path / "run", progress=False, max_error_rate=1.0
    )
    (path,) = load_run(made.folder).export_scores(tmp_path / "logs", "inspect").files
    log = json.loads(path.read_text())
    assert log["results"]["completed_samples"] == 0
    assert all(sample["error"]["message"].startswith("error: ") for sample in log["samples"])
