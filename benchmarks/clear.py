"""CLEAR inference on the CPU at a small size: the fast path against the plain one, in one run.

    python benchmarks/clear.py [--repeats 5]

Both paths run the same random weights, pictures, texts and noise, and must give the same pictures
and texts. Prints one JSON object with medians in milliseconds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from mmdbench.bagel.chunks import Engine
from mmdbench.bagel.dialogue import DialogueInput, DialogueResult, Injection, run_dialogues
from mmdbench.bagel.loading import load_engine, open_checkpoint
from mmdbench.bagel.random_weights import write_random_checkpoint
from mmdbench.bagel.settings import FAST, PLAIN, DenoisingSettings, DialogueSettings, Sizes, Speed

SETS = Path(__file__).parents[1] / "tests" / "golden" / "clear"
SYSTEM = "Ask for a clean picture with <image_restore> if you need one, think, and then answer. " * 8
QUESTION = "Which shape is left of the bar?\nA. disc\nB. ring\nC. square\nD. none"
THOUGHT = "The picture is blurred and the ring cannot be told from the disc. <image_restore>"
LANGUAGE = {"hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 4}


def small_engine(folder: Path) -> Engine:
    """Random weights of 4 layers, 256 wide, on the golden tokenizer and autoencoder sizes."""
    for file in (SETS / "config").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    config = json.loads((folder / "llm_config.json").read_text("utf-8"))
    (folder / "llm_config.json").write_text(json.dumps(config | LANGUAGE), "utf-8")
    sizes = Sizes.from_mapping(json.loads((SETS / "settings.json").read_text("utf-8")))
    index = write_random_checkpoint(folder, sizes, torch.float32, torch.device("cpu"))
    checkpoint = open_checkpoint(folder, index, sizes, generation=True)
    return load_engine(checkpoint, torch.device("cpu"), torch.float32)


def with_speed(engine: Engine, speed: Speed) -> Engine:
    return Engine(engine.model, engine.vae, engine.tokenizer, engine.sizes, engine.patch, speed)


def median_ms(run: Callable[[], object], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return round(1000 * statistics.median(times), 1)


def pictures(count: int) -> list[Image.Image]:
    random = np.random.RandomState(0)
    coarse = [random.randint(0, 256, (6, 8, 3)).astype(np.uint8) for _ in range(count)]
    return [Image.fromarray(c).resize((150, 100), Image.Resampling.BICUBIC) for c in coarse]


def interleave(engine: Engine, samples: list[DialogueInput]) -> list[DialogueResult]:
    """Two restorations a sample; the thoughts are given, the last text is free."""
    how = DialogueSettings(denoising=DenoisingSettings(steps=10), max_new_tokens=8)
    return run_dialogues(engine, samples, how, SYSTEM, Injection(texts=(THOUGHT, THOUGHT)))


def latents_differ(engine: Engine, sample: DialogueInput) -> float:
    """The largest difference between the two paths' latents, over all steps."""
    found: dict[bool, list[torch.Tensor]] = {True: [], False: []}
    for fast, speed in ((True, FAST), (False, PLAIN)):
        own = Engine(
            engine.model, engine.vae, engine.tokenizer, engine.sizes, engine.patch, speed,
            lambda event, facts, fast=fast: found[fast].append(facts["x"]) if event == "evaluation" else None,
        )  # fmt: skip
        interleave(own, [sample])
    return max(float((a - b).abs().max()) for a, b in zip(found[True], found[False], strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        engine = small_engine(Path(name))
    fast, plain = with_speed(engine, FAST), with_speed(engine, PLAIN)
    samples = [DialogueInput((picture, QUESTION), number) for number, picture in enumerate(pictures(8))]
    words = DialogueSettings(mode="text", max_new_tokens=48)
    interleave(fast, samples[:1])
    texts = [[s.texts for s in run_dialogues(e, samples, words, SYSTEM)] for e in (fast, plain)]
    assert texts[0] == texts[1]
    difference = latents_differ(engine, samples[0])
    assert difference < 1e-4, "the fast path restores another picture"
    result = {
        "parameters": sum(p.numel() for p in engine.model.parameters()),
        "largest_latent_difference": difference,
        "interleave_one_sample_ms": {
            "plain": median_ms(lambda: interleave(plain, samples[:1]), repeats),
            "fast": median_ms(lambda: interleave(fast, samples[:1]), repeats),
        },
        "text_eight_samples_ms": {
            "plain, one by one": median_ms(
                lambda: [run_dialogues(plain, [s], words, SYSTEM) for s in samples], repeats
            ),
            "fast, one batch": median_ms(lambda: run_dialogues(fast, samples, words, SYSTEM), repeats),
        },
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
