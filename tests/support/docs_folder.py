"""The folder in which the documentation's commands run: pictures, small benchmarks and model cards.

Nothing is downloaded or paid for. Benchmarks of a few questions replace the real ones. Model cards in
the user's configuration, which take precedence over mmdbench's own, name a server on this machine, a
model that picks at random, or one that knows the answers.
"""

from __future__ import annotations

import base64
import csv
import io
import json
import shutil
from functools import lru_cache
from pathlib import Path

from PIL import Image

from docs_blocks import ROOT
from mmdbench.benches import open_bench
from mmdbench.benches.catalog import find_bench
from mmdbench.benches.fetch import find_bench_file
from rbench_samples import write_csv

QUESTIONS = 8
PHOTOS = ("coffee.jpg", "chelsea.jpg", "dog.jpg", "rocket.jpg")

# Models named in pages, by the model that replaces them.
KNOWING_MODELS = ("baseline", "my-model")
CHANCE_MODELS = ("bagel", "clear-rl", "my-qwen")
CARD = '["{name}"]\nadapter = "{adapter}"\n'
SERVED = {"gpt-4.1": "judge", "gpt-4.1-mini": "model", "vllm": "model"}
SERVED_CARD = """
["{name}"]
adapter = "openai"
model = "toy-1"
endpoint = "{url}"
key_env = "TOY_KEY"
price = {{ input = 1, output = 2, date = "2026-01-01" }}
generation = {{ temperature = 0, max_tokens = 64 }}
"""
KNOWING = '''
"""Knows the answers, so that any other model loses against it."""
import json
import shutil
from pathlib import Path
from mmdbench.records import Outcome

ANSWERS = json.loads(Path("answers.json").read_text())


class Knowing:
    def fingerprint(self):
        return {"adapter": "knowing"}

    def generate(self, requests):
        return [Outcome(ANSWERS.get(r.question, "A")) for r in requests]


def load(card):
    return Knowing()
'''
COLUMNS = {
    "MMBench_DEV_EN_V11": ("hint", "l2-category", "source", "comment", "split"),
    "MMVet": (),
    "MMVP": (),
    "CV-Bench-2D": ("prompt", "source", "split"),
    "CV-Bench-3D": ("prompt", "source", "split"),
    "MMStar": ("l2_category",),
    "RealWorldQA": (),
}
VALUES = {"source": "COCO", "split": "2D", "prompt": "Which one? (A) or (B)", "category": "c0"}


def fill_folder(folder: Path, urls: dict[str, str]) -> None:
    """Write the files that the pages' commands need; `urls` has the servers of model and judge."""
    questions = [q for q in open_bench("mini").questions if {"A", "B"} <= set(q.options)]
    (folder / "answers.json").write_text(json.dumps({q.text: q.answer for q in open_bench("mini").questions}))
    (folder / "knowing.py").write_text(KNOWING)
    cards = [CARD.format(name=name, adapter="knowing.py") for name in KNOWING_MODELS]
    cards += [CARD.format(name=name, adapter="chance") for name in CHANCE_MODELS]
    cards += [SERVED_CARD.format(name=name, url=urls[which]) for name, which in SERVED.items()]
    configuration = folder / "config" / "mmdbench" / "models.toml"
    configuration.parent.mkdir(parents=True)
    configuration.write_text("\n".join(cards))
    for target in ("photos", "pictures"):
        (folder / target).mkdir()
        for question in questions:
            if question.fields["photo"] in PHOTOS:
                (folder / target / question.fields["photo"]).write_bytes(question.images[0].read())
    (folder / "photo.jpg").write_bytes(questions[0].images[0].read())
    data = folder / "LMUData"
    data.mkdir()
    _write(data / "R-bench-dis.tsv", questions[:6], ())
    write_csv(data)
    _write_rows(folder / "llava.jsonl", questions[:QUESTIONS])
    for name, more in COLUMNS.items():
        _write(data / f"{name}.tsv", questions[:QUESTIONS], more)
    for level in ("LOW", "MID", "HIGH"):
        _write(data / f"MMStar_LOW_LEVEL_{level}.tsv", questions[:QUESTIONS], COLUMNS["MMStar"])
    shutil.copytree(ROOT / "examples", folder / "examples")


def _write_rows(path: Path, questions: list) -> None:
    lines = []
    for index, question in enumerate(questions):
        turns = [("human", f"<image>\n{question.text}"), ("gpt", question.options[question.answer])]
        said = [{"from": speaker, "value": text} for speaker, text in turns]
        picture = base64.b64encode(_small(question.images[0].read())).decode()
        lines.append(json.dumps({"id": str(index), "image": picture, "conversations": said}))
    path.write_text("\n".join(lines), "utf-8")


def write_small_mini(path: Path) -> None:
    """Write `mini` with its photographs made smaller, so that commands on it take less time."""
    whole = find_bench_file(find_bench("mini"))
    lines = whole.read_text("utf-8").splitlines()
    rows = [line.rpartition("\t") for line in lines[1:]]
    # A short cell is the index of the row that holds the picture.
    small = [f"{head}\t{_small_text(cell) if len(cell) > 9 else cell}" for head, _, cell in rows]
    path.write_text("\n".join([lines[0], *small]) + "\n", "utf-8")


def _small_text(picture: str) -> str:
    return base64.b64encode(_small(base64.b64decode(picture))).decode()


def _write(path: Path, questions: list, more: tuple[str, ...]) -> None:
    head = ["index", "question", "A", "B", "answer", "category", *more, "image"]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, head, delimiter="\t", lineterminator="\n", extrasaction="ignore")
        writer.writeheader()
        for index, question in enumerate(questions):
            picture = base64.b64encode(_small(question.images[0].read())).decode()
            options = {label: question.options[label] for label in "AB"}
            row = {**VALUES, "index": index, "question": question.text, **options, "image": picture}
            writer.writerow({**row, "answer": question.answer if question.answer in "AB" else "A"})


@lru_cache
def _small(data: bytes, width: int = 120) -> bytes:
    """A photograph that is quickly degraded and restored."""
    with Image.open(io.BytesIO(data)) as image:
        buffer = io.BytesIO()
        image.convert("RGB").resize((width, width * image.height // image.width)).save(buffer, "JPEG")
    return buffer.getvalue()


def environment(folder: Path) -> dict[str, str]:
    """Environment variables for the folder: its own home and data, no network, a key without use."""
    return {
        "HOME": str(folder),
        "LMUData": str(folder / "LMUData"),
        "XDG_CONFIG_HOME": str(folder / "config"),
        "XDG_CACHE_HOME": str(folder / "cache"),
        "TOY_KEY": "nothing",
        "HF_HUB_OFFLINE": "1",
        "NO_ALBUMENTATIONS_UPDATE": "1",
        "NO_COLOR": "1",
    }
