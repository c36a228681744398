"""Training sets on disk: `sft.jsonl` and `rl.jsonl` in the published format, and `dataset.json`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from mmdbench.system.files import write_atomic
from mmdbench.training.training_format import TrainingRecord, write_records

__all__ = ["RL", "SFT", "SUMMARY", "MadeSample", "TrainingSet", "set_statistics", "write_dataset"]

SFT = "sft.jsonl"
"""The file with the records of supervised training."""

RL = "rl.jsonl"
"""The file with the records of reinforcement learning."""

SUMMARY = "dataset.json"
"""The file with the recipe, its settings, and the numbers of samples kept and left out."""


@dataclass(frozen=True, slots=True)
class MadeSample:
    """A record of a training set, or the reason why there is none."""

    record: TrainingRecord | None
    left_out: str = ""


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """The records of a training set, the numbers of samples left out by reason, and the set's statistics."""

    sft: tuple[TrainingRecord, ...]
    rl: tuple[TrainingRecord, ...]
    left_out: Mapping[str, int]
    folder: Path

    @property
    def statistics(self) -> dict[str, float]:
        """The rows of CLEAR's table 8."""
        return set_statistics(self.sft, self.rl)


def set_statistics(sft: Sequence[TrainingRecord], rl: Sequence[TrainingRecord]) -> dict[str, float]:
    """The rows of CLEAR's table 8: sizes, mean lengths of traces in characters, corruptions and levels.

    Args:
        sft: Records of supervised training.
        rl: Records of reinforcement learning.

    Returns:
        The numbers by the table's labels; a mean over no trace is 0.
    """
    modes = {mode: [r for r in sft if r.mode == mode] for mode in ("direct", "generate")}
    lengths = {
        mode: [len(r.conversation.solution) for r in rows if r.conversation.solution]
        for mode, rows in modes.items()
    }
    drawn = [r.details for r in (*sft, *rl)]
    return {
        "SFT": len(sft),
        **{f"SFT {mode}": len(rows) for mode, rows in modes.items()},
        **{f"mean trace length {m}": round(fmean(n), 1) if n else 0.0 for m, n in lengths.items()},
        "GRPO": len(rl),
        "corruptions": len({name for d in drawn for name in d.get("corruptions", ())}),
        "levels": len({d["level"] for d in drawn if d.get("level")}),
    }


def write_dataset(folder: Path, made: Sequence[MadeSample], about: Mapping[str, Any]) -> TrainingSet:
    """Write a training set; the same samples write the same bytes.

    Args:
        folder: The folder of the set; its pictures are there already.
        made: The samples, in order.
        about: The recipe and its settings, for the summary.

    Returns:
        The set.
    """
    records = [sample.record for sample in made if sample.record is not None]
    sft, rl = (tuple(r for r in records if r.split_type == split) for split in ("sft", "rl"))
    left_out = dict(sorted(Counter(s.left_out for s in made if s.record is None).items()))
    found = TrainingSet(sft, rl, left_out, folder)
    write_records(folder / SFT, sft)
    write_records(folder / RL, rl)
    drawn = Counter(name for r in records for name in r.details.get("corruptions", ()))
    levels = Counter(r.details["level"] for r in records if r.details.get("level"))
    summary = {
        "kind": "mmdbench assignment",
        **about,
        "samples": len(made),
        "kept": len(records),
        "left_out": left_out,
        "statistics": found.statistics,
        "corruptions": dict(sorted(drawn.items())),
        "levels": dict(sorted(levels.items())),
    }
    write_atomic(folder / SUMMARY, json.dumps(summary, indent=1, ensure_ascii=True) + "\n")
    return found
