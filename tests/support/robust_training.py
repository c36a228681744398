"""A tiny training set in Robust-R1's form."""

from __future__ import annotations

from pathlib import Path

from mmdbench.training.training_format import Conversation, TrainingRecord, human_turn, write_records
from pictures import picture, png


def chain(answer: str = "B", strength: float = 0.5) -> str:
    """A chain with short blocks."""
    return (
        f"<TYPE>noise({strength:.2f})<TYPE_END>\n<INFLUENCE>grain<INFLUENCE_END>\n"
        f"<REASONING>two<REASONING_END>\n<CONCLUSION>so {answer}<CONCLUSION_END>\n"
        f"<ANSWER>{answer}<ANSWER_END>"
    )


def write_chain_set(folder: Path, count: int = 4) -> Path:
    """Write a training set with small pictures, `sft.jsonl` and `rl.jsonl` alike; returns its folder."""
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    for split in ("sft", "rl"):
        records = []
        for number in range(count):
            (folder / f"pictures/{number}.png").write_bytes(png(picture(number)))
            turns = (human_turn("Which?"), ("gpt", chain("ABCD"[number % 4], number / 10)))
            records.append(
                TrainingRecord(str(number), "toy", split, f"pictures/{number}.png", Conversation(turns))
            )
        write_records(folder / f"{split}.jsonl", records)
    return folder
