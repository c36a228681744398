"""Benchmarks of the published names and sizes, with models and a judge that earn given scores.

Pictures are named and not made, which is what lets a run of 22,000 cells take seconds; the
rotations of most circular groups are left out, for their score counts groups.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from mmdbench.records import ImageBytes, Outcome, Variant
from scripted_runs import write_tsv

PLAN = "plan.json"
"""Model → benchmark file → level → sum of hits, in tenths of a hit for MM-Vet."""

SIZES = {
    "MMBench_DEV_EN_V11": 1292,
    "MMVet": 218,
    "MMVP": 300,
    "CV-Bench-2D": 1438,
    "CV-Bench-3D": 12,
    "MMStar": 1500,
    "RealWorldQA": 765,
    "R-Bench-Dis": 495,
}
ROTATED_EVERY = 50
OPTIONS = {"A": "red", "B": "green"}

ADAPTERS = {
    "model.py": "from paper_runs import load\n",
    "judge.py": "from paper_runs import load_judge as load\n",
}
JUDGE = """
["gpt-4.1"]
adapter = "judge.py"
model = "gpt-4.1"
endpoint = "https://judge.invalid/v1"
"""


def fill_folder(folder: Path, plan: dict) -> None:
    """Write benchmarks, plan, adapters and the user's cards of the plan's models and of the judge."""
    (folder / PLAN).write_text(json.dumps(plan))
    for name, code in ADAPTERS.items():
        (folder / name).write_text(code)
    cards = [f'["{model}"]\nadapter = "model.py"\n' for model in plan]
    (folder / "config" / "mmdbench").mkdir(parents=True)
    (folder / "config" / "mmdbench" / "models.toml").write_text("\n".join([*cards, JUDGE]))
    (folder / "LMUData").mkdir()
    for bench, size in SIZES.items():
        rows = [row for number in range(size) for row in _rows(bench, number)]
        write_tsv(folder / "LMUData" / f"{bench}.tsv", rows)


def _rows(bench: str, number: int) -> list[dict]:
    row = {"index": number + 1, "question": f"{bench} {number}", "category": "c", **OPTIONS, "answer": "A"}
    if bench == "MMVet":
        return [{"index": number + 1, "question": f"{bench} {number}", "category": "rec", "answer": "a cat"}]
    if bench.startswith("CV-Bench"):
        return [{**row, "prompt": row["question"], "source": "COCO", "split": bench[-2:]}]
    turns = 2 if bench.startswith("MMBench") and number % ROTATED_EVERY == 0 else 1
    return [
        {**row, "index": row["index"] + turn * 1_000_000, "question": f"{bench} {number} {turn}"}
        for turn in range(turns)
    ]


def named_pictures(planned, _images):
    """The variants of a planned cell, with the level's name in the place of a picture."""
    image = ImageBytes(planned.cell.level.encode(), "image/png")
    return [Variant(recipe, {}, image, f"{planned.key}") for recipe in planned.recipes]


class Planned:
    """A model that is right as often as the plan says; a wrong group is right in its main row."""

    batch_size = 64

    def __init__(self, name: str) -> None:
        self.name = name
        self.plan = json.loads(Path(PLAN).read_text())[name]

    def fingerprint(self):
        return {"name": self.name}

    def generate(self, requests):
        return [Outcome(self.reply(r.question or r.prompt, r.images[0].data.decode())) for r in requests]

    def reply(self, question, level):
        bench, number, *turn = question.split()[:3]
        hits = self.plan.get(bench, {}).get(level, 0)
        if bench == "MMVet":
            return f"It earns {min(10, max(0, hits - 10 * int(number))) / 10}"
        is_main = turn == ["0"] and int(number) % ROTATED_EVERY == 0 and bench.startswith("MMBench")
        return "A" if int(number) < hits or is_main else "B"


class Judge:
    """A judge that gives the grade which the reply names."""

    concurrency = 8

    def fingerprint(self):
        return {"name": "judge"}

    async def agenerate(self, request):
        return Outcome(re.findall(r"It earns (\d\.\d)", request.prompt)[-1])


def load(card):
    return Planned(card.name)


def load_judge(_card):
    return Judge()
