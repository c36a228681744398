"""Time and memory of CLEAR at its real size on a GPU, asked and trained: random weights, 14.6 B parameters.

    python benchmarks/gpu_clear.py --folder /scratch/clear [--steps 30 50] [--repeats 3]
    python benchmarks/gpu_clear.py --folder /tmp/tiny --tiny       # a trial of the script, on any machine

Writes a random checkpoint in the published layout once (bfloat16, 30 GB of disk), loads it through
the real loader and measures: seconds to load, tokens per second alone and in a batch, milliseconds and
launches of a decoded token as it is and compiled (`--compiler`) against the time of reading its bytes,
seconds of reading, seconds of a restoration by the fast, the compiled and the plain path, and peak
memory; then seconds and peak memory of passes forward and backward of the supervised training, over packs
of `--rows`, and of a rollout and a step of the reinforcement learning, without an optimiser. Random weights
never ask for a restoration, so the thoughts are given; the arithmetic is that of the real model. Needs a GPU
with 40 GB or more (with training 80 GB; `--rows` without a number leaves it out), and some minutes. Prints
one JSON object.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from mmdbench.adapters._clear.memory import check_memory
from mmdbench.adapters._local.devices import pick_device
from PIL import Image

from clear_training import grpo_step, training_step
from mmdbench.bagel.checkpoint import find_weights
from mmdbench.bagel.chunks import Engine, append_text, grid_of
from mmdbench.bagel.context import EMPTY
from mmdbench.bagel.decoding import greedy, write_texts
from mmdbench.bagel.dialogue import DialogueInput, DialogueResult, Injection, run_dialogues
from mmdbench.bagel.loading import load_engine, open_checkpoint
from mmdbench.bagel.random_weights import write_random_checkpoint
from mmdbench.bagel.settings import (
    FAST,
    PLAIN,
    PRESETS,
    DenoisingSettings,
    DialogueSettings,
    Sizes,
    Speed,
)

SET = Path(__file__).parents[1] / "tests" / "golden" / "clear"
LANGUAGE = {
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "vocab_size": 152064,
}
VISION = {
    "hidden_size": 1152,
    "intermediate_size": 4304,
    "num_hidden_layers": 27,
    "num_attention_heads": 16,
    "image_size": 980,
    "patch_size": 14,
}
SYSTEM = "Ask for a clean picture with <image_restore> if you need one, think, and then answer. " * 8
QUESTION = "Which shape is left of the bar?\nA. disc\nB. ring\nC. square\nD. none"
THOUGHT = "The picture is blurred and the ring cannot be told from the disc. <image_restore>"


def prepare(folder: Path, sizes: Sizes, device: torch.device) -> float:
    """Write the checkpoint unless it exists; returns the seconds of writing."""
    started = time.perf_counter()
    if (folder / "ema.safetensors.index.json").is_file():
        return 0.0
    folder.mkdir(parents=True, exist_ok=True)
    for file in (SET / "config").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    real = sizes == Sizes()
    for name, changes in (("llm_config.json", LANGUAGE), ("vit_config.json", VISION)) if real else ():
        config = json.loads((folder / name).read_text("utf-8"))
        (folder / name).write_text(json.dumps(config | changes), "utf-8")
    write_random_checkpoint(folder, sizes, torch.bfloat16, device)
    return time.perf_counter() - started


def settle(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def with_speed(engine: Engine, speed: Speed) -> Engine:
    return Engine(engine.model, engine.vae, engine.tokenizer, engine.sizes, engine.patch, speed)


def picture(width: int, height: int) -> Image.Image:
    coarse = np.random.RandomState(0).randint(0, 256, (12, 16, 3)).astype(np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def tokens_per_second(engine: Engine, batch: int, tokens: int = 96) -> float:
    """Tokens per second of decoding alone, after a context of a few hundred rows."""
    eos, device = engine.tokenizer.eos, engine.model.device

    def never_ending(logits: torch.Tensor, _samples: object) -> list[int]:
        logits[:, eos] = -torch.inf
        return greedy(logits, [])

    with torch.inference_mode():
        context = append_text(engine, EMPTY, SYSTEM)
        write_texts(engine, [context] * batch, 8, never_ending)
        settle(device)
        started = time.perf_counter()
        write_texts(engine, [context] * batch, tokens, never_ending)
        settle(device)
    return batch * tokens / (time.perf_counter() - started)


def token_floor_ms(engine: Engine, bandwidth: float) -> float:
    """Milliseconds of reading the weights of a decoded token once, at that many bytes per second."""
    model = engine.model.language_model
    used = [
        p for name, p in model.named_parameters() if "_moe_gen" not in name and "embed_tokens" not in name
    ]
    return sum(p.numel() * p.element_size() for p in used) / bandwidth * 1000


def launches(engine: Engine) -> float:
    """Launches of the GPU for a decoded token; on a CPU, calls of torch's operators that are in no other."""
    context, cuda = append_text(engine, EMPTY, SYSTEM), engine.model.device.type == "cuda"
    activity = torch.profiler.ProfilerActivity

    def count(tokens: int) -> int:
        with torch.profiler.profile(activities=[activity.CPU, *([activity.CUDA] if cuda else [])]) as seen:
            write_texts(engine, [context], tokens, lambda logits, _samples: logits[:, :2].argmax(-1).tolist())
        if cuda:
            return sum("LaunchKernel" in e.name or "GraphLaunch" in e.name for e in seen.events())
        return sum(e.cpu_parent is None or not e.cpu_parent.name.startswith("aten::") for e in seen.events())

    with torch.inference_mode():
        count(6)
        few, more = count(6), count(10)
    return (more - few) / 4


def decoded_token(engine: Engine, compiler: str, bandwidth: float) -> dict[str, object]:
    """Milliseconds and launches of a decoded token, as it is and compiled, and the floor."""
    paths = {"fast": FAST, compiler: replace(FAST, compiler=compiler)}
    found: dict[str, object] = {"floor_ms": round(token_floor_ms(engine, bandwidth), 6)}
    for name, speed in paths.items():
        own = with_speed(engine, speed)
        milliseconds = 1000 / tokens_per_second(own, 1)
        found[name] = {"ms": round(milliseconds, 3), "launches": launches(own)}
    return found


def restoration(
    engine: Engine, size: tuple[int, int], how: DenoisingSettings, repeats: int
) -> tuple[float, DialogueResult]:
    """Median seconds of a first restoration, and the last result."""
    dialogue = DialogueSettings(denoising=how, max_turns=2, max_new_tokens=8)
    inject = Injection(texts=(THOUGHT,))
    stories = [
        run_dialogues(engine, [DialogueInput((picture(*size), QUESTION), 1)], dialogue, SYSTEM, inject)[0]
        for _ in range(repeats + 1)
    ]
    return statistics.median(story.seconds["denoise"] for story in stories[1:]), stories[-1]


def measure(
    engine: Engine, size: tuple[int, int], steps: list[int], repeats: int, compiler: str
) -> dict[str, object]:
    """Seconds of each phase and of a restoration by each path, for one picture size."""
    found: dict[str, object] = {"picture": list(size)}
    for count in steps:
        how = replace(PRESETS["repo-eval" if count == 50 else "paper"], steps=count)
        fast, story = restoration(with_speed(engine, FAST), size, how, repeats)
        plain, _ = restoration(with_speed(engine, PLAIN), size, how, 1)
        graph, _ = restoration(with_speed(engine, replace(FAST, compiler=compiler)), size, how, repeats)
        seconds = {"fast": fast, compiler: graph, "plain": plain}
        found[f"restoration_{count}_steps_s"] = {name: round(value, 3) for name, value in seconds.items()}
        found["phases_s"] = {name: round(value, 3) for name, value in story.seconds.items()}
        assert story.size is not None
        found["latent_tokens"] = len(grid_of(engine, story.size)[2])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--device", default="")
    parser.add_argument("--tiny", action="store_true", help="the sizes of the golden set, on the CPU")
    parser.add_argument("--steps", type=int, nargs="+", default=[30, 50])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--sizes", nargs="+", default=["640x480", "1024x1024"])
    parser.add_argument("--rows", type=int, nargs="*", default=[4096, 16384], help="of packs to train on")
    parser.add_argument("--compiler", default="inductor", help="the backend of torch.compile")
    parser.add_argument("--bandwidth", type=float, default=4.8e12, help="bytes per second; an H200's")
    given = parser.parse_args()
    device, dtype = pick_device(given.device or ("cpu" if given.tiny else "cuda")), torch.bfloat16
    tiny = json.loads((SET / "settings.json").read_text("utf-8"))
    sizes = Sizes.from_mapping(tiny if given.tiny else {})
    result: dict[str, object] = {
        "write_s": round(prepare(given.folder, sizes, device), 4),
        "torch": torch.__version__,
    }
    checkpoint = open_checkpoint(given.folder, find_weights(given.folder, "ema"), sizes, generation=True)
    check_memory(checkpoint, device, dtype)
    started = time.perf_counter()
    engine = load_engine(checkpoint, device, dtype)
    settle(device)
    result["load_s"] = round(time.perf_counter() - started, 1)
    result["parameters"] = sum(p.numel() for p in engine.model.parameters())
    result["tokens_per_second"] = {n: round(tokens_per_second(engine, n), 1) for n in (1, 8)}
    result["decoded_token"] = decoded_token(engine, given.compiler, given.bandwidth)
    if device.type == "cuda":
        result["device"] = torch.cuda.get_device_name(device)
        result["weights_gib"] = round(torch.cuda.memory_allocated(device) / 2**30, 2)
    found = []
    for size in given.sizes:
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        width, height = (int(side) for side in size.split("x"))
        one = measure(engine, (width, height), given.steps, given.repeats, given.compiler)
        if device.type == "cuda":
            one["peak_gib"] = round(torch.cuda.max_memory_allocated(device) / 2**30, 2)
        found.append(one)
    trained = [training_step(engine, given.folder / "set", rows, given.repeats) for rows in given.rows]
    steps = given.steps if given.rows else []
    learnt = [grpo_step(engine, given.folder / "set", count, given.repeats) for count in steps]
    print(json.dumps(result | {"sizes": found, "training": trained, "reinforcement": learnt}, indent=2))


if __name__ == "__main__":
    main()
