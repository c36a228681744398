"""A tiny training set of dark photographs: some of the benchmark `mini`, made small, at two levels.

Where a picture is dark, the answer of CLEAR's training asks for a restored one; where it is hardly darkened,
it does not. A tiny model learns the difference in less than a minute on a CPU.
"""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from mmdbench.benches import Bench, open_bench
from mmdbench.corruptions.spec_file import load_spec
from mmdbench.records import RESTORE_TAG, Cell, Question, RunPlan
from mmdbench.system.files import make_folder
from mmdbench.system.images import MAX_PIXELS
from mmdbench.training.chains import type_list
from mmdbench.training.dataset import MadeSample, TrainingSet, write_dataset
from mmdbench.training.pictures import PictureFolder
from mmdbench.training.rows import conversation_of
from mmdbench.variants.recipes import CleanImage, clean_image

__all__ = ["CORRUPTION", "write_tiny_set"]

CORRUPTION = "dark_illumination"
"""The corruption of every picture."""

_MODES = {"low": "direct", "hard": "generate"}
_PHOTOS = {"sft": 12, "rl": 4}
_SIDE = 112
_SAID = {"direct": "The picture is clear.", "generate": "The picture is dark."}


def write_tiny_set(folder: Path, *, chains: bool = False) -> TrainingSet:
    """Write a training set of 24 samples, and of 8 for reinforcement learning; the same files each time.

    Args:
        folder: The folder of the set.
        chains: True for Robust-R1's chains of reasoning, False for CLEAR's texts.

    Returns:
        The set.
    """
    bench = open_bench("mini")
    pictures = PictureFolder(make_folder(folder), MAX_PIXELS)
    splits = [split for split, count in _PHOTOS.items() for _ in range(count)]
    made = [
        _sample(bench, question, pictures, (split, level), chains=chains)
        for question, split in zip(_questions(bench), splits, strict=False)
        for level in _MODES
    ]
    return write_dataset(folder, made, {"recipe": "tiny"})


def _questions(bench: Bench) -> list[Question]:
    """The first question about each photograph."""
    first: dict[str, Question] = {}
    for question in bench.questions:
        first.setdefault(question.fields["photo"], question)
    return list(first.values())


def _sample(
    bench: Bench, question: Question, pictures: PictureFolder, drawn: tuple[str, str], *, chains: bool
) -> MadeSample:
    split, level = drawn
    plan = RunPlan("", (bench.name,), (level,), design="drawn:uniform", corruptions=(CORRUPTION,))
    cell, mode = Cell(bench.name, question.index, level, CORRUPTION), _MODES[level]
    kept = pictures.from_cell(_small(question), cell, plan)
    text = _chain(question, level, mode) if chains else _trace(question, mode) if split == "sft" else ""
    about = {"corruptions": [CORRUPTION], "level": level}
    own = conversation_of(question, bench.family)
    return MadeSample(kept.record(question, own, split, mode="" if chains else mode, text=text, about=about))


def _small(question: Question) -> CleanImage:
    (source,) = question.images
    with Image.open(io.BytesIO(source.read())) as photo:
        small, data = photo.convert("RGB"), io.BytesIO()
    small.thumbnail((_SIDE, _SIDE))
    small.save(data, "PNG")
    return clean_image(data.getvalue(), source.where)


def _trace(question: Question, mode: str) -> str:
    answer = f"<answer>{question.answer}</answer>"
    thought = f"<think>{_SAID[mode]}</think>\n"
    restored = f"{RESTORE_TAG}\n<think>{_SAID['direct']}</think>\n" if mode == "generate" else ""
    return f"{thought}{restored}{answer}"


def _chain(question: Question, level: str, mode: str) -> str:
    step = {"corruption": CORRUPTION, "intensity": load_spec().intensity(level, CORRUPTION)}
    blocks = {
        "TYPE": type_list([step]),
        "INFLUENCE": _SAID[mode],
        "REASONING": "One option fits.",
        "CONCLUSION": f"It is {question.answer}.",
        "ANSWER": question.answer,
    }
    return "\n".join(f"<{name}>{text}<{name}_END>" for name, text in blocks.items())
