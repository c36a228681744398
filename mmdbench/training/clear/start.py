"""The places of a CLEAR training, opened: samples, model, pictures to look at, and what it needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from mmdbench.bagel.checkpoint import (
    AUTOENCODER,
    PROMPT_FILE,
    SIZES_FILE,
    check_base,
    complete_folder,
    file_digest,
    find_weights,
    read_architecture,
    read_weights,
)
from mmdbench.bagel.chunks import Engine
from mmdbench.bagel.dialogue import DialogueInput, Injection, run_dialogues
from mmdbench.bagel.images import png_bytes
from mmdbench.bagel.loading import load_engine, open_checkpoint
from mmdbench.bagel.settings import PLAIN, DialogueSettings, Sizes
from mmdbench.bagel.tokenizer import Tokenizer
from mmdbench.errors import DataError
from mmdbench.records import RESTORE_TAG
from mmdbench.system.files import make_folder, write_atomic
from mmdbench.system.json_text import parse_json
from mmdbench.training.clear.checkpoints import RECORD_FILE
from mmdbench.training.clear.loop import SftTraining, count_steps, make_accelerator
from mmdbench.training.clear.pictures import PictureSizes
from mmdbench.training.clear.profiles import SftProfile
from mmdbench.training.clear.samples import SftSample, SftSource, read_sft_samples
from mmdbench.training.config import HardwareSettings, TrainingConfig
from mmdbench.training.footprint import Footprint, ParameterCount, Work, count_parameters

__all__ = ["ClearPlaces", "ClearStart", "open_places", "open_start"]

_FROZEN = ("vit_model.", "vit_pos_embed.", "latent_pos_embed.", "vae:")
_GENERATION = "moe_gen"
_PASSES = 3.0


@dataclass(frozen=True, slots=True)
class ClearPlaces:
    """The base folder, the weights, the sizes that are not the published ones, the prompt, the records."""

    base: Path
    weights: Path
    sizes: Sizes
    sizes_file: Path | None
    source: SftSource

    def digests(self) -> list[dict[str, Any]]:
        """The digests of the weights to start from."""
        files = (*read_weights(self.weights).files, self.base / AUTOENCODER)
        return [file_digest(file) for file in files]

    def engine(self) -> Engine:
        """The model, loaded in float32, without shortcuts."""
        opened = open_checkpoint(self.base, self.weights, self.sizes, generation=True)
        return load_engine(opened, torch.device("cpu"), torch.float32, PLAIN)

    def parameters(self) -> ParameterCount:
        """The parameters by what becomes of them, from the headers of the weights files."""
        entries = {
            **read_weights(self.weights).entries,
            **{f"vae:{key}": entry for key, entry in read_weights(self.base / AUTOENCODER).entries.items()},
        }
        return count_parameters(entries, _FROZEN, inactive=_GENERATION)

    def complete(self, folder: Path) -> None:
        """Make each checkpoint of a training a model on its own, with base files, sizes and prompt."""
        more = {} if self.sizes_file is None else {SIZES_FILE: self.sizes_file}
        for record in sorted(folder.glob(f"*/{RECORD_FILE}")):
            complete_folder(record.parent, self.base, more)
            write_atomic(record.parent / PROMPT_FILE, self.source.system)

    def restore_into(self, folder: Path, step: int, engine: Engine, picture: Image.Image) -> Path:
        """Restore a picture with a model in training, as a file of a folder.

        Args:
            folder: The folder.
            step: The step, which names the file.
            engine: The model.
            picture: The picture.

        Returns:
            The file.
        """
        path = make_folder(folder) / f"{step:07d}.png"
        write_atomic(path, _restored(engine, picture, self.source.system))
        return path


@dataclass(frozen=True, slots=True)
class ClearStart:
    """The places of a supervised training, and its samples by group."""

    places: ClearPlaces
    samples: Mapping[str, tuple[SftSample, ...]]

    def training(
        self, profile: SftProfile, folder: Path, origin: Mapping[str, Any], *, processes: int = 1
    ) -> SftTraining:
        """The training in a folder, with the model loaded.

        Args:
            profile: All settings.
            folder: The folder for checkpoints.
            origin: Digests of the data and of the weights to start from.
            processes: The number of processes, over which the model is sharded.

        Returns:
            The training, continued if the folder has a checkpoint.
        """
        engine = self.places.engine()
        sharded = engine.model if processes > 1 else None
        accelerator = make_accelerator(profile.autocast, sharded)
        return SftTraining(engine, self.samples, profile, folder, accelerator, origin)

    def sampler(self, training: SftTraining, folder: Path) -> Callable[[int], Path | None]:
        """A function of the step that restores the first picture that the data restore, into a folder."""
        sample = next(iter(self.samples.get("generate", ())), None)

        def restore(step: int) -> Path | None:
            if sample is None:
                return None
            picture = sample.pictures()["degraded"]
            return self.places.restore_into(folder, step, training.engine, picture)

        return restore

    def footprint(self, profile: SftProfile, hardware: HardwareSettings) -> Footprint:
        """The memory and the time of a training."""
        rows = profile.packing.expected_rows * profile.optimiser.accumulation * hardware.gpus
        steps = count_steps(profile, self.samples, hardware.gpus)
        passes = _PASSES + profile.layer_checkpointing
        return Footprint(self.places.parameters(), Work(steps, rows, passes), hardware, average=True)


def open_start(config: TrainingConfig, data: Path) -> ClearStart:
    """The places of a supervised training, with the samples read; as `open_places`."""
    places = open_places(config, data)
    return ClearStart(places, read_sft_samples(places.source))


def open_places(config: TrainingConfig, data: Path) -> ClearPlaces:
    """The places that a configuration names, with the weights not loaded.

    Args:
        config: The configuration.
        data: The file with the records.

    Returns:
        The places.

    Raises:
        ModelError: A file of the model is missing or damaged.
        DataError: The training set or another file cannot be read.
    """
    base = Path(config.model).expanduser()
    check_base(base, autoencoder=True)
    weights = find_weights(Path(config.weights).expanduser() if config.weights else base, "ema")
    sizes_file = Path(config.sizes_file).expanduser() if config.sizes_file else None
    try:
        sizes = Sizes() if sizes_file is None else _sizes(sizes_file)
        prompt = Path(config.system_prompt_file or "").expanduser().read_text("utf-8")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"Cannot read sizes_file or system_prompt_file: {error}.") from error
    architecture = read_architecture(base, sizes)
    tokenizer = Tokenizer(base, sizes, architecture.language.vocabulary)
    layout = PictureSizes(sizes, architecture.vision.patch)
    return ClearPlaces(base, weights, sizes, sizes_file, SftSource(data, prompt, tokenizer.encode, layout))


def _sizes(file: Path) -> Sizes:
    return Sizes.from_mapping(parse_json(file.read_text("utf-8"), lenient=True))


def _restored(engine: Engine, picture: Image.Image, prompt: str) -> bytes:
    """The restored picture as PNG; the request for it stands in place of a text of the model."""
    forced = Injection(texts=(RESTORE_TAG, ""))
    result = run_dialogues(engine, [DialogueInput((picture,))], DialogueSettings(max_turns=2), prompt, forced)
    return png_bytes(result[0].pictures[0])
