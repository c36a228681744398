"""Readers of files that somebody else may have written or damaged: for each an example and the call.

`FOLDERS` make folders with whole files; `READERS` name a file there, its changes, and everything that
reads it. Where a table or verdict is made of what was read, the call makes it.
"""

from __future__ import annotations

import base64
import json
import math
import secrets
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import yaml

from build_samples import build, opened, photograph, write_tsv
from mmdbench.benches import open_bench
from mmdbench.benches.column_map import recall_columns
from mmdbench.benches.fetch import recorded_check
from mmdbench.benches.lmms_task import read_task
from mmdbench.builds.build_folder import take_over
from mmdbench.builds.manifest import Identity, read_build
from mmdbench.builds.output_writer import read_checkpoint
from mmdbench.builds.plan import BuildPlan, plan_benches
from mmdbench.builds.replay import ImageQuery, find_picture, read_manifest_of, replay
from mmdbench.builds.source_benches import SourceBenches, find_source_benches
from mmdbench.builds.verify import VerifySettings, verify_build
from mmdbench.check import accept, check_run, read_baseline
from mmdbench.corruptions.spec_file import load_spec
from mmdbench.errors import MmdbenchError
from mmdbench.library.frames import reply_rows
from mmdbench.models.cards import ModelCard, find_card, read_cards, set_options
from mmdbench.models.registry import open_model
from mmdbench.records import LEVELS, Reply, RunPlan
from mmdbench.report.cite import citations, methods
from mmdbench.report.load import open_runs
from mmdbench.report.page.quality_curves import quality_curves
from mmdbench.report.render.csv_parquet import as_csv
from mmdbench.report.render.markdown import markdown
from mmdbench.report.render.report_files import as_json
from mmdbench.results.graded_arms import Judging
from mmdbench.results.graded_run import load_results
from mmdbench.results.judging.journal import JsonlJournal
from mmdbench.results.quality.measure import measure
from mmdbench.results.rescoring import record_judge, regrade, write_regraded
from mmdbench.run.batch_journal import BatchFile, BatchJournal, SentBatch, SentRequest
from mmdbench.run.canary_news import is_news
from mmdbench.run.engines.settings import read_runtime_env
from mmdbench.run.generations import read_generation
from mmdbench.run.manifest import find_manifest, require_own_folder, run_identity
from mmdbench.run.merge import merge_runs
from mmdbench.run.store import read_index
from mmdbench.scoring import JudgeReply, Rules, load_heads, read_predictions
from mmdbench.system.environment import cache_folder
from mmdbench.system.remote.listing import CopyState, read_listing
from mmdbench.system.weights_header import read_header
from mmdbench.training.rows import bench_of_rows
from mmdbench.training.training_format import read_records
from mmdbench.variants.restoration import open_restorer
from mutations import change_bytes, change_cells, change_json, change_lines, change_text, change_zip
from run_folders import question, write_run


@dataclass(frozen=True)
class Reader:
    """A file in a folder of `FOLDERS`, the changes made to it, and the call that reads the folder."""

    folder: str
    file: str
    change: Callable
    read: Callable[[Path], object]


class OneLetter:
    """A judge that finds the first option in every reply."""

    id = "toy-judge@1"

    def ask(self, call):
        return JudgeReply("A", served="toy-1")


def run_folder(folder):
    """A run with everything that a run's folder can hold."""
    fingerprint = {
        "name": "toy-model",
        "endpoint": "http://10.0.0.1/v1",
        "instruction": {"id": "i", "exact": False},
    }
    times = {"begun": "2026-11-01T00:00:00.000+00:00", "seconds": 2.5, "asked": 20}
    manifest = {
        "model": {
            "name": "toy-model",
            "adapter": "toy",
            "model": "toy-1",
            "endpoint": "http://10.0.0.1/v1",
            "options": {"served_by": "lab"},
            "generation": {"temperature": 0},
            "price": {"input": 1.0, "output": 2.0, "date": "2026-01-01", "cached_input": None, "batch": 0.5},
            "context": None,
            "images": {"tokens": {"rule": "x"}},
            "fingerprint": fingerprint,
        },
        "sessions": [{**times, "cost_usd": 0.1, "tokens": {"read": 1, "written": 2}}],
        "generation": {"number": 1, "since": "2026-10-01T00:00:00.000+00:00", "begun": "", "finished": True},
        "canary": {
            "verdict": "passed",
            "fingerprint": "f",
            "suspects": [{"since": "2026-10-01", "until": "2026-12-01", "said": "x"}],
        },
        "restoration": {"fingerprint": {"name": "wiener"}, "clean": True},
        "released": [
            {
                "bench": "toy",
                "level": "hard",
                "corruption": "graffiti",
                "sha256": "a",
                "file": "x.tsv",
                "differ": 2,
            }
        ],
        "judge_sessions": [{"judge": OneLetter.id, "served": {"models": {"toy-1": 2}}}],
        "prompt_override": True,
        "extraction": "sane/1",
        "judge": None,
        "git": {"commit": "c", "dirty": False},
    }

    def answer(q, level, corruption):
        texts = ("A", "The answer is (B).", "It could be red or green.", "")
        usage = {"prompt": 100, "completion": 7, "cached": 3}
        return {
            "text": texts[q.index % 4],
            "status": "error" if q.index == 3 else "ok",
            "reason": "timeout at http://10.0.0.1/v1" * (q.index == 3),
            "images": ({"pixels": "p", "no_op": False, "recipe": RECIPE, "restored": {"seconds": 0.5}},),
            "details": {
                "usage": usage,
                "model": "toy-1",
                "seconds": {"vision": 0.1},
                "finish_reason": "stop",
                "restorations": 1,
                "answer_probability": 0.75,
                "answer_letter": "A",
                "replaced_characters": 1,
                "reasoning": "so",
            },
            "asked": "2026-11-01T00:00:01.000+00:00",
            "generation": 1,
        }

    questions = [question(i) for i in range(4)]
    write_run(
        folder, questions, answer, levels=("clean", "hard"), manifest=manifest, sample="4", max_error_rate=0.5
    )
    regraded = regrade(folder, Rules(), judging=judging(folder))
    record_judge(regraded)
    write_regraded(regraded)
    metrics = {"metrics": ["brisque"], "implementations": {"brisque": {"package": "x", "version": "1"}}}
    images = [{"kind": "degraded", "level": "hard", "pixels": "p", "corruption": "graffiti", "brisque": 4.5}]
    record = {"kind": "mmdbench quality", **metrics, "images": images}
    (folder / "quality.json").write_text(json.dumps(record))
    value = {"pixels": "p", "metric": "brisque/1", "value": 4.5}
    (folder / "quality-cache.jsonl").write_text((json.dumps(value) + "\n") * 2)
    accept(load_results(folder), folder / "baseline.json")
    _add_batch(folder)


def judging(folder):
    """The judge of the run in a folder, with its journal."""
    return Judging(OneLetter(), load_heads(), JsonlJournal(folder / "judge.jsonl"), workers=1)


RECIPE = {
    "image": "p",
    "corruption": "graffiti",
    "intensity": 0.9,
    "profile": "paper",
    "spec_version": "1",
    "seed": 0,
    "codec": "jpeg:95",
}


def _add_batch(folder):
    reply = Reply("k", "toy", 0, "clean", None, "ok", "")
    file = BatchFile(folder)
    file.add(b"{}\n", SentRequest(reply, {"A": "red"}))
    file.path.unlink()
    (folder / "batches" / f"{file.name}.jsonl").rename(folder / "batches" / "b.jsonl")
    journal = BatchJournal(folder)
    journal.path.touch()
    journal.write(SentBatch("b", requests=1), {"requests": 1, "usd": 0.5, "generation": 0})
    journal.write(SentBatch("b", "batch_1", 1), {"id": "batch_1"})


def read_whole_run(folder):
    """Everything that is made of a stored run: tables, texts, a page's curves, another grading, a merge."""
    results, tables = open_runs([str(folder)])
    made = as_json(tables)
    json.loads(made, parse_constant=_no_number)
    markdown(tables)
    as_csv(tables)
    quality_curves(results)
    reply_rows(results[0])
    citations(results)
    methods(results[0])


def resume_run(folder):
    """The reading of a run that eval resumes."""
    plan = RunPlan("toy-model", ("toy",), levels=("clean", "hard"), sample="4")
    require_own_folder(
        folder, plan, ModelCard("toy-model", "toy", model="toy-1"), [SimpleNamespace(name="toy", sha256="x")]
    )
    found = find_manifest(folder)
    assert found is not None
    read_generation(found)
    run_identity(found)
    read_index(folder, "2026-10-01", {})


def _no_number(name):
    raise AssertionError(f"{name} in a report")


def read_run_or_resume(folder):
    """All uses of a run's folder."""
    _each(folder, read_whole_run, resume_run, merge)


def _each(folder, *uses):
    """Call each use, whatever becomes of the others; raises the last error of ours."""
    refused = None
    for use in uses:
        try:
            use(folder)
        except MmdbenchError as error:
            refused = error
    if refused:
        raise refused


def merge(folder):
    """The merge of a run that is one shard."""
    merge_runs([folder], folder.parent / "merged")


def read_batches(folder):
    journal = BatchJournal(folder)
    journal.record()
    for batch in journal.open:
        list(journal.requests(batch))


def check_baseline(folder):
    run = load_results(folder)
    found = check_run(run, read_baseline(folder / "baseline.json"), load_spec())
    assert all(math.isfinite(row.loss) for row in found.rows)


def build_folder(folder):
    write_tsv(folder / "toy.tsv", rows=3, width=32, height=24)
    build(folder / "toy.tsv", folder / "build", levels=("hard",), workers=1)
    (folder / "build" / "checkpoint.json").write_text(json.dumps(CHECKPOINT))
    for kind in ("folder", "parquet", "webdataset"):
        build(folder / "toy.tsv", folder / kind, levels=("hard",), workers=1, format=kind)


PART = {"file": "toy_hard.tsv", "bytes": 1, "sha256": "x"}
COUNTS = {"rows": 1, "pictures": 1, "references": 0, "no_ops": 0, "left_out": [2]}
STATE = {"sink": {"closed": [PART], "part": PART, "first": 1}, "log": PART, "counts": COUNTS}
CHECKPOINT = {"rows": 1, "outputs": {"toy_hard": STATE}}


def read_whole_build(folder):
    """Everything that reads a build: what verifies it, makes a picture again, and resumes it."""
    _each(folder, _verify, _replay, _take_over)


def verify_other(kind):
    """The verification of a build of that format, without its benchmark."""
    return lambda folder: verify_build(folder / kind, SourceBenches(), VerifySettings(workers=1))


def _verify(folder):
    manifest = read_build(folder / "build")
    sources = find_source_benches(manifest, folder / "build", files=())
    verify_build(folder / "build", sources, VerifySettings(workers=1))
    verify_build(folder / "build", SourceBenches(), VerifySettings(workers=1))


def _take_over(folder):
    plan, benches, spec = (
        BuildPlan((str(folder / "toy.tsv"),), levels=("hard",)),
        [opened(folder / "toy.tsv")],
        load_spec(),
    )
    identity = Identity.of(plan, benches, spec, read_build(folder / "build")["versions"])
    take_over(folder / "build", identity, plan_benches(plan, benches, spec))


def _replay(folder):
    _, logs = read_manifest_of(folder / "build")
    found = find_picture(logs, ImageQuery("0"))
    replay(found, opened(folder / "toy.tsv"))
    for _, path in logs:
        read_manifest_of(path)


def other_folder(folder):
    """Files that belong to no run or build."""
    (folder / "cards.toml").write_text(CARDS)
    (folder / "restorers.toml").write_text('[mine]\nfunction = "math:sqrt"\nmultiple = 8\n')
    (folder / "env.yaml").write_text("env_vars:\n  HF_HOME: /x\npip: [a, b]\n")
    source = Path(load_spec.__code__.co_filename).parents[1] / "corruptions_spec.yaml"
    spec = yaml.safe_load(source.read_text("utf-8"))
    spec["corruptions"] = {n: spec["corruptions"][n] for n in ("lens_blur", "graffiti")}
    (folder / "spec.yaml").write_text(yaml.safe_dump(spec, sort_keys=False))
    rows = [{"index": i, "prediction": "ABC"[i % 3]} for i in range(4)]
    (folder / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "p.json").write_text(json.dumps(rows))
    (folder / "q.json").write_text(json.dumps({"index": [0, 1], "prediction": ["A", "B"]}))
    (folder / "p.tsv").write_text(
        "index\tprediction\n" + "".join(f"{r['index']}\t{r['prediction']}\n" for r in rows)
    )
    _write_xlsx(folder / "p.xlsx", rows)
    picture = photograph(0, 40, 40)
    turns = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "A"}]
    lines = [
        {"id": str(i), "image": base64.b64encode(picture).decode(), "conversations": turns} for i in range(2)
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "sft.jsonl").write_text(json.dumps(TRAINING) + "\n")
    (folder / "remote.json").write_text(
        json.dumps({"kind": "mmdbench remote folder", "files": {"a": {"size": 1, "sha256": "x"}}})
    )
    known = {"a": {"mark": "m", "size": 1, "sha256": "x", "here": [1, 2], "sending": ""}}
    (folder / "state.json").write_text(json.dumps(known))
    news = folder / "cache" / "mmdbench" / "canary"
    news.mkdir(parents=True)
    (news / "f.json").write_text(json.dumps({"printed": "passed", "at": 1}))
    _write_weights(folder / "w.safetensors")
    _write_wheel(folder / "ms_vlmeval.whl")
    write_tsv(folder / "toy.tsv", rows=3, width=16, height=12)
    state = (folder / "toy.tsv").stat()
    checked = {
        "md5": "m",
        "expected_md5": "m",
        "bytes": state.st_size,
        "mtime_ns": state.st_mtime_ns,
        "url": "",
        "checked": "",
    }
    (folder / "toy.tsv.json").write_text(json.dumps(checked))
    _write_sources(folder, picture)


def _write_sources(folder, picture):
    """Files of other tools that are benchmarks, and what is kept about them."""
    (folder / "photos").mkdir()
    (folder / "photos/0.jpg").write_bytes(picture)
    row = {"question": "What?", "A": "yes", "B": "no", "answer": 1}
    lines = [{"file_name": "0.jpg", **row}, {"file_name": "0.jpg", **row, "answer": 0}]
    (folder / "photos/metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    questions = [{"question_id": n, "image_id": 7, "question": "What?"} for n in (1, 2)]
    answers = [{"question_id": n, "multiple_choice_answer": "yes"} for n in (1, 2)]
    images = [{"id": 7, "file_name": "photos/0.jpg"}]
    coco = {"questions": questions, "annotations": answers, "images": images}
    (folder / "coco.json").write_text(json.dumps(coco))
    task = "dataset_path: me/vqa\ntest_split: val\ndoc_to_target: label\ninclude: base.yaml\n"
    (folder / "task.yaml").write_text(task)
    (folder / "base.yaml").write_text("dataset_name: en\ndoc_to_text: !function utils.text\n")
    open_bench(folder / "photos", data_dir=folder / "data")
    kept = folder / "data" / "converted" / "columns.json"
    kept.write_text(json.dumps({str(folder / "photos"): "question=question"}))
    next(kept.parent.glob("*/photos.json")).rename(folder / "source.json")


def read_source(name):
    """Open a file of another tool, with its pictures."""

    def read(folder):
        bench = open_bench(folder / name, data_dir=folder / "own", answers="any")
        for q in bench.with_pictures.questions:
            for image in q.images:
                image.read()

    return read


def read_converted(folder):
    """Open a converted file by its name, with the record of its source."""
    place = next((folder / "data" / "converted").glob("*/photos.tsv"))
    place.with_suffix(".json").write_bytes((folder / "source.json").read_bytes())
    open_bench("photos", data_dir=folder / "data")


def _write_weights(path):
    tensor = {"shape": [1], "dtype": "F32", "data_offsets": [0, 4]}
    header = json.dumps({"__metadata__": {"format": "pt"}, "a": tensor, "b": {**tensor}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))


def _write_wheel(path):
    with zipfile.ZipFile(path, "w") as wheel:
        for name in ("multiple_choice", "mmvet"):
            wheel.writestr(
                f"vlmeval/dataset/utils/{name}.py", "def build_prompt(question):\n    return 'a {b}'\n"
            )


def read_news(folder):
    """The canary's results that were printed, in the user's cache."""
    found = folder / "cache" / "mmdbench" / "canary" / "f.json"
    here = cache_folder() / "canary" / "f.json"
    here.parent.mkdir(parents=True, exist_ok=True)
    here.write_bytes(found.read_bytes())
    assert is_news("f", "passed") in (True, False)


CARDS = """\
["my-model"]
base = "openai"
model = "gpt-4.1-mini"
endpoint = "https://api.openai.com/v1"
key_env = "OPENAI_API_KEY"
generation = { temperature = 0, max_tokens = 2048 }
price = { input = 0.40, output = 1.60, date = "2025-04-14" }
retired = 2027-01-14
context = 4096

[my-model.images]
max_bytes = 1000000
formats = ["png"]

[my-model.headers]
X-Team = "$TEAM"

[my-model.options]
concurrency = 4
"""

TRAINING = {
    "id": "toy-0",
    "images": ["a.png"],
    "messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}],
}


def _write_xlsx(path, rows):
    import openpyxl

    book = openpyxl.Workbook()
    book.active.append(["index", "prediction"])
    for row in rows:
        book.active.append([row["index"], row["prediction"]])
    book.save(path)


def open_cards(folder):
    """The cards of a file, and those of its models that an adapter opens."""
    for name in read_cards(folder / "cards.toml"):
        card = find_card(name, [folder / "cards.toml"])
        set_options(card, ["generation.seed=1"])
        open_model(card)


def open_restorers(folder):
    """The restorer of a file of cards, which is opened once under each path."""
    cards = folder / f"{secrets.token_hex(8)}.toml"
    (folder / "restorers.toml").rename(cards)
    open_restorer("mine", [cards])


def open_questions(folder):
    for q in opened(folder / "toy.tsv").questions:
        for image in q.images:
            image.read()


FOLDERS = {"run": run_folder, "build": build_folder, "other": other_folder}

READERS = {
    "run manifest": Reader("run", "manifest.json", change_json, read_run_or_resume),
    "cells": Reader("run", "cells.jsonl", change_lines, read_whole_run),
    "questions": Reader("run", "questions.jsonl", change_lines, read_whole_run),
    "replies": Reader("run", "replies-0.jsonl", change_lines, read_run_or_resume),
    "judge journal": Reader("run", "judge.jsonl", change_lines, read_whole_run),
    "judge heads": Reader("run", "judge-heads.json", change_json, read_whole_run),
    "grades": Reader(
        "run",
        "grades-clear-1_sane_literal_toy-judge@1.jsonl",
        change_lines,
        lambda folder: regrade(folder, against=next(folder.glob("grades-*.jsonl"))),
    ),
    "quality": Reader("run", "quality.json", change_json, read_whole_run),
    "quality cache": Reader(
        "run", "quality-cache.jsonl", change_lines, lambda folder: measure((), (), folder)
    ),
    "scores": Reader(
        "run",
        "score-clear-1_sane_literal_toy-judge@1.json",
        change_json,
        lambda folder: write_regraded(regrade(folder, judging=judging(folder))),
    ),
    "baseline": Reader("run", "baseline.json", change_json, check_baseline),
    "batch journal": Reader("run", "batches.jsonl", change_lines, read_batches),
    "batch requests": Reader("run", "batches/b.jsonl", change_lines, read_batches),
    "build manifest": Reader("build", "build/manifest.json", change_json, read_whole_build),
    "build log": Reader("build", "build/manifests/toy_hard.jsonl", change_lines, read_whole_build),
    "checkpoint": Reader(
        "build", "build/checkpoint.json", change_json, lambda folder: read_checkpoint(folder / "build")
    ),
    "built TSV": Reader("build", "build/toy_hard.tsv", change_cells, read_whole_build),
    "built folder": Reader("build", "folder/toy_hard/metadata.jsonl", change_lines, verify_other("folder")),
    "built Parquet": Reader(
        "build", "parquet/toy_hard-00000-of-00001.parquet", change_bytes, verify_other("parquet")
    ),
    "built shard": Reader("build", "webdataset/toy_hard-00000.tar", change_bytes, verify_other("webdataset")),
    "TSV": Reader("other", "toy.tsv", change_cells, open_questions),
    "TSV's checksum": Reader(
        "other",
        "toy.tsv.json",
        change_json,
        lambda folder: recorded_check(folder / "toy.tsv", SimpleNamespace(md5="m")),
    ),
    "COCO-VQA": Reader("other", "coco.json", change_json, read_source("coco.json")),
    "pictures' metadata": Reader("other", "photos/metadata.jsonl", change_lines, read_source("photos")),
    "task of lmms-eval": Reader("other", "task.yaml", change_text, lambda f: read_task(f / "task.yaml")),
    "included task": Reader("other", "base.yaml", change_text, lambda f: read_task(f / "task.yaml")),
    "maps of columns": Reader(
        "other",
        "data/converted/columns.json",
        change_json,
        lambda f: recall_columns(f / "data/converted/columns.json", str(f / "photos")),
    ),
    "record of a source": Reader("other", "source.json", change_json, read_converted),
    "model cards": Reader("other", "cards.toml", change_text, open_cards),
    "restorer cards": Reader("other", "restorers.toml", change_text, open_restorers),
    "corruption spec": Reader(
        "other",
        "spec.yaml",
        change_text,
        lambda folder: load_spec(folder / "spec.yaml").intensities[LEVELS[0]],
    ),
    "Ray environment": Reader(
        "other", "env.yaml", change_text, lambda folder: read_runtime_env(folder / "env.yaml")
    ),
    "predictions, xlsx": Reader("other", "p.xlsx", change_zip, lambda f: read_predictions(f / "p.xlsx")),
    "predictions, jsonl": Reader("other", "p.jsonl", change_lines, lambda f: read_predictions(f / "p.jsonl")),
    "predictions, json": Reader("other", "p.json", change_json, lambda f: read_predictions(f / "p.json")),
    "predictions, columns": Reader("other", "q.json", change_json, lambda f: read_predictions(f / "q.json")),
    "predictions, tsv": Reader("other", "p.tsv", change_cells, lambda f: read_predictions(f / "p.tsv")),
    "rows with conversations": Reader(
        "other",
        "rows.jsonl",
        change_lines,
        lambda folder: bench_of_rows(folder / "rows.jsonl", folder / "made"),
    ),
    "header of weights": Reader(
        "other", "w.safetensors", change_bytes, lambda folder: read_header(folder / "w.safetensors")
    ),
    "wheel with judge heads": Reader(
        "other", "ms_vlmeval.whl", change_zip, lambda folder: load_heads(folder / "ms_vlmeval.whl")
    ),
    "canary's news": Reader("other", "cache/mmdbench/canary/f.json", change_json, read_news),
    "training set": Reader("other", "sft.jsonl", change_lines, lambda f: list(read_records(f / "sft.jsonl"))),
    "remote listing": Reader(
        "other",
        "remote.json",
        change_json,
        lambda folder: read_listing((folder / "remote.json").read_bytes(), "s3://x"),
    ),
    "copy state": Reader(
        "other", "state.json", change_json, lambda f: CopyState.load(f / "state.json").files
    ),
}
