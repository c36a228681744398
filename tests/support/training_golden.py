"""The golden set of CLEAR's training: its arrays, expectations, model and gradients.

MMDBENCH_GOLDEN names another set: a folder with `training/sft.npz`, or with `sft.npz`. Nothing here or in the
tests knows its sizes, texts, pictures or schedules.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from clear_weights import write_formula_checkpoint
from mmdbench.bagel.chunks import Engine
from mmdbench.bagel.images import resized
from mmdbench.bagel.loading import load_engine, open_checkpoint
from mmdbench.bagel.settings import Sizes
from mmdbench.training.clear.forward import PackedModel, freeze, trained_tensors
from mmdbench.training.clear.layout import PackedSequence, TextMarkers, lay_out
from mmdbench.training.clear.pictures import PictureReader, PictureSizes
from mmdbench.training.clear.segments import (
    ChosenStep,
    SequenceSegment,
    SftTexts,
    completion_segments,
    sft_segments,
    without,
)

GOLDEN = Path(os.environ.get("MMDBENCH_GOLDEN") or Path(__file__).parents[1] / "golden")
SET = next((f for f in (GOLDEN / "training", GOLDEN) if (f / "sft.npz").is_file()), None)


def read_expected() -> Mapping[str, Any]:
    """The expectations of the set; empty if there is none."""
    return {} if SET is None else json.loads((SET / "expected.json").read_text("utf-8"))


class TrainingGolden:
    """The set in one folder; its checkpoint is written to another one."""

    def __init__(self, folder: Path, checkpoint: Path) -> None:
        self.folder = folder
        self.checkpoint = write_formula_checkpoint(folder, checkpoint)
        self.settings = json.loads((folder / "settings.json").read_text("utf-8"))
        self.expected = json.loads((folder / "expected.json").read_text("utf-8"))
        self.sizes = Sizes.from_mapping(self.settings)
        self.markers = TextMarkers(**self.settings["special_token_ids"])
        self._files: dict[str, dict[str, np.ndarray]] = {}

    def array(self, file: str, name: str) -> np.ndarray:
        """One array of a file."""
        if file not in self._files:
            with np.load(self.folder / f"{file}.npz") as arrays:
                self._files[file] = dict(arrays)
        return self._files[file][name]

    def tensor(self, file: str, name: str) -> Tensor:
        """One array of a file as a tensor."""
        return torch.from_numpy(self.array(file, name))

    def engine(self) -> Engine:
        """The model, loaded anew."""
        opened = open_checkpoint(
            self.checkpoint, self.checkpoint / "ema.safetensors", self.sizes, generation=True
        )
        return load_engine(opened, torch.device("cpu"), torch.float32)

    def model(self) -> PackedModel:
        """The model, loaded anew, as it is trained."""
        bagel = self.engine().model
        freeze(bagel)
        return PackedModel(bagel)

    @cached_property
    def shared(self) -> PackedModel:
        """A model whose weights no test changes."""
        return self.model()

    @cached_property
    def reader(self) -> PictureReader:
        """Reads pictures with the set's autoencoder."""
        engine = self.engine()
        return PictureReader(
            PictureSizes(self.sizes, engine.patch), engine.autoencoder, self.settings["sft"]["timestep_shift"]
        )

    def ids(self, name: str) -> tuple[int, ...]:
        """The token ids of a text."""
        return tuple(self.settings["token_ids"][name])

    def picture(self, name: str) -> Image.Image:
        """One of the pictures."""
        return Image.open(self.folder / name).convert("RGB")

    @cached_property
    def sft_samples(self) -> tuple[tuple[SequenceSegment, ...], ...]:
        """The two samples of the pack, their pictures not read yet."""
        layout, found = self.reader.layout, []
        for name in ("direct", "generate"):
            own = self.settings["sft"][name]
            texts = SftTexts(
                self.ids(f"sft/{name}/system"),
                self.ids(f"sft/{name}/question"),
                self.ids(f"sft/{name}/answer"),
                self.ids(f"sft/{name}/thought") if "thought" in own else None,
            )
            size = self.picture(own["picture"]).size
            clean = layout.vae_grid(*self.picture(own["clean_picture"]).size) if "thought" in own else None
            found.append(sft_segments(texts, (layout.vae_grid(*size), layout.vit_grid(*size)), clean))
        return tuple(found)

    def sft_pack(self, variant: str) -> tuple[tuple[SequenceSegment, ...], ...]:
        """The samples of a variant, filled from the pictures with the recorded draws."""
        dropped = [
            [
                s["name"]
                for s in self.expected["sft"][variant]["segments"]
                if s["sample"] == n and s["dropped"]
            ]
            for n in (0, 1)
        ]
        filled = []
        for name, segments, names in zip(("direct", "generate"), self.sft_samples, dropped, strict=True):
            own = self.settings["sft"][name]
            pictures = {"degraded": self.picture(own["picture"])}
            if "clean_picture" in own:
                pictures["clean"] = self.picture(own["clean_picture"])
            draws = iter(self._draws(name, variant, names, len(filled)))
            filled.append(
                self.reader.fill(without(segments, names), pictures, lambda shape, d=draws: next(d))
            )  # type: ignore[misc]
        return tuple(filled)

    def _draws(self, name: str, variant: str, dropped: list[str], sample: int) -> Iterable[Tensor]:
        """The draws in the order in which a sample asks for them."""
        places = self._latent_places(variant)
        for segment in self.sft_samples[sample]:
            if segment.kind in ("text", "vit") or segment.name in dropped:
                continue
            yield self.tensor("sft", f"pictures/{name}_{segment.picture}_vae_draw")[None]
            if segment.kind == "vae_noised":
                part = places[sample, segment.name]
                yield self.tensor("sft", f"{variant}/timestep_draw")[part.start]
                yield self.tensor("sft", f"{variant}/noise")[part]

    def _latent_places(self, variant: str) -> dict[tuple[int, str], slice]:
        """The places of each picture's tokens among the latent tokens."""
        found, start = {}, 0
        for segment in self.expected["sft"][variant]["segments"]:
            if segment["kind"] in ("vae", "vae_noised") and not segment["dropped"]:
                stop = start + segment["grid"][0] * segment["grid"][1]
                found[segment["sample"], segment["name"]] = slice(start, stop)
                start = stop
        return found

    def sft_sequence(self, variant: str, **changes: Any) -> Any:
        """The sequence of a variant."""
        return lay_out(self.sft_pack(variant), self.markers, self.sizes, **changes)

    def check_gradients(self, model: PackedModel, case: str) -> float:
        """Compare the gradients of a model with a case; returns the largest deviation, as share of a norm."""
        tensors, table = self.in_order(trained_tensors(model)), self.array("gradients", f"table/{case}")
        whole, worst = float(np.linalg.norm(table[:, 0])), 0.0
        for (key, parameter), row in zip(tensors.items(), table, strict=True):
            gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            off = np.abs(self.summary(key, gradient) - row).max() / max(row[0], 1e-6 * whole)
            assert off <= 1e-4, f"{case}, {key}: {off:.1e}"
            worst = max(worst, float(off))
        for key in self.expected["full_gradients"]:
            if f"full/{case}/{key}" in self._files["gradients"]:
                full, own = self.tensor("gradients", f"full/{case}/{key}"), tensors[key].grad
                own = torch.zeros_like(full) if own is None else own
                assert float((own - full).norm()) <= 1e-4 * max(float(full.norm()), 1e-6 * whole), key
        return worst

    def in_order(self, tensors: Mapping[str, Any]) -> dict[str, Any]:
        """The trained tensors in the order of all tables."""
        assert sorted(tensors) == sorted(self.expected["tensors"])
        return {key: tensors[key] for key in self.expected["tensors"]}

    def summary(self, key: str, tensor: Tensor) -> np.ndarray:
        """The norm of a tensor, and its products with the two fixed directions of its key."""
        values = tensor.detach().double().flatten().numpy()
        directions = (self._direction(number, key, values.size) for number in (1, 2))
        return np.array([np.linalg.norm(values), *(values @ d for d in directions)])

    def _direction(self, number: int, key: str, size: int) -> np.ndarray:
        seed = zlib.crc32(f"{self.settings['weights_seed']}/direction-{number}/{key}".encode())
        return np.random.RandomState(seed).standard_normal(size)

    @cached_property
    def grpo_prompt(self) -> tuple[SequenceSegment, ...]:
        """The prompt of all completions: system, picture by both readings, question."""
        own, sizes, layout = self.settings["grpo"], self.sizes, self.reader.layout
        first = resized(self.picture(own["picture"]), sizes.vae_transform)
        texts = SftTexts(self.ids("grpo/direct/system"), self.ids("grpo/direct/question"), ())
        system, vae, vit, question, _ = sft_segments(
            texts, (layout.vae_grid(*first.size), layout.vit_grid(*first.size))
        )
        pictures = {"degraded": first}
        draw = self.tensor("grpo", "degraded_latent_draw")[None]
        vae, vit = self.reader.fill((vae, vit), pictures, lambda _shape: draw)
        return system, vae, vit, question

    def grpo_texts(self, rollout: str) -> list[tuple[int, ...]]:
        """The texts of a rollout, as token ids."""
        count = len(self.settings["grpo"]["texts"][rollout])
        return [self.ids(f"grpo/{rollout}/text{n + 1}") for n in range(count)]

    def grpo_pictures(self, rollout: str) -> list[tuple[tuple[int, int], Tensor]]:
        """Grid and clean latent tokens of the restored pictures of a rollout."""
        grid = self.grpo_prompt[1].grid
        count = len(self.grpo_texts(rollout)) - 1
        return [(grid, self.tensor("grpo", f"rollout/{rollout}/picture{n + 1}/x")[-1]) for n in range(count)]

    def grpo_sequence(self, name: str) -> PackedSequence:
        """The sequence of a completion, with its own mask."""
        case = self.expected["grpo"]["completions"][name]
        picture = case.get("picture")
        rollout = picture["rollout"].split("/")[1] if picture else "direct"
        pictures, chosen = self.grpo_pictures(rollout), None
        if case["other_pictures"] == "zero":
            pictures = [(grid, torch.zeros_like(tokens)) for grid, tokens in pictures]
        if picture:
            x = self.tensor("grpo", f"{picture['rollout']}/x")[picture["step"]]
            chosen = ChosenStep(picture["index"] - 1, x, picture["t"])
        segments = list(completion_segments(self.grpo_prompt, self.grpo_texts(rollout), pictures, chosen))
        if case["generated_vit"]:
            # Decoded pictures are given as patches: own ones may differ by one grey level.
            segment = replace(
                self.grpo_prompt[2],
                name="picture1_vit",
                tokens=self.tensor("grpo", f"{name}/patches")[-self.grpo_prompt[2].count :],
            )
            segments.insert([s["name"] for s in case["segments"]].index(segment.name), segment)
        mask = self.tensor("grpo", f"{name}/mask") if case["mask"] != "right" else None
        return lay_out([segments], self.markers, self.sizes, mask=mask, repeat_end=case["eos_label_twice"])
