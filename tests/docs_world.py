"""A small world in which the documentation's commands run: pictures, benchmarks, models that stand in.

Nothing is downloaded and nobody is paid. Benchmarks of a few questions lie where the real ones would;
model cards in the user's configuration, which come before mmdbench's own, lead to a server on this
machine, to a model that picks at random, or to one that knows the answers.
"""

from __future__ import annotations

import base64
import csv
import json
from pathlib import Path

from mmdbench.benches import open_bench

QUESTIONS = 8

# The models that pages speak of, and what stands in for each.
CARDS = """
[baseline]
adapter = "knowing.py"

[clear-rl]
adapter = "chance"

[my-qwen]
adapter = "chance"

[my-model]
adapter = "knowing.py"
"""
SERVED = ("gpt-4.1", "gpt-4.1-mini", "gpt-4o-mini", "vllm", "my-server")
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
"""Knows the answers, as no model does: what loses against it loses for sure."""
import json
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


def furnish(folder: Path, url: str) -> None:
    """Put everything that the pages' commands find into a folder."""
    questions = [q for q in open_bench("mini").questions if {"A", "B"} <= set(q.options)]
    (folder / "answers.json").write_text(json.dumps({q.text: q.answer for q in open_bench("mini").questions}))
    (folder / "knowing.py").write_text(KNOWING)
    cards = CARDS + "".join(SERVED_CARD.format(name=name, url=url) for name in SERVED)
    configuration = folder / "config" / "mmdbench" / "models.toml"
    configuration.parent.mkdir(parents=True)
    configuration.write_text(cards)
    for name in ("photos", "pictures"):
        (folder / name).mkdir()
    for place, name in enumerate(("street.jpg", "shelf.jpg", "kitchen.jpg")):
        for target in ("photos", "pictures"):
            (folder / target / name).write_bytes(questions[7 * place].images[0].read())
    (folder / "photo.jpg").write_bytes(questions[0].images[0].read())
    data = folder / "LMUData"
    data.mkdir()
    for name, more in COLUMNS.items():
        _write(data / f"{name}.tsv", questions[:QUESTIONS], more)


def _write(path: Path, questions: list, more: tuple[str, ...]) -> None:
    head = ["index", "question", "A", "B", "answer", "category", *more, "image"]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, head, delimiter="\t", lineterminator="\n", extrasaction="ignore")
        writer.writeheader()
        for index, question in enumerate(questions):
            picture = base64.b64encode(question.images[0].read()).decode()
            options = {label: question.options[label] for label in "AB"}
            row = {**VALUES, "index": index, "question": question.text, **options, "image": picture}
            writer.writerow({**row, "answer": question.answer if question.answer in "AB" else "A"})


def environment(folder: Path) -> dict[str, str]:
    """The variables of that world: its own home, its own data, no network, a key that opens nothing."""
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
