"""Prompts are, character for character, those of the golden benchmarks."""

from __future__ import annotations

import json
from pathlib import Path

from mmdbench.benches import build_prompt
from mmdbench.records import Question


def test_every_golden_prompt_is_reproduced(golden: Path) -> None:
    checked = 0
    for file in sorted((golden / "scoring").glob("bench_*.json")):
        bench = json.loads(file.read_text("utf-8"))
        rows = {str(row["index"]): row for row in bench["dataset"]["rows"]}
        for prompt in bench["prompts"]:
            row = rows[str(prompt["index"])]
            fields = {k: str(v) for k, v in row.items() if v not in (None, "")}
            question = Question(bench["dataset"]["name"], prompt["index"], fields)
            assert build_prompt(question, bench["family"]) == prompt["text"], (file.name, prompt["index"])
            checked += 1
    assert checked > 0
