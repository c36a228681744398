"""Tiny checkpoints for the tests of CLEAR; importing this skips a test module where torch is missing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra: clear)")
pytest.importorskip("transformers", reason="transformers is not installed (extra: clear)")
pytest.importorskip("safetensors", reason="safetensors is not installed (extra: clear)")

from PIL import Image  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

from clear_weights import write_formula_checkpoint  # noqa: E402
from mmdbench.bagel.chunks import Engine, Watch  # noqa: E402
from mmdbench.bagel.images import png_bytes  # noqa: E402
from mmdbench.bagel.loading import load_engine, open_checkpoint  # noqa: E402
from mmdbench.bagel.settings import FAST, Sizes, Speed  # noqa: E402
from mmdbench.models import ModelCard  # noqa: E402
from mmdbench.records import ImageBytes, Request  # noqa: E402

torch.set_num_threads(1)

GOLDEN = Path(__file__).parents[1] / "golden" / "clear"
SIZES = Sizes.from_mapping(json.loads((GOLDEN / "settings.json").read_text("utf-8")))
BOS, EOS = 305, 306
RESTORE = (60, 105, 278, 103, 101, 95, 259, 283, 280, 62)
"""The ids of `<image_restore>` in the tiny vocabulary; no id twice."""


def write_checkpoint(folder: Path, name: str = "ema.safetensors") -> Path:
    """The checkpoint of the golden set."""
    return write_formula_checkpoint(GOLDEN, folder, name)


def write_speaker(folder: Path, ids: Sequence[int], *, endless: bool = False) -> Path:
    """A checkpoint that generates these ids for any input, then ends, or repeats the last one.

    Its understanding rows pass through all layers unchanged, so what follows an id depends on
    that id alone. Its generation rows work as ever.
    """
    write_checkpoint(folder)
    path = folder / "ema.safetensors"
    state = load_file(path)
    for key, value in state.items():
        if key.endswith(("self_attn.o_proj.weight", ".mlp.down_proj.weight")) and "language" in key:
            value.zero_()
    state["language_model.model.norm.weight"].fill_(1)
    embedding = state["language_model.model.embed_tokens.weight"]
    head = state["language_model.lm_head.weight"].zero_()
    chain = [BOS, *ids, ids[-1] if endless else EOS]
    for before, after in pairwise(chain):
        head[after] = 10 * embedding[before]
    save_file(state, path)
    return folder


def open_engine(
    folder: Path, speed: Speed = FAST, watch: Watch | None = None, *, generation: bool = True
) -> Engine:
    """The engine of a tiny checkpoint, float32 on the CPU."""
    opened = open_checkpoint(folder, folder / "ema.safetensors", SIZES, generation=generation)
    return load_engine(opened, torch.device("cpu"), torch.float32, speed, watch)


def again(engine: Engine, speed: Speed, watch: Watch | None = None) -> Engine:
    """The same model with other shortcuts."""
    return Engine(engine.model, engine.vae, engine.tokenizer, engine.sizes, engine.patch, speed, watch)


def picture(seed: int, width: int = 150, height: int = 100) -> Image.Image:
    """A picture with areas and texture that depends on the seed."""
    random = np.random.RandomState(seed)
    coarse = random.randint(0, 256, (5, 7, 3)).astype(np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def request(number: int, prompt: str = "Which shape is it?\nA. disc\nB. ring", **more: Any) -> Request:
    """A request with a picture of its own."""
    image = ImageBytes(png_bytes(picture(number, 150 + 7 * number)), "image/png")
    values: dict[str, Any] = {"images": (image,), "seed": number, **more}
    return Request(f"key{number}", prompt, "", {}, **values)


def card(folder: Path, **options: Any) -> ModelCard:
    """A card for a tiny checkpoint: few steps, short texts."""
    prompt = folder / "prompt.txt"
    prompt.write_text("Restore with a tag, then answer.", "utf-8")
    given: Mapping[str, Any] = {
        "base_dir": str(folder),
        "sizes_file": str(GOLDEN / "settings.json"),
        "device": "cpu",
        "mode": "interleave",
        "steps": 4,
        "max_new_tokens": 16,
        "system_prompt_file": str(prompt),
    }
    return ModelCard("tiny", "clear", options={**given, **options})
